//! `cargo xtask matrix`: which operator was proven how, from what the tests really ran.
//!
//! The law tests of `ferrotape-autograd` run once at each dispatch level of this machine and write
//! down the errors that they saw (`FERROTAPE_RECORD`, see `ferrotape-gradcheck`). Out of that record
//! comes `docs/coverage.md`; an operator that the sources or the fixtures have and the record lacks
//! is an error.

mod expected;
mod page;
mod record;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;
use expected::Expected;
use record::Record;

/// The variable that makes the checks write down what they saw.
pub(crate) const VARIABLE: &str = "FERROTAPE_RECORD";

/// The variable that chooses the instructions of the CPU backend.
const LEVEL: &str = "FERROTAPE_CPU";

const PAGE: &str = "docs/coverage.md";

/// Runs the law tests at every level and writes the page.
///
/// # Errors
/// A test fails, something that should be covered is not, or the page cannot be written.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    let mut whole = Record::default();
    for level in levels() {
        let folder = empty_folder(&metadata, level)?;
        eprintln!("matrix: the laws with {level} instructions ...");
        Call::cargo("test --quiet --locked -p ferrotape-autograd --test laws")
            .variable(LEVEL, level)
            .variable(VARIABLE, folder.display().to_string())
            .run(root)?;
        whole.add(Record::read(&folder)?.on_level(level));
    }
    let expected = Expected::read(root)?;
    complain(&expected.missing(&whole))?;
    let page = page::write(&expected, &whole);
    fs::write(root.join(PAGE), page).map_err(|e| format!("{PAGE} was not written: {e}"))?;
    println!("{PAGE} has {} operators", expected.operators.len());
    Ok(())
}

/// A folder for the record of one run, without what an earlier run left.
///
/// # Errors
/// It cannot be made.
pub(crate) fn empty_folder(metadata: &Metadata, name: &str) -> Result<PathBuf> {
    let folder = metadata.target_directory.join("record").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Checks that the record of a run of all tests lacks nothing.
///
/// # Errors
/// What it lacks.
pub(crate) fn check(root: &Path, folder: &Path) -> Result<()> {
    complain(&Expected::read(root)?.missing(&Record::read(folder)?))
}

fn complain(missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join("\n    ");
    Err(format!("the tests have no proof of\n    {list}\nWrite a law or a fixture for each.")
        .into())
}

/// The dispatch levels that this machine can execute, slowest first, as far as they differ in f64, in which laws are.
fn levels() -> Vec<&'static str> {
    #[allow(unused_mut, reason = "other processors have the portable level only")]
    let mut levels = vec!["portable"];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push("avx2");
        }
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        if avx512 {
            levels.push("avx512");
        }
    }
    levels
}
