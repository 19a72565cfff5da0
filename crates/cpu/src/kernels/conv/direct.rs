//! Convolution straight from channels-last memory, for few channels: no windows are laid out.
//!
//! The input of some output rows is a *band*: rows of pixels without gaps, padding included. The
//! window of an output pixel is then a few *runs* of adjacent floats, one for each kernel row (all
//! its columns and channels), or one for each kernel element if it is dilated. Vectors hold sixteen
//! output channels, registers a block of pixels.

use ferrotape_backend::{Error, Result};

use super::Geometry;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{LANES, Simd};

/// Where windows lie in a band.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    /// Floats from one output row's windows to the next's.
    pub(crate) row_step: usize,
    /// Floats from one output pixel's window to the next's in its row.
    pub(crate) pixel_step: usize,
    /// Where the runs of a window begin, from its first.
    pub(crate) runs: Vec<usize>,
    /// Floats of a run.
    pub(crate) run: usize,
    /// Output pixels of a row.
    pub(crate) pixels: usize,
    /// Rows and columns of pixels of a band for all rows of an image, and floats of a band's row.
    pub(crate) size: [usize; 2],
    /// Floats of a band's row.
    pub(crate) row: usize,
}

impl Windows {
    /// For a convolution with one group.
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let (params, channels) = (&geometry.params, geometry.inputs);
        let ([h, w], [kh, kw]) = (geometry.size, geometry.kernel);
        let size = [h + 2 * params.padding[0], w + 2 * params.padding[1]];
        let row = size[1] * channels;
        let down = params.dilation[0] * row;
        let (runs, run) = match params.dilation[1] {
            1 => ((0..kh).map(|k| k * down).collect(), kw * channels),
            across => {
                let at = |i: usize| i / kw * down + i % kw * across * channels;
                ((0..kh * kw).map(at).collect(), channels)
            }
        };
        Windows {
            row_step: params.stride[0] * row,
            pixel_step: params.stride[1] * channels,
            runs,
            run,
            pixels: geometry.out[1],
            size,
            row,
        }
    }

    /// Rows of pixels in the band of `rows` output rows.
    pub(crate) fn band_rows(&self, geometry: &Geometry, rows: usize) -> usize {
        let params = &geometry.params;
        (rows - 1) * params.stride[0] + (geometry.kernel[0] - 1) * params.dilation[0] + 1
    }

    /// Floats of a window.
    pub(crate) fn taps(&self) -> usize {
        self.runs.len() * self.run
    }

    /// The end of the last window of `rows` output rows.
    pub(super) fn reach(&self, rows: usize) -> usize {
        let last = self.runs.iter().copied().max().unwrap_or(0);
        rows.saturating_sub(1) * self.row_step
            + self.pixels.saturating_sub(1) * self.pixel_step
            + last
            + self.run
    }
}

/// Copies the band of output rows `first..first + rows` of one image, with its padding.
pub(crate) fn copy_band(
    geometry: &Geometry,
    windows: &Windows,
    image: &[f32],
    first: usize,
    band: &mut [f32],
) {
    let (params, channels) = (&geometry.params, geometry.inputs);
    let [h, w] = geometry.size;
    let left = params.padding[1] * channels;
    let start = first * params.stride[0];
    for (i, row) in band.chunks_exact_mut(windows.row.max(1)).enumerate() {
        let source = (start + i).checked_sub(params.padding[0]).filter(|&y| y < h);
        let Some(y) = source else {
            row.fill(0.0);
            continue;
        };
        let (before, rest) = row.split_at_mut(left);
        let (inside, after) = rest.split_at_mut(w * channels);
        before.fill(0.0);
        after.fill(0.0);
        let pixels = &image[y * w * geometry.x_pitch..];
        if geometry.x_pitch == channels {
            inside.copy_from_slice(&pixels[..w * channels]);
        } else {
            let sources = pixels.chunks(geometry.x_pitch);
            for (to, from) in inside.chunks_exact_mut(channels).zip(sources) {
                to.copy_from_slice(&from[..channels]);
            }
        }
    }
}

/// The reverse of [`copy_band`] for a whole image: what lies in the padding is dropped.
pub(crate) fn uncopy_band(geometry: &Geometry, windows: &Windows, band: &[f32], image: &mut [f32]) {
    let (params, channels) = (&geometry.params, geometry.inputs);
    let [h, w] = geometry.size;
    let left = params.padding[1] * channels;
    let rows = band.chunks_exact(windows.row.max(1)).skip(params.padding[0]).take(h);
    for (y, row) in rows.enumerate() {
        let inside = &row[left..left + w * channels];
        let pixels = image[y * w * geometry.x_pitch..].chunks_mut(geometry.x_pitch);
        for (to, from) in pixels.zip(inside.chunks_exact(channels)) {
            to[..channels].copy_from_slice(from);
        }
    }
}

/// Weights `[taps, outputs]`, row-major, as blocks of sixteen outputs: `[blocks, taps, 16]`, zeros
/// where there are fewer.
pub(crate) fn pack_outputs(weights: &[f32], outputs: usize, packed: &mut [f32]) {
    let taps = weights.len() / outputs.max(1);
    for (block, packed) in packed.chunks_exact_mut((taps * LANES).max(1)).enumerate() {
        let first = block * LANES;
        let count = LANES.min(outputs - first);
        for (to, from) in packed.chunks_exact_mut(LANES).zip(weights.chunks_exact(outputs)) {
            to[..count].copy_from_slice(&from[first..first + count]);
            to[count..].fill(0.0);
        }
    }
}

/// `y = conv(x, w) + bias` for some rows of one image.
pub(crate) struct Forward<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) rows: usize,
    pub(crate) band: &'a [f32],
    /// As [`pack_outputs`] gives them.
    pub(crate) weights: &'a [f32],
    /// As many as there are outputs.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) y: &'a mut [f32],
    pub(crate) y_pitch: usize,
    pub(crate) outputs: usize,
}

impl Kernel for Forward<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let w = self.windows;
        let pixels = self.rows * w.pixels;
        let blocks = self.outputs.div_ceil(LANES);
        let fits = pixels > 0
            && w.reach(self.rows) <= self.band.len()
            && blocks * w.taps() * LANES <= self.weights.len()
            && self.bias.is_none_or(|bias| bias.len() == self.outputs)
            && self.outputs <= self.y_pitch
            && (pixels - 1) * self.y_pitch + self.outputs <= self.y.len();
        if !fits {
            return Err(Error::argument("a convolution's band does not fit its windows"));
        }
        for block in 0..blocks {
            let channel = block * LANES;
            let count = LANES.min(self.outputs - channel);
            // SAFETY: a block has its `taps * 16` weights, and `count` outputs from `channel` on.
            unsafe {
                let weights = self.weights.as_ptr().add(block * w.taps() * LANES);
                let bias = match self.bias {
                    Some(bias) => simd.load_part(bias.as_ptr().add(channel), count),
                    None => simd.splat(0.0),
                };
                let y = self.y.as_mut_ptr().add(channel);
                let rows = Rows { w, rows: self.rows, band: self.band.as_ptr(), weights, bias, y };
                let (pitch, pixels) = (self.y_pitch, w.pixels);
                match (S::ACCUMULATORS, pixels) {
                    (28, 14..) if best_block(pixels, &[14, 10]) == 14 => {
                        rows.run::<S, 14>(simd, pitch, count);
                    }
                    (28, 10..) => rows.run::<S, 10>(simd, pitch, count),
                    (28, 7..) => rows.run::<S, 7>(simd, pitch, count),
                    (6.., 5..) => rows.run::<S, 5>(simd, pitch, count),
                    (_, 3..) => rows.run::<S, 3>(simd, pitch, count),
                    _ => rows.run::<S, 1>(simd, pitch, count),
                }
            }
        }
        Ok(())
    }
}

/// The length of the blocks that cover a row with the fewest pixels computed twice.
fn best_block(pixels: usize, lengths: &[usize]) -> usize {
    let covered = |&length: &usize| pixels.div_ceil(length) * length;
    lengths.iter().copied().min_by_key(covered).unwrap_or(1)
}

/// What is the same for all pixels of a call of [`Forward`].
struct Rows<'a, V> {
    w: &'a Windows,
    rows: usize,
    band: *const f32,
    weights: *const f32,
    bias: V,
    y: *mut f32,
}

impl<V: Copy> Rows<'_, V> {
    /// All rows in blocks of `P` pixels; the last block of a row ends with the row, and computes
    /// again what the one before it may have computed.
    ///
    /// # Safety
    /// The band, the weights and y are as large as `Forward::run` checked, and a row has at least
    /// `P` pixels.
    #[inline(always)]
    unsafe fn run<S: Simd<V = V>, const P: usize>(&self, simd: S, pitch: usize, count: usize) {
        let w = self.w;
        for row in 0..self.rows {
            for start in (0..w.pixels).step_by(P) {
                let start = start.min(w.pixels - P);
                // SAFETY: the pixels `start..start + P` are in the row, so their windows end within
                // the reach that was checked, and so do their outputs.
                unsafe {
                    let x = self.band.add(row * w.row_step + start * w.pixel_step);
                    let y = self.y.add((row * w.pixels + start) * pitch);
                    let sums = self.block::<S, P>(simd, x);
                    for (p, sum) in sums.into_iter().enumerate() {
                        if count == LANES {
                            simd.store(y.add(p * pitch), sum);
                        } else {
                            simd.store_part(y.add(p * pitch), sum, count);
                        }
                    }
                }
            }
        }
    }

    /// The sums of `P` pixels.
    ///
    /// # Safety
    /// `x` is the first of `P` windows that lie in the band.
    #[inline(always)]
    unsafe fn block<S: Simd<V = V>, const P: usize>(&self, simd: S, x: *const f32) -> [V; P] {
        let mut sums = [self.bias; P];
        let mut weights = self.weights;
        for &run in &self.w.runs {
            for tap in 0..self.w.run {
                // SAFETY: the tap lies in each pixel's window, and the weights have one row a tap.
                unsafe {
                    let weight = simd.load(weights);
                    weights = weights.add(LANES);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*x.add(run + tap + p * self.w.pixel_step));
                        *sum = simd.mul_add(value, weight, *sum);
                    }
                }
            }
        }
        sums
    }
}
