//! `cargo xtask proofs`: what takes too long for every change, run when asked, and a page of the book
//! that says what came of it.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

const PAGE: &str = "docs/proofs.md";

/// A proof: what it shows, and the call that fails if it does not.
struct Proof {
    shows: &'static str,
    cargo: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

const PROOFS: &[Proof] = &[
    Proof {
        shows: "The checks of gradients raise no false alarm: the real convolution, max pooling, batch norm, linear \
                layer, cross entropy and LSTM, and compositions of many operators, pass in 10,000 generated cases each.",
        cargo: "test --quiet --locked --release -p ferrotape-gradcheck --test mutants right::",
        variables: &[("PROPTEST_CASES", "10000")],
    },
    Proof {
        shows: "Each verb of the CPU backend gives what the reference backend gives, at every level of instructions that \
                the processor has, on 1, 2 and 5 threads, in 5,000 generated cases each.",
        cargo: "test --quiet --locked --release -p ferrotape-cpu --test laws conforms",
        variables: &[("PROPTEST_CASES", "5000")],
    },
];

/// Runs every proof and writes the page.
///
/// # Errors
/// A proof fails, or the page cannot be written.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    let revision = Call::new("git", "rev-parse --short HEAD").read(root)?;
    let changed = !Call::new("git", "status --porcelain").read(root)?.trim().is_empty();
    let mut page = format!(
        "# Slow proofs\n\nWhat takes too long for every change. `cargo xtask proofs` runs these and \
         writes this page; the last time at revision {}{}, on {}.\n\n| what is shown | how | result | \
         minutes |\n| --- | --- | --- | --- |\n",
        revision.trim(),
        if changed { " with changes" } else { "" },
        processor(),
    );
    for proof in PROOFS {
        let mut call = Call::cargo(proof.cargo);
        for (name, value) in proof.variables {
            call = call.variable(name, *value);
        }
        eprintln!("proofs: {call} ...");
        let began = Instant::now();
        call.run(root)?;
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        writeln!(page, "| {} | `{call}` | holds | {minutes:.1} |", proof.shows)?;
    }
    fs::write(root.join(PAGE), page).map_err(|error| format!("{PAGE} was not written: {error}"))?;
    println!("{PAGE} has {} proofs", PROOFS.len());
    Ok(())
}

/// The processor's name, and how many of it there are.
fn processor() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!("{count} x {name}")
}
