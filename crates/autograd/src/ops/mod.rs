//! The operators, a file each or a file a family: formula, shapes, forward and backward together.

mod activations;
mod arithmetic;
mod batch_norm;
mod cast;
mod conv2d;
mod dropout;
mod index;
mod layout;
mod logsumexp;
mod losses;
mod matmul;
mod pad;
mod pixel_shuffle;
pub mod pointwise;
mod pool2d;
mod reduce;
mod shape;
mod softmax;
mod unfold;

pub use cast::Cast;
pub use losses::{BinaryCrossEntropy, NllLoss, Reduction};
pub use pad::Padding;
pub use unfold::Unfold;

use ferrotape_backend::{Array, DType, Error, Layout, Result, Shape};
use smallvec::SmallVec;

use crate::op::InputGrads;
use crate::tensor::Tensor;

/// A single gradient.
pub(crate) fn one(grad: Tensor) -> InputGrads {
    let mut grads = SmallVec::new();
    grads.push(Some(grad));
    grads
}

/// New memory for an op's output, in the same kind of layout as `like`.
pub(crate) fn output_like(like: &Array, dtype: DType, shape: Shape) -> Result<Array> {
    Array::empty(like.device(), dtype, like.layout().like(shape))
}

/// New memory in row-major order.
pub(crate) fn output(like: &Array, dtype: DType, shape: &[usize]) -> Result<Array> {
    Array::empty(like.device(), dtype, Layout::contiguous(Shape::new(shape)?))
}

/// New memory for images, channels-last.
pub(crate) fn image_output(like: &Array, dtype: DType, shape: &[usize]) -> Result<Array> {
    Array::empty(like.device(), dtype, Layout::channels_last(Shape::new(shape)?)?)
}

/// Checks that all operands have one float type, and gives it.
pub(crate) fn common_float(operands: &[&Array]) -> Result<DType> {
    let dtype = operands[0].dtype();
    for operand in operands {
        if !operand.dtype().is_float() {
            return Err(Error::dtype(format!(
                "wants floats, got {}; cast() it first",
                operand.dtype()
            )));
        }
        if operand.dtype() != dtype {
            return Err(Error::dtype(format!(
                "mixes {dtype} and {}; cast() one of them",
                operand.dtype()
            )));
        }
    }
    Ok(dtype)
}

/// Turns dimensions counted from either end into indices: sorted, distinct, all if none are given.
pub(crate) fn dims(shape: &Shape, dims: &[isize]) -> Result<SmallVec<[usize; 8]>> {
    if dims.is_empty() {
        return Ok((0..shape.rank()).collect());
    }
    let mut list: SmallVec<[usize; 8]> =
        dims.iter().map(|&d| shape.dim(d)).collect::<Result<_>>()?;
    list.sort_unstable();
    if list.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::argument(format!("{dims:?} names a dimension of {shape} twice")));
    }
    Ok(list)
}
