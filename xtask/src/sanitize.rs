//! `cargo xtask sanitize`: the kernels of every level with the address sanitizer and under valgrind's memcheck,
//! which find reads and writes outside of what was allocated. What came of it stands in
//! `docs/reliability.md`.
//!
//! Both see an allocation's bounds only where each array has memory of its own, so the backend is built
//! with its feature `exact-memory`.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;

use crate::metadata::Metadata;
use crate::shell::{Call, host, rustup};
use crate::{Result, marked};

const PAGE: &str = "docs/reliability.md";

/// The kernels' tests: their laws go through every level that the machine has.
const TESTS: &str =
    "test --quiet --locked --release -p ferrotape-cpu --features exact-memory --lib --test laws";

/// What `cargo xtask sanitize` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tools to run; both when none is named. Memcheck takes fifty times as long as the tests.
    tools: Vec<Name>,
}

/// A tool by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Name {
    /// The address sanitizer of a nightly compiler.
    Address,
    /// Memcheck of valgrind.
    Memcheck,
}

/// One tool: its name, the levels it sees, and the call that fails where it finds something.
struct Tool {
    name: &'static str,
    sees: &'static str,
    call: Call,
}

/// Runs the tools and writes down what they did.
///
/// # Errors
/// A tool is not installed, or finds something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let mut table =
        String::from("\n| with | levels | result | minutes |\n| --- | --- | --- | ---: |\n");
    for &name in Name::value_variants() {
        if !args.tools.is_empty() && !args.tools.contains(&name) {
            continue;
        }
        let tool = match name {
            Name::Address => address_sanitizer(&root)?,
            Name::Memcheck => memcheck(&root)?,
        };
        eprintln!("sanitize: {} ...", tool.name);
        let began = Instant::now();
        tool.call.run(&root)?;
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        writeln!(table, "| {} | {} | nothing found | {minutes:.1} |", tool.name, tool.sees)?;
    }
    marked::write(&root, PAGE, "sanitize", &(table + "\n"))
}

/// A nightly compiler builds the tests with checks around every access to memory.
fn address_sanitizer(root: &Path) -> Result<Tool> {
    let host = host(root)?;
    let call = rustup(root, "nightly", &format!("{TESTS} --target {host}"))?
        .variable("RUSTFLAGS", "-Zsanitizer=address")
        // What lives until the process ends is not lost memory.
        .variable("ASAN_OPTIONS", "detect_leaks=0")
        .variable("CARGO_TARGET_DIR", "target/sanitize");
    Ok(Tool {
        name: "the address sanitizer",
        sees: "portable, AVX2, AVX-512 where the machine has it",
        call,
    })
}

/// The same tests, every instruction of which valgrind carries out itself.
fn memcheck(root: &Path) -> Result<Tool> {
    Call::new("valgrind", "--version").read(root).map_err(|_| {
        "valgrind is not installed; your system's package of that name has it (apt-get install valgrind)"
    })?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", host(root)?.to_uppercase().replace('-', "_"));
    let call = Call::cargo(TESTS)
        .variable(&runner, "valgrind --quiet --error-exitcode=9 --leak-check=no")
        .variable("PROPTEST_CASES", "8");
    Ok(Tool { name: "valgrind's memcheck", sees: "portable, AVX2", call })
}
