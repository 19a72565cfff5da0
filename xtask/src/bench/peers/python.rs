//! The Python in which PyTorch is measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// The versions that are installed.
const REQUIREMENTS: &str = "benches/peers/requirements.txt";

/// Makes a virtual environment below the target folder and installs PyTorch and torchvision in it.
///
/// # Errors
/// There is no Python that can make one, or pip fails.
pub(in super::super) fn set_up(metadata: &Metadata) -> Result<()> {
    let root = metadata.workspace_root.as_path();
    let folder = folder(&metadata.target_directory.join("peers"));
    let python = interpreter(&folder);
    let path = folder.to_string_lossy();
    Call::new(if cfg!(windows) { "python" } else { "python3" }, "-m venv").arg(path).run(root)?;
    let pip = "-m pip install --disable-pip-version-check -r";
    Call::new(&python.to_string_lossy(), pip).arg(REQUIREMENTS).run(root)?;
    check(&python, root)?;
    println!("PyTorch is in {}", folder.display());
    Ok(())
}

/// The Python of that environment.
pub(super) fn own(target: &Path) -> PathBuf {
    interpreter(&folder(target))
}

/// Checks that a Python has PyTorch and torchvision.
///
/// # Errors
/// It is not there or lacks one; the message says what to do.
pub(super) fn check(python: &Path, folder: &Path) -> Result<()> {
    let help = "make one with cargo xtask bench --setup-peers, name another with --python PATH, or \
                leave PyTorch out with --peers candle,burn";
    let mut command = Command::new(python);
    command.args(["-c", "import torch, torchvision"]).current_dir(folder).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        format!("there is no Python for PyTorch at {} ({error}); {help}", python.display())
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let why = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("{} cannot import torch and torchvision ({why}); {help}", python.display()).into())
}

fn folder(target: &Path) -> PathBuf {
    target.join("python")
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_not_there_is_told_with_what_to_do() {
        let error = check(Path::new("no/such/python"), Path::new(".")).unwrap_err().to_string();
        assert!(error.contains("no/such/python") && error.contains("--setup-peers"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_cannot_import_pytorch_is_told_too() {
        let error = check(Path::new("false"), Path::new(".")).unwrap_err().to_string();
        assert!(error.contains("cannot import torch"), "{error}");
        assert!(check(Path::new("true"), Path::new(".")).is_ok());
    }
}
