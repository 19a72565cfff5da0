//! Operators against numbers that PyTorch computed in f64; `tests/fixtures/ops` has them.

use std::path::Path;

use ferrotape_backend::DType;
use ferrotape_gradcheck::fixtures::{self, Folder, Verdict};

use crate::devices;

/// Runs every case and gives the failures as lines.
fn failures(dtype: DType) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ops");
    let folder = Folder::read(folder).expect("the fixtures are in the repository");
    assert_eq!(folder.cases().len(), 372);
    let mut failures = Vec::new();
    for device in devices() {
        for case in folder.cases() {
            let at = format!("{} on {device}", case.id);
            match fixtures::run(&folder, case, &device, dtype) {
                Ok(Verdict::Passed(_)) => {}
                Ok(Verdict::Unknown) => failures.push(format!("{at}: the operator is unknown")),
                Ok(Verdict::Failed { tensor, error, tolerance }) => failures
                    .push(format!("{at}: {tensor} is off by {error:e}, tolerance {tolerance:e}")),
                Err(error) => failures.push(format!("{at}: {error}")),
            }
        }
    }
    failures
}

#[test]
fn operators_agree_with_pytorch_in_f64() {
    let failures = failures(DType::F64);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn operators_agree_with_pytorch_in_f32() {
    let failures = failures(DType::F32);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
