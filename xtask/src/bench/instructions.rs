//! `cargo xtask bench --instructions`: how many instructions a fixed small set of work takes, which no
//! clock and no other program on the machine can change.
//!
//! Valgrind executes the program on a processor of its own that has AVX2 but neither AVX-512 nor AMX.
//! So this guards the portable and the AVX2 kernels and what the framework adds to them.
//!
//! A case runs twice, doing its work once and [`TIMES`] times more; the difference is what the work
//! takes, without start and setup.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::text::Table;
use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

const FILE: &str = "benches/instructions.json";

/// How many times more the longer of both runs does the work.
const TIMES: u64 = 4;

/// A change that is none: the allocator and hash maps do not always take the same way.
const TOLERANCE: f64 = 0.02;

/// The variable that chooses the instructions of the CPU backend, and what valgrind can execute.
const LEVEL: &str = "FERROTAPE_CPU";
const LEVELS: [&str; 2] = ["portable", "avx2"];

const WHAT_IS_GUARDED: &str = "valgrind has neither AVX-512 nor AMX: the portable and the AVX2 kernels are guarded, and what the \
     framework adds to them";

/// The counts of the repository.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Counts {
    /// The compiler, which has a word in the matter.
    rustc: String,
    /// Instructions of one time, by level and case.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and compares with the repository or, to `bless`, writes the counts there.
///
/// # Errors
/// Valgrind is not installed, a case fails, or one takes more instructions than the repository says.
pub(super) fn run(metadata: &Metadata, bless: bool) -> Result<()> {
    let root = metadata.workspace_root.as_path();
    Call::new("valgrind", "--version").read(root).map_err(|_| {
        "valgrind, which counts the instructions, is not installed; your system's package of that name \
         has it"
    })?;
    let old = if bless { None } else { Some(read(&root.join(FILE))?) };
    Call::cargo("build --quiet --release --locked -p ferrotape-benches --example instructions")
        .run(root)?;
    let program = metadata.target_directory.join("release/examples/instructions");
    let program = format!("{}{}", program.display(), std::env::consts::EXE_SUFFIX);
    let cases = Call::new(&program, "").read(root)?;
    let mut new = Counts { rustc: compiler(root)?, instructions: BTreeMap::new() };
    for level in LEVELS.into_iter().filter(|level| can_execute(level)) {
        for case in cases.lines() {
            eprintln!("bench: counting {case} with {level} instructions ...");
            let count = |times| collected(&program, case, level, times, root);
            let count = (count(1 + TIMES)?.saturating_sub(count(1)?)) / TIMES;
            new.instructions.insert(format!("{level}/{case}"), count);
        }
    }
    println!("{WHAT_IS_GUARDED}");
    match old {
        Some(old) => compare(&old, &new),
        None => {
            let text = serde_json::to_string_pretty(&new)? + "\n";
            fs::write(root.join(FILE), text)
                .map_err(|error| format!("{FILE} was not written: {error}"))?;
            println!("{FILE} has {} counts", new.instructions.len());
            Ok(())
        }
    }
}

fn can_execute(level: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    if level == "avx2" {
        return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    }
    level == "portable"
}

fn read(path: &Path) -> Result<Counts> {
    let text = fs::read_to_string(path).map_err(|error| {
        format!("{FILE} cannot be read ({error}); write it with --instructions --bless")
    })?;
    Ok(serde_json::from_str(&text)
        .map_err(|error| format!("{FILE} is not what --bless writes: {error}"))?)
}

fn compiler(root: &Path) -> Result<String> {
    let version = Call::new("rustc", "--version").read(root)?;
    Ok(version.split_whitespace().nth(1).unwrap_or("unknown").to_owned())
}

/// All instructions of a run, as valgrind counts them.
fn collected(program: &str, case: &str, level: &str, times: u64, root: &Path) -> Result<u64> {
    let log = tempfile::NamedTempFile::new()?;
    let out = tempfile::NamedTempFile::new()?;
    Call::new("valgrind", "--tool=callgrind")
        .arg(format!("--log-file={}", log.path().display()))
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(program)
        .arg(case)
        .arg(times.to_string())
        .variable(LEVEL, level)
        .run(root)?;
    let log = fs::read_to_string(log.path())?;
    count(&log).ok_or_else(|| format!("valgrind did not say what it counted:\n{log}").into())
}

/// The figure in the line `==PID== Collected : 123`.
fn count(log: &str) -> Option<u64> {
    log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// Prints both counts of every case.
///
/// # Errors
/// A case takes more instructions than the tolerance allows, or only one side has it.
fn compare(old: &Counts, new: &Counts) -> Result<()> {
    let mut table = Table::new(&["case", "repository", "now", "change", ""], &[0, 4]);
    let mut wrong = Vec::new();
    let names: std::collections::BTreeSet<_> =
        old.instructions.keys().chain(new.instructions.keys()).collect();
    for name in names {
        let (before, after) = (old.instructions.get(name), new.instructions.get(name));
        let cell = |count: Option<&u64>| count.map_or_else(String::new, u64::to_string);
        let change = before.zip(after).map(|(&before, &after)| after as f64 / before as f64 - 1.0);
        let said = match change {
            _ if after.is_none() && !can_execute(name.split('/').next().unwrap_or_default()) => {
                "this machine cannot execute it"
            }
            None => "only one side has it",
            Some(change) if change > TOLERANCE => "more",
            Some(change) if change < -TOLERANCE => "fewer",
            Some(_) => "",
        };
        if ["only one side has it", "more"].contains(&said) {
            wrong.push(name.as_str());
        }
        let change = change.map_or_else(String::new, |change| format!("{:+.2} %", change * 100.0));
        table.row(vec![name.clone(), cell(before), cell(after), change, said.to_owned()]);
    }
    print!("{table}");
    if old.rustc != new.rustc {
        println!("{FILE} was counted with rustc {}, this is {}", old.rustc, new.rustc);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} within {:.0} % of {FILE}: {}. If that is meant, write the counts with cargo xtask bench \
         --instructions --bless",
        if wrong.len() == 1 { "one case is not" } else { "some cases are not" },
        TOLERANCE * 100.0,
        wrong.join(", ")
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        let instructions = pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Counts { rustc: "1.95.0".to_owned(), instructions }
    }

    #[test]
    fn the_count_is_found_in_the_log() {
        let log = "==7== Callgrind\n==7== \n==7== Events    : Ir\n==7== Collected : 123456\n";
        assert_eq!(count(log), Some(123_456));
        assert_eq!(count("==7== Aborted\n"), None);
    }

    #[test]
    fn more_than_the_tolerance_fails_and_fewer_does_not() {
        let old = counts(&[("portable/a", 1000)]);
        for fine in [1000, 1019, 981, 500] {
            assert!(compare(&old, &counts(&[("portable/a", fine)])).is_ok(), "{fine}");
        }
        let error = compare(&old, &counts(&[("portable/a", 1021)])).unwrap_err().to_string();
        assert!(error.contains("portable/a") && error.contains("--bless"), "{error}");
    }

    #[test]
    fn a_case_on_one_side_alone_fails() {
        let (one, both) =
            (counts(&[("portable/a", 1)]), counts(&[("portable/a", 1), ("portable/b", 1)]));
        assert!(compare(&one, &both).is_err());
        assert!(compare(&both, &one).is_err());
    }

    #[test]
    fn counts_are_read_as_they_are_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        assert!(read(&path).unwrap_err().to_string().contains("--bless"));
        let old = counts(&[("portable/a", 7)]);
        fs::write(&path, serde_json::to_string(&old).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), old);
        fs::write(&path, "[1]").unwrap();
        assert!(read(&path).is_err());
    }
}
