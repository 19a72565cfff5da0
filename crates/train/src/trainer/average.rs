//! The exponential moving average of a model's weights and statistics.

use std::sync::LazyLock;

use ferrotape_backend::Array;
use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_nn::{Classifier, StateDict};

use crate::{Error, Result};

/// `average = decay average + (1 - decay) value` for all floats of a state dict, running statistics
/// included; integers are those of the last step. Begins at the first values.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    arrays: StateDict,
}

impl Average {
    /// Begins with the model as it is.
    pub(super) fn new(model: &dyn Classifier, decay: f64) -> Result<Self> {
        Ok(Average { decay, arrays: copied(&model.state_dict()?)? })
    }

    /// The averages, under the names of the model's state dict.
    pub(super) fn arrays(&self) -> &StateDict {
        &self.arrays
    }

    /// Moves towards the model as it is.
    pub(super) fn update(&mut self, model: &dyn Classifier) -> Result<()> {
        static MOVE: LazyLock<Program> = LazyLock::new(|| {
            let (keep, take) = (Expr::scalar(0), Expr::scalar(1));
            Program::new(&[Expr::previous(0) * keep + Expr::input(0) * take])
        });
        let values = model.state_dict()?;
        for (name, value) in values.iter() {
            let Some(average) = self.arrays.get(name) else {
                return Err(Error::Figures(format!("there is no average of {name}")));
            };
            // A handle on the same memory, which is changed in place.
            let mut average = average.clone();
            let backend = value.device().backend();
            if value.dtype().is_float() {
                let scalars = [self.decay, 1.0 - self.decay];
                backend.pointwise(&MOVE, &scalars, &[value], &mut [&mut average])?;
            } else {
                backend.copy(value, &mut average)?;
            }
        }
        Ok(())
    }

    /// Goes on from saved averages.
    pub(super) fn restore(&mut self, saved: &StateDict) -> Result<()> {
        let fits = |(name, array): (&str, &Array)| {
            saved
                .get(name)
                .is_some_and(|s| s.shape() == array.shape() && s.dtype() == array.dtype())
        };
        if saved.len() != self.arrays.len() || !self.arrays.iter().all(fits) {
            return Err(Error::Figures(
                "it has no moving average of this model's weights; restore the configuration"
                    .into(),
            ));
        }
        self.arrays = copied(saved)?;
        Ok(())
    }
}

/// A state dict with memory of its own.
pub(crate) fn copied(dict: &StateDict) -> Result<StateDict> {
    let copy = |(name, array): (&str, &Array)| Ok((name.to_owned(), array.copy()?));
    dict.iter().map(copy).collect()
}
