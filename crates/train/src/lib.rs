//! Training runs for ferrotape: metrics, run folders, progress and reports.
//!
//! - [`Trainer`] is the loop, [`evaluate()`] the test, [`Run`] both with everything written down;
//! - [`recipe()`] knows the settings that train a model of the zoo well;
//! - [`metrics`] counts: confusion matrix, precision and recall, running means, top-k accuracy;
//! - [`record`] is what a run writes down after each epoch and at its end;
//! - [`config`] is the effective configuration of a run, as TOML;
//! - [`run_folder`] keeps a run's files, written so that none is ever half there;
//! - [`progress`] tells a person, a log or a program how the run is going;
//! - [`report`] draws the run as one self-contained HTML page;
//! - [`mod@format`] writes numbers the same way in all of them.

mod atomic;
pub mod config;
mod error;
mod evaluate;
pub mod format;
pub mod metrics;
mod precision;
pub mod progress;
mod recipe;
pub mod record;
pub mod report;
mod run;
pub mod run_folder;
mod trainer;

pub use atomic::write_atomically;
pub use config::RunConfig;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Prediction, evaluate};
pub use precision::Precision;
pub use recipe::recipe;
pub use record::{EpochRecord, FinalRecord, Record};
pub use run::{Run, RunData, load_model, predict, test_loader, train_loader};
pub use run_folder::RunFolder;
pub use trainer::Trainer;
