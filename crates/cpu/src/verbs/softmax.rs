//! Softmax and cross entropy.

use ferrotape_backend::{Array, CrossEntropy, DType, Error, Result, check};
use smallvec::SmallVec;

use crate::Cpu;
use crate::kernels::real::Real;
use crate::kernels::rows::{SoftmaxGradRows, SoftmaxRows, log_sum_exp_row};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output};

/// Elements of a task.
const TASK_ELEMENTS: usize = 1 << 14;

/// The dimensions in the order of memory, but `dim` last.
fn dim_last(array: &Array, dim: usize) -> SmallVec<[usize; 8]> {
    let strides = array.layout().strides();
    let mut order: SmallVec<[usize; 8]> = (0..strides.len()).collect();
    order.sort_by_key(|&d| (d == dim, std::cmp::Reverse(strides[d].unsigned_abs())));
    order
}

/// See [`ferrotape_backend::Backend::softmax`].
pub(crate) fn softmax(cpu: &Cpu, x: &Array, y: &mut Array, dim: usize, log: bool) -> Result<()> {
    check::softmax(x, y, dim)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let order = dim_last(y, dim);
    let row = x.shape()[dim];
    let x = x.permute(&order)?;
    let x = input(&x, dtype, Form::Contiguous)?;
    let mut y = y.permute(&order)?;
    output(&mut y, dtype, Form::Contiguous, Before::Ignored, |y| {
        open([&*x], [&*y], |[x], [y]| match dtype {
            DType::F64 => forward::<f64>(cpu, x, y, row, log),
            _ => forward::<f32>(cpu, x, y, row, log),
        })
    })
}

fn forward<R: Real>(cpu: &Cpu, x: In<'_>, mut y: Out<'_>, row: usize, log: bool) -> Result<()> {
    let (x, y) = (x.span::<R>()?, y.span::<R>()?);
    let chunk = (TASK_ELEMENTS / row.max(1)).max(1) * row;
    let team = cpu.team_for(x.len() * 16);
    for_each_part(team, &Chunks::new(y, chunk), |index, y| {
        let x = &x[index * chunk..][..y.len()];
        cpu.level.run(SoftmaxRows { x, y, row, log });
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::softmax_grad`].
pub(crate) fn softmax_grad(
    cpu: &Cpu,
    gy: &Array,
    y: &Array,
    gx: &mut Array,
    dim: usize,
    log: bool,
) -> Result<()> {
    check::softmax_grad(gy, y, gx, dim)?;
    if nothing_to_write(&[gx])? {
        return Ok(());
    }
    let dtype = y.dtype().accumulator();
    let order = dim_last(gx, dim);
    let row = y.shape()[dim];
    let (gy, y) = (gy.permute(&order)?, y.permute(&order)?);
    let (gy, y) = (input(&gy, dtype, Form::Contiguous)?, input(&y, dtype, Form::Contiguous)?);
    let mut gx = gx.permute(&order)?;
    output(&mut gx, dtype, Form::Contiguous, Before::Ignored, |gx| {
        open([&*gy, &*y], [&*gx], |[gy, y], [gx]| match dtype {
            DType::F64 => backward::<f64>(cpu, [gy, y], gx, row, log),
            _ => backward::<f32>(cpu, [gy, y], gx, row, log),
        })
    })
}

fn backward<R: Real>(
    cpu: &Cpu,
    [gy, y]: [In<'_>; 2],
    mut gx: Out<'_>,
    row: usize,
    log: bool,
) -> Result<()> {
    let (gy, y, gx) = (gy.span::<R>()?, y.span::<R>()?, gx.span::<R>()?);
    let chunk = (TASK_ELEMENTS / row.max(1)).max(1) * row;
    let team = cpu.team_for(y.len() * 8);
    for_each_part(team, &Chunks::new(gx, chunk), |index, gx| {
        let range = index * chunk..index * chunk + gx.len();
        cpu.level.run(SoftmaxGradRows { gy: &gy[range.clone()], y: &y[range], gx, row, log });
        Ok(())
    })
}

/// The class of a row; `None` where it is to be ignored.
fn target(value: i64, row: usize, classes: usize, params: &CrossEntropy) -> Result<Option<usize>> {
    if value == params.ignore_index {
        return Ok(None);
    }
    match usize::try_from(value) {
        Ok(class) if class < classes => Ok(Some(class)),
        _ => Err(Error::argument(format!(
            "cross entropy: the target of row {row} is {value}, but classes are 0 to {} and {} is \
             ignored",
            classes.saturating_sub(1),
            params.ignore_index
        ))),
    }
}

/// See [`ferrotape_backend::Backend::cross_entropy`].
pub(crate) fn cross_entropy(
    cpu: &Cpu,
    logits: &Array,
    targets: &Array,
    loss: &mut Array,
    params: &CrossEntropy,
) -> Result<()> {
    check::cross_entropy(logits, targets, loss, params)?;
    if nothing_to_write(&[loss])? {
        return Ok(());
    }
    let dtype = loss.dtype();
    let logits = input(logits, dtype, Form::Contiguous)?;
    let targets = input(targets, DType::I64, Form::Contiguous)?;
    output(loss, dtype, Form::Contiguous, Before::Ignored, |loss| {
        open([&*logits, &*targets], [&*loss], |[logits, targets], [loss]| match dtype {
            DType::F64 => losses::<f64>(cpu, logits, targets, loss, params),
            _ => losses::<f32>(cpu, logits, targets, loss, params),
        })
    })
}

fn losses<R: Real>(
    cpu: &Cpu,
    logits: In<'_>,
    targets: In<'_>,
    mut loss: Out<'_>,
    params: &CrossEntropy,
) -> Result<()> {
    let classes = logits.layout.shape()[1];
    let (logits, targets) = (logits.span::<R>()?, targets.span::<i64>()?);
    let smoothing = params.label_smoothing;
    let group = (TASK_ELEMENTS / classes.max(1)).max(1);
    let team = cpu.team_for(logits.len() * 16);
    for_each_part(team, &Chunks::new(loss.span::<R>()?, group), |index, losses| {
        for (i, loss) in losses.iter_mut().enumerate() {
            let n = index * group + i;
            *loss = R::zero();
            let Some(class) = target(targets[n], n, classes, params)? else { continue };
            let row = &logits[n * classes..][..classes];
            let [shift, rest] = log_sum_exp_row(cpu.level, row);
            // Logits are subtracted from the largest before anything small is added.
            *loss = R::of(1.0 - smoothing) * ((shift - row[class]) + rest);
            if smoothing > 0.0 {
                let sum: R = row.iter().map(|&x| (shift - x) + rest).sum();
                *loss += R::of(smoothing / classes as f64) * sum;
            }
        }
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::cross_entropy_grad`].
pub(crate) fn cross_entropy_grad(
    cpu: &Cpu,
    gloss: &Array,
    logits: &Array,
    targets: &Array,
    gx: &mut Array,
    params: &CrossEntropy,
) -> Result<()> {
    check::cross_entropy_grad(gloss, logits, targets, gx, params)?;
    if nothing_to_write(&[gx])? {
        return Ok(());
    }
    let dtype = gloss.dtype();
    let gloss = input(gloss, dtype, Form::Contiguous)?;
    let logits = input(logits, dtype, Form::Contiguous)?;
    let targets = input(targets, DType::I64, Form::Contiguous)?;
    output(gx, dtype, Form::Contiguous, Before::Ignored, |gx| {
        let reads = [&*gloss, &*logits, &*targets];
        open(reads, [&*gx], |reads, [gx]| match dtype {
            DType::F64 => gradients::<f64>(cpu, reads, gx, params),
            _ => gradients::<f32>(cpu, reads, gx, params),
        })
    })
}

fn gradients<R: Real>(
    cpu: &Cpu,
    [gloss, logits, targets]: [In<'_>; 3],
    mut gx: Out<'_>,
    params: &CrossEntropy,
) -> Result<()> {
    let classes = logits.layout.shape()[1];
    let (gloss, targets) = (gloss.span::<R>()?, targets.span::<i64>()?);
    let logits = logits.span::<R>()?;
    let share = R::of(params.label_smoothing / classes as f64);
    let hit = R::of(1.0 - params.label_smoothing);
    let group = (TASK_ELEMENTS / classes).max(1);
    let team = cpu.team_for(logits.len() * 16);
    for_each_part(team, &Chunks::new(gx.span::<R>()?, group * classes), |index, gx| {
        let start = index * group;
        let x = &logits[start * classes..][..gx.len()];
        cpu.level.run(SoftmaxRows { x, y: gx, row: classes, log: false });
        for (i, row) in gx.chunks_exact_mut(classes).enumerate() {
            let n = start + i;
            let Some(class) = target(targets[n], n, classes, params)? else {
                row.fill(R::zero());
                continue;
            };
            row[class] = row[class] - hit;
            row.iter_mut().for_each(|g| *g = (*g - share) * gloss[n]);
        }
        Ok(())
    })
}
