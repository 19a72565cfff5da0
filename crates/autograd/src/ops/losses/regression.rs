//! Losses of numbers: how far an input is from a target of its shape.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr};
use ferrotape_backend::{Error, Result};

use super::{Reduction, widened};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// # Losses of numbers
///
/// Input and target have one shape and both get gradients; the loss is in the accumulator's type.
impl Tensor {
    /// `(x - t)^2` (`torch.nn.functional.mse_loss`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Reduction};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 5.0], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[2.0f64, 2.0], [2])?);
    /// assert_eq!(x.mse_loss(&target, Reduction::Mean)?.item()?, 5.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ, or not floats.
    pub fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::binary("mse_loss", |x, t| {
                let difference = x - t;
                &difference * &difference
            })
        });
        compare(&F, self, target, &[], reduction)
    }

    /// `|x - t|`; the gradient where both are equal is 0 (`torch.nn.functional.l1_loss`).
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.5f64, 3.0], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// assert_eq!(x.l1_loss(&target, Reduction::Mean)?.item()?, 1.25);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ, or not floats.
    pub fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| PointwiseFn::binary("l1_loss", |x, t| (x - t).abs()));
        compare(&F, self, target, &[], reduction)
    }

    /// `(x - t)^2 / (2 beta)` where |x - t| < beta, else `|x - t| - beta / 2`
    /// (`torch.nn.functional.smooth_l1_loss`, whose beta is 1 if none is given). With a beta of 0 it
    /// is [`Tensor::l1_loss`].
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.5f64, 3.0], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// let losses = x.smooth_l1_loss(&target, 1.0, Reduction::None)?;
    /// assert_eq!(losses.to_vec::<f64>()?, [0.125, 1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ, not floats, or a negative beta.
    pub fn smooth_l1_loss(
        &self,
        target: &Tensor,
        beta: f64,
        reduction: Reduction,
    ) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::binary("smooth_l1_loss", |x, t| {
                let (difference, beta) = (x - t, Expr::scalar(0));
                let distance = difference.abs();
                let near = &difference * &difference * 0.5 / &beta;
                distance.select(Compare::Lt, &beta, &near, &(&distance - &beta * 0.5))
            })
        });
        if beta.is_nan() || beta < 0.0 {
            return Err(Error::argument(format!(
                "smooth_l1_loss wants a beta that is not negative, got {beta}"
            )));
        }
        compare(&F, self, target, &[beta], reduction)
    }

    /// `(x - t)^2 / 2` where |x - t| <= delta, else `delta (|x - t| - delta / 2)` (Huber, 1964;
    /// `torch.nn.functional.huber_loss`, whose delta is 1 if none is given).
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.5f64, 3.0], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// assert_eq!(x.huber_loss(&target, 1.0, Reduction::None)?.to_vec::<f64>()?, [0.125, 1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ, not floats, or a delta that is not positive.
    pub fn huber_loss(&self, target: &Tensor, delta: f64, reduction: Reduction) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::binary("huber_loss", |x, t| {
                let (difference, delta) = (x - t, Expr::scalar(0));
                let distance = difference.abs();
                let near = &difference * &difference * 0.5;
                let far = (&distance - &delta * 0.5) * &delta;
                distance.select(Compare::Le, &delta, &near, &far)
            })
        });
        if delta.is_nan() || delta <= 0.0 {
            return Err(Error::argument(format!("huber_loss wants a positive delta, got {delta}")));
        }
        compare(&F, self, target, &[delta], reduction)
    }
}

fn compare(
    function: &Arc<PointwiseFn>,
    input: &Tensor,
    target: &Tensor,
    scalars: &[f64],
    reduction: Reduction,
) -> Result<Tensor> {
    let (input, target) = widened(function.name(), input, target)?;
    reduction.of(&function.apply(&[&input, &target], scalars)?)
}
