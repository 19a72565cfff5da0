//! The `ferrotape` command: train, evaluate and inspect convolutional networks.

mod choices;
mod convert;
mod data;
mod doctor;
mod error;
mod evaluate;
mod export;
mod insight;
mod model;
mod output;
mod picture;
mod plan;
mod predict;
mod report;
mod samples;
mod say;
mod shown;
mod summary;
mod train;
mod zoo;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use say::say;

/// Train, evaluate and inspect convolutional networks.
#[derive(Debug, Parser)]
#[command(name = "ferrotape", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model and write a run folder with weights, metrics and a report.
    Train(Box<train::Arguments>),
    /// Test the model of a run, or of a file of weights.
    Eval(evaluate::Arguments),
    /// Say what the model of a run, or of a file of weights, sees in pictures.
    Predict(predict::Arguments),
    /// Write a file of weights as safetensors: from torch.save, or in another float type.
    Convert(convert::Arguments),
    /// Write the model of a run, or of a file of weights, as ONNX for other programs.
    Export(export::Arguments),
    /// Draw what a layer makes of a picture: its feature maps.
    Features(insight::Features),
    /// Draw where in a picture a layer sees a class (Grad-CAM).
    Gradcam(insight::GradCam),
    /// Draw how much each pixel of a picture changes the score of a class.
    Saliency(insight::HeatArguments),
    /// Draw the filters of a convolution.
    Filters(insight::Filters),
    /// Draw the report of a run again, or compare several runs on one page.
    Report(report::Arguments),
    /// Draw training images as a model sees them, augmented.
    Samples(Box<samples::Arguments>),
    /// Print the layers of a model with shapes, parameters and multiply-adds.
    Summary(summary::Arguments),
    /// List the models with what they take: parameters, multiply-adds, memory.
    Zoo(zoo::Arguments),
    /// Print what a shell needs to complete commands and flags.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Say what of this machine is used: CPU features, threads, devices.
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let started = Instant::now();
    fail_beyond_a_limit();
    let arguments = parse();
    if cfg!(debug_assertions) {
        say!("note: this is an unoptimised build; add --release to cargo for full speed");
    }
    let done = match arguments.command {
        Command::Train(arguments) => train::run(&arguments, started),
        Command::Eval(arguments) => evaluate::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Features(arguments) => insight::features(&arguments),
        Command::Gradcam(arguments) => insight::grad_cam(&arguments),
        Command::Saliency(arguments) => insight::saliency(&arguments),
        Command::Filters(arguments) => insight::filters(&arguments),
        Command::Report(arguments) => report::run(&arguments, started),
        Command::Samples(arguments) => samples::run(&arguments),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "ferrotape", &mut text);
            std::io::stdout().write_all(&text).map_err(error::Failure::from)
        }
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Zoo(arguments) => zoo::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(stopped @ error::Failure::Stopped(_)) => {
            say!("{stopped}");
            ExitCode::from(error::STOPPED as u8)
        }
        Err(error) => {
            say!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments of this process; where they are wrong, a sentence and the end.
fn parse() -> Arguments {
    let matches = with_negative_numbers(Arguments::command()).get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command, for which `-1` is a number and no flag, so that what is wrong with it is told.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let with_numbers = |argument: clap::Arg| {
        let takes_any = argument.get_action().takes_values();
        if takes_any { argument.allow_negative_numbers(true) } else { argument }
    };
    command.mut_args(with_numbers).mut_subcommands(with_negative_numbers)
}

/// Has a write beyond the limit on the size of files fail, with a sentence, instead of ending the process.
#[cfg(unix)]
fn fail_beyond_a_limit() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    // A signal that is listened to ends nothing; nobody needs to hear it. Where that is not allowed, it stays as it is.
    let _ =
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// There is no such signal.
#[cfg(not(unix))]
fn fail_beyond_a_limit() {}
