//! Resampling on vectors in row-major order.

use super::product::indices;
use crate::Taps;
use crate::check::ResampleShapes;

pub(super) fn resample2d(
    x: &[f64],
    rows: &Taps,
    columns: &Taps,
    shapes: &ResampleShapes,
) -> Vec<f64> {
    let [_, c, h, w] = shapes.x;
    indices(shapes.y)
        .map(|[n, channel, i, j]| {
            let plane = &x[(n * c + channel) * h * w..];
            let mut sum = 0.0;
            for (k, down) in rows.row(i) {
                for (l, across) in columns.row(j) {
                    sum += down * across * plane[k * w + l];
                }
            }
            sum
        })
        .collect()
}
