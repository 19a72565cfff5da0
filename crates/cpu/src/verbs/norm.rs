//! Statistics of channels and batch normalisation.

use ferrotape_backend::{Array, BatchNormGrads, DType, Epilogue, Result, check};
use half::bf16;

use crate::Cpu;
use crate::kernels::columns::{Cut, column_sums, tiled};
use crate::kernels::images::Pixels;
use crate::kernels::norm::{GradApply, GradSums, Gradients, Normalise, Squares, Sums};
use crate::kernels::real::{Real, Stored};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output, stored};

/// Elements of a task.
const TASK_ELEMENTS: usize = 1 << 16;

/// See [`ferrotape_backend::Backend::channel_moments`].
pub(crate) fn channel_moments(
    cpu: &Cpu,
    x: &Array,
    mean: &mut Array,
    var: &mut Array,
) -> Result<()> {
    check::channel_moments(x, mean, var)?;
    if nothing_to_write(&[mean, var])? {
        return Ok(());
    }
    let dtype = mean.dtype();
    let stored = if dtype == DType::F64 { dtype } else { stored(x) };
    let x = input(x, stored, Form::Images)?;
    output(mean, dtype, Form::Contiguous, Before::Ignored, |mean| {
        output(var, dtype, Form::Contiguous, Before::Ignored, |var| {
            open([&*x], [&*mean, &*var], |[x], [mean, var]| match stored {
                DType::F64 => moments::<f64, f64>(cpu, x, mean, var),
                DType::BF16 => moments::<f32, bf16>(cpu, x, mean, var),
                _ => moments::<f32, f32>(cpu, x, mean, var),
            })
        })
    })
}

/// The mean first, then the mean square of what differs from it: nothing cancels.
fn moments<R: Real, S: Stored>(
    cpu: &Cpu,
    x: In<'_>,
    mut mean: Out<'_>,
    mut var: Out<'_>,
) -> Result<()> {
    let x = Pixels::<S>::new(x)?;
    let (mean, var) = (mean.span::<R>()?, var.span::<R>()?);
    let cut = Cut::new(x.rows, x.channels, x.is_dense());
    let count = R::of(x.rows as f64);
    let scale = |sums: &mut [R]| sums.iter_mut().for_each(|sum| *sum = *sum / count);
    column_sums(cpu, &cut, &Sums { x }, mean)?;
    scale(mean);
    let center = tiled(mean, &cut);
    column_sums(cpu, &cut, &Squares { x, center: &center }, var)?;
    scale(var);
    Ok(())
}

/// See [`ferrotape_backend::Backend::batch_norm_act`].
pub(crate) fn batch_norm_act(
    cpu: &Cpu,
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    epilogue: Epilogue<'_>,
    y: &mut Array,
) -> Result<()> {
    check::batch_norm_act(x, stats, affine, eps, epilogue, y)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let stored = stored(x);
    let x = input(x, stored, Form::Images)?;
    let mean = input(stats[0], dtype, Form::Contiguous)?;
    let var = input(stats[1], dtype, Form::Contiguous)?;
    let weight = input(affine.map_or(stats[0], |a| a[0]), dtype, Form::Contiguous)?;
    let bias = input(affine.map_or(stats[0], |a| a[1]), dtype, Form::Contiguous)?;
    let residual = epilogue.residual.map(|r| input(r, stored, Form::Images)).transpose()?;
    let has = Has { affine: affine.is_some(), residual: residual.is_some(), relu: epilogue.relu };
    let residual = residual.as_deref().unwrap_or(&x);
    output(y, stored, Form::Images, Before::Ignored, |y| {
        let reads = [&*x, &*mean, &*var, &*weight, &*bias, residual];
        open(reads, [&*y], |reads, [y]| match stored {
            DType::F64 => normalise::<f64, f64>(cpu, reads, has, eps, y),
            DType::BF16 => normalise::<f32, bf16>(cpu, reads, has, eps, y),
            _ => normalise::<f32, f32>(cpu, reads, has, eps, y),
        })
    })
}

/// Which of the operands that a kernel gets mean anything: another stands in an absent one's place.
#[derive(Debug, Clone, Copy)]
struct Has {
    affine: bool,
    residual: bool,
    relu: bool,
}

/// `1 / sqrt(var + eps)`, rounded once.
fn inverse_deviation<R: Real>(var: &[R], eps: f64) -> Vec<R> {
    var.iter().map(|&v| R::of(1.0 / (v.to_f64() + eps).sqrt())).collect()
}

fn normalise<R: Real, S: Stored>(
    cpu: &Cpu,
    [x, mean, var, weight, bias, residual]: [In<'_>; 6],
    has: Has,
    eps: f64,
    mut y: Out<'_>,
) -> Result<()> {
    let x = Pixels::<S>::new(x)?;
    let residual = has.residual.then(|| Pixels::<S>::new(residual)).transpose()?;
    let mean = mean.span::<R>()?;
    let mut scale = inverse_deviation(var.span::<R>()?, eps);
    let mut shift = vec![R::zero(); x.channels];
    if has.affine {
        scale.iter_mut().zip(weight.span::<R>()?).for_each(|(s, &w)| *s = *s * w);
        shift.copy_from_slice(bias.span::<R>()?);
    }
    let pitch = y.layout.pixel_pitch().unwrap_or(x.channels);
    let dense = residual.is_none_or(|r| r.is_dense()) && x.is_dense() && pitch == x.channels;
    let cut = Cut::new(x.rows, x.channels, dense);
    let [mean, scale, shift] = [mean, &scale, &shift].map(|values| tiled(values, &cut));
    let rows = (TASK_ELEMENTS / pitch.max(1)).max(1);
    let team = cpu.team_for(x.rows * x.channels);
    let least = if has.relu { R::zero() } else { R::neg_infinity() };
    for_each_part(team, &Chunks::new(y.span::<S>()?, rows * pitch), |index, y| {
        let (start, count) = (index * rows, rows.min(x.rows - index * rows));
        let parameters = [&*mean, &*scale, &*shift];
        let y = (y, pitch);
        cpu.level.run(Normalise { x, residual, start, count, parameters, least, y });
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::batch_norm_act_grad`].
pub(crate) fn batch_norm_act_grad(
    cpu: &Cpu,
    [gy, x]: [&Array; 2],
    y: Option<&Array>,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    grads: BatchNormGrads<'_>,
) -> Result<()> {
    check::batch_norm_act_grad(gy, x, y, stats, weight, eps, &grads)?;
    let BatchNormGrads { x: gx, weight: gw, bias: gb, residual } = grads;
    let mut outputs = vec![&*gx, &*gw, &*gb];
    outputs.extend(residual.as_deref());
    if nothing_to_write(&outputs)? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let stored = stored(x);
    let (gy, x) = (input(gy, stored, Form::Images)?, input(x, stored, Form::Images)?);
    let mean = input(stats[0], dtype, Form::Contiguous)?;
    let var = input(stats[1], dtype, Form::Contiguous)?;
    let y = y.map(|y| input(y, stored, Form::Images)).transpose()?;
    let has = Has { affine: weight.is_some(), residual: residual.is_some(), relu: y.is_some() };
    let weight = input(weight.unwrap_or(stats[0]), dtype, Form::Contiguous)?;
    let reads = [&*gy, &*x, y.as_deref().unwrap_or(&gy), &*mean, &*var, &*weight];
    output(gx, stored, Form::Images, Before::Ignored, |gx| {
        output(gw, dtype, Form::Contiguous, Before::Ignored, |gw| {
            output(gb, dtype, Form::Contiguous, Before::Ignored, |gb| {
                let Some(residual) = residual else {
                    return open(reads, [&*gx, &*gw, &*gb], |reads, writes| {
                        gradients_of(stored, cpu, reads, has, eps, writes, None)
                    });
                };
                output(residual, stored, Form::Images, Before::Ignored, |residual| {
                    let writes = [&*gx, &*gw, &*gb, &*residual];
                    open(reads, writes, |reads, [gx, gw, gb, residual]| {
                        let (writes, residual) = ([gx, gw, gb], Some(residual));
                        gradients_of(stored, cpu, reads, has, eps, writes, residual)
                    })
                })
            })
        })
    })
}

/// [`gradients`] of images that are stored in this type.
fn gradients_of(
    stored: DType,
    cpu: &Cpu,
    reads: [In<'_>; 6],
    has: Has,
    eps: f64,
    writes: [Out<'_>; 3],
    residual: Option<Out<'_>>,
) -> Result<()> {
    match stored {
        DType::F64 => gradients::<f64, f64>(cpu, reads, has, eps, writes, residual),
        DType::BF16 => gradients::<f32, bf16>(cpu, reads, has, eps, writes, residual),
        _ => gradients::<f32, f32>(cpu, reads, has, eps, writes, residual),
    }
}

fn gradients<R: Real, S: Stored>(
    cpu: &Cpu,
    [gy, x, y, mean, var, weight]: [In<'_>; 6],
    has: Has,
    eps: f64,
    [mut gx, mut gw, mut gb]: [Out<'_>; 3],
    mut residual: Option<Out<'_>>,
) -> Result<()> {
    let [gy, x] = [Pixels::<S>::new(gy)?, Pixels::new(x)?];
    let y = has.relu.then(|| Pixels::new(y)).transpose()?;
    let of = Gradients { gy, x, y };
    let (mean, rsigma) = (mean.span::<R>()?, inverse_deviation(var.span::<R>()?, eps));
    let pitch = gx.layout.pixel_pitch().unwrap_or(x.channels);
    let passed_pitch =
        residual.as_ref().map_or(pitch, |r| r.layout.pixel_pitch().unwrap_or(x.channels));
    let dense = [x.pitch, gy.pitch, y.map_or(x.pitch, |y| y.pitch), pitch, passed_pitch]
        .iter()
        .all(|&p| p == x.channels);
    let cut = Cut::new(x.rows, x.channels, dense);
    let center = tiled(mean, &cut);
    let mut sums = vec![R::zero(); 2 * x.channels];
    column_sums(cpu, &cut, &GradSums { of, mean: &center }, &mut sums)?;
    let (sum_gy, sum_gy_x) = sums.split_at(x.channels);
    let (gw, gb) = (gw.span::<R>()?, gb.span::<R>()?);
    gb.copy_from_slice(sum_gy);
    gw.iter_mut().zip(sum_gy_x.iter().zip(&rsigma)).for_each(|(g, (&s, &r))| *g = s * r);
    // gx = a gy + b (x - mean) + c, with a, b and c of the channel.
    let count = R::of(x.rows.max(1) as f64);
    let mut a = rsigma.clone();
    if has.affine {
        a.iter_mut().zip(weight.span::<R>()?).for_each(|(a, &w)| *a = *a * w);
    }
    let channel = |c: usize| (a[c], gw[c], gb[c], rsigma[c]);
    let b: Vec<R> = (0..x.channels)
        .map(|c| {
            let (a, gw, _, r) = channel(c);
            -a * gw * r / count
        })
        .collect();
    let shift: Vec<R> = (0..x.channels).map(|c| -channel(c).0 * channel(c).2 / count).collect();
    let [a, b, shift] = [&a, &b, &shift].map(|values| tiled(values, &cut));
    let parameters = [&*center, &*a, &*b, &*shift];
    let rows = (TASK_ELEMENTS / pitch.max(1)).max(1);
    let team = cpu.team_for(x.rows * x.channels * 2);
    let range = |index: usize| (index * rows, rows.min(x.rows - index * rows));
    let gx = Chunks::new(gx.span::<S>()?, rows * pitch);
    let Some(residual) = &mut residual else {
        return for_each_part(team, &gx, |index, gx| {
            let (start, count) = range(index);
            let (gx, passed) = ((gx, pitch), None);
            cpu.level.run(GradApply { of, start, count, parameters, gx, passed });
            Ok(())
        });
    };
    let parts = (gx, Chunks::new(residual.span::<S>()?, rows * passed_pitch));
    for_each_part(team, &parts, |index, (gx, passed)| {
        let (start, count) = range(index);
        let (gx, passed) = ((gx, pitch), Some((passed, passed_pitch)));
        cpu.level.run(GradApply { of, start, count, parameters, gx, passed });
        Ok(())
    })
}
