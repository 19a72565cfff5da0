//! What can go wrong around a run, as sentences a user can act on.

use std::io;
use std::path::PathBuf;

use crate::run_folder::{CHECKPOINT, METRICS};

/// A [`std::result::Result`] whose error is this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong around a run: its folder, its configuration, its figures.
///
/// The text of each is one sentence that says what was wrong and what to do, including the cause;
/// printing it alone is enough.
///
/// ```
/// use ferrotape_train::RunFolder;
///
/// let error = RunFolder::open("no/such/run".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("there is no folder no/such/run"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file or folder operation.
    #[error("cannot {action} {}: {}", path.display(), reason(action, cause))]
    Io {
        /// What was tried, as a verb that stands before the path: "write".
        action: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        cause: io::Error,
    },

    /// The folder asked for holds something already.
    #[error(
        "the folder {} is not empty and a run would overwrite what is in it; \
         choose a folder that is empty or does not exist yet (--out)",
        path.display()
    )]
    FolderNotEmpty {
        /// The folder asked for.
        path: PathBuf,
    },

    /// The folder asked for holds a run that can be gone on with.
    #[error(
        "the folder {0} holds a run that is not finished; go on with it by ferrotape train --resume {0}, \
         or choose another folder (--out)",
        path.display()
    )]
    UnfinishedRun {
        /// The folder asked for.
        path: PathBuf,
    },

    /// The run in the folder is being trained.
    #[error(
        "the run in {} is being trained by another process; wait for it, or end it",
        path.display()
    )]
    Busy {
        /// The folder.
        path: PathBuf,
    },

    /// The run in the folder took no step yet, so there is nothing to go on from.
    #[error(
        "the run in {0} was ended before it wrote its first checkpoint, so there is nothing to go on with; \
         train into the folder again (--out {0})",
        path.display()
    )]
    NeverBegan {
        /// The folder.
        path: PathBuf,
    },

    /// The run was asked to stop, and did so after a step; its checkpoint is written.
    #[error(
        "stopped after step {step}; go on with it by ferrotape train --resume {}",
        path.display()
    )]
    Stopped {
        /// The folder of the run.
        path: PathBuf,
        /// Steps taken.
        step: u64,
    },

    /// A checkpoint is damaged, or does not fit the model, the data or the configuration.
    #[error("{}: {cause}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<Error>,
    },

    /// The path asked for is a file, or something else that is no folder.
    #[error("{} is not a folder; name a folder that holds, or is to hold, a run", path.display())]
    NotAFolder {
        /// The path asked for.
        path: PathBuf,
    },

    /// There is nothing at the path that should be a run.
    #[error("there is no folder {}{}", path.display(), suggestion.as_ref().map_or_else(
        || "; name the folder of a run, such as runs/lenet5-1".to_owned(),
        |near| format!("; did you mean {}?", near.display()),
    ))]
    NoSuchRun {
        /// The path asked for.
        path: PathBuf,
        /// A folder nearby with almost the same name.
        suggestion: Option<PathBuf>,
    },

    /// The folder exists but a file that every finished run has, or every run that can be gone on with, is
    /// missing.
    #[error("{} holds no {missing}{}", path.display(), without(missing))]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The name of the file that is not there.
        missing: &'static str,
    },

    /// The name of a run cannot be a folder's name.
    #[error(
        "{name:?} cannot name a run; use letters, digits, '.', '_' and '-', not starting with '.'"
    )]
    BadName {
        /// The name given.
        name: String,
    },

    /// A configuration does not parse, has an unknown key or an impossible value.
    #[error("{}{message}", path.as_ref().map_or_else(String::new, |p| format!("{}: ", p.display())))]
    Config {
        /// The file, where the configuration came from one.
        path: Option<PathBuf>,
        /// What is wrong and what to do.
        message: String,
    },

    /// A line of `metrics.jsonl` is not a record.
    #[error(
        "{}, line {line} is not a record of a run: {message}; \
         restore the file or train again",
        path.display()
    )]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },

    /// The file of the weights is damaged or belongs to another model.
    #[error(
        "{}: {cause}; restore the file or train again",
        path.display()
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ferrotape_backend::Error,
    },

    /// Tensors, layers or the device.
    #[error(transparent)]
    Tensor(#[from] ferrotape_backend::Error),

    /// The data.
    #[error(transparent)]
    Data(#[from] ferrotape_data::Error),

    /// A parameter that should be trained does not influence the loss.
    #[error(
        "parameter {path} has no gradient: the loss does not depend on it; use it in the model's \
         forward, or freeze it"
    )]
    Untrained {
        /// The parameter's path.
        path: String,
    },

    /// The loss became infinite or not a number.
    #[error(
        "the loss is no finite number any more at step {step} in epoch {epoch}, first in {place}; {}",
        cure(place)
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step, counted from 1 over the whole run.
        step: u64,
        /// Where the first number that is not finite is: a parameter, the images, or a layer's output.
        place: String,
    },

    /// Figures that do not fit together: a label outside the classes, a picture of the wrong size.
    #[error("{0}")]
    Figures(String),
}

impl Error {
    /// Wraps what the operating system answered to `action` on `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { action, path: path.into(), cause }
    }
}

/// The place of a number that is not finite which no weight has a part in.
pub(crate) const IMAGES: &str = "the images";

/// The place of a loss that is not finite though all that it is made from is.
pub(crate) const LOSS: &str = "the loss itself";

/// What to do about a loss that is not finite, by where the first such number is.
fn cure(place: &str) -> &'static str {
    match place {
        IMAGES => {
            "look at the images and at what is done to them before a step: augmentation (--jitter), and the mean \
             and std that they are normalised by"
        }
        LOSS => "look at the targets, or train again with a smaller learning rate (--lr)",
        _ => "train again with a smaller learning rate (--lr)",
    }
}

/// What it means that a folder lacks a file of a run, and what to do.
fn without(missing: &str) -> &'static str {
    match missing {
        METRICS | CHECKPOINT => {
            ", so there is nothing to go on with; what it holds is kept: restore that file, or train into another \
             folder (--out)"
        }
        _ => ": it is not the folder of a finished run; name one that training wrote to its end",
    }
}

/// Says an operating system's answer in words that end in something to do.
fn reason(action: &str, cause: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match cause.kind() {
        Kind::StorageFull => {
            "the disk is full; free some space or choose a place on another disk (--out)".into()
        }
        Kind::QuotaExceeded => {
            "your disk quota is used up; free some space or choose another place (--out)".into()
        }
        Kind::ReadOnlyFilesystem => {
            "the disk is read-only; choose a place that can be written (--out)".into()
        }
        Kind::PermissionDenied => {
            "permission denied; change its permissions or choose another place (--out)".into()
        }
        Kind::NotADirectory | Kind::AlreadyExists => {
            "a file stands where a folder is needed; choose another place (--out)".into()
        }
        Kind::InvalidFilename => {
            "the name is not one this file system takes; choose a shorter or plainer one".into()
        }
        // What is written is made; what is missing is where.
        Kind::NotFound if action == "write" => {
            "its folder does not exist; make it, or choose another place".into()
        }
        Kind::NotFound => "it does not exist; check the path".into(),
        _ => format!("{cause}; check the path and the disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_system_becomes_a_sentence_with_advice() {
        for (kind, said) in [
            (io::ErrorKind::StorageFull, "the disk is full; free some space"),
            (io::ErrorKind::ReadOnlyFilesystem, "the disk is read-only; choose"),
            (io::ErrorKind::PermissionDenied, "permission denied; change"),
            (io::ErrorKind::NotADirectory, "a file stands where a folder is needed"),
        ] {
            let text = Error::io("write", "runs/x", kind.into()).to_string();
            assert!(text.starts_with("cannot write runs/x: "), "{text}");
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_configuration_error_names_its_file_only_if_there_is_one() {
        let bare = Error::Config { path: None, message: "epochs is 0".into() };
        assert_eq!(bare.to_string(), "epochs is 0");
        let filed = Error::Config { path: Some("a.toml".into()), message: "epochs is 0".into() };
        assert_eq!(filed.to_string(), "a.toml: epochs is 0");
    }
}
