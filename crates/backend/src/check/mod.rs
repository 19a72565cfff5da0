//! What the operands of a verb must fulfil, checked the same way by every backend.
//!
//! There is one function a verb of [`Backend`](crate::Backend). A backend calls it first and then
//! may rely on it: the operands are on one device, no output shares memory with anything, data
//! types and shapes fit, and the sizes it gives back cannot overflow in index arithmetic.
//!
//! Two things remain for the backend, because only it can see them: that the memory is its own (it
//! answers `DeviceMismatch` where its downcast fails) and that the values of indices and targets
//! are in range (`Argument`).
//!
//! ```
//! use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
//!
//! let device = Device::new(Reference::new());
//! let a = Array::zeros(&device, DType::F32, [1, 2, 3])?;
//! let b = Array::zeros(&device, DType::F32, [1, 3, 5])?;
//! let c = Array::zeros(&device, DType::F32, [1, 2, 5])?;
//! assert_eq!(check::gemm(&a, &b, &c)?, [1, 2, 3, 5]);
//! assert_eq!(check::gemm(&a, &c, &b).unwrap_err().kind(), ErrorKind::Shape);
//! assert_eq!(check::gemm(&a, &b, &b).unwrap_err().kind(), ErrorKind::Overlap);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```

mod data;
mod norm;
mod pool;
mod product;
mod resample;

pub use data::{
    copy, download, fill, gather, pointwise, pointwise_each, random, reduce, scatter_add, upload,
};
pub use norm::{
    batch_norm, batch_norm_act, batch_norm_act_grad, batch_norm_grad, channel_moments,
    cross_entropy, cross_entropy_grad, softmax, softmax_grad,
};
pub use pool::{
    PoolShapes, avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad, max_pool2d_pick,
    max_pool2d_values, max_pool2d_window_grad,
};
pub use product::{ConvShapes, conv2d, conv2d_act, conv2d_input_grad, conv2d_weight_grad, gemm};
pub use resample::{ResampleShapes, resample2d};

use crate::{Array, Context, DType, Error, ErrorKind, Result, describe};

/// Checks device and overlap, then the rest; an error says which verb and operands it is about.
fn operands<T>(
    op: &str,
    inputs: &[&Array],
    outputs: &[&Array],
    rest: impl FnOnce() -> Result<T>,
) -> Result<T> {
    one_device(inputs, outputs)
        .and_then(|()| no_overlap(inputs, outputs))
        .and_then(|()| rest())
        .at(|| describe(op, &[inputs, outputs].concat()))
}

fn one_device(inputs: &[&Array], outputs: &[&Array]) -> Result<()> {
    let mut all = inputs.iter().chain(outputs);
    let Some(first) = all.next() else { return Ok(()) };
    match all.find(|other| other.device() != first.device()) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::DeviceMismatch,
            format!(
                "operands are on different devices, {} and {}; move them to one with to_device",
                first.device(),
                other.device()
            ),
        )),
    }
}

fn no_overlap(inputs: &[&Array], outputs: &[&Array]) -> Result<()> {
    for (i, output) in outputs.iter().enumerate() {
        let others = inputs.iter().chain(&outputs[..i]);
        if others.into_iter().any(|other| other.buffer().id() == output.buffer().id()) {
            return Err(Error::new(
                ErrorKind::Overlap,
                format!(
                    "the output of shape {} shares memory with another operand; write into memory \
                     of its own, or copy that operand first",
                    output.shape()
                ),
            ));
        }
        if output.layout().is_overlapping() {
            return Err(Error::new(
                ErrorKind::Overlap,
                format!(
                    "the output of shape {} and strides {:?} holds several elements in one place, \
                     so it can only be read",
                    output.shape(),
                    output.layout().strides()
                ),
            ));
        }
    }
    Ok(())
}

/// The data type of a float operand.
fn float(name: &str, array: &Array) -> Result<DType> {
    match array.dtype() {
        dtype if dtype.is_float() => Ok(dtype),
        other => {
            Err(Error::dtype(format!("{name} is {other}, but floats are wanted; cast it first")))
        }
    }
}

/// One float type for all of these.
fn same_float(list: &[(&str, &Array)]) -> Result<DType> {
    let &[(name, first), ref rest @ ..] = list else {
        return Err(Error::argument("there are no operands"));
    };
    let dtype = float(name, first)?;
    for (other, array) in rest {
        of_type(other, array, dtype)?;
    }
    Ok(dtype)
}

fn of_type(name: &str, array: &Array, wanted: DType) -> Result<()> {
    if array.dtype() == wanted {
        return Ok(());
    }
    Err(Error::dtype(format!("{name} is {}, but {wanted} is wanted; cast it first", array.dtype())))
}

/// The type itself, or the one in which its sums are kept.
fn of_type_or_accumulator(name: &str, array: &Array, dtype: DType) -> Result<()> {
    if array.dtype() == dtype {
        return Ok(());
    }
    of_type(name, array, dtype.accumulator())
}

fn of_shape(name: &str, array: &Array, wanted: &[usize]) -> Result<()> {
    if array.shape().dims() == wanted {
        return Ok(());
    }
    Err(Error::shape(format!("{name} has shape {}, but {wanted:?} is wanted", array.shape())))
}

fn sizes<const N: usize>(name: &str, array: &Array, axes: &str) -> Result<[usize; N]> {
    <[usize; N]>::try_from(array.shape().dims())
        .map_err(|_| Error::shape(format!("{name} has shape {}, expected {axes}", array.shape())))
}

fn nchw(name: &str, array: &Array) -> Result<[usize; 4]> {
    sizes(name, array, "[N, C, H, W]")
}

fn has_dim(array: &Array, dim: usize) -> Result<()> {
    if dim < array.shape().rank() {
        return Ok(());
    }
    Err(Error::argument(format!("there is no dimension {dim} in shape {}", array.shape())))
}
