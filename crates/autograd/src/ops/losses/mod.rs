//! The losses, a file a family, and how those of a batch become one number.
//!
//! A loss is computed and given in the accumulator's type: 16-bit floats are widened first.

mod binary;
mod cross_entropy;
mod divergence;
mod likelihood;
mod regression;

pub use binary::BinaryCrossEntropy;
pub use likelihood::NllLoss;

use ferrotape_backend::{Array, Error, Result};

use crate::tensor::Tensor;

/// How the losses of a batch become one number.
///
/// ```
/// # use ferrotape_autograd::{Tensor, ops::Reduction};
/// # use ferrotape_backend::{Array, Device, reference::Reference};
/// # let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 3.0], [2])?);
/// let zero = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0], [2])?);
/// assert_eq!(x.l1_loss(&zero, Reduction::Mean)?.item()?, 2.0);
/// assert_eq!(x.l1_loss(&zero, Reduction::Sum)?.item()?, 4.0);
/// assert_eq!(x.l1_loss(&zero, Reduction::None)?.shape().dims(), [2]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean. For losses of target classes it is over the targets that are not ignored, each
    /// counted with the weight of its class.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum divided by the size of dimension 0, the number of samples.
    BatchMean,
    /// They stay as they are: one an element, or one a target class.
    None,
}

impl Reduction {
    /// The losses as one number, where each counts alike in the mean.
    fn of(self, losses: &Tensor) -> Result<Tensor> {
        self.with_mean(losses, || losses.mean_all())
    }

    /// The same with another mean.
    fn with_mean(self, losses: &Tensor, mean: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        match self {
            Reduction::Mean => mean(),
            Reduction::Sum => losses.sum_all(),
            Reduction::BatchMean => match losses.shape().first() {
                Some(&samples) => losses.sum_all()?.mul_scalar(1.0 / samples as f64),
                None => Err(Error::shape(
                    "a mean over the batch wants dimension 0 to be the batch, a scalar has none",
                )),
            },
            Reduction::None => Ok(losses.clone()),
        }
    }
}

/// An input and its target in the accumulator's type, after checking that their shapes are equal: a
/// silent broadcast of one against the other would hide a mistake.
fn widened(name: &str, input: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
    if input.shape() != target.shape() {
        return Err(Error::shape(format!(
            "{name} wants a target of the input's shape {}, got {}; reshape or broadcast it",
            input.shape(),
            target.shape()
        )));
    }
    Ok((input.cast(input.dtype().accumulator())?, target.cast(target.dtype().accumulator())?))
}

/// Checks that there is one weight a class.
fn one_a_class(weight: &Array, classes: usize) -> Result<()> {
    if weight.shape().dims() == [classes] && weight.dtype().is_float() {
        return Ok(());
    }
    Err(Error::shape(format!(
        "class weights must be floats of shape [{classes}], one a class, got {} {}",
        weight.dtype(),
        weight.shape()
    )))
}
