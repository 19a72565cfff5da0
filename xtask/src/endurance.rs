//! `cargo xtask endurance`: a training of very many steps, on batches and images of random sizes, whose memory
//! must not grow. What it took stands in `docs/reliability.md`.

use std::fmt::Write;

use serde::Deserialize;

use crate::metadata::Metadata;
use crate::shell::Call;
use crate::{Result, marked};

/// What `cargo xtask endurance` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The steps of the training.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
}

const PAGE: &str = "docs/reliability.md";

/// What the second half may need beyond the first: a twentieth, for blocks that fit a size only now seen.
const GROWTH: f64 = 1.05;

/// A line of the training.
#[derive(Clone, Deserialize)]
struct Sample {
    step: u64,
    resident: u64,
    live: u64,
    kept: u64,
    loss: f64,
}

/// Runs the training and writes down what it took.
///
/// # Errors
/// The training fails, or its memory grows.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let call = Call::cargo("run --quiet --locked --release -p ferrotape --example endurance --");
    let text = call.arg(args.steps.to_string()).read(&root)?;
    let samples: Vec<Sample> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let table = table(args.steps, &samples)?;
    print!("{table}");
    does_not_grow(&samples)?;
    marked::write(&root, PAGE, "endurance", &table)
}

/// Memory in the second half is that of the first.
fn does_not_grow(samples: &[Sample]) -> Result<()> {
    let (first, second) = samples.split_at(samples.len() / 2);
    for (what, of) in [
        ("resident memory", (|sample| sample.resident) as fn(&Sample) -> u64),
        ("the memory of live arrays", |sample| sample.live),
        ("the memory kept for reuse", |sample| sample.kept),
    ] {
        let most = |samples: &[Sample]| samples.iter().map(of).max().unwrap_or(0);
        let (before, after) = (most(first), most(second));
        if first.is_empty() || after as f64 > before as f64 * GROWTH {
            return Err(format!(
                "{what} grows: {before} bytes at most in the first half of the steps and {after} in the second"
            )
            .into());
        }
    }
    Ok(())
}

/// Every fourth line, as a table.
fn table(steps: u64, samples: &[Sample]) -> Result<String> {
    let mut text = format!(
        "\n{steps} steps:\n\n| after steps | resident | of live arrays | kept for reuse | loss |\n\
         | ---: | ---: | ---: | ---: | ---: |\n"
    );
    let kilobytes = |bytes: u64| format!("{:.0} kB", bytes as f64 / 1e3);
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for sample in samples.iter().skip(3).step_by(4) {
        let Sample { step, resident, live, kept, loss } = sample;
        let (resident, live, kept) = (megabytes(*resident), kilobytes(*live), megabytes(*kept));
        writeln!(text, "| {step} | {resident} | {live} | {kept} | {loss:.3} |")?;
    }
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(step: u64, resident: u64, live: u64) -> Sample {
        Sample { step, resident, live, kept: 100, loss: 0.5 }
    }

    #[test]
    fn growth_is_found_and_a_little_more_is_none() {
        let steady = [sample(1, 1000, 10), sample(2, 1040, 10)];
        does_not_grow(&steady).unwrap();
        let grows = [sample(1, 1000, 10), sample(2, 1100, 10)];
        assert!(
            does_not_grow(&grows).unwrap_err().to_string().starts_with("resident memory grows")
        );
        let leaks = [sample(1, 1000, 10), sample(2, 1000, 11)];
        assert!(does_not_grow(&leaks).unwrap_err().to_string().contains("live arrays grows"));
        assert!(does_not_grow(&[]).is_err());
    }

    #[test]
    fn every_fourth_sample_is_a_row() {
        let samples: Vec<Sample> = (1..=8).map(|step| sample(step, 2_000_000, 3000)).collect();
        let text = table(8, &samples).unwrap();
        assert!(text.contains("| 4 | 2.0 MB | 3 kB | 0.0 MB | 0.500 |"), "{text}");
        assert_eq!(text.matches("MB | 0.500").count(), 2, "{text}");
    }
}
