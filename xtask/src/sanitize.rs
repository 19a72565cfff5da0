//! `cargo xtask sanitize`: the kernels of every level with the address sanitizer and under valgrind's memcheck,
//! which find reads and writes outside of what was allocated. What came of it stands in
//! `docs/reliability.md`.
//!
//! Both see an allocation's bounds only where each array has memory of its own, so the backend is built
//! with its feature `exact-memory`.

use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;

use crate::metadata::Metadata;
use crate::shell::{Call, host, rustup};
use crate::{Result, marked};

const PAGE: &str = "docs/reliability.md";
const MARK: &str = "sanitize";

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

/// One tool: its name, the levels it sees, the call that builds the tests, and what is added to it to run them,
/// which fails where the tool finds something.
struct Tool {
    name: &'static str,
    sees: &'static str,
    call: Call,
    skipped: &'static [&'static str],
}

impl Tool {
    /// Runs the tests under the tool, and returns the minutes that they took without the compiler.
    fn run(&self, root: &Path) -> Result<f64> {
        eprintln!("sanitize: {} ...", self.name);
        self.call.clone().arg("--no-run").run(root)?;
        let began = Instant::now();
        let skip = |call: Call, test: &&str| call.arg("--skip").arg(*test);
        self.skipped.iter().fold(self.call.clone().arg("--"), skip).run(root)?;
        Ok(began.elapsed().as_secs_f64() / 60.0)
    }
}

/// Runs the tools and writes down what they did.
///
/// # Errors
/// A tool is not installed, or finds something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let is_asked = |name: &&Name| args.tools.is_empty() || args.tools.contains(name);
    // What is not installed is said before anything runs.
    let tools: Vec<Tool> = Name::value_variants()
        .iter()
        .filter(is_asked)
        .map(|name| match name {
            Name::Address => address_sanitizer(&root),
            Name::Memcheck => memcheck(&root),
        })
        .collect::<Result<_>>()?;
    for tool in tools {
        let minutes = tool.run(&root)?;
        let before = marked::text(&root, PAGE, MARK)?;
        marked::write(&root, PAGE, MARK, &table(&before, &tool, minutes))?;
    }
    Ok(())
}

/// The table with the row of a tool anew; those of other tools stay.
fn table(before: &str, tool: &Tool, minutes: f64) -> String {
    let first = format!("| {} |", tool.name);
    let row = format!("{first} {} | nothing found | {minutes:.1} |", tool.sees);
    let others = before.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let others = others.filter(|line| line.starts_with('|') && !line.starts_with(&first));
    let mut rows: Vec<&str> = others.chain([row.as_str()]).collect();
    rows.sort_unstable();
    format!(
        "\n| with | levels | result | minutes |\n| --- | --- | --- | ---: |\n{}\n\n",
        rows.join("\n")
    )
}

/// A nightly compiler builds the tests with checks around every access to memory.
fn address_sanitizer(root: &Path) -> Result<Tool> {
    let host = host(root)?;
    let call = rustup(root, "nightly", &format!("{TESTS} --target {host}"))?
        .variable("RUSTFLAGS", "-Zsanitizer=address")
        // What lives until the process ends is not lost memory. A test asks for more than there is and must
        // be told so, as it is without the sanitizer.
        .variable("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1")
        .variable("CARGO_TARGET_DIR", "target/sanitize");
    Ok(Tool {
        name: "the address sanitizer",
        sees: "portable, AVX2, AVX-512 where the machine has it",
        call,
        skipped: &[],
    })
}

/// The same tests, every instruction of which valgrind carries out itself.
fn memcheck(root: &Path) -> Result<Tool> {
    Call::new("valgrind", "--version").read(root).map_err(|_| {
        "valgrind is not installed; your system's package of that name has it (apt-get install valgrind)"
    })?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", host(root)?.to_uppercase().replace('-', "_"));
    let call = Call::cargo(TESTS)
        .variable(
            &runner,
            "valgrind --quiet --error-exitcode=9 --leak-check=no --suppressions=../../xtask/memcheck.supp",
        )
        .variable("PROPTEST_CASES", "8");
    Ok(Tool {
        name: "valgrind's memcheck",
        sees: "portable, AVX2; 8 cases a verb, without the sums of millions and what asks for impossible sizes",
        call,
        // Memcheck takes the size that the first asks for on purpose for a negative number. The second adds the
        // same millions of numbers a hundred times, a quarter of an hour under memcheck.
        skipped: &["an_impossible_request_is_an_error", "threads::reductions"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_replaces_its_own_row_alone() {
        let tool = |name, sees| Tool { name, sees, call: Call::new("true", ""), skipped: &[] };
        let first = table("\nNo run is recorded.\n\n", &tool("valgrind", "all"), 2.0);
        let both = table(&first, &tool("asan", "some"), 1.0);
        let again = table(&both, &tool("valgrind", "all"), 3.25);
        assert_eq!(
            again,
            "\n| with | levels | result | minutes |\n| --- | --- | --- | ---: |\n\
             | asan | some | nothing found | 1.0 |\n| valgrind | all | nothing found | 3.2 |\n\n"
        );
    }
}
