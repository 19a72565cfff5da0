//! Views and rearrangements: reshape, permute, narrow, broadcast, flip, cat, stack.

use ferrotape_backend::{Array, Error, Result, Shape};
use smallvec::SmallVec;

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

#[derive(Debug)]
struct Reshape(Shape);

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].reshape(self.0)
    }

    fn form(&self) -> Form<'_> {
        Form::Reshape(self.0)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.view(cx.input_shape(0))?))
    }
}

#[derive(Debug)]
struct Permute(SmallVec<[usize; 8]>);

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].permute(&self.0)
    }

    fn form(&self) -> Form<'_> {
        Form::Permute(&self.0)
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let mut inverse = self.0.clone();
        for (to, &from) in self.0.iter().enumerate() {
            inverse[from] = to;
        }
        Ok(super::one(grad.permute(&inverse)?))
    }
}

#[derive(Debug)]
struct Narrow {
    dim: usize,
    start: usize,
    length: usize,
}

impl Op for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].narrow(self.dim, self.start, self.length)
    }

    fn form(&self) -> Form<'_> {
        let Narrow { dim, start, length } = *self;
        Form::Narrow { dim, start, length }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let size = cx.input_shape(0)[self.dim];
        Ok(super::one(widen(grad, self.dim, self.start, size)?))
    }
}

/// Zeros of `size` along `dim` with the input written from `start`: the transpose of [`Narrow`].
#[derive(Debug)]
struct Widen {
    dim: usize,
    start: usize,
    size: usize,
}

impl Op for Widen {
    fn name(&self) -> &'static str {
        "widen"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let x = inputs[0];
        let shape = x.shape().with(self.dim, self.size)?;
        let mut y = super::output_like(x, x.dtype(), shape)?;
        let backend = x.device().backend();
        backend.fill(&mut y, 0.0)?;
        let mut part = y.narrow(self.dim, self.start, x.shape()[self.dim])?;
        backend.copy(x, &mut part)?;
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let length = cx.input_shape(0)[self.dim];
        Ok(super::one(grad.narrow(self.dim as isize, self.start, length)?))
    }
}

/// Zeros of `size` along `dim` with `x` written from `start`.
pub(super) fn widen(x: &Tensor, dim: usize, start: usize, size: usize) -> Result<Tensor> {
    Tensor::apply(Widen { dim, start, size }, &[x])
}

#[derive(Debug)]
struct BroadcastTo(Shape);

impl Op for BroadcastTo {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].broadcast_to(self.0)
    }

    fn form(&self) -> Form<'_> {
        Form::BroadcastTo(self.0)
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        // The tape sums over what was broadcast.
        Ok(super::one(grad.clone()))
    }
}

#[derive(Debug)]
struct Flip(usize);

impl Op for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        inputs[0].flip(self.0)
    }

    fn form(&self) -> Form<'_> {
        Form::Flip(self.0)
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.flip(self.0 as isize)?))
    }
}

#[derive(Debug)]
struct Cat(usize);

impl Op for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let first = inputs[0];
        let sizes = inputs.iter().map(|a| a.shape().get(self.0).copied().unwrap_or(0));
        let total = sizes.fold(0, usize::saturating_add);
        let shape = first.shape().with(self.0, total)?;
        for input in inputs {
            if input.shape().rank() != shape.rank() || input.shape().with(self.0, total)? != shape {
                return Err(Error::shape(format!(
                    "{} and {} differ in another dimension than {}, the one they are joined along",
                    first.shape(),
                    input.shape(),
                    self.0
                )));
            }
        }
        let y = super::output_like(first, dtype, shape)?;
        let mut start = 0;
        for input in inputs {
            let length = input.shape()[self.0];
            let mut part = y.narrow(self.0, start, length)?;
            first.device().backend().copy(input, &mut part)?;
            start += length;
        }
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::Cat(self.0)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let mut grads = InputGrads::new();
        let mut start = 0;
        let total = grad.shape()[self.0];
        while start < total || grads.len() < cx.inputs() {
            let length = cx.input_shape(grads.len())[self.0];
            let part = grad.narrow(self.0 as isize, start, length)?;
            grads.push(Some(part));
            start += length;
        }
        Ok(grads)
    }
}

/// # Shape
///
/// Dimensions count from the end when negative.
impl Tensor {
    /// The same elements in the same order under another shape; one size may be -1 and follows from
    /// the others (`torch.reshape`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.reshape(&[3, -1])?.shape().dims(), [3, 2]);
    /// assert!(x.reshape(&[4, -1]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs, or more than one -1.
    pub fn reshape(&self, sizes: &[isize]) -> Result<Tensor> {
        let known: usize =
            sizes.iter().filter(|&&s| s >= 0).fold(1, |p, &s| p.saturating_mul(s as usize));
        let unknown = sizes.iter().filter(|&&s| s < 0).count();
        if unknown > 1 || sizes.iter().any(|&s| s < -1) {
            return Err(Error::argument(format!(
                "reshape takes sizes and at most one -1, got {sizes:?}"
            )));
        }
        let numel = self.shape().numel();
        if unknown == 1 && (known == 0 || !numel.is_multiple_of(known)) {
            return Err(Error::shape(format!(
                "{} has {numel} elements and cannot become {sizes:?}",
                self.shape()
            )));
        }
        let inferred = if unknown == 1 { numel / known } else { 0 };
        let dims: Vec<usize> =
            sizes.iter().map(|&s| if s < 0 { inferred } else { s as usize }).collect();
        self.view(Shape::new(&dims)?)
    }

    /// As [`Tensor::reshape`], to a known shape.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, Shape, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.view(Shape::new(&[6])?)?.to_vec::<f64>()?, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn view(&self, shape: Shape) -> Result<Tensor> {
        if *self.shape() == shape {
            return Ok(self.clone());
        }
        Tensor::apply(Reshape(shape), &[self])
    }

    /// The dimensions from `start` on merged into one, in NCHW order whatever the memory order
    /// (`torch.flatten`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.reshape(&[1, 2, 3])?.flatten(1)?.shape().dims(), [1, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension.
    pub fn flatten(&self, start: isize) -> Result<Tensor> {
        let start = self.shape().dim(start)?;
        let mut sizes = self.shape()[..start].to_vec();
        sizes.push(self.shape()[start..].iter().product());
        self.view(Shape::new(&sizes)?)
    }

    /// A size of 1 put in at `dim` (`torch.unsqueeze`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.unsqueeze(1)?.shape().dims(), [2, 1, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// `dim` is past the end.
    pub fn unsqueeze(&self, dim: usize) -> Result<Tensor> {
        let mut sizes = self.shape().to_vec();
        if dim > sizes.len() {
            return Err(Error::argument(format!(
                "a dimension cannot be put in at {dim} of {}",
                self.shape()
            )));
        }
        sizes.insert(dim, 1);
        self.view(Shape::new(&sizes)?)
    }

    /// The dimensions in another order: dimension `i` of the result is `dims[i]` of this
    /// (`torch.permute`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// let y = x.permute(&[1, 0])?;
    /// assert_eq!(y.shape().dims(), [3, 2]);
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not an order of the dimensions.
    pub fn permute(&self, dims: &[usize]) -> Result<Tensor> {
        Tensor::apply(Permute(dims.into()), &[self])
    }

    /// Two dimensions exchanged (`torch.transpose`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.transpose(0, -1)?.to_vec::<f64>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let mut order: SmallVec<[usize; 8]> = (0..self.shape().rank()).collect();
        order.swap(self.shape().dim(a)?, self.shape().dim(b)?);
        self.permute(&order)
    }

    /// The indices `start..start + length` of one dimension (`torch.narrow`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.narrow(1, 1, 2)?.to_vec::<f64>()?, [2.0, 3.0, 5.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The range reaches past the dimension.
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Tensor> {
        let dim = self.shape().dim(dim)?;
        Tensor::apply(Narrow { dim, start, length }, &[self])
    }

    /// One dimension in reverse order (`torch.flip`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(x.flip(1)?.to_vec::<f64>()?, [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension.
    pub fn flip(&self, dim: isize) -> Result<Tensor> {
        Tensor::apply(Flip(self.shape().dim(dim)?), &[self])
    }

    /// Sizes of 1 stretched and dimensions put in front, by NumPy's rule (`torch.broadcast_to`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, Shape, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// let y = x.sum(&[0], false)?.broadcast_to(Shape::new(&[2, 3])?)?;
    /// assert_eq!(y.to_vec::<f64>()?, [5.0, 7.0, 9.0, 5.0, 7.0, 9.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape does not broadcast to it.
    pub fn broadcast_to(&self, shape: Shape) -> Result<Tensor> {
        if *self.shape() == shape {
            return Ok(self.clone());
        }
        Tensor::apply(BroadcastTo(shape), &[self])
    }

    /// Tensors joined along a dimension (`torch.cat`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(Tensor::cat(&[&x, &x], 0)?.shape().dims(), [4, 3]);
    /// assert_eq!(Tensor::cat(&[&x, &x], -1)?.shape().dims(), [2, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None given, or other dimensions that differ.
    pub fn cat(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        let first = tensors
            .first()
            .ok_or_else(|| Error::argument("cat wants at least one tensor, got none"))?;
        if tensors.len() > 32 {
            // The tape tracks which inputs need a gradient in 32 bits: join in two rounds.
            let (front, back) = tensors.split_at(tensors.len().div_ceil(2));
            return Tensor::cat(&[&Tensor::cat(front, dim)?, &Tensor::cat(back, dim)?], dim);
        }
        Tensor::apply(Cat(first.shape().dim(dim)?), tensors)
    }

    /// Tensors of one shape along a new dimension (`torch.stack`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?);
    /// assert_eq!(Tensor::stack(&[&x, &x], 0)?.shape().dims(), [2, 2, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None given, shapes that differ, or a new dimension past the end.
    pub fn stack(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        let first = tensors
            .first()
            .ok_or_else(|| Error::argument("stack wants at least one tensor, got none"))?;
        if let Some(other) = tensors.iter().find(|t| t.shape() != first.shape()) {
            return Err(Error::shape(format!(
                "stack wants tensors of one shape, got {} and {}",
                first.shape(),
                other.shape()
            )));
        }
        let places = first.shape().rank() as isize + 1;
        if !(-places..places).contains(&dim) {
            return Err(Error::argument(format!(
                "tensors of shape {} cannot be stacked along a new dimension {dim}",
                first.shape()
            )));
        }
        let dim = dim.rem_euclid(places);
        let parts: Vec<Tensor> =
            tensors.iter().map(|t| t.unsqueeze(dim as usize)).collect::<Result<_>>()?;
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim)
    }
}
