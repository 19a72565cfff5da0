//! What must be covered: the operators that the sources have, and the cases of the fixtures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::record::Record;
use crate::Result;

const OPERATORS: &str = "crates/autograd/src/ops";
const FIXTURES: &str = "crates/autograd/tests/fixtures/ops/ops.json";

/// Methods that give a tensor and have no law of their own, and why.
const WITHOUT_LAW: [(&str, &str); 3] = [
    ("argmax", "gives indices, which have no gradient; the fixtures have its values"),
    ("one_hot", "makes numbers of classes, which have no gradient"),
    ("cast", "changes nothing in f64, the only type that a law can be checked in"),
];

/// What a proof of an operator consists of, beside a layout.
pub(super) const PARTS: [&str; 3] = ["value", "gradient", "second"];

/// The operators.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The methods of a tensor that compute tensors.
    pub(super) operators: Vec<String>,
    /// The operators of the fixtures, and whether their cases have gradients.
    pub(super) fixtures: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    op: String,
    grads: Vec<String>,
}

impl Expected {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut expected = Self::default();
        let mut folders = vec![root.join(OPERATORS)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    expected.operators.extend(methods(&fs::read_to_string(&path)?));
                }
            }
        }
        expected.operators.sort_unstable();
        let cases: Cases = serde_json::from_slice(&fs::read(root.join(FIXTURES))?)?;
        for case in cases.cases {
            *expected.fixtures.entry(case.op).or_default() |= !case.grads.is_empty();
        }
        Ok(expected)
    }

    /// Everything that a record has no proof of, on any device that it has.
    pub(super) fn missing(&self, record: &Record) -> Vec<String> {
        let mut missing = Vec::new();
        let devices = record.devices();
        if devices.is_empty() {
            missing.push("anything: the record is empty".to_owned());
        }
        for device in devices {
            for (op, has_gradient) in &self.fixtures {
                for dtype in ["f64", "f32"] {
                    for part in &PARTS[..if *has_gradient { 2 } else { 1 }] {
                        let found = record.largest(|proof| {
                            proof.kind == "fixture"
                                && proof.subject == *op
                                && (&*proof.what, &*proof.dtype) == (part, dtype)
                                && proof.device == device
                        });
                        if found.is_none() {
                            missing.push(format!("the {part} of {op} in {dtype} on {device}"));
                        }
                    }
                }
            }
            for operator in self.with_law() {
                for part in ["gradient", "second", "contiguous", "sliced"] {
                    let found = record.largest(|proof| {
                        proof.kind == "law"
                            && proof.what == part
                            && proof.device == device
                            && proof.calls(operator)
                    });
                    if found.is_none() {
                        missing.push(format!("the law ({part}) of Tensor::{operator} on {device}"));
                    }
                }
            }
        }
        missing
    }

    /// The operators that must have a law.
    pub(super) fn with_law(&self) -> impl Iterator<Item = &str> {
        let exempt = |name: &&str| WITHOUT_LAW.iter().any(|(exempt, _)| exempt == name);
        self.operators.iter().map(String::as_str).filter(move |name| !exempt(name))
    }

    /// Those that have none, and why.
    pub(super) fn without_law(&self) -> &'static [(&'static str, &'static str)] {
        &WITHOUT_LAW
    }
}

/// The public methods in the `impl Tensor` blocks of a source that give a tensor, those among them that
/// macros make of a name: `unary!(/// Docs. exp, ..)`.
fn methods(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut rest = source;
    while let Some((line, after)) = rest.split_once('\n') {
        match line {
            "impl Tensor {" => inside = true,
            "}" => inside = false,
            _ => {}
        }
        let name = line.strip_prefix("    pub fn ").and_then(|l| l.split_once(['(', '<']));
        if let (true, Some((name, _))) = (inside, name) {
            let signature = rest.split_once('{').map_or(rest, |(signature, _)| signature);
            let gives = signature.rsplit_once("->").map_or("", |(_, gives)| gives);
            if gives.contains("Tensor") {
                found.push(name.to_owned());
            }
        }
        let is_call = |line: &str| line.starts_with("    ") && line.trim_start().contains("!(///");
        if inside && is_call(line) {
            let name = after.lines().find(|line| !line.trim_start().starts_with("///"));
            let name = name.and_then(|line| line.trim().split_once(','));
            found.extend(name.map(|(name, _)| name.to_owned()));
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::record::Proof;
    use super::*;

    #[test]
    fn methods_of_a_tensor_that_give_one_are_operators() {
        let source = "impl Op for A {\n    pub fn no(&self) -> Result<Tensor> {\n    }\n}\n\
                      impl Tensor {\n    /// Docs.\n    pub fn relu(&self) -> Result<Tensor> {\n    }\n\
                      \x20   pub fn long(\n        &self,\n    ) -> Result<(Tensor, Array)> {\n    }\n\
                      \x20   unary!(/// The exponential,\n        /// as ever.\n        exp, |x| x);\n\
                      \x20   pub fn count(&self) -> usize {\n    }\n    fn inner() -> Tensor {\n    }\n}\n";
        assert_eq!(methods(source), ["relu", "long", "exp"]);
    }

    #[test]
    fn what_the_record_lacks_is_missing() {
        let mut record = Record::default();
        let proof = |kind: &str, subject: &str, what: &str, dtype: &str| Proof {
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            what: what.to_owned(),
            dtype: dtype.to_owned(),
            device: "cpu".to_owned(),
        };
        let fixtures = BTreeMap::from([("relu".to_owned(), true)]);
        let expected = Expected { operators: vec!["relu".to_owned()], fixtures };
        assert_eq!(expected.missing(&record).len(), 1);
        for what in ["gradient", "second", "contiguous", "sliced"] {
            record.see(proof("law", "|x| x[0].relu()", what, "f64"), 0.0);
        }
        for dtype in ["f64", "f32"] {
            record.see(proof("fixture", "relu", "value", dtype), 0.0);
        }
        record.see(proof("fixture", "relu", "gradient", "f64"), 0.0);
        assert_eq!(expected.missing(&record), ["the gradient of relu in f32 on cpu"]);
    }
}
