//! The JSON line of a row: the fields of every harness of this folder.

use serde::{Deserialize, Serialize};

use super::{Options, Timing, peak_mib};

/// A figure and what it is counted in.
#[derive(Clone, Debug)]
pub struct Rate {
    /// The figure.
    pub value: f64,
    /// `img/s` or `GF/s`.
    pub unit: &'static str,
}

/// One row in one mode. What was not measured is left out, but `value` is then null.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Line {
    peer: String,
    mode: String,
    name: String,
    value: Option<f64>,
    unit: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    times: Option<Times>,
    threads: usize,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_before_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grad_and_momentum_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Times {
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    runs: usize,
    iters: usize,
    attempts: usize,
}

impl Line {
    /// A line without a figure yet.
    pub fn new(peer: &str, version: &str, mode: &str, name: &str, options: &Options) -> Self {
        Self {
            peer: peer.to_owned(),
            mode: mode.to_owned(),
            name: name.to_owned(),
            threads: options.threads,
            version: version.to_owned(),
            ..Self::default()
        }
    }

    /// The line with what was measured.
    pub fn measured(mut self, rate: Rate, timing: &Timing) -> Self {
        self.value = Some((rate.value * 1e3).round() / 1e3);
        self.unit = rate.unit.to_owned();
        self.times = Some(Times {
            median_ms: timing.median_ms,
            min_ms: timing.min_ms,
            max_ms: timing.max_ms,
            runs: timing.runs,
            iters: timing.iters,
            attempts: timing.attempts,
        });
        self
    }

    /// The line with the peak of memory since `before` was read, and what of it is no activation.
    pub fn memory(mut self, before: Option<f64>, gradients_and_momentum: Option<f64>) -> Self {
        if let (Some(before), Some(peak)) = (before, peak_mib()) {
            self.rss_before_mib = Some(before);
            self.peak_rss_mib = Some(peak);
            self.grad_and_momentum_mib = gradients_and_momentum;
        }
        self
    }

    /// The line with something that a reader of the figure has to know.
    pub fn note(mut self, note: &str) -> Self {
        self.note = Some(note.to_owned());
        self
    }

    /// The line of a row that could not be measured.
    pub fn failed(mut self, unit: &str, why: &str) -> Self {
        self.unit = unit.to_owned();
        self.error = Some(why.to_owned());
        self
    }
}
