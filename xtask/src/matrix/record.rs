//! Reading what the checks wrote down.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Result;

/// A line of a record.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Proof {
    /// `law` or `fixture`.
    pub(super) kind: String,
    /// The source of what was checked, or the operator of a fixture.
    pub(super) subject: String,
    /// `value`, `gradient`, `second` or a memory layout.
    pub(super) what: String,
    /// The float type.
    pub(super) dtype: String,
    /// The device.
    pub(super) device: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    proof: Proof,
    error: f64,
}

/// The largest error of each proof.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) errors: BTreeMap<Proof, f64>,
}

impl Record {
    /// Reads every file of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut record = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            for line in fs::read_to_string(&path)?.lines() {
                let line: Line = serde_json::from_str(line)
                    .map_err(|e| format!("{} is no record: {e}", path.display()))?;
                record.see(line.proof, line.error);
            }
        }
        Ok(record)
    }

    /// Adds one proof.
    pub(super) fn see(&mut self, proof: Proof, error: f64) {
        let largest = self.errors.entry(proof).or_insert(error);
        *largest = largest.max(error);
    }

    /// Adds another record.
    pub(super) fn add(&mut self, other: Self) {
        other.errors.into_iter().for_each(|(proof, error)| self.see(proof, error));
    }

    /// The same, where `cpu` is the backend at a dispatch level.
    pub(super) fn on_level(self, level: &str) -> Self {
        let named = |(mut proof, error): (Proof, f64)| {
            if proof.device == "cpu" {
                proof.device = format!("cpu {level}");
            }
            (proof, error)
        };
        Self { errors: self.errors.into_iter().map(named).collect() }
    }

    /// The devices that the record has.
    pub(super) fn devices(&self) -> Vec<&str> {
        let mut devices: Vec<&str> = self.errors.keys().map(|p| p.device.as_str()).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// The largest error of the proofs that a test selects; nothing if there are none.
    pub(super) fn largest(&self, select: impl Fn(&Proof) -> bool) -> Option<f64> {
        let errors = self.errors.iter().filter(|(proof, _)| select(proof));
        errors.map(|(_, &error)| error).reduce(f64::max)
    }
}

impl Proof {
    /// Whether the source calls this method of a tensor.
    pub(super) fn calls(&self, method: &str) -> bool {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        self.subject.match_indices(method).any(|(at, _)| {
            let before = self.subject[..at].trim_end();
            let after = self.subject[at + method.len()..].trim_start();
            let whole = !after.starts_with(is_name) && !self.subject[..at].ends_with(is_name);
            let called =
                after.starts_with('(') || after.starts_with("::<") || after.starts_with(')');
            whole && called && (before.ends_with('.') || before.ends_with("Tensor::"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(subject: &str) -> Proof {
        let text = |text: &str| text.to_owned();
        Proof {
            kind: text("law"),
            subject: text(subject),
            what: text("gradient"),
            dtype: text("f64"),
            device: text("cpu"),
        }
    }

    #[test]
    fn a_source_calls_the_methods_that_it_names_and_no_others() {
        let source = proof("|x| Tensor::cat(&x, 1)?.mean_all()");
        assert!(source.calls("cat") && source.calls("mean_all"));
        assert!(!source.calls("mean") && !source.calls("all") && !source.calls("x"));
        assert!(proof("|x| x[0].fold(Tensor::max)").calls("max"));
    }

    #[test]
    fn the_largest_error_stays() {
        let mut record = Record::default();
        for error in [1e-9, 3e-9, 2e-9] {
            record.see(proof("|x| x[0].relu()"), error);
        }
        assert_eq!(record.largest(|p| p.calls("relu")), Some(3e-9));
        assert_eq!(record.largest(|p| p.calls("elu")), None);
        assert_eq!(record.on_level("avx2").devices(), ["cpu avx2"]);
    }
}
