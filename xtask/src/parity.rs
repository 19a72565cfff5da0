//! `cargo xtask parity PATH...`: reference fixtures through the release build of `ferrotape-parity`.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

const PACKAGE: &str = "ferrotape-parity";

/// What `cargo xtask parity` takes: the program knows its own flags, `--help` too.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Folders of operator cases, files of the form of optim.json or zoo.json, and flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the program where the caller stands, so that paths mean what the caller sees. Nothing is
/// printed after its last line.
///
/// # Errors
/// The program does not build or start.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let metadata = Metadata::read()?;
    let build = format!("build --quiet --locked --release -p {PACKAGE}");
    Call::cargo(&build).run(&metadata.workspace_root)?;
    let program = metadata.target_directory.join("release").join(executable());
    let status = Command::new(&program)
        .args(&args.rest)
        .status()
        .map_err(|error| format!("{} could not be started: {error}", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn executable() -> &'static Path {
    Path::new(if cfg!(windows) { "ferrotape-parity.exe" } else { PACKAGE })
}
