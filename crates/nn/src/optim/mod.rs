//! Optimizers and learning-rate schedules.
//!
//! A step is one [pointwise program](ferrotape_backend::pointwise) a parameter: value and state are
//! read and written once, in place; learning rate and bias corrections are run-time scalars of the
//! program.

mod adam;
mod engine;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamW, AdamWConfig};
pub use engine::{Optimizer, Rule, Stepper};
pub use schedule::{ReduceOnPlateau, ReduceOnPlateauConfig, Schedule};
pub use sgd::{Sgd, SgdConfig};
