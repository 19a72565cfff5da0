//! Pooling on vectors in row-major order.

use super::data::in_range;
use super::product::indices;
use crate::check::PoolShapes;
use crate::{Pool2d, Result};

/// Calls `visit(y, divisor, plane, window)` for every output: its position, what an average divides
/// by, where its plane begins in the input, and the window's positions in that plane, in row-major
/// order.
fn each_window(
    shapes: &PoolShapes,
    params: &Pool2d,
    mut visit: impl FnMut(usize, f64, usize, &[usize]),
) {
    let [_, c, h, w] = shapes.x;
    for (y_at, [s, channel, i, j]) in indices(shapes.y).enumerate() {
        let rows = covered(params, 0, i, h);
        let columns = covered(params, 1, j, w);
        let window: Vec<usize> = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| row * w + column))
            .collect();
        let divisor = params.divisor(0, i, h) * params.divisor(1, j, w);
        visit(y_at, divisor as f64, (s * c + channel) * h * w, &window);
    }
}

/// The input's indices along one axis that output `index` sees.
fn covered(params: &Pool2d, axis: usize, index: usize, size: usize) -> Vec<usize> {
    (0..params.kernel[axis])
        .map(|k| index * params.stride[axis] + k * params.dilation[axis])
        .filter_map(|padded| padded.checked_sub(params.padding[axis]))
        .filter(|&position| position < size)
        .collect()
}

/// The largest elements and their positions in their planes.
pub(super) fn max_pool2d(x: &[f64], shapes: &PoolShapes, params: &Pool2d) -> (Vec<f64>, Vec<f64>) {
    let count = shapes.y.iter().product();
    let (mut y, mut index) = (vec![0.0; count], vec![0.0; count]);
    each_window(shapes, params, |y_at, _, plane, window| {
        for (nth, &position) in window.iter().enumerate() {
            let (value, best) = (x[plane + position], y[y_at]);
            if nth == 0 || value > best || (value.is_nan() && !best.is_nan()) {
                y[y_at] = value;
                index[y_at] = position as f64;
            }
        }
    });
    (y, index)
}

/// The position in the input that each element of the output points to.
fn targets(index: &[f64], shapes: &PoolShapes) -> Result<Vec<usize>> {
    let (plane, out_plane) = (shapes.x[2] * shapes.x[3], shapes.y[2] * shapes.y[3]);
    let target = |(at, &value)| Ok(at / out_plane * plane + in_range(value, plane)?);
    index.iter().enumerate().map(target).collect()
}

pub(super) fn max_pool2d_grad(gy: &[f64], index: &[f64], shapes: &PoolShapes) -> Result<Vec<f64>> {
    let mut gx = vec![0.0; shapes.x.iter().product()];
    for (target, value) in targets(index, shapes)?.into_iter().zip(gy) {
        gx[target] += value;
    }
    Ok(gx)
}

pub(super) fn max_pool2d_pick(x: &[f64], index: &[f64], shapes: &PoolShapes) -> Result<Vec<f64>> {
    Ok(targets(index, shapes)?.into_iter().map(|target| x[target]).collect())
}

pub(super) fn avg_pool2d(x: &[f64], shapes: &PoolShapes, params: &Pool2d) -> Vec<f64> {
    let mut y = vec![0.0; shapes.y.iter().product()];
    each_window(shapes, params, |y_at, divisor, plane, window| {
        y[y_at] = window.iter().map(|position| x[plane + position]).sum::<f64>() / divisor;
    });
    y
}

pub(super) fn avg_pool2d_grad(gy: &[f64], shapes: &PoolShapes, params: &Pool2d) -> Vec<f64> {
    let mut gx = vec![0.0; shapes.x.iter().product()];
    each_window(shapes, params, |y_at, divisor, plane, window| {
        for position in window {
            gx[plane + position] += gy[y_at] / divisor;
        }
    });
    gx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins_and_not_a_number_always_does() {
        let params = Pool2d { stride: [2, 2], padding: [1, 1], ..Pool2d::new([2, 2]) };
        let shapes = PoolShapes { x: [1, 1, 2, 2], y: [1, 1, 2, 2] };
        let (y, index) = max_pool2d(&[-5.0, -4.0, f64::NAN, -2.0], &shapes, &params);
        assert_eq!([y[0], y[1], y[3]], [-5.0, -4.0, -2.0]);
        assert!(y[2].is_nan());
        assert_eq!(index, [0.0, 1.0, 2.0, 3.0]);
        let one = PoolShapes { x: [1, 1, 2, 2], y: [1, 1, 1, 1] };
        let (_, index) = max_pool2d(&[7.0, 7.0, 7.0, 1.0], &one, &Pool2d::new([2, 2]));
        assert_eq!(index, [0.0]);
    }
}
