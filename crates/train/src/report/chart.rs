//! A line chart as inline SVG, coloured by the page's style.

use std::fmt::Write;

use super::html::{at, escape};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 272.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 392.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 232.0;

/// A curve: one value an epoch, `None` where there is none.
pub(super) struct Series<'a> {
    /// What the legend calls it.
    pub(super) name: &'a str,
    /// The style's class, which gives colour and dashes.
    pub(super) class: &'a str,
    pub(super) values: Vec<Option<f64>>,
}

/// A chart over epochs.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What the vertical axis measures.
    pub(super) axis: &'a str,
    pub(super) epochs: Vec<usize>,
    pub(super) series: Vec<Series<'a>>,
    /// How a value is written on the axis.
    pub(super) tick: fn(f64) -> String,
    /// How a value is written when it is pointed at.
    pub(super) exact: fn(f64) -> String,
    /// Whether a logarithmic axis may be chosen where the values span much.
    pub(super) may_log: bool,
}

impl Chart<'_> {
    /// The figure: title, legend with the last values, curves. A column under the pointer shows its
    /// epoch's values, by style alone.
    pub(super) fn figure(&self) -> String {
        let axis = Axis::of(self.values(), self.may_log);
        let mut out = String::from("<figure class=\"chart\"><figcaption><h3>");
        out += &escape(self.title);
        out += "</h3><ul class=\"legend\">";
        for series in &self.series {
            let last = series.values.iter().rev().find_map(|value| *value);
            let _ = write!(
                out,
                "<li class=\"{}\"><span class=\"key\"></span>{} <b>{}</b></li>",
                series.class,
                escape(series.name),
                last.map_or_else(|| "–".into(), self.exact)
            );
        }
        out += "</ul></figcaption>";
        self.svg(&axis, &mut out);
        out + "</figure>"
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.series.iter().flat_map(|s| s.values.iter().flatten().copied())
    }

    /// Where an epoch, by its place in the list, stands.
    fn x(&self, index: usize) -> f64 {
        match self.epochs.len() {
            0 | 1 => (LEFT + RIGHT) / 2.0,
            n => LEFT + 8.0 + (RIGHT - LEFT - 16.0) * index as f64 / (n - 1) as f64,
        }
    }

    fn svg(&self, axis: &Axis, out: &mut String) {
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.words())
        );
        let scale = if axis.log { ", logarithmic" } else { "" };
        let _ = write!(out, "<text class=\"axis\" x=\"0\" y=\"11\">{}{scale}</text>", self.axis);
        for value in axis.ticks() {
            let y = axis.y(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text x=\"{}\" y=\"{}\" class=\"tick end\">{}</text>",
                LEFT - 7.0,
                at(axis.y(value) + 4.0),
                (self.tick)(value),
                y = at(y),
            );
        }
        let step = nice_step(self.epochs.len() as f64 / 7.0).max(1.0) as usize;
        for (i, epoch) in self.epochs.iter().enumerate() {
            if epoch % step == 0 || self.epochs.len() == 1 {
                let x = at(self.x(i));
                let _ = write!(
                    out,
                    "<text class=\"tick mid\" x=\"{x}\" y=\"{}\">{epoch}</text>",
                    BOTTOM + 18.0
                );
            }
        }
        let _ = write!(
            out,
            "<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
             <text class=\"axis mid\" x=\"{}\" y=\"{}\">Epoch</text>",
            (LEFT + RIGHT) / 2.0,
            HEIGHT - 2.0
        );
        for series in &self.series {
            self.curve(series, axis, out);
        }
        self.readouts(axis, out);
        *out += "</svg>";
    }

    /// One path that lifts its pen where a value is missing, and dots while they do not crowd.
    fn curve(&self, series: &Series<'_>, axis: &Axis, out: &mut String) {
        let mut path = String::new();
        let mut pen = 'M';
        for (i, value) in series.values.iter().enumerate() {
            match value {
                Some(value) => {
                    let _ = write!(path, "{pen}{} {}", at(self.x(i)), at(axis.y(*value)));
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        let _ = write!(out, "<path class=\"curve {}\" d=\"{path}\"/>", series.class);
        if self.epochs.len() <= 40 {
            for (i, value) in series.values.iter().enumerate() {
                if let Some(value) = value {
                    let _ = write!(
                        out,
                        "<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"2.6\"/>",
                        series.class,
                        at(self.x(i)),
                        at(axis.y(*value))
                    );
                }
            }
        }
    }

    /// A column an epoch that shows its values while it is pointed at.
    fn readouts(&self, axis: &Axis, out: &mut String) {
        let half = match self.epochs.len() {
            0 | 1 => (RIGHT - LEFT) / 2.0,
            n => (RIGHT - LEFT - 16.0) / (n - 1) as f64 / 2.0,
        };
        for (i, epoch) in self.epochs.iter().enumerate() {
            let x = self.x(i);
            let values: Vec<String> = self
                .series
                .iter()
                .filter_map(|s| s.values[i].map(|v| (s.name, v)))
                .map(|(name, value)| format!("{} {}", escape(name), (self.exact)(value)))
                .collect();
            let _ = write!(
                out,
                "<g class=\"column\"><rect x=\"{}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>\
                 <line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>",
                at(x - half),
                at(2.0 * half),
                BOTTOM - TOP,
                x = at(x),
            );
            for series in &self.series {
                if let Some(value) = series.values[i] {
                    let _ = write!(
                        out,
                        "<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"4.5\"/>",
                        series.class,
                        at(x),
                        at(axis.y(value))
                    );
                }
            }
            let _ = write!(
                out,
                "<text class=\"readout end\" x=\"{RIGHT}\" y=\"11\">Epoch {epoch}: {}</text></g>",
                values.join(", ")
            );
        }
    }

    /// The chart in words, for those who do not see it.
    fn words(&self) -> String {
        let mut words = format!("{} over {} epochs.", self.title, self.epochs.len());
        for series in &self.series {
            let mut values = series.values.iter().flatten();
            if let (Some(first), last) = (values.next(), values.last()) {
                let _ = write!(
                    words,
                    " {}: from {} to {}.",
                    series.name,
                    (self.exact)(*first),
                    (self.exact)(*last.unwrap_or(first))
                );
            }
        }
        words
    }
}

/// The vertical axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    log: bool,
    low: f64,
    high: f64,
}

impl Axis {
    /// Chooses an axis that holds the values: logarithmic where it may be and they are positive and
    /// span more than a factor of eight, else linear from 0.
    fn of(values: impl Iterator<Item = f64>, may_log: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            return Self { log: false, low: 0.0, high: 1.0 };
        }
        if may_log && low > 0.0 && high / low > 8.0 {
            // Some air above and below keeps the ends off the frame.
            let air = ((high.ln() - low.ln()) * 0.06).exp();
            return Self { log: true, low: low / air, high: (high * air).min(f64::MAX) };
        }
        let low = low.min(0.0);
        let high = if high > low { high } else { low + 1.0 };
        Self { log: false, low, high: (high + (high - low) * 0.05).min(f64::MAX) }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        BOTTOM - (BOTTOM - TOP) * share
    }

    /// Round values on the axis, three to eight of them.
    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = nice_step((self.high - self.low) / 5.0);
            let first = (self.low / step).ceil() as i64;
            let last = (self.high / step).floor() as i64;
            return (first..=last).map(|i| i as f64 * step).collect();
        }
        let decades = self.high.log10() - self.low.log10();
        let multiples: &[f64] = match decades {
            ..2.2 => &[1.0, 2.0, 5.0],
            2.2..3.5 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let every = ((decades / 7.0).ceil() as usize).max(1);
        (first..=last)
            .step_by(every)
            .flat_map(|power| {
                // The text form is the nearest number to 5e-3; the product need not be.
                multiples.iter().filter_map(move |m| format!("{m}e{power}").parse().ok())
            })
            .filter(|value| (self.low..=self.high).contains(value))
            .collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= least * 0.999);
    step.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_one_two_or_five_times_a_power_of_ten() {
        for (least, step) in [(0.011, 0.02), (1.0, 1.0), (3.0, 5.0), (7.0, 10.0), (0.5, 0.5)] {
            assert!((nice_step(least) / step - 1.0).abs() < 1e-9, "{least}: {}", nice_step(least));
        }
    }

    #[test]
    fn every_axis_holds_its_values_and_has_ticks() {
        let cases: [&[f64]; 7] =
            [&[0.3, 0.01], &[2.3, 1e-9], &[5.0], &[0.0], &[0.0, 1e-6], &[-1.0, 2.0], &[1e300, 1.0]];
        for values in cases {
            let axis = Axis::of(values.iter().copied(), true);
            for &value in values {
                let y = axis.y(value);
                assert!((TOP..=BOTTOM).contains(&y), "{values:?}: {value} at {y}");
            }
            let ticks = axis.ticks();
            assert!((2..=9).contains(&ticks.len()), "{values:?}: {ticks:?}");
            assert!(ticks.is_sorted(), "{ticks:?}");
        }
    }

    #[test]
    fn a_small_span_is_linear_from_zero_and_a_large_one_logarithmic() {
        let linear = Axis::of([0.5, 1.0].into_iter(), true);
        assert!(!linear.log && linear.low == 0.0);
        assert!(Axis::of([0.01, 1.0].into_iter(), true).log);
        assert!(!Axis::of([0.01, 1.0].into_iter(), false).log);
        assert!(!Axis::of([0.0, 1.0].into_iter(), true).log, "zero has no logarithm");
    }
}
