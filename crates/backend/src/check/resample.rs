//! The check for resampling.

use super::{nchw, of_shape, operands, same_float};
use crate::{Array, Error, Result, Taps};

/// The sizes of a resampling's operands.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Taps, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, y] = [[1, 3, 2, 2], [1, 3, 4, 6]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let shapes = check::resample2d(&x?, &Taps::nearest(2, 4)?, &Taps::nearest(2, 6)?, &y?)?;
/// assert_eq!(shapes, check::ResampleShapes { x: [1, 3, 2, 2], y: [1, 3, 4, 6] });
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResampleShapes {
    /// Input `[N, C, H, W]`.
    pub x: [usize; 4],
    /// Output `[N, C, OH, OW]`.
    pub y: [usize; 4],
}

/// Checks the operands of [`Backend::resample2d`](crate::Backend::resample2d).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Taps, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [1, 3, 2, 2])?;
/// let double = Taps::nearest(3, 6)?;
/// let error = check::resample2d(&x, &double, &double, &x.copy()?).unwrap_err().to_string();
/// assert!(error.ends_with("the taps are for images of 3 x 3, but x has 2 x 2"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`.
pub fn resample2d(x: &Array, rows: &Taps, columns: &Taps, y: &Array) -> Result<ResampleShapes> {
    operands("resample2d", &[x], &[y], || {
        same_float(&[("x", x), ("y", y)])?;
        let sizes = nchw("x", x)?;
        let [n, c, h, w] = sizes;
        if [rows.inputs(), columns.inputs()] != [h, w] {
            return Err(Error::shape(format!(
                "the taps are for images of {} x {}, but x has {h} x {w}",
                rows.inputs(),
                columns.inputs()
            )));
        }
        let wanted = [n, c, rows.outputs(), columns.outputs()];
        of_shape("y", y, &wanted)?;
        Ok(ResampleShapes { x: sizes, y: wanted })
    })
}
