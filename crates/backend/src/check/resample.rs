//! The check for resampling.

use super::{nchw, of_shape, operands, same_float};
use crate::{Array, Error, Result, Taps};

/// The sizes of a resampling's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResampleShapes {
    /// Input `[N, C, H, W]`.
    pub x: [usize; 4],
    /// Output `[N, C, OH, OW]`.
    pub y: [usize; 4],
}

/// Checks the operands of [`Backend::resample2d`](crate::Backend::resample2d).
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
