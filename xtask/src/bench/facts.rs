//! What the benchmark programs say about the work of a row beside its time.
//!
//! They append a JSON line a row to the file that the variable [`VARIABLE`] names.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Result;

/// The variable that names the file.
pub(super) const VARIABLE: &str = "FERROTAPE_BENCH_FACTS";

/// The work of one iteration of a row, as far as it is known.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Fact {
    /// The row.
    pub(super) name: String,
    /// Floating-point operations: a multiplication and an addition are two.
    pub(super) flops: Option<f64>,
    /// The least memory traffic: each operand read once, each result written once.
    pub(super) bytes: Option<f64>,
    /// What was resident before the first measured step.
    pub(super) rss_before_mib: Option<f64>,
    /// The most that was resident since.
    pub(super) peak_rss_mib: Option<f64>,
    /// What of it are gradients and momentum.
    pub(super) grad_and_momentum_mib: Option<f64>,
}

/// The facts of a file by the names of their rows; a later line about a row replaces an earlier one.
///
/// # Errors
/// A line is no such object. A file that is not there has no facts.
pub(super) fn read(path: &Path) -> Result<HashMap<String, Fact>> {
    let mut facts = HashMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        let fact: Fact = serde_json::from_str(line).map_err(|error| {
            format!("a benchmark wrote something that is no fact about its row ({error}): {line}")
        })?;
        facts.insert(fact.name.clone(), fact);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_about_a_row_counts_and_what_is_not_said_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        assert!(read(&path).unwrap().is_empty());
        let text = "{\"name\":\"a\",\"flops\":1}\n{\"name\":\"b\",\"bytes\":2.0}\n\
                    {\"name\":\"a\",\"flops\":3,\"peak_rss_mib\":4.5}\n";
        fs::write(&path, text).unwrap();
        let facts = read(&path).unwrap();
        assert_eq!((facts["a"].flops, facts["a"].bytes), (Some(3.0), None));
        assert_eq!(facts["a"].peak_rss_mib, Some(4.5));
        assert_eq!(facts["b"].bytes, Some(2.0));
    }

    #[test]
    fn a_line_that_is_no_fact_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        fs::write(&path, "flops 3\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("flops 3"));
    }
}
