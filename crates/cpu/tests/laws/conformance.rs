//! The backend passes the conformance kit, with as many cases a verb as `PROPTEST_CASES` says, as for all laws
//! here: a tool that carries out each instruction itself takes few.

use ferrotape_backend::conformance::{self, Options};

use crate::devices;

fn passes(threads: usize, mut options: Options) {
    if let Ok(cases) = std::env::var("PROPTEST_CASES") {
        options.cases = cases.parse().expect("PROPTEST_CASES is a number");
    }
    let mut failures = Vec::new();
    for (level, device) in devices(threads) {
        for verb in conformance::list() {
            match verb.check(&device, &options) {
                Ok(report) => assert_eq!(report.unsupported, 0, "{}", verb.name()),
                Err(failure) => failures.push(format!("{level}, {threads} threads: {failure}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_level_conforms_alone() {
    passes(1, Options { cases: 128, ..Options::default() });
}

#[test]
fn every_level_conforms_with_two_threads() {
    passes(2, Options { cases: 40, seed: 1, ..Options::default() });
}

#[test]
fn every_level_conforms_with_five_threads() {
    passes(5, Options { cases: 40, seed: 2, ..Options::default() });
}
