//! Rows of pooled pixels, channels-last: loops over the window outside, over the channels inside.

use ferrotape_backend::Pool2d;

use super::dispatch::Loop;
use super::real::Real;

/// The input positions of output `index` along an axis.
#[inline(always)]
fn window(params: &Pool2d, axis: usize, index: usize, size: usize) -> impl Iterator<Item = usize> {
    let (start, padding) = (index * params.stride[axis], params.padding[axis]);
    let (kernel, dilation) = (params.kernel[axis], params.dilation[axis]);
    (0..kernel)
        .map(move |k| start + k * dilation)
        .filter(move |&at| at >= padding && at < size + padding)
        .map(move |at| at - padding)
}

/// One row of the largest elements and their positions.
pub(crate) struct MaxRow<'a, R> {
    pub(crate) image: &'a [R],
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    /// Pixel pitches of input, output and index.
    pub(crate) pitches: [usize; 3],
    pub(crate) row: usize,
    pub(crate) y: &'a mut [R],
    pub(crate) index: &'a mut [i64],
    pub(crate) params: &'a Pool2d,
}

impl<R: Real> Loop for MaxRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ([h, w], c) = (self.size, self.channels);
        let pixels = self.y.chunks_mut(self.pitches[1]).zip(self.index.chunks_mut(self.pitches[2]));
        for (column, (y, index)) in pixels.enumerate() {
            let (y, index) = (&mut y[..c], &mut index[..c]);
            let mut first = true;
            for i in window(self.params, 0, self.row, h) {
                for j in window(self.params, 1, column, w) {
                    let position = i * w + j;
                    let x = &self.image[position * self.pitches[0]..][..c];
                    if first {
                        y.copy_from_slice(x);
                        index.fill(position as i64);
                        first = false;
                        continue;
                    }
                    for ((y, index), &x) in y.iter_mut().zip(&mut *index).zip(x) {
                        let wins = x > *y || (x.is_nan() && !y.is_nan());
                        *y = if wins { x } else { *y };
                        *index = if wins { position as i64 } else { *index };
                    }
                }
            }
        }
    }
}

/// One row of means.
pub(crate) struct AverageRow<'a, R> {
    pub(crate) image: &'a [R],
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    /// Pixel pitches of input and output.
    pub(crate) pitches: [usize; 2],
    pub(crate) row: usize,
    pub(crate) y: &'a mut [R],
    pub(crate) params: &'a Pool2d,
}

impl<R: Real> Loop for AverageRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ([h, w], c, params) = (self.size, self.channels, self.params);
        let down = params.divisor(0, self.row, h);
        for (column, y) in self.y.chunks_mut(self.pitches[1]).enumerate() {
            let y = &mut y[..c];
            y.fill(R::zero());
            for i in window(params, 0, self.row, h) {
                for j in window(params, 1, column, w) {
                    let x = &self.image[(i * w + j) * self.pitches[0]..][..c];
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y += x;
                    }
                }
            }
            let scale = R::one() / R::of((down * params.divisor(1, column, w)) as f64);
            y.iter_mut().for_each(|y| *y = *y * scale);
        }
    }
}

/// One row of the gradient of [`AverageRow`] in its input.
pub(crate) struct AverageGradRow<'a, R> {
    /// The gradient of the output.
    pub(crate) image: &'a [R],
    pub(crate) size: [usize; 2],
    /// Height and width of the output.
    pub(crate) out: [usize; 2],
    pub(crate) channels: usize,
    /// Pixel pitches of the gradients of output and input.
    pub(crate) pitches: [usize; 2],
    pub(crate) row: usize,
    pub(crate) gx: &'a mut [R],
    pub(crate) params: &'a Pool2d,
}

/// The outputs whose windows hold input `index` along an axis; without dilation they are a range.
#[inline(always)]
fn covering(params: &Pool2d, axis: usize, index: usize, count: usize) -> std::ops::Range<usize> {
    let at = index + params.padding[axis];
    let (kernel, stride) = (params.kernel[axis], params.stride[axis]);
    let first = (at + 1).saturating_sub(kernel).div_ceil(stride);
    first..(at / stride + 1).min(count)
}

impl<R: Real> Loop for AverageGradRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ([h, w], [oh, ow], c) = (self.size, self.out, self.channels);
        let params = self.params;
        for (column, gx) in self.gx.chunks_mut(self.pitches[1]).enumerate() {
            let gx = &mut gx[..c];
            gx.fill(R::zero());
            for i in covering(params, 0, self.row, oh) {
                let down = params.divisor(0, i, h);
                for j in covering(params, 1, column, ow) {
                    let scale = R::one() / R::of((down * params.divisor(1, j, w)) as f64);
                    let gy = &self.image[(i * ow + j) * self.pitches[0]..][..c];
                    for (gx, &gy) in gx.iter_mut().zip(gy) {
                        *gx = R::fused::<FMA>(gy, scale, *gx);
                    }
                }
            }
        }
    }
}
