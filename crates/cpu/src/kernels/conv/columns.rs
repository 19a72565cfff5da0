//! Convolution as a matrix product: the window of each output pixel is laid out as a row of a
//! matrix (*im2col*), for a tile of pixels at a time.

use super::Geometry;
use crate::kernels::dispatch::Loop;
use crate::kernels::real::Real;

/// Lays out the windows of output pixels `start..` in one group, kernel rows outermost and channels
/// innermost: `columns` is `[pixels, taps]`.
pub(crate) struct Gather<'a, R> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) group: usize,
    /// All images.
    pub(crate) x: &'a [R],
    pub(crate) start: usize,
    pub(crate) columns: &'a mut [R],
}

/// The image and the place in it of an output pixel.
#[inline(always)]
fn place(geometry: &Geometry, pixel: usize) -> (usize, [usize; 2]) {
    let [oh, ow] = geometry.out;
    (pixel / (oh * ow), [pixel / ow % oh, pixel % ow])
}

/// The input position of a kernel element along an axis, if it is not padding.
#[inline(always)]
fn source(geometry: &Geometry, axis: usize, output: usize, k: usize) -> Option<usize> {
    let params = &geometry.params;
    (output * params.stride[axis] + k * params.dilation[axis])
        .checked_sub(params.padding[axis])
        .filter(|&at| at < geometry.size[axis])
}

impl<R: Real> Loop for Gather<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let g = self.geometry;
        let ([h, w], [kh, kw], c) = (g.size, g.kernel, g.inputs);
        let row_taps = kw * c;
        for (i, column) in self.columns.chunks_exact_mut(g.taps()).enumerate() {
            let (image, [row, col]) = place(g, self.start + i);
            for (k, taps) in column.chunks_exact_mut(row_taps).enumerate().take(kh) {
                let Some(y) = source(g, 0, row, k) else {
                    taps.fill(R::zero());
                    continue;
                };
                let line = (image * h + y) * w;
                for (l, tap) in taps.chunks_exact_mut(c).enumerate() {
                    match source(g, 1, col, l) {
                        Some(x) => {
                            let at = (line + x) * g.x_pitch + self.group * c;
                            tap.copy_from_slice(&self.x[at..at + c]);
                        }
                        None => tap.fill(R::zero()),
                    }
                }
            }
        }
    }
}

/// Adds what [`Gather`] laid out back to the pixels of one image that it came from.
pub(crate) struct Scatter<'a, R> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) group: usize,
    /// One image.
    pub(crate) gx: &'a mut [R],
    /// The first output pixel, counted in the image.
    pub(crate) start: usize,
    pub(crate) columns: &'a [R],
}

impl<R: Real> Loop for Scatter<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let g = self.geometry;
        let ([_, w], [_, kw], c) = (g.size, g.kernel, g.inputs);
        for (i, column) in self.columns.chunks_exact(g.taps()).enumerate() {
            let (_, [row, col]) = place(g, self.start + i);
            for (k, taps) in column.chunks_exact(kw * c).enumerate() {
                let Some(y) = source(g, 0, row, k) else { continue };
                for (l, tap) in taps.chunks_exact(c).enumerate() {
                    let Some(x) = source(g, 1, col, l) else { continue };
                    let at = (y * w + x) * g.x_pitch + self.group * c;
                    for (gx, &tap) in self.gx[at..at + c].iter_mut().zip(tap) {
                        *gx += tap;
                    }
                }
            }
        }
    }
}
