//! Sums, means, extremes and variances over dimensions.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr};
use ferrotape_backend::{Array, DType, Error, Reduce, Result, Shape};
use smallvec::SmallVec;

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Dims = SmallVec<[usize; 8]>;

/// The shape with the reduced sizes set to 1, and with them left out.
pub(super) fn reduced(shape: &Shape, dims: &[usize]) -> Result<(Shape, Shape)> {
    let mut kept = *shape;
    for &dim in dims {
        kept = kept.with(dim, 1)?;
    }
    let left: Vec<usize> =
        (0..shape.rank()).filter(|d| !dims.contains(d)).map(|d| shape[d]).collect();
    Ok((kept, Shape::new(&left)?))
}

fn reduce(kind: Reduce, x: &Array, dtype: DType, dims: &[usize], keepdim: bool) -> Result<Array> {
    let (kept, left) = reduced(x.shape(), dims)?;
    let mut y = super::output(x, dtype, &kept)?;
    x.device().backend().reduce(kind, x, &mut y, None)?;
    if keepdim { Ok(y) } else { y.reshape(left) }
}

#[derive(Debug)]
struct Sum {
    dims: Dims,
    keepdim: bool,
    /// Whether the result leaves in the accumulator's type.
    wide: bool,
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let dtype = if self.wide { dtype.accumulator() } else { dtype };
        reduce(Reduce::Sum, inputs[0], dtype, &self.dims, self.keepdim)
    }

    fn form(&self) -> Form<'_> {
        Form::Reduce { kind: Reduce::Sum, dims: &self.dims, keepdim: self.keepdim }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let shape = cx.input_shape(0);
        let (kept, _) = reduced(&shape, &self.dims)?;
        Ok(super::one(grad.view(kept)?.broadcast_to(shape)?))
    }
}

#[derive(Debug)]
struct Extreme {
    kind: Reduce,
    dims: Dims,
    keepdim: bool,
}

impl Op for Extreme {
    fn name(&self) -> &'static str {
        match self.kind {
            Reduce::Min => "min",
            _ => "max",
        }
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        cx.save_input(0);
        cx.save_output();
        reduce(self.kind, inputs[0], dtype, &self.dims, self.keepdim)
    }

    fn form(&self) -> Form<'_> {
        Form::Reduce { kind: self.kind, dims: &self.dims, keepdim: self.keepdim }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        static EQUAL: LazyLock<Arc<PointwiseFn>> = LazyLock::new(|| {
            PointwiseFn::binary("equal", |a, b| {
                a.select(Compare::Eq, b, &Expr::constant(1.0), &Expr::constant(0.0))
            })
        });
        let (kept, _) = reduced(&cx.input_shape(0), &self.dims)?;
        let extreme = cx.output()?.view(kept)?;
        let chosen = EQUAL.apply(&[&cx.input(0)?.detach(), &extreme.detach()], &[])?;
        let dims: SmallVec<[isize; 8]> = self.dims.iter().map(|&d| d as isize).collect();
        let share = grad.view(kept)?.div(&chosen.sum(&dims, true)?)?;
        Ok(super::one(share.mul(&chosen)?))
    }
}

/// The square root, with gradient 0 at 0, where that of [`Tensor::sqrt`] is infinite.
fn root(x: &Tensor) -> Result<Tensor> {
    static F: LazyLock<Arc<PointwiseFn>> = LazyLock::new(|| {
        let slope = |y: &Expr| {
            let zero = Expr::constant(0.0);
            y.select(Compare::Eq, &zero, &zero, &(0.5 * y.recip()))
        };
        PointwiseFn::unary_by_output("root", |x| x.sqrt(), slope)
    });
    F.apply(&[x], &[])
}

/// # Reductions
///
/// Dimensions count from the end when negative; an empty list means all of them.
impl Tensor {
    /// The sum over `dims` (`torch.sum`), accumulated in at least f32.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.sum(&[0], false)?.to_vec::<f64>()?, [4.0, 7.0]);
    /// assert_eq!(x.sum(&[-1], true)?.shape().dims(), [2, 1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn sum(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), dims)?;
        Tensor::apply(Sum { dims, keepdim, wide: false }, &[self])
    }

    /// As [`Tensor::sum`], in the accumulator's type: what is computed from a sum of 16-bit floats
    /// shall not suffer from its rounding or its overflow.
    pub(crate) fn wide_sum(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), dims)?;
        Tensor::apply(Sum { dims, keepdim, wide: true }, &[self])
    }

    /// The sum of all elements, a scalar.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.sum_all()?.item()?, 11.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn sum_all(&self) -> Result<Tensor> {
        self.sum(&[], false)
    }

    /// The mean over `dims` (`torch.mean`). It is rounded once: the sum behind it may exceed what a
    /// 16-bit float holds.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.mean(&[1], false)?.to_vec::<f64>()?, [1.5, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn mean(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let count = self.count(dims)?;
        self.wide_sum(dims, keepdim)?.mul_scalar(1.0 / count as f64)?.cast(self.dtype())
    }

    /// The mean of all elements, a scalar.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.mean_all()?.item()?, 2.75);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn mean_all(&self) -> Result<Tensor> {
        self.mean(&[], false)
    }

    /// The variance over `dims`: squared deviations from the mean, summed and divided by the number
    /// of elements less `correction` (`torch.var`, whose default correction is 1).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.var(&[1], 1, false)?.to_vec::<f64>()?, [0.5, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn var(&self, dims: &[isize], correction: usize, keepdim: bool) -> Result<Tensor> {
        let count = self.count(dims)?;
        let deviation = self.sub(&self.mean(dims, true)?)?;
        let divisor = count.saturating_sub(correction) as f64;
        let sum = deviation.square()?.wide_sum(dims, keepdim)?;
        sum.mul_scalar(1.0 / divisor)?.cast(self.dtype())
    }

    /// The standard deviation over `dims`, the root of [`Tensor::var`] (`torch.std`, whose default
    /// correction is 1). Where it is 0 the gradient is 0.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.std(&[1], 0, false)?.to_vec::<f64>()?, [0.5, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn std(&self, dims: &[isize], correction: usize, keepdim: bool) -> Result<Tensor> {
        let wide = self.cast(self.dtype().accumulator())?;
        root(&wide.var(dims, correction, keepdim)?)?.cast(self.dtype())
    }

    /// The Euclidean norm over `dims`, `sqrt(sum x^2)` (`torch.linalg.vector_norm`). Where it is 0 the
    /// gradient is 0.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[3.0f64, -4.0], [1, 2])?);
    /// assert_eq!(x.norm(&[1], false)?.to_vec::<f64>()?, [5.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn norm(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let wide = self.cast(self.dtype().accumulator())?;
        root(&wide.square()?.sum(dims, keepdim)?)?.cast(self.dtype())
    }

    /// The largest element over `dims`; equal ones share the gradient evenly (`torch.amax`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.max(&[1], false)?.to_vec::<f64>()?, [2.0, 5.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, nothing to choose from, or not a float.
    pub fn max(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), dims)?;
        Tensor::apply(Extreme { kind: Reduce::Max, dims, keepdim }, &[self])
    }

    /// The smallest element over `dims`; equal ones share the gradient evenly (`torch.amin`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.min(&[0], false)?.to_vec::<f64>()?, [1.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, nothing to choose from, or not a float.
    pub fn min(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), dims)?;
        Tensor::apply(Extreme { kind: Reduce::Min, dims, keepdim }, &[self])
    }

    /// The position of the first largest element along `dim`, as i64 (`torch.argmax`). Integers
    /// have no gradient, so the result is untracked.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 5.0], [2, 2])?);
    /// assert_eq!(x.argmax(1, false)?.to_vec::<i64>()?, [1, 1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or nothing to choose from.
    pub fn argmax(&self, dim: isize, keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), &[dim])?;
        let (kept, left) = reduced(self.shape(), &dims)?;
        let mut value = super::output(self, self.dtype(), &kept)?;
        let mut index = super::output(self, DType::I64, &kept)?;
        let backend = self.device().backend();
        backend.reduce(Reduce::Max, self, &mut value, Some(&mut index))?;
        Ok(if keepdim { index } else { index.reshape(left)? }.into())
    }

    /// Sums over what a broadcast from `shape` to this shape repeated.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, Shape, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let grad = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [2, 2])?);
    /// // The gradient of a bias [2] that was added to both rows.
    /// assert_eq!(grad.sum_to(Shape::new(&[2])?)?.to_vec::<f64>()?, [4.0, 6.0]);
    /// assert!(grad.sum_to(Shape::new(&[3])?).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// `shape` does not broadcast to this shape.
    pub fn sum_to(&self, shape: Shape) -> Result<Tensor> {
        if *self.shape() == shape {
            return Ok(self.clone());
        }
        if !shape.broadcasts_to(self.shape()) {
            return Err(Error::shape(format!(
                "a gradient of shape {} does not belong to an input of shape {shape}",
                self.shape()
            )));
        }
        let leading = self.shape().rank() - shape.rank();
        let dims: SmallVec<[isize; 8]> = (0..self.shape().rank())
            .filter(|&d| d < leading || shape[d - leading] != self.shape()[d])
            .map(|d| d as isize)
            .collect();
        self.sum(&dims, true)?.view(shape)
    }

    fn count(&self, dims: &[isize]) -> Result<usize> {
        Ok(super::dims(self.shape(), dims)?.iter().map(|&d| self.shape()[d]).product())
    }
}
