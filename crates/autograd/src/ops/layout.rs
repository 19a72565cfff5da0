//! Change of memory order, which changes no value.

use ferrotape_backend::{Array, Result};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

#[derive(Debug)]
enum Relayout {
    Contiguous,
    ChannelsLast,
}

impl Op for Relayout {
    fn name(&self) -> &'static str {
        match self {
            Relayout::Contiguous => "contiguous",
            Relayout::ChannelsLast => "channels_last",
        }
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        match self {
            Relayout::Contiguous => inputs[0].contiguous(),
            Relayout::ChannelsLast => inputs[0].channels_last(),
        }
    }

    fn form(&self) -> Form<'_> {
        Form::Identity
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.clone()))
    }
}

/// # Memory order
impl Tensor {
    /// The same values in row-major order.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// let y = x.permute(&[1, 0])?.contiguous()?;
    /// assert!(y.layout().is_contiguous());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.layout().is_contiguous() {
            return Ok(self.clone());
        }
        Tensor::apply(Relayout::Contiguous, &[self])
    }

    /// The same images with the channels of a pixel adjacent: the order that convolutions work in.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [1, 2, 1, 2])?);
    /// let y = x.channels_last()?;
    /// assert_eq!(y.to_vec::<f64>()?, x.to_vec::<f64>()?);
    /// assert_eq!(y.layout().pixel_pitch(), Some(2));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not `[N, C, H, W]`; out of memory.
    pub fn channels_last(&self) -> Result<Tensor> {
        if self.layout().pixel_pitch().is_some() {
            return Ok(self.clone());
        }
        Tensor::apply(Relayout::ChannelsLast, &[self])
    }
}
