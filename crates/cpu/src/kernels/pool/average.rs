//! Means of windows and their gradients: down the columns first, where whole rows are added, then
//! along the row.

use super::{Axis, with_channels};
use crate::kernels::dispatch::Loop;
use crate::kernels::real::Real;

/// The rows of an image, each of `len` elements of `pixels` with `pitch` elements from one to the next.
#[derive(Clone, Copy)]
struct Lines<'a, R> {
    image: &'a [R],
    pixels: usize,
    channels: usize,
    pitch: usize,
}

impl<R: Real> Lines<'_, R> {
    /// `sums += scale row`, without the gaps between pixels.
    #[inline(always)]
    fn add_to<const FMA: bool>(&self, row: usize, scale: R, sums: &mut [R]) {
        let row = &self.image[row * self.pixels * self.pitch..];
        if self.pitch == self.channels {
            for (sum, &x) in sums.iter_mut().zip(&row[..self.pixels * self.channels]) {
                *sum = R::fused::<FMA>(x, scale, *sum);
            }
            return;
        }
        for (sums, x) in sums.chunks_exact_mut(self.channels).zip(row.chunks(self.pitch)) {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = R::fused::<FMA>(x, scale, *sum);
            }
        }
    }
}

/// One row of means.
pub(crate) struct AverageRow<'a, R> {
    pub(crate) image: &'a [R],
    /// Pixels of an input row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Pixel pitches of input and output.
    pub(crate) pitches: [usize; 2],
    pub(crate) row: usize,
    pub(crate) axes: &'a [Axis; 2],
    pub(crate) y: &'a mut [R],
    /// Room for an input row without gaps.
    pub(crate) sums: &'a mut [R],
}

impl<R: Real> Loop for AverageRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [down, across] = self.axes;
        let lines = Lines {
            image: self.image,
            pixels: self.width,
            channels: self.channels,
            pitch: self.pitches[0],
        };
        let (first, rows) = down.windows[self.row];
        let scale = R::one() / R::of(down.divisors[self.row] as f64);
        self.sums.fill(R::zero());
        for row in first..first + rows {
            lines.add_to::<FMA>(row, scale, self.sums);
        }
        let (sums, pitch) = (&*self.sums, self.pitches[1]);
        with_channels!(self.channels, C => {
            means::<R, C>(across, sums, self.channels, self.y, pitch);
        });
    }
}

/// Adds up the windows of a row; `C` is the number of channels, or 0.
#[inline(always)]
fn means<R: Real, const C: usize>(
    across: &Axis,
    sums: &[R],
    channels: usize,
    y: &mut [R],
    pitch: usize,
) {
    let c = if C == 0 { channels } else { C };
    let windows = across.windows.iter().zip(&across.divisors);
    for (y, (&(first, count), &divisor)) in y.chunks_mut(pitch).zip(windows) {
        let scale = R::one() / R::of(divisor as f64);
        let (y, window) = (&mut y[..c], &sums[first * c..(first + count) * c]);
        if C > 0 {
            let mut total = [R::zero(); C];
            for pixel in window.as_chunks::<C>().0 {
                for (total, &x) in total.iter_mut().zip(pixel) {
                    *total += x;
                }
            }
            for (y, total) in y.iter_mut().zip(total) {
                *y = total * scale;
            }
            continue;
        }
        y.fill(R::zero());
        for pixel in window.chunks_exact(c) {
            for (y, &x) in y.iter_mut().zip(pixel) {
                *y += x;
            }
        }
        y.iter_mut().for_each(|y| *y = *y * scale);
    }
}

/// One row of the gradient of [`AverageRow`] in its input.
pub(crate) struct AverageGradRow<'a, R> {
    /// The gradient of the output.
    pub(crate) image: &'a [R],
    /// Pixels of an output row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Pixel pitches of the gradients of output and input.
    pub(crate) pitches: [usize; 2],
    pub(crate) row: usize,
    pub(crate) axes: &'a [Axis; 2],
    pub(crate) gx: &'a mut [R],
    /// Room for an output row without gaps.
    pub(crate) sums: &'a mut [R],
}

impl<R: Real> Loop for AverageGradRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [down, across] = self.axes;
        let lines = Lines {
            image: self.image,
            pixels: self.width,
            channels: self.channels,
            pitch: self.pitches[0],
        };
        let (first, rows) = down.covering[self.row];
        self.sums.fill(R::zero());
        for row in first..first + rows {
            let scale = R::one() / R::of(down.divisors[row] as f64);
            lines.add_to::<FMA>(row, scale, self.sums);
        }
        let (sums, pitch) = (&*self.sums, self.pitches[1]);
        with_channels!(self.channels, C => {
            shares::<R, C>(across, sums, self.channels, self.gx, pitch);
        });
    }
}

/// Hands the gradients of a row to the pixels of their windows; `C` is the number of channels, or 0.
#[inline(always)]
fn shares<R: Real, const C: usize>(
    across: &Axis,
    sums: &[R],
    channels: usize,
    gx: &mut [R],
    pitch: usize,
) {
    let c = if C == 0 { channels } else { C };
    if let (Some(kernel), true) = (across.tiles, C > 0) {
        let scale = R::one() / R::of(kernel as f64);
        for (gy, gx) in sums.as_chunks::<C>().0.iter().zip(gx.chunks_mut(kernel * pitch)) {
            let share = gy.map(|g| g * scale);
            for gx in gx.chunks_mut(pitch) {
                gx[..C].copy_from_slice(&share);
            }
        }
        return;
    }
    for (gx, &(first, count)) in gx.chunks_mut(pitch).zip(&across.covering) {
        let gx = &mut gx[..c];
        gx.fill(R::zero());
        for output in first..first + count {
            let scale = R::one() / R::of(across.divisors[output] as f64);
            for (gx, &g) in gx.iter_mut().zip(&sums[output * c..][..c]) {
                *gx += g * scale;
            }
        }
    }
}
