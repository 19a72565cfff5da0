//! The results as people and as programs read them.

use std::num::NonZeroUsize;

use serde::Serialize;

use super::criterion::Measurement;
use super::rate::Rate;
use crate::Result;

/// One benchmark's line. The fields are those that the harnesses of other frameworks write, so that
/// the files can be read side by side.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    peer: &'static str,
    mode: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    runs: usize,
    threads: NonZeroUsize,
    version: &'static str,
}

impl Row {
    /// The line of a measurement that was made with so many threads.
    pub(super) fn new(measurement: Measurement, threads: NonZeroUsize) -> Self {
        let times = &measurement.times_ms;
        let median_ms = median(times);
        let rate = Rate::new(&measurement.name, measurement.work, median_ms);
        Self {
            peer: "ferrotape",
            mode: "default",
            value: rate.value,
            unit: rate.unit,
            median_ms,
            min_ms: times.first().copied().unwrap_or(f64::NAN),
            max_ms: times.last().copied().unwrap_or(f64::NAN),
            runs: times.len(),
            threads,
            // All members share one version, this program included.
            version: env!("CARGO_PKG_VERSION"),
            name: measurement.name,
        }
    }

    /// (max - min) / median, as a percentage.
    fn spread(&self) -> f64 {
        (self.max_ms - self.min_ms) / self.median_ms * 100.0
    }
}

/// The middle of ascending values, or the mean of the two in the middle.
fn median(times: &[f64]) -> f64 {
    let middle = times.len() / 2;
    match times.len() % 2 {
        _ if times.is_empty() => f64::NAN,
        1 => times[middle],
        _ => (times[middle - 1] + times[middle]) / 2.0,
    }
}

/// The table for a terminal: a line a benchmark, figures right-aligned.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("name".len());
    let mut table = format!(
        "{:width$}  {:>11}  {:>8}  {:>5}  {:>16}\n",
        "name", "median", "spread", "runs", "rate"
    );
    for row in rows {
        // A benchmark without declared work has no rate but its time, which stands there already.
        let rate = match row.unit {
            "ms" => String::new(),
            unit => format!("{} {unit:<5}", three_digits(row.value)),
        };
        let median = format!("{} ms", three_digits(row.median_ms));
        let line = format!(
            "{:width$}  {median:>11}  {:>6.1} %  {:>5}  {rate:>16}",
            row.name,
            row.spread(),
            row.runs,
        );
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// The rows as JSON, one object a line.
///
/// # Errors
/// A figure is not finite, which a measurement cannot be.
pub(super) fn json_lines(rows: &[Row]) -> Result<String> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&serde_json::to_string(row)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// The figure with at least three digits that count.
fn three_digits(value: f64) -> String {
    let whole = value.abs().max(1e-9).log10().floor();
    let decimals = (2.0 - whole).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::criterion::Work;
    use super::*;

    fn row() -> Row {
        let times_ms = vec![1.0, 2.0, 2.0, 3.0];
        let name = "train/lenet5/b64/f32".to_owned();
        let two = NonZeroUsize::new(2).unwrap();
        Row::new(Measurement { name, work: Some(Work::Elements(64)), times_ms }, two)
    }

    #[test]
    fn a_row_has_the_fields_of_the_other_harnesses() {
        let expected = serde_json::json!({
            "peer": "ferrotape",
            "mode": "default",
            "name": "train/lenet5/b64/f32",
            "value": 32_000.0,
            "unit": "img/s",
            "median_ms": 2.0,
            "min_ms": 1.0,
            "max_ms": 3.0,
            "runs": 4,
            "threads": 2,
            "version": env!("CARGO_PKG_VERSION"),
        });
        assert_eq!(serde_json::to_value(row()).unwrap(), expected);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }

    #[test]
    fn the_table_shows_median_spread_and_rate() {
        let table = table(&[row()]);
        let line = table.lines().nth(1).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            ["train/lenet5/b64/f32", "2.00", "ms", "100.0", "%", "4", "32000", "img/s"]
        );
    }

    #[test]
    fn small_and_large_figures_keep_three_digits() {
        for (value, text) in
            [(0.001234, "0.00123"), (1.234, "1.23"), (12.34, "12.3"), (12345.6, "12346")]
        {
            assert_eq!(three_digits(value), text);
        }
    }
}
