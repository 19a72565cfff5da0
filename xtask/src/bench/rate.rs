//! What a second of a benchmark is counted in.

use super::criterion::Work;

/// A figure and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// The figure.
    pub(super) value: f64,
    /// Its unit.
    pub(super) unit: &'static str,
}

/// The first parts of names whose elements are images; those of all others are operations.
const COUNTED_IN_IMAGES: &[&str] = &["infer", "loader", "train"];

impl Rate {
    /// The rate of a benchmark whose iteration takes `ms` milliseconds.
    ///
    /// Bytes give GB/s and elements GF/s, or img/s where a whole model or the loader is measured. A
    /// benchmark that declares no work is reported by its time, and the tape by the nanoseconds of one
    /// of its operations.
    pub(super) fn new(name: &str, work: Option<Work>, ms: f64) -> Self {
        let seconds = ms / 1e3;
        let per_second = |count: u64| count as f64 / seconds;
        match work {
            Some(Work::Elements(count) | Work::ElementsAndBytes { elements: count }) => {
                let room = name.split('/').next().unwrap_or_default();
                if room == "tape" {
                    Self { value: ms * 1e6 / count as f64, unit: "ns/op" }
                } else if COUNTED_IN_IMAGES.contains(&room) {
                    Self { value: per_second(count), unit: "img/s" }
                } else {
                    Self { value: per_second(count) / 1e9, unit: "GF/s" }
                }
            }
            Some(Work::Bytes(count) | Work::BytesDecimal(count)) => {
                Self { value: per_second(count) / 1e9, unit: "GB/s" }
            }
            Some(Work::Bits(count)) => Self { value: per_second(count) / 8e9, unit: "GB/s" },
            None => Self { value: ms, unit: "ms" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_follows_from_the_name_and_the_declared_work() {
        for (name, work, value, unit) in [
            ("train/lenet5/b64/f32", Some(Work::Elements(64)), 32_000.0, "img/s"),
            ("infer/lenet5/b1/f32", Some(Work::Elements(1)), 500.0, "img/s"),
            ("gemm/n1024/f32", Some(Work::Elements(2_000_000_000)), 1_000.0, "GF/s"),
            ("trainer/x", Some(Work::Elements(2_000_000)), 1.0, "GF/s"),
            ("copy", Some(Work::Bytes(2_000_000)), 1.0, "GB/s"),
            ("copy", Some(Work::Bits(16_000_000)), 1.0, "GB/s"),
            ("tape", None, 2.0, "ms"),
            ("tape/recorded", Some(Work::Elements(1000)), 2000.0, "ns/op"),
        ] {
            assert_eq!(Rate::new(name, work, 2.0), Rate { value, unit }, "{name}");
        }
    }
}
