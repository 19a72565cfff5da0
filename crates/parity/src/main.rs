//! `cargo xtask parity PATH...`: every case of every path, then `N cases, M failed`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use ferrotape::backend::{DType, Device};
use ferrotape::prelude::OpenDevice;
use ferrotape_parity::check;

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask parity",
    about = "Holds operators, optimizers, schedules and networks against the numbers of another framework."
)]
struct Args {
    /// Folders of operator cases (ops.json and ops.safetensors), files of the form of optim.json or
    /// zoo.json.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The device to compute on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The float type to compute in.
    #[arg(long, value_enum, default_value_t = Float::F64)]
    dtype: Float,
    /// Print the cases that agree, too.
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Float {
    F64,
    F32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every path could be read and every case agrees.
fn run(args: &Args, out: &mut impl Write) -> Result<bool, Box<dyn std::error::Error>> {
    let device = Device::open(&args.device)?;
    let dtype = match args.dtype {
        Float::F64 => DType::F64,
        Float::F32 => DType::F32,
    };
    let (mut cases, mut failed, mut unreadable) = (0, 0, 0);
    for path in &args.paths {
        let outcomes = match check(path, &device, dtype) {
            Ok(outcomes) if outcomes.is_empty() => {
                eprintln!("error: {} has no cases", path.display());
                unreadable += 1;
                continue;
            }
            Ok(outcomes) => outcomes,
            Err(error) => {
                eprintln!("error: {error}");
                unreadable += 1;
                continue;
            }
        };
        for outcome in outcomes {
            cases += 1;
            if !outcome.passed() {
                failed += 1;
                writeln!(out, "FAILED {outcome}")?;
            } else if args.verbose {
                writeln!(out, "{outcome}")?;
            }
        }
    }
    writeln!(out, "{cases} cases, {failed} failed")?;
    Ok(failed == 0 && unreadable == 0)
}
