//! For how long each target has found nothing, in `fuzz/record.json`, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Target, files};
use crate::Result;

const FILE: &str = "fuzz/record.json";

/// What the programs are built from besides the crates that a target reaches.
const ALWAYS: [&str; 2] = ["crates/fuzz/src", "fuzz/Cargo.lock"];

/// A run that found nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) seconds: u64,
    pub(super) executions: u64,
}

/// All runs of a target on the same sources.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Record {
    /// The hash of the sources.
    sources: String,
    seconds: u64,
    executions: u64,
}

/// The records by target.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Records(BTreeMap<String, Record>);

impl Records {
    /// Those of the file; none, if there is none.
    pub(super) fn read(root: &Path) -> Result<Self> {
        match fs::read_to_string(root.join(FILE)) {
            Ok(text) => Ok(serde_json::from_str(&text).map_err(|e| format!("{FILE}: {e}"))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{FILE} cannot be read: {error}").into()),
        }
    }

    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(root.join(FILE), text).map_err(|e| format!("{FILE} was not written: {e}").into())
    }

    /// Adds a run to those of the same sources; begins anew, if they are others.
    pub(super) fn add(&mut self, root: &Path, target: &Target, run: Run) -> Result<()> {
        let sources = sources(root, target)?;
        let before = self.0.get(&target.name).filter(|record| record.sources == sources);
        let (seconds, executions) = before.map_or((0, 0), |r| (r.seconds, r.executions));
        let record = Record {
            sources,
            seconds: seconds + run.seconds,
            executions: executions + run.executions,
        };
        self.0.insert(target.name.clone(), record);
        Ok(())
    }

    /// The target found something.
    pub(super) fn forget(&mut self, target: &Target) {
        self.0.remove(&target.name);
    }

    /// A row for each target; what was run on other sources does not count.
    pub(super) fn table(&self, root: &Path, targets: &[Target]) -> Result<String> {
        let mut text = String::from(
            "\n| target | is fed with | minutes | inputs |\n| --- | --- | ---: | ---: |\n",
        );
        for target in targets {
            let sources = sources(root, target)?;
            let record = self.0.get(&target.name).filter(|record| record.sources == sources);
            let (minutes, inputs) = match record {
                Some(record) => {
                    let minutes = format!("{:.1}", record.seconds as f64 / 60.0);
                    (minutes, grouped(record.executions))
                }
                None => ("0".to_owned(), "0".to_owned()),
            };
            let Target { name, feeds, .. } = target;
            writeln!(text, "| `{name}` | {feeds} | {minutes} | {inputs} |")?;
        }
        Ok(text + "\n")
    }
}

/// The hash of everything that the target runs.
fn sources(root: &Path, target: &Target) -> Result<String> {
    let mut hash = Sha256::new();
    let reached = target.reaches.iter().map(|name| format!("crates/{name}/src"));
    for name in reached.chain(ALWAYS.map(str::to_owned)) {
        let path = root.join(&name);
        let files = if path.is_dir() { files(&path)? } else { vec![path] };
        for file in files {
            let name = file.strip_prefix(root)?.display().to_string().replace('\\', "/");
            let contents = fs::read(&file).map_err(|e| format!("{name} cannot be read: {e}"))?;
            // With the lengths, so that nothing can pass from one file to the next.
            hash.update(format!("{name} {}\n", contents.len()));
            hash.update(contents);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::target;
    use super::*;

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("crates/data/src/lib.rs", "1"),
            ("crates/other/src/lib.rs", "1"),
            ("crates/fuzz/src/lib.rs", "1"),
            ("fuzz/Cargo.lock", "1"),
        ] {
            let file = place.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        place
    }

    #[test]
    fn runs_add_up_until_a_source_that_the_target_reaches_changes() {
        let place = place();
        let (root, target, run) = (place.path(), target("a"), Run { seconds: 90, executions: 600 });
        let mut records = Records::read(root).unwrap();
        records.add(root, &target, run).unwrap();
        records.write(root).unwrap();
        let mut records = Records::read(root).unwrap();
        fs::write(root.join("crates/other/src/lib.rs"), "2").unwrap();
        records.add(root, &target, run).unwrap();
        let row = |records: &Records| records.table(root, std::slice::from_ref(&target)).unwrap();
        assert!(row(&records).contains("| `a` | a file | 3.0 | 1,200 |"), "{}", row(&records));
        fs::write(root.join("crates/data/src/lib.rs"), "2").unwrap();
        assert!(row(&records).contains("| `a` | a file | 0 | 0 |"));
        records.add(root, &target, run).unwrap();
        assert!(row(&records).contains("| 1.5 | 600 |"));
        records.forget(&target);
        assert!(row(&records).contains("| 0 | 0 |"));
    }

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 12, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
