//! Change of data type.

use ferrotape_backend::{Array, DType, Result};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// Rounds to another float type. The gradient is rounded to the input's type.
///
/// ```
/// use ferrotape_autograd::{Tape, Tensor, ops::Cast};
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tape::new().variable(Array::from_slice(&device, &[1.001f32], [])?)?;
/// let y = Tensor::apply(Cast { to: DType::BF16 }, &[&x])?;
/// assert_eq!(y.item()?, 1.0);
/// assert_eq!(y.backward()?.of(&x)?.dtype(), DType::F32);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// The type to round to.
    pub to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].cast(self.to)
    }

    fn takes_wide_gradient(&self) -> bool {
        true
    }

    fn form(&self) -> Form<'_> {
        Form::Cast(self.to)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.cast(cx.input_dtype(0))?))
    }
}

/// # Data type
impl Tensor {
    /// The elements as another type; the same tensor if they are of it already.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.5f64], [1])?);
    /// assert_eq!(x.cast(DType::F32)?.to_vec::<f32>()?, [1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        if !dtype.is_float() || !self.dtype().is_float() {
            return Ok(self.array().cast(dtype)?.into());
        }
        Tensor::apply(Cast { to: dtype }, &[self])
    }
}
