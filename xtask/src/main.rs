//! The chores of this workspace, one file a command: `cargo xtask ci | tidy | ...`, of which `cargo xtask --help` has the list.

mod api;
mod bad_input;
mod bench;
mod ci;
mod endurance;
mod figures;
mod fuzz;
mod gpu_check;
mod marked;
mod matrix;
mod metadata;
mod miri;
mod onnx;
mod package;
mod parity;
mod proofs;
mod readme;
mod reproduce;
mod sanitize;
mod shell;
mod smoke;
mod supply;
mod tidy;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything that was said wrong, as a sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The chores of the ferrotape workspace.")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check, one named step after the other, and stop at the first that fails.
    Ci(ci::Args),
    /// Check the house rules that the compiler does not know.
    Tidy,
    /// Run the benchmarks and print medians, spreads and rates.
    Bench(Box<bench::Args>),
    /// Build what has to be seen on a GPU into a folder for a machine that has one.
    GpuCheck(gpu_check::Args),
    /// Draw the figures of the book's question pages, and write the tables that their runs give.
    Figures(figures::Args),
    /// Run every network of the zoo in onnxruntime and write the table of docs/onnx.md.
    Onnx,
    /// Hold operators, optimizers and schedules against the numbers of another framework.
    Parity(parity::Args),
    /// Run the laws of all operators and write what they prove to docs/coverage.md.
    Matrix,
    /// Give everything wrong to the library and the command, and write what is said to docs/reliability.md.
    BadInput,
    /// Run the proofs that take too long for every change and write docs/proofs.md.
    Proofs,
    /// Train LeNet-5 and write the picture and the lines of the README's first screen.
    Readme,
    /// Train the classics on MNIST for real and write docs/reproduce.md.
    Reproduce(reproduce::Args),
    /// Hold what this is built from against deny.toml.
    Supply,
    /// Pack every crate as it would be published, and build each from its package alone.
    Package,
    /// Compare the public items of every library crate with the texts under api/ (needs a nightly compiler).
    Api(api::Args),
    /// Run the fuzz targets and write docs/reliability.md (needs a nightly compiler and cargo-fuzz).
    Fuzz(fuzz::Args),
    /// Interpret the unit tests of the crates with unsafe code in Miri (needs a nightly compiler that has it).
    Miri,
    /// Run the kernels' tests with the address sanitizer (needs a nightly compiler) and under valgrind.
    Sanitize(sanitize::Args),
    /// Train for very many steps on batches and images of random sizes; memory must not grow.
    Endurance(endurance::Args),
    /// Kill trainings at random moments, and see that they end as one that was never killed.
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Ci(args) => ci::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::GpuCheck(args) => gpu_check::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Figures(args) => figures::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Parity(args) => parity::run(&args),
        Command::BadInput => bad_input::run().map(|()| ExitCode::SUCCESS),
        Command::Supply => supply::run().map(|()| ExitCode::SUCCESS),
        Command::Package => package::run().map(|()| ExitCode::SUCCESS),
        Command::Api(args) => api::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Fuzz(args) => fuzz::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Miri => miri::run().map(|()| ExitCode::SUCCESS),
        Command::Sanitize(args) => sanitize::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Endurance(args) => endurance::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Readme => readme::run().map(|()| ExitCode::SUCCESS),
        Command::Proofs => proofs::run().map(|()| ExitCode::SUCCESS),
        Command::Reproduce(args) => reproduce::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Torture(args) => torture::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Onnx => onnx::run().map(|()| ExitCode::SUCCESS),
        Command::Matrix => matrix::run().map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
