//! Draws the figures of the book's question pages, each from a run of this library, and writes the tables
//! that those runs give into the pages.
//!
//! `cargo xtask figures` calls it. Names of pages as arguments draw those alone.

mod experiment;
mod material;

use std::process::ExitCode;

/// Everything that can go wrong, as a sentence.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let [train, test] = material::digits().unwrap();
    let test = material::some(&train, 40000, 2000).unwrap();
    use experiment::*;
    let t = std::time::Instant::now();
    for lr in [0.01, 0.03] {
    let mut plan = Plan::default();
    plan.config.learning_rate = lr;
    let o = side_by_side(2, |n| run(&plan, n, &train, &test, false)).unwrap();
    println!("{lr} {o:?} {:?}", t.elapsed());
    }
    ExitCode::SUCCESS
}
