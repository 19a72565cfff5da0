//! Training runs for ferrotape: metrics, run folders, progress and reports.
//!
//! Everything here works on plain host values (slices, counts, records), so each part is useful
//! without the others and is tested without a tensor:
//!
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
pub mod format;
pub mod metrics;
pub mod progress;
pub mod record;
pub mod report;
pub mod run_folder;

pub use atomic::write_atomically;
pub use config::RunConfig;
pub use error::{Error, Result};
pub use record::{EpochRecord, FinalRecord, Record};
pub use run_folder::RunFolder;
