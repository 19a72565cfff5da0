//! Optimizers: rules that step parameters along their gradients.
//!
//! Each rule is a pointwise program over parameter, gradient and state, run once a parameter and in
//! place: one pass over memory. Rates and step-dependent factors are run-time scalars of it.

mod adam;
mod sgd;
mod slots;

use std::fmt;

use ferrotape_autograd::Gradients;
use ferrotape_backend::{Array, Result};

use crate::{Parameter, Path};

pub use adam::{Adam, AdamConfig, AdamW, AdamWConfig};
pub use sgd::{Sgd, SgdConfig};

/// What every optimizer can do.
pub trait Optimizer: fmt::Debug + Send {
    /// Steps every trainable parameter that has a gradient, in place, and bumps its generation.
    ///
    /// # Errors
    /// A gradient of another shape than its parameter; the device failed.
    fn step(&mut self, gradients: &Gradients) -> Result<()>;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate of the next step.
    fn set_learning_rate(&mut self, rate: f64);

    /// The parameters that it steps.
    fn parameters(&self) -> Vec<Parameter>;

    /// The trainable parameters that the last step left alone because they had no gradient.
    fn missing(&self) -> &[Path];

    /// What it keeps between steps, by parameter path and name of the quantity, for checkpoints.
    fn state(&self) -> Vec<(String, Array)>;
}
