//! `cargo xtask miri`: layouts, portable kernels, tape and readers in Miri, an interpreter that finds undefined
//! behaviour in what the tests do.

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::rustup;

/// The unit tests of each crate that has `unsafe` code or reads bytes from outside: a package, and what else
/// its tests are given. Tests that are themselves long, or leave the process, are no part of them.
const RUNS: &[(&str, &str)] = &[
    ("ferrotape-backend", "--features reference"),
    ("ferrotape-cpu", "--features exact-memory"),
    ("ferrotape-autograd", ""),
    ("ferrotape-data", ""),
    ("ferrotape-nn", ""),
];

/// Interprets the unit tests of each crate.
///
/// # Errors
/// Miri is not installed, or finds something.
pub(crate) fn run() -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    rustup(&root, "nightly", "miri --version")?.read(&root).map_err(|_| {
        "Miri is not installed, so nothing was checked; install it with\n    \
         rustup toolchain install nightly --component miri,rust-src"
    })?;
    for (package, flags) in RUNS {
        eprintln!("miri: {package} ...");
        rustup(
            &root,
            "nightly",
            &format!("miri test --quiet --locked -p {package} --lib {flags}"),
        )?
        // Files that tests make, and the clock, are those of the machine; threads wait for work at the end.
        .variable("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks")
        .variable("PROPTEST_CASES", "4")
        .variable("FERROTAPE_CPU", "portable")
        .variable("CARGO_TARGET_DIR", "target/miri")
        .run(&root)?;
    }
    println!("Miri found nothing in {} crates", RUNS.len());
    Ok(())
}
