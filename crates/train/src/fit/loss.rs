//! What a model is trained to make small.

use std::fmt;
use std::sync::Arc;

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Reduction;
use ferrotape_backend::{Array, CrossEntropy};
use ferrotape_nn::{Classifier, Outcome, Pass};

use crate::Result;

/// A loss of one's own: scores `[N, classes]` and classes, i64 `[N]`, to one number.
pub type CustomLoss =
    Arc<dyn Fn(&Tensor, &Array) -> ferrotape_backend::Result<Tensor> + Send + Sync>;

/// The loss of a [`CompiledModel`](super::CompiledModel).
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_train::fit::Loss;
///
/// let smoothed = Loss::CrossEntropy { label_smoothing: 0.1 };
/// let own = Loss::Custom(Arc::new(|scores, _| scores.square()?.mean_all()));
/// assert!(format!("{smoothed:?} {own:?}").starts_with("CrossEntropy"));
/// ```
#[derive(Clone)]
pub enum Loss {
    /// The model's own loss, which is the mean cross entropy of softmax unless it has another, such as one with
    /// auxiliary heads.
    CrossEntropy {
        /// The share of probability that is spread evenly over all classes, from 0 to 1.
        label_smoothing: f64,
    },
    /// The mean of `(score - target)^2` over all scores, where the target is 1 for the right class and 0 for
    /// the others.
    MeanSquaredError,
    /// Any other.
    Custom(CustomLoss),
}

impl Default for Loss {
    /// Cross entropy without smoothing.
    fn default() -> Self {
        Loss::CrossEntropy { label_smoothing: 0.0 }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::CrossEntropy { label_smoothing } => {
                f.debug_struct("CrossEntropy").field("label_smoothing", label_smoothing).finish()
            }
            Loss::MeanSquaredError => f.write_str("MeanSquaredError"),
            Loss::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl Loss {
    /// Loss and scores of a batch.
    pub(super) fn of(
        &self,
        network: &dyn Classifier,
        pass: &Pass,
        images: &Tensor,
        labels: &Array,
    ) -> Result<Outcome> {
        if let Loss::CrossEntropy { label_smoothing } = *self {
            let params = CrossEntropy { label_smoothing, ..CrossEntropy::default() };
            return Ok(network.outcome(pass, images, labels, &params)?);
        }
        let scores = network.scores(pass, images)?;
        let loss = match self {
            Loss::Custom(loss) => loss(&scores, labels)?,
            _ => {
                let classes = scores.shape().dims().last().copied().unwrap_or(0);
                let target = Tensor::one_hot(labels, classes, scores.dtype())?;
                scores.mse_loss(&target, Reduction::Mean)?
            }
        };
        Ok(Outcome { loss, scores })
    }
}
