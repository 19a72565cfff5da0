//! Lists of operations, drawn from bytes.
//!
//! An operation takes the tensors that it finds before it, and its attributes are made to fit their shapes, so
//! that most lists compute something to their end. One that does not fit gives its error, and the list goes on.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::{Conv1d, ConvTranspose2d, Padding, Reduction, Resize};
use ferrotape_backend::{Array, Conv2d, DType, Pool2d, Result, Rng};

use crate::draw::Draw;
use crate::verdict::{Operand, Shake};

/// An operation: which, on what, and the bytes that its attributes are made of.
#[derive(Debug, Clone, Copy)]
struct Step {
    kind: usize,
    operands: [usize; 2],
    with: [usize; 4],
}

/// Tensors to begin with, and operations on them.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    steps: Vec<Step>,
    smooth: bool,
}

/// What a list may hold at most: more would take too long.
const MOST_ELEMENTS: usize = 4096;

/// The operations with a derivative everywhere come first.
const SMOOTH: usize = 30;
const ALL: usize = 48;

impl Program {
    /// Up to so many operations.
    pub(crate) fn draw(draw: &mut Draw<'_>, most: usize, smooth: bool) -> Self {
        let mut steps = Vec::new();
        while !draw.is_empty() && steps.len() < most {
            steps.push(Step {
                kind: draw.count(if smooth { SMOOTH } else { ALL } - 1),
                operands: [draw.count(15), draw.count(15)],
                with: [draw.count(7), draw.count(7), draw.count(7), draw.count(7)],
            });
        }
        Program { steps, smooth }
    }

    /// The tensors that it begins with: images, or of any rank.
    pub(crate) fn operands(draw: &mut Draw<'_>, dtype: DType, most: usize) -> Vec<Operand> {
        let mut operands = Vec::new();
        for _ in 0..=draw.count(2) {
            let mut shape = match draw.count(2) {
                0 => draw.shape(2),
                1 => draw.shape(4),
                _ => {
                    let rank = draw.count(5);
                    draw.shape(rank)
                }
            };
            // What is empty is soon nothing but empty.
            shape.iter_mut().for_each(|size| *size = (*size).max(1));
            crate::draw::shrink(&mut shape, most);
            operands.push(Operand { input: draw.input(&shape), dtype });
        }
        operands
    }

    /// Runs it; each result by the number of its step, or the error in its place. `weights` makes a tensor of
    /// values, of which there are as many as a layer has parameters.
    pub(crate) fn run(
        &self,
        start: &[Tensor],
        shake: Shake,
        weights: &mut dyn FnMut(Array) -> Result<Tensor>,
    ) -> Vec<Result<Tensor>> {
        let mut tensors = start.to_vec();
        let mut results = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            // The last tensors are likeliest, so that lists become long.
            let pick = |operand: usize| &tensors[tensors.len() - 1 - operand % tensors.len()];
            let [x, y] = step.operands.map(pick);
            let mut parameters = Parameters { at, like: x, make: &mut *weights };
            let result = self.apply(step, x, y, &mut parameters);
            let result = result.and_then(|tensor| shake.tensor(tensor, at as u64));
            if let Ok(tensor) = &result
                && tensor.shape().numel() <= MOST_ELEMENTS
            {
                tensors.push(tensor.clone());
            }
            results.push(result);
        }
        results
    }

    fn apply(
        &self,
        step: &Step,
        x: &Tensor,
        y: &Tensor,
        parameters: &mut Parameters<'_>,
    ) -> Result<Tensor> {
        let [a, b, c, d] = step.with;
        let rank = x.shape().rank();
        let dim = if rank == 0 { 0 } else { (a % rank) as isize };
        let dims: Vec<isize> = (0..rank as isize).filter(|dim| b >> dim & 1 == 0).collect();
        let eps = if self.smooth { 0.1 } else { 1e-5 };
        match step.kind {
            0 => x.add(&fitting(x, y)?),
            1 => x.sub(&fitting(x, y)?),
            2 => x.mul(&fitting(x, y)?),
            3 => x.div(&fitting(x, y)?.square()?.add_scalar(1.0)?),
            4 => x.tanh(),
            5 => x.sigmoid(),
            6 => x.tanh()?.exp(),
            7 => x.square()?.add_scalar(0.5)?.log(),
            8 => x.square()?.add_scalar(0.5)?.sqrt(),
            9 => x.silu(),
            10 => x.gelu(),
            11 => x.softplus(),
            12 => x.sum(&dims, c % 2 == 0),
            13 => x.mean(&dims, c % 2 == 0),
            14 => x.softmax(dim),
            15 => x.log_softmax(dim),
            16 => x.transpose(dim, (b % rank.max(1)) as isize),
            17 => x.reshape(&[-1]),
            18 => images(x)?.channels_last(),
            19 => x.flip(dim),
            20 => {
                let size = x.shape().dims().get(dim as usize).copied().unwrap_or(1);
                let start = b % size.max(1);
                x.narrow(dim, start, 1 + c % (size - start).max(1))
            }
            21 => Tensor::cat(&[x, y, x], dim),
            22 => x.matmul(&x.transpose(-2, -1)?)?.mul_scalar(0.125),
            23 => {
                let inner = x.shape().dims().last().copied().unwrap_or(1);
                let weight = parameters.draw(&[1 + b, inner])?;
                let bias = parameters.draw(&[1 + b])?;
                x.linear(&weight, (c % 2 == 0).then_some(&bias))
            }
            24 => convolved(x, step.with, parameters),
            25 => {
                let x = images(x)?;
                let (weight, bias) = affine(&x, parameters)?;
                Ok(x.batch_norm_train(Some([&weight, &bias]), eps)?.0)
            }
            26 => {
                let size = x.shape().dims().last().copied().unwrap_or(1);
                let weight = parameters.draw(&[size])?;
                x.layer_norm(&[size], Some(&weight), None, eps)
            }
            27 => {
                let x = images(x)?;
                let channels = x.shape()[1];
                let groups = (1..=channels.max(1)).filter(|g| channels.is_multiple_of(*g));
                let groups: Vec<usize> = groups.collect();
                x.group_norm(groups[b % groups.len()], None, None, eps)
            }
            28 => images(x)?.avg_pool2d(&window(step.with)),
            29 => images(x)?.interpolate([1 + a, 1 + b], Resize::Bilinear { align_corners: c > 3 }),
            30 => x.relu(),
            31 => x.leaky_relu(a as f64 / 8.0),
            32 => x.maximum(&fitting(x, y)?),
            33 => x.minimum(&fitting(x, y)?),
            34 => x.max(&dims, c % 2 == 0),
            35 => x.min(&dims, c % 2 == 0),
            36 => x.abs(),
            37 => x.clamp(-1.0, b as f64 / 4.0),
            38 => images(x)?.max_pool2d(&window(step.with)),
            39 => images(x)?.adaptive_avg_pool2d([1 + a, 1 + b]),
            40 => images(x)?.adaptive_max_pool2d([1 + a, 1 + b]),
            41 => {
                let pad: Vec<usize> = [a, b, c, d].iter().map(|size| size % 4).collect();
                x.pad(
                    &pad[..2 * rank.min(2)],
                    if d > 3 { Padding::Reflect } else { Padding::Constant(0.5) },
                )
            }
            42 => x.var(&dims, c % 2, d % 2 == 0),
            43 => x.logsumexp(&dims, c % 2 == 0),
            44 => x.index_select(dim, &indices(x, dim, step.with)?),
            45 => transposed(x, step.with, parameters),
            46 => x.mse_loss(&fitting(x, y)?, Reduction::Mean),
            _ => {
                let rows =
                    x.reshape(&[-1, x.shape().dims().last().map_or(1, |&size| size as isize)])?;
                let targets: Vec<i64> = (0..rows.shape()[0])
                    .map(|row| ((row + a) % rows.shape()[1].max(1)) as i64)
                    .collect();
                rows.cross_entropy(&Array::from_slice(x.device(), &targets, [targets.len()])?)
            }
        }
    }
}

/// Makes the weights of layers: of their operand's type and device, another draw for each step.
struct Parameters<'a> {
    at: usize,
    like: &'a Tensor,
    make: &'a mut dyn FnMut(Array) -> Result<Tensor>,
}

impl Parameters<'_> {
    fn draw(&mut self, shape: &[usize]) -> Result<Tensor> {
        let rng = Rng::new(self.at as u64).call(shape.len() as u64);
        let count: usize = shape.iter().product();
        let values: Vec<f64> =
            (0..count as u64).map(|at| rng.below(at, 17) as f64 / 16.0 - 0.5).collect();
        let array = Array::from_f64(self.like.device(), &values, self.like.dtype(), shape)?;
        (self.make)(array)
    }
}

/// The tensor if it is broadcast to the shape of the other, else its mean.
fn fitting(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    match x.shape().broadcast(y.shape()) {
        Ok(shape) if shape.numel() <= MOST_ELEMENTS => Ok(y.clone()),
        _ => y.mean_all(),
    }
}

/// The tensor as images: the dimensions that it lacks come first, those that are too many are one.
fn images(x: &Tensor) -> Result<Tensor> {
    let mut sizes = x.shape().to_vec();
    while sizes.len() < 4 {
        sizes.insert(0, 1);
    }
    while sizes.len() > 4 {
        let first = sizes.remove(0);
        sizes[0] *= first;
    }
    x.reshape(&sizes.iter().map(|&size| size as isize).collect::<Vec<_>>())
}

fn affine(x: &Tensor, parameters: &mut Parameters<'_>) -> Result<(Tensor, Tensor)> {
    let channels = x.shape()[1];
    Ok((parameters.draw(&[channels])?, parameters.draw(&[channels])?))
}

fn window([a, b, c, d]: [usize; 4]) -> Pool2d {
    let kernel = [1 + a % 3, 1 + b % 3];
    Pool2d {
        stride: [1 + c % 3, 1 + d % 3],
        padding: [a / 4 % 2 * (kernel[0] / 2), b / 4 % 2 * (kernel[1] / 2)],
        ceil_mode: c > 3,
        count_include_pad: d > 3,
        ..Pool2d::new(kernel)
    }
}

fn convolved(
    x: &Tensor,
    [a, b, c, d]: [usize; 4],
    parameters: &mut Parameters<'_>,
) -> Result<Tensor> {
    let outputs = 1 + b % 4;
    if x.shape().rank() == 3 && a % 2 == 0 {
        let weight = parameters.draw(&[outputs, x.shape()[1], 1 + c % 3])?;
        let params = Conv1d { padding: d % 3, stride: 1 + d % 2, ..Conv1d::default() };
        return x.conv1d(&weight, None, &params)?.mul_scalar(0.25);
    }
    let x = images(x)?;
    let channels = x.shape()[1];
    let groups = if a > 5 { channels.max(1) } else { 1 };
    let weight = parameters.draw(&[outputs * groups, channels / groups, 1 + c % 3, 1 + d % 3])?;
    let bias = parameters.draw(&[outputs * groups])?;
    let params = Conv2d {
        stride: [1 + a % 2, 1 + b % 2],
        padding: [c % 3, d % 2],
        dilation: [1 + c / 4, 1 + d / 4],
        groups,
    };
    x.conv2d(&weight, (d % 2 == 0).then_some(&bias), &params)?.mul_scalar(0.25)
}

fn transposed(
    x: &Tensor,
    [a, b, c, d]: [usize; 4],
    parameters: &mut Parameters<'_>,
) -> Result<Tensor> {
    let x = images(x)?;
    let weight = parameters.draw(&[x.shape()[1], 1 + a % 3, 1 + b % 3, 1 + c % 3])?;
    let params = ConvTranspose2d { stride: [1 + d % 2, 1 + d / 4], ..ConvTranspose2d::default() };
    x.conv_transpose2d(&weight, None, &params)?.mul_scalar(0.25)
}

/// Four indices into a dimension.
fn indices(x: &Tensor, dim: isize, with: [usize; 4]) -> Result<Array> {
    let size = x.shape().dims().get(dim as usize).copied().unwrap_or(1).max(1);
    Array::from_slice(x.device(), &with.map(|index| (index % size) as i64), [4])
}
