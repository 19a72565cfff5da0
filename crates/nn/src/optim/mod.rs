//! Optimizers and learning-rate schedules.
//!
//! A step is one [pointwise program](ferrotape_backend::pointwise) a parameter: value and state are
//! read and written once, in place; learning rate and bias corrections are run-time scalars of the
//! program.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod engine;
mod nadam;
mod radam;
mod rmsprop;
mod schedule;
mod sgd;

pub use adadelta::{Adadelta, AdadeltaConfig};
pub use adagrad::{Adagrad, AdagradConfig};
pub use adam::{Adam, AdamConfig, AdamW, AdamWConfig};
pub use adamax::{Adamax, AdamaxConfig};
pub use engine::{Optimizer, Rule, Stepper};
pub use nadam::{NAdam, NAdamConfig};
pub use radam::{RAdam, RAdamConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use schedule::{ReduceOnPlateau, ReduceOnPlateauConfig, Schedule};
pub use sgd::{Sgd, SgdConfig};
