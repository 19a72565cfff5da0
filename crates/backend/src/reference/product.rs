//! Matrix products and convolutions on vectors in row-major order.

use crate::Conv2d;
use crate::check::ConvShapes;

pub(super) fn gemm(
    a: &[f64],
    b: &[f64],
    mut c: Vec<f64>,
    [batch, m, k, n]: [usize; 4],
    [batch_a, batch_b]: [usize; 2],
) -> Vec<f64> {
    for s in 0..batch {
        // A batch of 1 is used for all.
        let (s_a, s_b) = (s.min(batch_a - 1), s.min(batch_b - 1));
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    c[(s * m + i) * n + j] += a[(s_a * m + i) * k + l] * b[(s_b * k + l) * n + j];
                }
            }
        }
    }
    c
}

/// Calls `visit(x, w, y)` with the positions of the factors of every product in a convolution and
/// of the output it is added to.
fn each_product(shapes: &ConvShapes, params: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let [n, c, h, w] = shapes.x;
    let [o, per_group, kh, kw] = shapes.w;
    let [_, _, oh, ow] = shapes.y;
    for [s, out, i, j] in indices([n, o, oh, ow]) {
        let y_at = ((s * o + out) * oh + i) * ow + j;
        let group = out / (o / params.groups);
        for [channel, k, l, _] in indices([per_group, kh, kw, 1]) {
            let row = position(params, 0, i, k, h);
            let column = position(params, 1, j, l, w);
            if let (Some(row), Some(column)) = (row, column) {
                let x_at = ((s * c + group * per_group + channel) * h + row) * w + column;
                let w_at = ((out * per_group + channel) * kh + k) * kw + l;
                visit(x_at, w_at, y_at);
            }
        }
    }
}

/// The input pixel under element `k` of the kernel at output `i`; none in the padding.
fn position(params: &Conv2d, axis: usize, i: usize, k: usize, size: usize) -> Option<usize> {
    let padded = i * params.stride[axis] + k * params.dilation[axis];
    padded.checked_sub(params.padding[axis]).filter(|&position| position < size)
}

/// All indices of four nested loops.
pub(super) fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..a).flat_map(move |i| {
        (0..b).flat_map(move |j| (0..c).flat_map(move |k| (0..d).map(move |l| [i, j, k, l])))
    })
}

pub(super) fn conv2d(
    x: &[f64],
    w: &[f64],
    bias: Option<&[f64]>,
    shapes: &ConvShapes,
    params: &Conv2d,
) -> Vec<f64> {
    let start = |[_, out, _, _]: [usize; 4]| bias.map_or(0.0, |bias| bias[out]);
    let mut y: Vec<f64> = indices(shapes.y).map(start).collect();
    each_product(shapes, params, |x_at, w_at, y_at| y[y_at] += x[x_at] * w[w_at]);
    y
}

pub(super) fn conv2d_input_grad(
    gy: &[f64],
    w: &[f64],
    shapes: &ConvShapes,
    params: &Conv2d,
) -> Vec<f64> {
    let mut gx = vec![0.0; shapes.x.iter().product()];
    each_product(shapes, params, |x_at, w_at, y_at| gx[x_at] += gy[y_at] * w[w_at]);
    gx
}

pub(super) fn conv2d_weight_grad(
    x: &[f64],
    gy: &[f64],
    shapes: &ConvShapes,
    params: &Conv2d,
) -> Vec<f64> {
    let mut gw = vec![0.0; shapes.w.iter().product()];
    each_product(shapes, params, |x_at, w_at, y_at| gw[w_at] += x[x_at] * gy[y_at]);
    gw
}
