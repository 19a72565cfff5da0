//! Where a command's images come from.

use std::path::Path;
use std::sync::Arc;

use ferrotape::data::{Dataset, InMemory, Normalise, Split, Subset, mnist_folder};
use ferrotape::train::RunData;

use crate::error::{Failure, Result};

/// What `--data` is unless given: the digits that the command carries.
pub(crate) const BUNDLED: &str = "mnist";

/// Loads training and test data by the name or folder that `--data` gives.
pub(crate) fn load(name: &str, limit: Option<usize>) -> Result<RunData> {
    let (train, test) = match name {
        BUNDLED if !Path::new(BUNDLED).is_dir() => bundled()?,
        folder => (mnist_folder(folder, Split::Train)?, mnist_folder(folder, Split::Test)?),
    };
    if train.classes().len() < test.classes().len() {
        return Err(Failure::Said(format!(
            "the test data of {name} have {} classes but the training data only {}; check that \
             both are of one set",
            test.classes().len(),
            train.classes().len()
        )));
    }
    let train: Arc<dyn Dataset> = match limit {
        Some(count) if count < train.len() => Arc::new(Subset::take(train, count)),
        _ => Arc::new(train),
    };
    Ok(RunData { train, test: Arc::new(test), normalise: normalise() })
}

/// The mean and standard deviation that the MNIST recipes normalise by.
pub(crate) fn normalise() -> Normalise {
    Normalise { mean: vec![0.130_660_48], std: vec![0.308_107_8] }
}

#[cfg(feature = "bundled-mnist")]
fn bundled() -> Result<(InMemory, InMemory)> {
    Ok(ferrotape_mnist::train_and_test()?)
}

#[cfg(not(feature = "bundled-mnist"))]
fn bundled() -> Result<(InMemory, InMemory)> {
    Err(Failure::Said(
        "this build carries no data; give --data DIR with the four MNIST files, or build with the \
         feature bundled-mnist"
            .into(),
    ))
}
