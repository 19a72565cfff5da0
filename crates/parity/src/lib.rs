//! Holds ferrotape against numbers that another framework computed.
//!
//! [`check`] takes a folder of operator cases (`ops.json` and `ops.safetensors`, see
//! [`ferrotape_gradcheck::fixtures`]) or a JSON file of optimizers and schedules (see [`optim`]) or of
//! networks (see [`zoo`]), and says for each case whether every number agrees. The program of this
//! crate is what `cargo xtask parity` runs.
//!
//! ```
//! use ferrotape::prelude::*;
//! use ferrotape_parity::check;
//!
//! let device = Device::open("cpu")?;
//! let outcomes = check("tests/fixtures/optim.json".as_ref(), &device, DType::F64)?;
//! assert!(outcomes.iter().all(|outcome| outcome.passed()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod operators;
pub mod optim;
mod options;
pub mod zoo;

use std::fmt;
use std::path::{Path, PathBuf};

use ferrotape::backend::{DType, Device};
use ferrotape_gradcheck::fixtures::FolderError;
use serde_json::Value;

/// How one case ended. Its `Display` is a line for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The case.
    pub id: String,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Every number agrees; the largest error, in tolerances.
    Passed(f64),
    /// A number does not agree: the tensor that is most wrong.
    Differs {
        /// The tensor.
        tensor: String,
        /// The largest difference of an element.
        error: f64,
        /// The largest that would have passed.
        tolerance: f64,
    },
    /// It could not be computed, and why: an unknown operator, a missing tensor.
    Impossible(String),
}

impl Outcome {
    /// Whether every number agrees.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(self.verdict, Verdict::Passed(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        match &self.verdict {
            Verdict::Passed(ratio) => write!(f, "{id}: agrees, at {ratio:.2e} of the tolerance"),
            Verdict::Differs { tensor, error, tolerance } => {
                write!(f, "{id}: {tensor} differs by {error:.3e}, the tolerance is {tolerance:.3e}")
            }
            Verdict::Impossible(why) => write!(f, "{id}: {why}"),
        }
    }
}

/// Why the cases of a path could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder is not one of operator cases.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file is not JSON.
    #[error("{} is not JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// A file is JSON of another form.
    #[error(
        "{} has neither \"optimizers\" nor \"schedules\" nor \"models\"; give a folder with ops.json \
         and ops.safetensors, or a file of the form of optim.json or zoo.json", path.display()
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// Runs every case of a folder or file on a device in a float type.
///
/// ```
/// use ferrotape::backend::{DType, Device, reference::Reference};
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("optim.json");
/// std::fs::write(&file, r#"{ "schedules": [
///     { "schedule": "exponential", "base_lr": 1.0, "options": { "gamma": 0.5 }, "lr": [1.0, 0.5] }
/// ] }"#)?;
/// let device = Device::new(Reference::new());
/// let outcomes = ferrotape_parity::check(&file, &device, DType::F64)?;
/// assert!(outcomes[0].passed(), "{}", outcomes[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The path cannot be read or has another form. A case that cannot be computed is an [`Outcome`].
pub fn check(path: &Path, device: &Device, dtype: DType) -> Result<Vec<Outcome>, Unreadable> {
    let read = |source| Unreadable::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.is_dir() {
        return operators::check(path, device, dtype);
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|source| Unreadable::Json { path: path.to_owned(), source })?;
    let found = [optim::check(&json, device, dtype), zoo::check(&json, device, dtype)];
    if found.iter().all(Option::is_none) {
        return Err(Unreadable::Form { path: path.to_owned() });
    }
    Ok(found.into_iter().flatten().flatten().collect())
}
