//! The backend passes the conformance kit.

use ferrotape_backend::conformance::{self, Options};

use crate::devices;

fn passes(threads: usize, options: Options) {
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
