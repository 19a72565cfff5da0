//! Builds the programs of `fuzz/`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Target;
use crate::Result;
use crate::shell::Call;

/// Builds the targets and says in which folder their programs are.
///
/// # Errors
/// A nightly toolchain or cargo-fuzz is missing, or a target does not compile.
pub(super) fn build(root: &Path, folder: &Path, targets: &[Target]) -> Result<PathBuf> {
    let is_there = |call: Call| {
        let status = call.command(root).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !is_there(Call::new("rustup", "run nightly rustc --version")) {
        return Err("fuzzing needs a nightly compiler: rustup toolchain install nightly".into());
    }
    if !is_there(Call::new("rustup", "run nightly cargo fuzz --version")) {
        return Err("fuzzing needs cargo-fuzz: cargo install cargo-fuzz".into());
    }
    let host = Call::new("rustup", "run nightly rustc --version --verbose").read(root)?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say which machine it is for")?;
    let build = Call::new("rustup", "run nightly cargo fuzz build --fuzz-dir fuzz --target")
        .arg(host)
        .arg("--target-dir")
        .arg(folder.display().to_string());
    match targets {
        [target] => build.arg(&target.name).run_beside(root)?,
        _ => build.run_beside(root)?,
    }
    Ok(folder.join(host).join("release"))
}
