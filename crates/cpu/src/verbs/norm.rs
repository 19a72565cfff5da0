//! Statistics of channels and batch normalisation.

use ferrotape_backend::{Array, DType, Result, check};

use crate::Cpu;
use crate::kernels::columns::{Cut, RowLoop, column_sums, tiled};
use crate::kernels::dispatch::Loop;
use crate::kernels::images::Pixels;
use crate::kernels::real::Real;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output};

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
    let x = input(x, dtype, Form::Images)?;
    output(mean, dtype, Form::Contiguous, Before::Ignored, |mean| {
        output(var, dtype, Form::Contiguous, Before::Ignored, |var| {
            open([&*x], [&*mean, &*var], |[x], [mean, var]| match dtype {
                DType::F64 => moments::<f64>(cpu, x, mean, var),
                _ => moments::<f32>(cpu, x, mean, var),
            })
        })
    })
}

/// The mean first, then the mean square of what differs from it: nothing cancels.
fn moments<R: Real>(cpu: &Cpu, x: In<'_>, mut mean: Out<'_>, mut var: Out<'_>) -> Result<()> {
    let x = Pixels::<R>::new(x)?;
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

struct Sums<'a, R> {
    x: Pixels<'a, R>,
}

impl<R: Real> RowLoop<R> for Sums<'_, R> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        self.x.for_rows(start, count, sums.len(), |x| {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        });
    }
}

struct Squares<'a, R> {
    x: Pixels<'a, R>,
    center: &'a [R],
}

impl<R: Real> RowLoop<R> for Squares<'_, R> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        self.x.for_rows(start, count, sums.len(), |x| {
            for (sum, (&x, &center)) in sums.iter_mut().zip(x.iter().zip(self.center)) {
                let d = x - center;
                *sum = R::fused::<FMA>(d, d, *sum);
            }
        });
    }
}

/// See [`ferrotape_backend::Backend::batch_norm`].
pub(crate) fn batch_norm(
    cpu: &Cpu,
    x: &Array,
    stats: [&Array; 2],
    affine: Option<[&Array; 2]>,
    eps: f64,
    y: &mut Array,
) -> Result<()> {
    check::batch_norm(x, stats, affine, eps, y)?;
    if nothing_to_write(&[y])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let x = input(x, dtype, Form::Images)?;
    let mean = input(stats[0], dtype, Form::Contiguous)?;
    let var = input(stats[1], dtype, Form::Contiguous)?;
    let weight = input(affine.map_or(stats[0], |a| a[0]), dtype, Form::Contiguous)?;
    let bias = input(affine.map_or(stats[0], |a| a[1]), dtype, Form::Contiguous)?;
    let is_affine = affine.is_some();
    output(y, dtype, Form::Images, Before::Ignored, |y| {
        let reads = [&*x, &*mean, &*var, &*weight, &*bias];
        open(reads, [&*y], |reads, [y]| match dtype {
            DType::F64 => normalise::<f64>(cpu, reads, is_affine, eps, y),
            _ => normalise::<f32>(cpu, reads, is_affine, eps, y),
        })
    })
}

/// `1 / sqrt(var + eps)`, rounded once.
fn inverse_deviation<R: Real>(var: &[R], eps: f64) -> Vec<R> {
    var.iter().map(|&v| R::of(1.0 / (v.to_f64() + eps).sqrt())).collect()
}

fn normalise<R: Real>(
    cpu: &Cpu,
    [x, mean, var, weight, bias]: [In<'_>; 5],
    affine: bool,
    eps: f64,
    mut y: Out<'_>,
) -> Result<()> {
    let x = Pixels::<R>::new(x)?;
    let mean = mean.span::<R>()?;
    let mut scale = inverse_deviation(var.span::<R>()?, eps);
    let mut shift = vec![R::zero(); x.channels];
    if affine {
        scale.iter_mut().zip(weight.span::<R>()?).for_each(|(s, &w)| *s = *s * w);
        shift.copy_from_slice(bias.span::<R>()?);
    }
    let pitch = y.layout.pixel_pitch().unwrap_or(x.channels);
    let cut = Cut::new(x.rows, x.channels, x.is_dense() && pitch == x.channels);
    let [mean, scale, shift] = [mean, &scale, &shift].map(|values| tiled(values, &cut));
    let rows = (TASK_ELEMENTS / pitch.max(1)).max(1);
    let team = cpu.team_for(x.rows * x.channels);
    for_each_part(team, &Chunks::new(y.span::<R>()?, rows * pitch), |index, y| {
        let count = rows.min(x.rows - index * rows);
        let parameters = [&*mean, &*scale, &*shift];
        cpu.level.run(Normalise { x, start: index * rows, count, parameters, y, pitch });
        Ok(())
    })
}

struct Normalise<'a, R> {
    x: Pixels<'a, R>,
    start: usize,
    count: usize,
    /// Mean, scale and shift.
    parameters: [&'a [R]; 3],
    y: &'a mut [R],
    pitch: usize,
}

impl<R: Real> Loop for Normalise<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [mean, scale, shift] = self.parameters;
        let step = if self.pitch == self.x.channels { mean.len() } else { self.pitch };
        let mut y = self.y.chunks_mut(step.max(1));
        self.x.for_rows(self.start, self.count, mean.len(), |x| {
            let Some(y) = y.next() else { return };
            let parameters = mean.iter().zip(scale).zip(shift);
            for ((y, &x), ((&mean, &scale), &shift)) in y.iter_mut().zip(x).zip(parameters) {
                *y = R::fused::<FMA>(x - mean, scale, shift);
            }
        });
    }
}

/// See [`ferrotape_backend::Backend::batch_norm_grad`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn batch_norm_grad(
    cpu: &Cpu,
    gy: &Array,
    x: &Array,
    stats: [&Array; 2],
    weight: Option<&Array>,
    eps: f64,
    gx: &mut Array,
    gw: &mut Array,
    gb: &mut Array,
) -> Result<()> {
    check::batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)?;
    if nothing_to_write(&[gx, gw, gb])? {
        return Ok(());
    }
    let dtype = x.dtype().accumulator();
    let (gy, x) = (input(gy, dtype, Form::Images)?, input(x, dtype, Form::Images)?);
    let mean = input(stats[0], dtype, Form::Contiguous)?;
    let var = input(stats[1], dtype, Form::Contiguous)?;
    let has_weight = weight.is_some();
    let weight = input(weight.unwrap_or(stats[0]), dtype, Form::Contiguous)?;
    let reads = [&*gy, &*x, &*mean, &*var, &*weight];
    output(gx, dtype, Form::Images, Before::Ignored, |gx| {
        output(gw, dtype, Form::Contiguous, Before::Ignored, |gw| {
            output(gb, dtype, Form::Contiguous, Before::Ignored, |gb| {
                open(reads, [&*gx, &*gw, &*gb], |reads, writes| match dtype {
                    DType::F64 => gradients::<f64>(cpu, reads, has_weight, eps, writes),
                    _ => gradients::<f32>(cpu, reads, has_weight, eps, writes),
                })
            })
        })
    })
}

fn gradients<R: Real>(
    cpu: &Cpu,
    [gy, x, mean, var, weight]: [In<'_>; 5],
    has_weight: bool,
    eps: f64,
    [mut gx, mut gw, mut gb]: [Out<'_>; 3],
) -> Result<()> {
    let (gy, x) = (Pixels::<R>::new(gy)?, Pixels::<R>::new(x)?);
    let (mean, rsigma) = (mean.span::<R>()?, inverse_deviation(var.span::<R>()?, eps));
    let pitch = gx.layout.pixel_pitch().unwrap_or(x.channels);
    let dense = x.is_dense() && gy.is_dense() && pitch == x.channels;
    let cut = Cut::new(x.rows, x.channels, dense);
    let center = tiled(mean, &cut);
    let mut sums = vec![R::zero(); 2 * x.channels];
    column_sums(cpu, &cut, &GradSums { gy, x, center: &center }, &mut sums)?;
    let (sum_gy, sum_gy_x) = sums.split_at(x.channels);
    let (gw, gb) = (gw.span::<R>()?, gb.span::<R>()?);
    gb.copy_from_slice(sum_gy);
    gw.iter_mut().zip(sum_gy_x.iter().zip(&rsigma)).for_each(|(g, (&s, &r))| *g = s * r);
    // gx = a gy + b (x - mean) + c, with a, b and c of the channel.
    let count = R::of(x.rows.max(1) as f64);
    let mut a = rsigma.clone();
    if has_weight {
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
    let rows = (TASK_ELEMENTS / pitch.max(1)).max(1);
    let team = cpu.team_for(x.rows * x.channels * 2);
    for_each_part(team, &Chunks::new(gx.span::<R>()?, rows * pitch), |index, gx| {
        let (start, count) = (index * rows, rows.min(x.rows - index * rows));
        let parameters = [&*center, &*a, &*b, &*shift];
        cpu.level.run(GradApply { gy, x, start, count, parameters, gx, pitch });
        Ok(())
    })
}

struct GradSums<'a, R> {
    gy: Pixels<'a, R>,
    x: Pixels<'a, R>,
    center: &'a [R],
}

impl<R: Real> RowLoop<R> for GradSums<'_, R> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        let wide = self.center.len();
        let (sum_gy, sum_gy_x) = sums.split_at_mut(wide);
        Pixels::for_row_pairs(self.gy, self.x, start, count, wide, |gy, x| {
            let sums = sum_gy.iter_mut().zip(&mut *sum_gy_x);
            let values = gy.iter().zip(x).zip(self.center);
            for ((sum_gy, sum_gy_x), ((&gy, &x), &center)) in sums.zip(values) {
                *sum_gy += gy;
                *sum_gy_x = R::fused::<FMA>(gy, x - center, *sum_gy_x);
            }
        });
    }
}

struct GradApply<'a, R> {
    gy: Pixels<'a, R>,
    x: Pixels<'a, R>,
    start: usize,
    count: usize,
    /// Mean, and the factors of gy, of x - mean, and of nothing.
    parameters: [&'a [R]; 4],
    gx: &'a mut [R],
    pitch: usize,
}

impl<R: Real> Loop for GradApply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [mean, a, b, c] = self.parameters;
        let step = if self.pitch == self.x.channels { mean.len() } else { self.pitch };
        let mut gx = self.gx.chunks_mut(step.max(1));
        Pixels::for_row_pairs(self.gy, self.x, self.start, self.count, mean.len(), |gy, x| {
            let Some(gx) = gx.next() else { return };
            let parameters = mean.iter().zip(a).zip(b.iter().zip(c));
            let values = gy.iter().zip(x).zip(parameters);
            for (gx, ((&gy, &x), ((&mean, &a), (&b, &c)))) in gx.iter_mut().zip(values) {
                *gx = R::fused::<FMA>(a, gy, R::fused::<FMA>(b, x - mean, c));
            }
        });
    }
}
