//! Checks for the pooling verbs.

use super::{nchw, of_shape, of_type, operands, same_float};
use crate::{Array, DType, Error, Pool2d, Result};

/// The sizes of a pooling's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShapes {
    /// Input `[N, C, H, W]`.
    pub x: [usize; 4],
    /// Output `[N, C, OH, OW]`.
    pub y: [usize; 4],
}

/// The shapes fit and every window holds at least one element of the input.
fn shapes(names: [&str; 2], x: &Array, y: &Array, params: &Pool2d) -> Result<PoolShapes> {
    let x = nchw(names[0], x)?;
    let [n, c, h, w] = x;
    let [oh, ow] = params.output_size([h, w])?;
    let wanted = [n, c, oh, ow];
    of_shape(names[1], y, &wanted)?;
    for (axis, (size, count)) in [(h, oh), (w, ow)].into_iter().enumerate() {
        if n * c > 0 && (0..count).any(|index| !window_has_element(params, axis, index, size)) {
            return Err(Error::shape(format!(
                "a window of {:?} with padding {:?} and dilation {:?} lies wholly in the padding \
                 of an input of {h} x {w}",
                params.kernel, params.padding, params.dilation
            )));
        }
    }
    Ok(PoolShapes { x, y: wanted })
}

fn window_has_element(params: &Pool2d, axis: usize, index: usize, size: usize) -> bool {
    // Positions are counted in the padded input, so that none is negative.
    let (start, padding) = (index * params.stride[axis], params.padding[axis]);
    let skipped = padding.saturating_sub(start).div_ceil(params.dilation[axis]);
    let first = start + skipped * params.dilation[axis];
    skipped < params.kernel[axis] && first < padding + size
}

/// Checks the operands of [`Backend::max_pool2d`](crate::Backend::max_pool2d).
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`; `Shape` for shapes that do not fit and for a window
/// without any element of the input; `Argument`, see [`Pool2d::output_size`].
pub fn max_pool2d(x: &Array, y: &Array, index: &Array, params: &Pool2d) -> Result<PoolShapes> {
    operands("max_pool2d", &[x], &[y, index], || {
        same_float(&[("x", x), ("y", y)])?;
        of_type("the index", index, DType::I64)?;
        let shapes = shapes(["x", "y"], x, y, params)?;
        of_shape("the index", index, &shapes.y)?;
        Ok(shapes)
    })
}

/// Checks the operands of [`Backend::max_pool2d_grad`](crate::Backend::max_pool2d_grad).
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`.
pub fn max_pool2d_grad(gy: &Array, index: &Array, gx: &Array) -> Result<PoolShapes> {
    operands("max_pool2d_grad", &[gy, index], &[gx], || planes(["gx", "gy"], gx, gy, index))
}

/// Checks the operands of
/// [`Backend::max_pool2d_window_grad`](crate::Backend::max_pool2d_window_grad).
///
/// # Errors
/// As [`max_pool2d`] and [`max_pool2d_grad`].
pub fn max_pool2d_window_grad(
    gy: &Array,
    index: &Array,
    gx: &Array,
    params: &Pool2d,
) -> Result<PoolShapes> {
    max_pool2d_grad(gy, index, gx)?;
    operands("max_pool2d_window_grad", &[gy, index], &[gx], || shapes(["gx", "gy"], gx, gy, params))
}

/// Checks the operands of [`Backend::max_pool2d_pick`](crate::Backend::max_pool2d_pick).
///
/// # Errors
/// As [`max_pool2d_grad`].
pub fn max_pool2d_pick(x: &Array, index: &Array, y: &Array) -> Result<PoolShapes> {
    operands("max_pool2d_pick", &[x, index], &[y], || planes(["x", "y"], x, y, index))
}

fn planes(names: [&str; 2], x: &Array, y: &Array, index: &Array) -> Result<PoolShapes> {
    same_float(&[(names[0], x), (names[1], y)])?;
    of_type("the index", index, DType::I64)?;
    let shapes = PoolShapes { x: nchw(names[0], x)?, y: nchw(names[1], y)? };
    of_shape("the index", index, &shapes.y)?;
    if shapes.x[..2] != shapes.y[..2] {
        return Err(Error::shape(format!(
            "{} {} and {} {} differ in images or channels",
            names[0],
            x.shape(),
            names[1],
            y.shape()
        )));
    }
    Ok(shapes)
}

/// Checks the operands of [`Backend::avg_pool2d`](crate::Backend::avg_pool2d).
///
/// # Errors
/// As [`max_pool2d`]; `Argument` for a dilation other than 1.
pub fn avg_pool2d(x: &Array, y: &Array, params: &Pool2d) -> Result<PoolShapes> {
    operands("avg_pool2d", &[x], &[y], || average(["x", "y"], x, y, params))
}

/// Checks the operands of [`Backend::avg_pool2d_grad`](crate::Backend::avg_pool2d_grad).
///
/// # Errors
/// As [`avg_pool2d`].
pub fn avg_pool2d_grad(gy: &Array, gx: &Array, params: &Pool2d) -> Result<PoolShapes> {
    operands("avg_pool2d_grad", &[gy], &[gx], || average(["gx", "gy"], gx, gy, params))
}

fn average(names: [&str; 2], x: &Array, y: &Array, params: &Pool2d) -> Result<PoolShapes> {
    same_float(&[(names[0], x), (names[1], y)])?;
    if params.dilation != [1, 1] {
        return Err(Error::argument(format!(
            "an average has no dilation, got {:?}; it must be [1, 1]",
            params.dilation
        )));
    }
    shapes(names, x, y, params)
}
