//! Softmax and its logarithm.

use ferrotape_backend::{Array, Result};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `exp(x - max) / sum exp(x - max)` along `dim`, or its logarithm.
#[derive(Debug)]
struct Softmax {
    dim: usize,
    log: bool,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        let mut y = super::output_like(x, super::common_float(inputs)?, *x.shape())?;
        x.device().backend().softmax(x, &mut y, self.dim, self.log)?;
        cx.save_output();
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::Softmax { dim: self.dim, log: self.log }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let y = cx.output()?;
        let over = [self.dim as isize];
        let gx = if !cx.recording() {
            let mut gx = super::output_like(&y, y.dtype(), *y.shape())?;
            y.device().backend().softmax_grad(grad, &y, &mut gx, self.dim, self.log)?;
            gx.into()
        } else if self.log {
            grad.sub(&y.exp()?.mul(&grad.sum(&over, true)?)?)?
        } else {
            y.mul(&grad.sub(&grad.mul(&y)?.sum(&over, true)?)?)?
        };
        Ok(super::one(gx))
    }
}

/// # Softmax
impl Tensor {
    /// `exp(x) / sum exp(x)` along `dim` (`torch.softmax`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0, 3.0, 3.0], [2, 2])?);
    /// assert_eq!(x.softmax(1)?.to_vec::<f64>()?, [0.5; 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn softmax(&self, dim: isize) -> Result<Tensor> {
        Tensor::apply(Softmax { dim: self.shape().dim(dim)?, log: false }, &[self])
    }

    /// `x - log sum exp(x)` along `dim` (`torch.log_softmax`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0], [1, 2])?);
    /// assert_eq!(x.log_softmax(1)?.to_vec::<f64>()?, [-(2f64.ln()); 2]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn log_softmax(&self, dim: isize) -> Result<Tensor> {
        Tensor::apply(Softmax { dim: self.shape().dim(dim)?, log: true }, &[self])
    }
}
