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
            // One sum of all would round as often as there are terms.
            let row = |k: usize| -> f64 {
                columns.row(j).map(|(l, across)| across * plane[k * w + l]).sum()
            };
            rows.row(i).map(|(k, down)| down * row(k)).sum::<f64>()
        })
        .collect()
}
