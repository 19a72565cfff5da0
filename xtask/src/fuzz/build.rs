//! Builds the programs of `fuzz/`.

use std::path::{Path, PathBuf};

use super::Target;
use crate::Result;
use crate::shell::{host, rustup};

/// Builds the targets and says in which folder their programs are.
///
/// # Errors
/// A nightly toolchain or cargo-fuzz is missing, or a target does not compile.
pub(super) fn build(root: &Path, folder: &Path, targets: &[Target]) -> Result<PathBuf> {
    rustup(root, "nightly", "fuzz --version")?
        .read(root)
        .map_err(|_| "fuzzing needs cargo-fuzz: cargo install cargo-fuzz")?;
    let host = host(root)?;
    // With -O the assertions are those that the profile in `fuzz/Cargo.toml` asks for, else those of every package.
    let build = rustup(root, "nightly", "fuzz build -O --fuzz-dir fuzz --target")?
        .arg(host.as_str())
        .arg("--target-dir")
        .arg(folder.display().to_string());
    match targets {
        [target] => build.arg(&target.name).run_beside(root)?,
        _ => build.run_beside(root)?,
    }
    Ok(folder.join(host).join("release"))
}
