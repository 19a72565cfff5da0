//! Pooling, forward and backward, over channels-last images.

use ferrotape_backend::check::PoolShapes;
use ferrotape_backend::{Array, DType, Element, Error, Pool2d, Result, check};
use half::bf16;

use crate::Cpu;
use crate::kernels::dispatch::Loop;
use crate::kernels::pool::{AverageGradRow, AverageRow, Axis, MaxGradRow, MaxRow};
use crate::kernels::real::{Real, Stored};
use crate::kernels::simd::{InMemory, LANES};
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output, stored};

/// Elements of a task.
const TASK_ELEMENTS: usize = 1 << 15;

/// Elements from one pixel of an operand to the next; its format was seen to.
fn pitch(layout: &ferrotape_backend::Layout) -> usize {
    layout.pixel_pitch().unwrap_or(0)
}

/// Rows of pixels that make up a task.
fn rows_per_task(row: usize) -> usize {
    (TASK_ELEMENTS / row.max(1)).max(1)
}

fn axes(shapes: &PoolShapes, params: &Pool2d) -> [Axis; 2] {
    let axis = |i: usize| Axis::new(params, i, shapes.x[2 + i], shapes.y[2 + i]);
    [axis(0), axis(1)]
}

/// See [`ferrotape_backend::Backend::max_pool2d`].
pub(crate) fn max_pool2d(
    cpu: &Cpu,
    x: &Array,
    y: &mut Array,
    index: &mut Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::max_pool2d(x, y, index, params)?;
    if nothing_to_write(&[y, index])? {
        return Ok(());
    }
    let dtype = compared(x, &shapes);
    let x = input(x, dtype, Form::Images)?;
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        output(index, DType::I64, Form::Images, Before::Ignored, |index| {
            open([&*x], [&*y, &*index], |[x], [y, index]| {
                all_largest(cpu, x, y, Some(index), shapes, params)
            })
        })
    })
}

/// See [`ferrotape_backend::Backend::max_pool2d_values`].
pub(crate) fn max_pool2d_values(
    cpu: &Cpu,
    x: &Array,
    y: &mut Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::max_pool2d_values(x, y, params)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = compared(x, &shapes);
    let x = input(x, dtype, Form::Images)?;
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        open([&*x], [&*y], |[x], [y]| all_largest(cpu, x, y, None, shapes, params))
    })
}

/// What the images are compared in: as they are stored, or in f64 where a vector of f32 cannot hold positions.
fn compared(x: &Array, shapes: &PoolShapes) -> DType {
    match u32::try_from(shapes.x[2].saturating_mul(shapes.x[3])) {
        Ok(_) => stored(x),
        Err(_) => DType::F64,
    }
}

fn all_largest(
    cpu: &Cpu,
    x: In<'_>,
    y: Out<'_>,
    index: Option<Out<'_>>,
    shapes: PoolShapes,
    params: &Pool2d,
) -> Result<()> {
    match x.dtype {
        DType::F64 => largest::<f64>(cpu, x, y, index, shapes, params, |row| cpu.level.run(row)),
        DType::BF16 => {
            largest::<bf16>(cpu, x, y, index, shapes, params, |row| cpu.level.run_kernel(row))
        }
        _ => largest::<f32>(cpu, x, y, index, shapes, params, |row| cpu.level.run_kernel(row)),
    }
}

fn largest<T: Element>(
    cpu: &Cpu,
    x: In<'_>,
    mut y: Out<'_>,
    mut index: Option<Out<'_>>,
    shapes: PoolShapes,
    params: &Pool2d,
    pool: impl Fn(MaxRow<'_, T>) + Sync,
) -> Result<()> {
    let [_, c, h, w] = shapes.x;
    let [n, _, oh, ow] = shapes.y;
    let axes = &axes(&shapes, params);
    let index_pitch = index.as_ref().map_or(0, |index| pitch(index.layout));
    let pitches = [pitch(x.layout), pitch(y.layout), index_pitch];
    let data = x.span::<T>()?;
    let rows = rows_per_task(ow * c);
    let count = (n * oh).div_ceil(rows);
    let values = Chunks::exactly(y.span::<T>()?, rows * ow * pitches[1], count);
    let positions = match &mut index {
        Some(index) => index.span::<i64>()?,
        None => &mut [],
    };
    let positions = Chunks::exactly(positions, rows * ow * pitches[2], count);
    let team = cpu.team_for(work(&shapes, params));
    for_each_part(team, &(values, positions), |task, (y, index)| {
        let mut index = (index_pitch > 0).then(|| index.chunks_mut(ow * index_pitch));
        for (i, y) in y.chunks_mut(ow * pitches[1]).enumerate() {
            let index = index.as_mut().and_then(Iterator::next);
            let row = task * rows + i;
            let image = &data[row / oh * h * w * pitches[0]..];
            let (row, width, channels) = (row % oh, w, c);
            pool(MaxRow { image, width, channels, pitches, row, axes, y, index });
        }
        Ok(())
    })
}

/// Elements that all windows read. A window may be far larger than the image: it saturates.
fn work(shapes: &PoolShapes, params: &Pool2d) -> usize {
    let window = params.kernel[0].saturating_mul(params.kernel[1]);
    shapes.y.iter().product::<usize>().saturating_mul(window)
}

/// See [`ferrotape_backend::Backend::avg_pool2d`].
pub(crate) fn avg_pool2d(cpu: &Cpu, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
    let shapes = check::avg_pool2d(x, y, params)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let x = input(x, dtype, Form::Images)?;
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        open([&*x], [&*y], |[x], [y]| match dtype {
            DType::F64 => average::<f64>(cpu, x, y, shapes, params),
            _ => average::<f32>(cpu, x, y, shapes, params),
        })
    })
}

fn average<R: Real>(
    cpu: &Cpu,
    x: In<'_>,
    mut y: Out<'_>,
    shapes: PoolShapes,
    params: &Pool2d,
) -> Result<()> {
    let [_, c, h, w] = shapes.x;
    let [_, _, oh, ow] = shapes.y;
    let axes = &axes(&shapes, params);
    let pitches = [pitch(x.layout), pitch(y.layout)];
    let data = x.span::<R>()?;
    let rows = rows_per_task(ow * c);
    let team = cpu.team_for(work(&shapes, params));
    for_each_part(team, &Chunks::new(y.span::<R>()?, rows * ow * pitches[1]), |task, y| {
        let mut sums = cpu.workspace::<R>(w * c)?;
        let (width, channels) = (w, c);
        for (i, y) in y.chunks_mut(ow * pitches[1]).enumerate() {
            let row = task * rows + i;
            let image = &data[row / oh * h * w * pitches[0]..];
            let (row, sums) = (row % oh, sums.as_mut_slice());
            cpu.level.run(AverageRow { image, width, channels, pitches, row, axes, y, sums });
        }
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::avg_pool2d_grad`].
pub(crate) fn avg_pool2d_grad(
    cpu: &Cpu,
    gy: &Array,
    gx: &mut Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::avg_pool2d_grad(gy, gx, params)?;
    if nothing_to_write(&[gx])? {
        return Ok(());
    }
    let dtype = gy.dtype().accumulator();
    let gy = input(gy, dtype, Form::Images)?;
    output(gx, dtype, Form::Images, Before::Ignored, |gx| {
        open([&*gy], [&*gx], |[gy], [gx]| match dtype {
            DType::F64 => average_grad::<f64>(cpu, gy, gx, shapes, params),
            _ => average_grad::<f32>(cpu, gy, gx, shapes, params),
        })
    })
}

fn average_grad<R: Real>(
    cpu: &Cpu,
    gy: In<'_>,
    mut gx: Out<'_>,
    shapes: PoolShapes,
    params: &Pool2d,
) -> Result<()> {
    let [n, c, h, w] = shapes.x;
    let [_, _, oh, ow] = shapes.y;
    let axes = &axes(&shapes, params);
    let pitches = [pitch(gy.layout), pitch(gx.layout)];
    let data = gy.span::<R>()?;
    let dense = pitches[1] == c;
    let rows = rows_per_task(w * c);
    let team = cpu.team_for(n * c * h * w);
    for_each_part(team, &Chunks::new(gx.span::<R>()?, rows * w * pitches[1]), |task, gx| {
        let mut sums = cpu.workspace::<R>(ow * c)?;
        let (width, channels) = (ow, c);
        let rows_of = |row: usize| (row / h, axes[0].covering[row % h]);
        let lines = gx.chunks_mut(w * pitches[1]).enumerate();
        let mut previous: Option<(usize, &mut [R])> = None;
        for (i, gx) in lines {
            let row = task * rows + i;
            match &previous {
                // Rows under the same windows are alike.
                Some((before, line))
                    if rows_of(*before) == rows_of(row) && line.len() == gx.len() && dense =>
                {
                    gx.copy_from_slice(line);
                }
                _ => {
                    let image = &data[row / h * oh * ow * pitches[0]..];
                    let (row, sums, gx) = (row % h, sums.as_mut_slice(), &mut *gx);
                    let kernel =
                        AverageGradRow { image, width, channels, pitches, row, axes, gx, sums };
                    cpu.level.run(kernel);
                }
            }
            previous = Some((row, gx));
        }
        Ok(())
    })
}

/// See [`ferrotape_backend::Backend::max_pool2d_grad`].
pub(crate) fn max_pool2d_grad(cpu: &Cpu, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
    let shapes = check::max_pool2d_grad(gy, index, gx)?;
    scatter(cpu, gy, index, gx, shapes, None)
}

/// See [`ferrotape_backend::Backend::max_pool2d_window_grad`].
pub(crate) fn max_pool2d_window_grad(
    cpu: &Cpu,
    gy: &Array,
    index: &Array,
    gx: &mut Array,
    params: &Pool2d,
) -> Result<()> {
    let shapes = check::max_pool2d_window_grad(gy, index, gx, params)?;
    scatter(cpu, gy, index, gx, shapes, Some(axes(&shapes, params)))
}

/// Adds gradients at their indices, which lie in the windows of these axes, if there are any.
fn scatter(
    cpu: &Cpu,
    gy: &Array,
    index: &Array,
    gx: &mut Array,
    shapes: PoolShapes,
    axes: Option<[Axis; 2]>,
) -> Result<()> {
    if nothing_to_write(&[gx])? {
        return Ok(());
    }
    let dtype = stored(gy);
    // Each pixel of a window is compared, a vector of channels at a time: in a window of more pixels than a vector
    // has lanes that is more work than to add one gradient after the other.
    let axes = axes.as_ref().filter(|axes| {
        let largest = |axis: &Axis| axis.windows.iter().map(|window| window.1).max().unwrap_or(0);
        compared(gy, &shapes) != DType::F64 && largest(&axes[0]) * largest(&axes[1]) <= LANES
    });
    let gy = input(gy, dtype, Form::Images)?;
    let index = input(index, DType::I64, Form::Images)?;
    output(gx, dtype, Form::Images, Before::Ignored, |gx| {
        open([&*gy, &*index], [&*gx], |[gy, index], [gx]| match (dtype, axes) {
            (DType::F64, _) => unpool::<f64, f64>(cpu, gy, index, gx, shapes, one_by_one),
            (DType::BF16, None) => unpool::<f32, bf16>(cpu, gy, index, gx, shapes, one_by_one),
            (_, None) => unpool::<f32, f32>(cpu, gy, index, gx, shapes, one_by_one),
            (DType::BF16, Some(axes)) => {
                unpool::<f32, bf16>(cpu, gy, index, gx, shapes, |image, sums| {
                    in_windows(cpu, image, axes, sums)
                })
            }
            (_, Some(axes)) => unpool::<f32, f32>(cpu, gy, index, gx, shapes, |image, sums| {
                in_windows(cpu, image, axes, sums)
            }),
        })
    })
}

/// The gradients of an image's outputs, and where each goes.
struct Pooled<'a, S> {
    gy: &'a [S],
    index: &'a [i64],
    /// Elements from one pixel to the next of each.
    pitches: [usize; 2],
    shapes: PoolShapes,
}

impl<S> Pooled<'_, S> {
    /// Looks whether positions lie in the plane, so that the loops that add have nothing to give up for.
    fn check(&self, pixels: std::ops::Range<usize>) -> Result<()> {
        let [_, c, h, w] = self.shapes.x;
        for index in self.index.chunks(self.pitches[1]).skip(pixels.start).take(pixels.len()) {
            if !index[..c].iter().all(|&position| (position as u64) < (h * w) as u64) {
                index[..c].iter().try_for_each(|&p| in_plane(p, h * w).map(|_| ()))?;
            }
        }
        Ok(())
    }
}

/// Each gradient where its index says.
fn one_by_one<R: Real, S: Stored>(image: &Pooled<'_, S>, sums: &mut [R]) -> Result<()> {
    let c = image.shapes.x[1];
    let pixels = image.gy.chunks(image.pitches[0]).zip(image.index.chunks(image.pitches[1]));
    for (pixel, (gy, index)) in pixels.enumerate() {
        image.check(pixel..pixel + 1)?;
        for (channel, (&g, &position)) in gy[..c].iter().zip(index).enumerate() {
            sums[position as usize * c + channel] += R::load(g);
        }
    }
    Ok(())
}

/// Window by window.
fn in_windows<S: InMemory>(
    cpu: &Cpu,
    image: &Pooled<'_, S>,
    axes: &[Axis; 2],
    sums: &mut [f32],
) -> Result<()> {
    let Pooled { gy, index, pitches, shapes } = *image;
    let ([_, channels, _, width], [_, _, oh, ow]) = (shapes.x, shapes.y);
    for row in 0..oh {
        image.check(row * ow..(row + 1) * ow)?;
        let (gy, index) = (&gy[row * ow * pitches[0]..], &index[row * ow * pitches[1]..]);
        let sums = &mut *sums;
        cpu.level.run_kernel(MaxGradRow { gy, index, pitches, width, channels, row, axes, sums });
    }
    Ok(())
}

/// Sums are `R`, to which `add` adds the gradients of an image.
fn unpool<R: Real, S: Stored>(
    cpu: &Cpu,
    gy: In<'_>,
    index: In<'_>,
    mut gx: Out<'_>,
    shapes: PoolShapes,
    add: impl Fn(&Pooled<'_, S>, &mut [R]) -> Result<()> + Sync,
) -> Result<()> {
    let [n, c, h, w] = shapes.x;
    let out = shapes.y[2] * shapes.y[3];
    // One at the least: images of gradients may be empty.
    let pitches = [gy.layout, index.layout].map(|layout| pitch(layout).max(1));
    let pitch = pitch(gx.layout);
    let (gy, index) = (gy.span::<S>()?, index.span::<i64>()?);
    if h * w == 0 {
        return match index.first() {
            Some(&position) => in_plane(position, 0).map(|_| ()),
            None => Ok(()),
        };
    }
    let team = cpu.team_for(n * c * (h * w + out));
    for_each_part(team, &Chunks::new(gx.span::<S>()?, h * w * pitch), |image, gx| {
        // The last image may end before its last pixel's pitch.
        let part = |pitch: usize, len: usize| {
            let start = image * out * pitch;
            start..len.min(start + out * pitch)
        };
        let gy = &gy[part(pitches[0], gy.len())];
        let index = &index[part(pitches[1], index.len())];
        let pooled = Pooled { gy, index, pitches, shapes };
        if pitch == c
            && let Some(sums) = R::same_mut(gx)
        {
            sums.fill(R::zero());
            return add(&pooled, sums);
        }
        let mut sums = cpu.workspace::<R>(h * w * c)?;
        let sums = sums.as_mut_slice();
        sums.fill(R::zero());
        add(&pooled, sums)?;
        cpu.level.run(StoreRows { sums, channels: c, rows: gx, pitch });
        Ok(())
    })
}

/// Sums as rows of what an array holds.
struct StoreRows<'a, R, S> {
    sums: &'a [R],
    channels: usize,
    rows: &'a mut [S],
    /// Elements from one row to the next.
    pitch: usize,
}

impl<R: Real, S: Stored> Loop for StoreRows<'_, R, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let rows = self.rows.chunks_mut(self.pitch.max(1));
        for (row, sums) in rows.zip(self.sums.chunks_exact(self.channels.max(1))) {
            for (to, &sum) in row.iter_mut().zip(sums) {
                *to = sum.store();
            }
        }
    }
}

fn in_plane(position: i64, size: usize) -> Result<usize> {
    usize::try_from(position).ok().filter(|&p| p < size).ok_or_else(|| {
        Error::argument(format!(
            "an index of a pooling is {position}, but a plane has {size} elements"
        ))
    })
}

/// See [`ferrotape_backend::Backend::max_pool2d_pick`].
pub(crate) fn max_pool2d_pick(cpu: &Cpu, x: &Array, index: &Array, y: &mut Array) -> Result<()> {
    let shapes = check::max_pool2d_pick(x, index, y)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let x = input(x, dtype, Form::Images)?;
    let index = input(index, DType::I64, Form::Images)?;
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        open([&*x, &*index], [&*y], |[x, index], [y]| match dtype {
            DType::F64 => pick::<f64>(cpu, x, index, y, shapes),
            _ => pick::<f32>(cpu, x, index, y, shapes),
        })
    })
}

fn pick<R: Real>(
    cpu: &Cpu,
    x: In<'_>,
    index: In<'_>,
    mut y: Out<'_>,
    shapes: PoolShapes,
) -> Result<()> {
    let [n, c, h, w] = shapes.x;
    let out = shapes.y[2] * shapes.y[3];
    let pitches = [pitch(x.layout), pitch(index.layout), pitch(y.layout)];
    let (x, index) = (x.span::<R>()?, index.span::<i64>()?);
    let team = cpu.team_for(n * c * out);
    for_each_part(team, &Chunks::new(y.span::<R>()?, out * pitches[2]), |image, y| {
        for (pixel, y) in y.chunks_mut(pitches[2]).enumerate() {
            let index = &index[(image * out + pixel) * pitches[1]..][..c];
            for (channel, (y, &position)) in y.iter_mut().zip(index).enumerate() {
                let position = image * h * w + in_plane(position, h * w)?;
                *y = x[position * pitches[0] + channel];
            }
        }
        Ok(())
    })
}
