//! Checks for the pooling verbs.

use super::{nchw, of_shape, of_type, operands, same_float};
use crate::{Array, DType, Error, Pool2d, Result};

/// The sizes of a pooling's operands.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Pool2d, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [[1, 2, 4, 4], [1, 2, 2, 2]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let shapes = check::avg_pool2d(&x?, &y?, &Pool2d::new([2, 2]))?;
/// assert_eq!(shapes, check::PoolShapes { x: [1, 2, 4, 4], y: [1, 2, 2, 2] });
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
        if n * c > 0 && !windows_have_elements(params, axis, count, size) {
            return Err(Error::shape(format!(
                "a window of {:?} with padding {:?} and dilation {:?} lies wholly in the padding \
                 of an input of {h} x {w}",
                params.kernel, params.padding, params.dilation
            )));
        }
    }
    Ok(PoolShapes { x, y: wanted })
}

/// Whether each of `count` windows has an element, by a look at few of them: those that begin in the padding meet the
/// input alike again after as many as the dilation, the first by its farthest, and of the others the last is the
/// farthest out.
fn windows_have_elements(params: &Pool2d, axis: usize, count: usize, size: usize) -> bool {
    let before = params.padding[axis].div_ceil(params.stride[axis]).min(params.dilation[axis]);
    let mut few = (0..before.min(count)).chain(count.checked_sub(1));
    few.all(|index| window_has_element(params, axis, index, size))
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
/// ```
/// use ferrotape_backend::{Array, DType, Device, Pool2d, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [1, 2, 4, 4])?;
/// let y = Array::zeros(&device, DType::F32, [1, 2, 2, 2])?;
/// let index = Array::zeros(&device, DType::I64, [1, 2, 2, 2])?;
/// assert_eq!(check::max_pool2d(&x, &y, &index, &Pool2d::new([2, 2]))?.y, [1, 2, 2, 2]);
/// assert!(check::max_pool2d(&x, &y, &y, &Pool2d::new([2, 2])).is_err(), "an index is of i64");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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

/// Checks the operands of [`Backend::max_pool2d_values`](crate::Backend::max_pool2d_values).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Pool2d, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [1, 2, 4, 4])?;
/// let y = Array::zeros(&device, DType::F32, [1, 2, 2, 2])?;
/// assert_eq!(check::max_pool2d_values(&x, &y, &Pool2d::new([2, 2]))?.y, [1, 2, 2, 2]);
/// assert!(check::max_pool2d_values(&x, &y, &Pool2d::new([3, 3])).is_err());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool2d`].
pub fn max_pool2d_values(x: &Array, y: &Array, params: &Pool2d) -> Result<PoolShapes> {
    operands("max_pool2d_values", &[x], &[y], || {
        same_float(&[("x", x), ("y", y)])?;
        shapes(["x", "y"], x, y, params)
    })
}

/// Checks the operands of [`Backend::max_pool2d_grad`](crate::Backend::max_pool2d_grad).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let gy = Array::zeros(&device, DType::F32, [1, 2, 2, 2])?;
/// let index = Array::zeros(&device, DType::I64, [1, 2, 2, 2])?;
/// let gx = Array::zeros(&device, DType::F32, [1, 2, 4, 4])?;
/// assert_eq!(check::max_pool2d_grad(&gy, &index, &gx)?.x, [1, 2, 4, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`.
pub fn max_pool2d_grad(gy: &Array, index: &Array, gx: &Array) -> Result<PoolShapes> {
    operands("max_pool2d_grad", &[gy, index], &[gx], || planes(["gx", "gy"], gx, gy, index))
}

/// Checks the operands of
/// [`Backend::max_pool2d_window_grad`](crate::Backend::max_pool2d_window_grad).
///
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, ErrorKind, Pool2d, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let gy = Array::zeros(&device, DType::F32, [1, 2, 2, 2])?;
/// let index = Array::zeros(&device, DType::I64, [1, 2, 2, 2])?;
/// let gx = Array::zeros(&device, DType::F32, [1, 2, 4, 4])?;
/// let check = |kernel| check::max_pool2d_window_grad(&gy, &index, &gx, &Pool2d::new([kernel; 2]));
/// assert!(check(2).is_ok());
/// assert_eq!(check(4).unwrap_err().kind(), ErrorKind::Shape);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [1, 2, 4, 4])?;
/// let index = Array::zeros(&device, DType::I64, [1, 3, 2, 2])?;
/// let y = Array::zeros(&device, DType::F32, [1, 3, 2, 2])?;
/// let error = check::max_pool2d_pick(&x, &index, &y).unwrap_err().to_string();
/// assert!(error.ends_with("differ in images or channels"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, ErrorKind, Pool2d, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [[1, 2, 5, 5], [1, 2, 3, 3]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let (x, y, window) = (x?, y?, Pool2d { stride: [1, 1], ..Pool2d::new([3, 3]) });
/// assert_eq!(check::avg_pool2d(&x, &y, &window)?.y, [1, 2, 3, 3]);
/// let dilated = Pool2d { dilation: [2, 2], ..Pool2d::new([2, 2]) };
/// assert_eq!(check::avg_pool2d(&x, &y, &dilated).unwrap_err().kind(), ErrorKind::Argument);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool2d`]; `Argument` for a dilation other than 1.
pub fn avg_pool2d(x: &Array, y: &Array, params: &Pool2d) -> Result<PoolShapes> {
    operands("avg_pool2d", &[x], &[y], || average(["x", "y"], x, y, params))
}

/// Checks the operands of [`Backend::avg_pool2d_grad`](crate::Backend::avg_pool2d_grad).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Pool2d, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, gx] = [[1, 2, 2, 2], [1, 2, 4, 4]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// assert_eq!(check::avg_pool2d_grad(&gy?, &gx?, &Pool2d::new([2, 2]))?.x, [1, 2, 4, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_few_windows_is_one_at_all() {
        let mut without = 0;
        for kernel in 1..6 {
            for (padding, dilation) in (0..=kernel / 2).flat_map(|p| (1..5).map(move |d| (p, d))) {
                for (size, stride) in (1..9).flat_map(|size| (1..6).map(move |s| (size, s))) {
                    let pool = Pool2d {
                        stride: [stride; 2],
                        padding: [padding; 2],
                        dilation: [dilation; 2],
                        ..Pool2d::new([kernel; 2])
                    };
                    for ceil_mode in [false, true] {
                        let pool = Pool2d { ceil_mode, ..pool };
                        let Ok([count, _]) = pool.output_size([size; 2]) else { continue };
                        let all = (0..count).all(|i| window_has_element(&pool, 0, i, size));
                        assert_eq!(
                            windows_have_elements(&pool, 0, count, size),
                            all,
                            "{pool:?} {size}"
                        );
                        without += usize::from(!all);
                    }
                }
            }
        }
        assert!(without > 0);
    }
}
