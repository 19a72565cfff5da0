//! Change of memory order, which changes no value.

use ferrotape_backend::{Array, Result};

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

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.clone()))
    }
}

/// # Memory order
impl Tensor {
    /// The same values in row-major order.
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
    /// # Errors
    /// Not `[N, C, H, W]`; out of memory.
    pub fn channels_last(&self) -> Result<Tensor> {
        if self.layout().pixel_pitch().is_some() {
            return Ok(self.clone());
        }
        Tensor::apply(Relayout::ChannelsLast, &[self])
    }
}
