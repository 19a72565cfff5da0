//! Convolution of any kind by way of matrix products over tiles of pixels.

use ferrotape_backend::{Array, DType, Result};

use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::conv::columns::{Gather, Scatter};
use crate::kernels::gemm::{Matrix, MatrixMut, multiply};
use crate::kernels::real::Real;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, output};

/// Elements of a tile of windows, about: 1 MiB in f32.
const TILE_ELEMENTS: usize = 1 << 18;

/// Multiply-adds of a task, at least.
const TASK_PRODUCTS: usize = 1 << 22;

/// The most partial sums of a weight gradient, and the most elements of all of them.
const MOST_PARTIALS: usize = 32;
const MOST_PARTIAL_ELEMENTS: usize = 1 << 24;

/// The weight `[O, C / groups, KH, KW]` as `[groups, KH, KW, C / groups, O / groups]`, contiguous: a
/// matrix of taps by output channels for each group.
pub(crate) fn weight_matrix(w: &Array, groups: usize) -> Result<Array> {
    let view = by_group(w, groups)?.permute(&[0, 3, 4, 2, 1])?;
    Ok(input(&view, w.dtype(), Form::Contiguous)?.into_owned())
}

/// `[O, C / groups, KH, KW]` as `[groups, O / groups, C / groups, KH, KW]`.
fn by_group(w: &Array, groups: usize) -> Result<Array> {
    let [o, c, kh, kw] = w.shape().nchw()?;
    w.reshape([groups, o / groups, c, kh, kw])
}

/// Room for what [`weight_matrix`] gives.
pub(crate) fn empty_weight_matrix(w: &Array, dtype: DType, groups: usize) -> Result<Array> {
    let [o, c, kh, kw] = w.shape().nchw()?;
    let shape = ferrotape_backend::Shape::new(&[groups, kh, kw, c, o / groups])?;
    Array::empty(w.device(), dtype, ferrotape_backend::Layout::contiguous(shape))
}

/// Copies what [`weight_matrix`] would give for `w` into it.
pub(crate) fn store_weight_matrix(matrix: &Array, w: &mut Array) -> Result<()> {
    let [o, c, kh, kw] = w.shape().nchw()?;
    let view = matrix.permute(&[0, 4, 3, 1, 2])?;
    let groups = view.shape()[0];
    if groups == 1 {
        return w.device().clone().backend().copy(&view.reshape([o, c, kh, kw])?, w);
    }
    let dtype = w.dtype();
    output(w, dtype, Form::Contiguous, Before::Ignored, |w| {
        w.device().clone().backend().copy(&view, &mut by_group(w, groups)?)
    })
}

/// Pixels of a tile, so that their windows are about [`TILE_ELEMENTS`].
fn tile_pixels(geometry: &Geometry) -> usize {
    (TILE_ELEMENTS / geometry.taps().max(1)).clamp(64, 4096)
}

/// Output pixels of a task.
fn task_pixels(geometry: &Geometry) -> usize {
    let pixel = geometry.products() / geometry.pixels().max(1);
    (TASK_PRODUCTS / pixel.max(1)).max(64)
}

/// `y = conv(x, w) + bias`.
pub(crate) fn forward<R: Real>(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, w]: [In<'_>; 2],
    bias: Option<In<'_>>,
    mut y: Out<'_>,
) -> Result<()> {
    let (x, w) = (x.span::<R>()?, w.span::<R>()?);
    let bias = bias.map(|bias| bias.span::<R>()).transpose()?;
    let (taps, outputs, pitch) = (geometry.taps(), geometry.outputs, geometry.y_pitch);
    let pixels = geometry.pixels();
    let (chunk, tile) = (task_pixels(geometry), tile_pixels(geometry));
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &Chunks::new(y.span::<R>()?, chunk * pitch), |task, y| {
        let end = ((task + 1) * chunk).min(pixels);
        let own = !geometry.is_pointwise();
        let mut workspace = cpu.workspace::<R>(if own { tile.min(chunk) * taps } else { 0 })?;
        for start in (task * chunk..end).step_by(tile) {
            let count = tile.min(end - start);
            let y = &mut y[(start - task * chunk) * pitch..];
            for group in 0..geometry.params.groups {
                let columns = windows(cpu, geometry, group, x, start, count, &mut workspace)?;
                let w = Matrix::rows(&w[group * taps * outputs..], [taps, outputs], outputs)?;
                let y = &mut y[group * outputs..];
                if let Some(bias) = bias {
                    let bias = &bias[group * outputs..][..outputs];
                    y.chunks_mut(pitch)
                        .take(count)
                        .for_each(|y| y[..outputs].copy_from_slice(bias));
                }
                let mut y = MatrixMut::rows(y, [count, outputs], pitch)?;
                multiply(columns, w, &mut y, bias.is_some())?;
            }
        }
        Ok(())
    })
}

/// The windows of some output pixels as a matrix: the pixels themselves where a window is one.
fn windows<'a, R: Real>(
    cpu: &Cpu,
    geometry: &'a Geometry,
    group: usize,
    x: &'a [R],
    start: usize,
    count: usize,
    workspace: &'a mut crate::cpu::Workspace<R>,
) -> Result<Matrix<'a, R>> {
    let taps = geometry.taps();
    if geometry.is_pointwise() {
        let pitch = geometry.x_pitch;
        let offset = start * pitch + group * geometry.inputs;
        return Matrix::new(x, offset, [count, taps], [pitch as isize, 1]);
    }
    let columns = &mut workspace.as_mut_slice()[..count * taps];
    if taps > 0 {
        cpu.level.run(Gather { geometry, group, x, start, columns });
    }
    Matrix::rows(columns, [count, taps], taps)
}

/// `gx`, image by image: the gradients of all windows, added to the pixels that they came from.
pub(crate) fn input_grad<R: Real>(
    cpu: &Cpu,
    geometry: &Geometry,
    [gy, w]: [In<'_>; 2],
    mut gx: Out<'_>,
) -> Result<()> {
    let (gy, w) = (gy.span::<R>()?, w.span::<R>()?);
    let (taps, outputs, pitch) = (geometry.taps(), geometry.outputs, geometry.x_pitch);
    let ([h, width], [oh, ow]) = (geometry.size, geometry.out);
    let channels = geometry.inputs * geometry.params.groups;
    let (out, tile) = (oh * ow, tile_pixels(geometry));
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &Chunks::new(gx.span::<R>()?, h * width * pitch), |image, gx| {
        gx.chunks_mut(pitch).for_each(|pixel| pixel[..channels].fill(R::zero()));
        let mut workspace = cpu.workspace::<R>(tile.min(out) * taps)?;
        for start in (0..out).step_by(tile) {
            let count = tile.min(out - start);
            for group in 0..geometry.params.groups {
                let first = (image * out + start) * geometry.y_pitch + group * outputs;
                let strides = [geometry.y_pitch as isize, 1];
                let gy = Matrix::new(gy, first, [count, outputs], strides)?;
                let w = Matrix::rows(&w[group * taps * outputs..], [taps, outputs], outputs)?;
                let columns = &mut workspace.as_mut_slice()[..count * taps];
                let mut products = MatrixMut::rows(columns, [count, taps], taps)?;
                multiply(gy, w.transposed(), &mut products, false)?;
                if taps > 0 {
                    cpu.level.run(Scatter { geometry, group, gx, start, columns });
                }
            }
        }
        Ok(())
    })
}

/// `gw` as a matrix for each group, see [`weight_matrix`]: windows times gradients, summed over
/// fixed chunks of pixels first, then over the chunks in their order.
pub(crate) fn weight_grad<R: Real>(
    cpu: &Cpu,
    geometry: &Geometry,
    [x, gy]: [In<'_>; 2],
    mut gw: Out<'_>,
) -> Result<()> {
    let (x, gy) = (x.span::<R>()?, gy.span::<R>()?);
    let (taps, outputs, groups) = (geometry.taps(), geometry.outputs, geometry.params.groups);
    let gw = gw.span::<R>()?;
    gw.fill(R::zero());
    let (pixels, size) = (geometry.pixels(), gw.len());
    if pixels * size == 0 {
        return Ok(());
    }
    let partials = (geometry.products() / TASK_PRODUCTS)
        .min(MOST_PARTIALS)
        .min(MOST_PARTIAL_ELEMENTS / size)
        .max(1);
    let (chunk, tile) = (pixels.div_ceil(partials), tile_pixels(geometry));
    let partials = pixels.div_ceil(chunk);
    let mut sums = cpu.workspace::<R>(partials * size)?;
    let team = cpu.team_for(geometry.products());
    for_each_part(team, &Chunks::new(sums.as_mut_slice(), size), |task, sums| {
        let end = ((task + 1) * chunk).min(pixels);
        let own = !geometry.is_pointwise();
        let mut workspace = cpu.workspace::<R>(if own { tile.min(chunk) * taps } else { 0 })?;
        for start in (task * chunk..end).step_by(tile) {
            let count = tile.min(end - start);
            for group in 0..groups {
                let columns = windows(cpu, geometry, group, x, start, count, &mut workspace)?;
                let first = start * geometry.y_pitch + group * outputs;
                let strides = [geometry.y_pitch as isize, 1];
                let gy = Matrix::new(gy, first, [count, outputs], strides)?;
                let sums = &mut sums[group * taps * outputs..][..taps * outputs];
                let mut sums = MatrixMut::rows(sums, [taps, outputs], outputs)?;
                multiply(columns.transposed(), gy, &mut sums, start != task * chunk)?;
            }
        }
        Ok(())
    })?;
    for sums in sums.as_slice().chunks_exact(size) {
        gw.iter_mut().zip(sums).for_each(|(total, &sum)| *total += sum);
    }
    Ok(())
}
