//! Maximum, average and adaptive pooling, and their gradients, on the CPU as on the reference backend.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, Pool2d, Result};

use crate::draw::{Draw, shrink};
use crate::verdict::{Operand, Outcome, agree};

/// Which pooling.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Max,
    Average,
    AdaptiveMax([usize; 2]),
    AdaptiveAverage([usize; 2]),
}

/// The bytes are a float type, a pooling with its attributes, a shape, and how the images lie in memory.
pub fn pool(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let dtype = draw.float();
    let mut pair = |from: &[usize]| [draw.pick(from), draw.pick(from)];
    let params = Pool2d {
        kernel: pair(&[2, 3, 1, 4, 5, 7, 0]),
        stride: pair(&[2, 1, 3, 4, 0]),
        padding: pair(&[0, 1, 2, 3]),
        dilation: pair(&[1, 1, 2, 3]),
        ceil_mode: draw.flag(),
        count_include_pad: draw.flag(),
    };
    let mut shape = [draw.count(3), draw.size(), draw.size(), draw.size()];
    shrink(&mut shape, 512);
    let mut output = [draw.size(), draw.size()];
    shrink(&mut output, 2048 / (shape[0] * shape[1]).max(1));
    let kind = match draw.count(3) {
        0 => Kind::Max,
        1 => Kind::Average,
        2 => Kind::AdaptiveMax(output),
        _ => Kind::AdaptiveAverage(output),
    };
    let operands = [Operand { input: draw.input(&shape), dtype }];
    agree(&(kind, params), &operands, &|_, arrays, _| pooled(kind, params, arrays));
}

/// The pooled images, and the gradient where each of them has another weight.
fn pooled(kind: Kind, params: Pool2d, arrays: Vec<Array>) -> Outcome {
    let tape = Tape::new();
    let tensors: Vec<Tensor> =
        arrays.into_iter().map(|array| tape.variable(array)).collect::<Result<_>>()?;
    let x = &tensors[0];
    let y = match kind {
        Kind::Max => x.max_pool2d(&params)?,
        Kind::Average => x.avg_pool2d(&params)?,
        Kind::AdaptiveMax(size) => x.adaptive_max_pool2d(size)?,
        Kind::AdaptiveAverage(size) => x.adaptive_avg_pool2d(size)?,
    };
    let weights: Vec<f64> = (0..y.shape().numel()).map(|at| (at % 7) as f64 - 3.0).collect();
    let weights = Array::from_f64(y.device(), &weights, y.dtype(), *y.shape())?;
    let gradients = y.mul(&weights.into())?.sum_all()?.backward()?;
    let gradient = gradients.of(x)?.array().clone();
    Ok(vec![("the result".to_owned(), y.array().clone()), ("the gradient".to_owned(), gradient)])
}
