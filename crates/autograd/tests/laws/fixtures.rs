//! Operators against numbers that PyTorch computed in f64; `tests/fixtures/ops` has them.

use std::collections::BTreeSet;
use std::path::Path;

use ferrotape_backend::DType;
use ferrotape_gradcheck::fixtures::{self, Folder, Verdict};

use crate::devices;

/// Operators of the fixtures that do not exist yet. Whoever adds one strikes it here.
const NOT_YET: [&str; 10] = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "conv1d",
    "conv_transpose2d",
    "group_norm",
    "instance_norm",
    "interpolate_bilinear",
    "interpolate_nearest",
    "layer_norm",
    "local_response_norm",
];

/// Runs every case and gives the failures as lines, and the operators that are unknown.
fn outcome(dtype: DType) -> (Vec<String>, BTreeSet<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ops");
    let folder = Folder::read(folder).expect("the fixtures are in the repository");
    assert_eq!(folder.cases().len(), 372);
    let (mut failures, mut unknown) = (Vec::new(), BTreeSet::new());
    for device in devices() {
        for case in folder.cases() {
            let at = format!("{} on {device}", case.id);
            match fixtures::run(&folder, case, &device, dtype) {
                Ok(Verdict::Passed(_)) => {}
                Ok(Verdict::Unknown) => drop(unknown.insert(case.op.clone())),
                Ok(Verdict::Failed { tensor, error, tolerance }) => failures
                    .push(format!("{at}: {tensor} is off by {error:e}, tolerance {tolerance:e}")),
                Err(error) => failures.push(format!("{at}: {error}")),
            }
        }
    }
    (failures, unknown)
}

#[test]
fn operators_agree_with_pytorch_in_f64() {
    let (failures, unknown) = outcome(DType::F64);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let expected: BTreeSet<String> = NOT_YET.iter().map(|op| (*op).to_owned()).collect();
    assert_eq!(unknown, expected);
}

#[test]
fn operators_agree_with_pytorch_in_f32() {
    let (failures, _) = outcome(DType::F32);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
