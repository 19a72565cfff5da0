//! Convolution straight from channels-last memory: no windows are laid out.
//!
//! Registers hold a tile: some pixels by a panel of outputs. For each float of their windows the
//! panel's weights are loaded, and each pixel's float is multiplied into them.

mod tiled;

use ferrotape_backend::{Error, Result};

pub(crate) use self::tiled::InTiles;
use super::ending::Ending;
use super::outputs::Block;
use super::panels::{packed_len, panel_width};
use super::windows::Windows;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{InMemory, LANES, Simd};

/// `y = ending(correlation(band, weights))` for a block of outputs.
pub(crate) struct Forward<'a, T> {
    pub(crate) windows: &'a Windows,
    /// From the block's first window on.
    pub(crate) band: &'a [f32],
    /// The panels of the block's channels, see [`PackPanel`](super::panels::PackPanel).
    pub(crate) weights: &'a [f32],
    /// Of images that begin with the block.
    pub(crate) ending: Ending<'a, T>,
    pub(crate) y: Block<'a, T>,
}

impl<'a, T: InMemory> Forward<'a, T> {
    /// Whether there is something to compute.
    ///
    /// # Errors
    /// What is read is not all there.
    fn is_some(&self) -> Result<bool> {
        let (w, [rows, pixels], channels) = (self.windows, self.y.size, self.y.channels);
        if rows * pixels * channels == 0 {
            return Ok(false);
        }
        let fits = w.reach(rows, pixels) <= self.band.len()
            && packed_len(w.taps(), channels) <= self.weights.len()
            && self.ending.reaches(self.ending.pixel(rows - 1, pixels - 1), channels);
        match fits {
            true => Ok(true),
            false => Err(Error::argument("the operands of a convolution do not fit its windows")),
        }
    }

    /// The panel of the `width` outputs from `first` on, those that are none counted in.
    ///
    /// # Safety
    /// [`Forward::is_some`], and the block has the channel `first`.
    #[inline(always)]
    unsafe fn panel(&self, first: usize, width: usize) -> Panel<'a, T> {
        let (w, y) = (self.windows, &self.y);
        // SAFETY: the panels before this one have `first` outputs together, and the weights are all there; the
        // block has the channel `first`.
        unsafe {
            Panel {
                w,
                band: self.band.as_ptr(),
                weights: self.weights.as_ptr().add(first * w.taps()),
                ending: self.ending.starting_at(0, first),
                y: y.start.add(first),
                size: y.size,
                steps: y.steps,
                channels: (y.channels - first).min(width),
            }
        }
    }
}

impl<T: InMemory> Kernel for Forward<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        if !self.is_some()? {
            return Ok(());
        }
        let channels = self.y.channels;
        for first in (0..channels).step_by(S::PANEL * LANES) {
            let width = panel_width(channels, first, S::PANEL * LANES);
            // SAFETY: `is_some` says that all windows lie in the band and that what the ending reads is there; the
            // weights are those of as many vectors as `width` says.
            unsafe {
                let panel = self.panel(first, width);
                if const { S::PANEL == 2 } && width == 2 * LANES {
                    panel.tiles::<S, 2>(simd);
                } else {
                    panel.tiles::<S, 1>(simd);
                }
            }
        }
        Ok(())
    }
}

/// What is the same for all tiles of a panel.
struct Panel<'a, T> {
    w: &'a Windows,
    band: *const f32,
    weights: *const f32,
    /// From the panel's first output on.
    ending: Ending<'a, T>,
    y: *mut T,
    size: [usize; 2],
    steps: [usize; 2],
    /// Outputs of the panel, those that are none not counted.
    channels: usize,
}

/// How many cycles, about, a row takes in tiles of `length` pixels by `vectors` vectors.
fn cost(pixels: usize, length: usize, vectors: usize) -> usize {
    // Sums wait four cycles for each other, two at a time; one cycle goes into what is around them.
    pixels.div_ceil(length) * ((length * vectors).max(8) + vectors)
}

/// The length up to `longest` that covers a row in the shortest time.
fn best_length(pixels: usize, vectors: usize, longest: usize) -> usize {
    let lengths = (1..=longest.min(pixels)).rev();
    lengths.min_by_key(|&length| cost(pixels, length, vectors)).unwrap_or(1)
}

impl<T: InMemory> Panel<'_, T> {
    /// All pixels, in tiles that suit the length of a row.
    ///
    /// # Safety
    /// The block's windows lie in the band, the panel's weights are there, of `V` vectors each, and
    /// all of the block's pixels may be written and have what the ending reads.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const V: usize>(&self, simd: S) {
        let [rows, pixels] = self.size;
        // SAFETY: the caller's; a row has as many pixels as a tile asks for.
        unsafe {
            if const { S::TILE < 14 } {
                return match best_length(pixels, 1, S::TILE) {
                    6 => self.rows::<S, 1, 6, V>(simd, 0, rows),
                    5 => self.rows::<S, 1, 5, V>(simd, 0, rows),
                    4 => self.rows::<S, 1, 4, V>(simd, 0, rows),
                    3 => self.rows::<S, 1, 3, V>(simd, 0, rows),
                    2 => self.rows::<S, 1, 2, V>(simd, 0, rows),
                    _ => self.rows::<S, 1, 1, V>(simd, 0, rows),
                };
            }
            if pixels <= 7 && rows > 1 {
                let pairs = rows / 2 * 2;
                match pixels {
                    7 => self.rows::<S, 2, 7, V>(simd, 0, pairs),
                    6 => self.rows::<S, 2, 6, V>(simd, 0, pairs),
                    5 => self.rows::<S, 2, 5, V>(simd, 0, pairs),
                    4 => self.rows::<S, 2, 4, V>(simd, 0, pairs),
                    3 => self.rows::<S, 2, 3, V>(simd, 0, pairs),
                    2 => self.rows::<S, 2, 2, V>(simd, 0, pairs),
                    _ => self.rows::<S, 2, 1, V>(simd, 0, pairs),
                }
                if pairs == rows {
                    return;
                }
            }
            let start = if pixels <= 7 { rows / 2 * 2 } else { 0 };
            match best_length(pixels, V, S::TILE) {
                14 => self.rows::<S, 1, 14, V>(simd, start, rows),
                13 => self.rows::<S, 1, 13, V>(simd, start, rows),
                12 => self.rows::<S, 1, 12, V>(simd, start, rows),
                11 => self.rows::<S, 1, 11, V>(simd, start, rows),
                10 => self.rows::<S, 1, 10, V>(simd, start, rows),
                9 => self.rows::<S, 1, 9, V>(simd, start, rows),
                8 => self.rows::<S, 1, 8, V>(simd, start, rows),
                7 => self.rows::<S, 1, 7, V>(simd, start, rows),
                6 => self.rows::<S, 1, 6, V>(simd, start, rows),
                5 => self.rows::<S, 1, 5, V>(simd, start, rows),
                4 => self.rows::<S, 1, 4, V>(simd, start, rows),
                3 => self.rows::<S, 1, 3, V>(simd, start, rows),
                2 => self.rows::<S, 1, 2, V>(simd, start, rows),
                _ => self.rows::<S, 1, 1, V>(simd, start, rows),
            }
        }
    }

    /// The rows `start..end` in tiles of `R` rows by `P` pixels; the last tile of a row ends with
    /// the row, and computes again what the one before it may have computed.
    ///
    /// # Safety
    /// As [`Panel::tiles`]; `end - start` is a multiple of `R`, and a row has at least `P` pixels.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize, const P: usize, const V: usize>(
        &self,
        simd: S,
        start: usize,
        end: usize,
    ) {
        let (w, [down, across]) = (self.w, self.steps);
        for row in (start..end).step_by(R) {
            for first in (0..self.size[1]).step_by(P) {
                let first = first.min(self.size[1] - P);
                // SAFETY: the tile's pixels are in the block, so their windows end within the reach
                // that was checked, and so do their outputs.
                unsafe {
                    let x = self.band.add(row * w.row_step + first * w.pixel_step);
                    let y = self.y.add(row * down + first * across);
                    let sums = self.tile::<S, R, P, V>(simd, x);
                    for (r, sums) in sums.into_iter().enumerate() {
                        for (p, sums) in sums.into_iter().enumerate() {
                            let pixel = self.ending.pixel(row + r, first + p);
                            self.store(simd, y.add(r * down + p * across), pixel, sums);
                        }
                    }
                }
            }
        }
    }

    /// Writes a pixel's outputs.
    ///
    /// # Safety
    /// `y` is the panel's first channel of one of the block's pixels, and `pixel` is its number.
    #[inline(always)]
    unsafe fn store<S: Simd, const V: usize>(
        &self,
        simd: S,
        y: *mut T,
        pixel: usize,
        sums: [S::V; V],
    ) {
        for (v, sum) in sums.into_iter().enumerate() {
            let count = self.channels.saturating_sub(v * LANES).min(LANES);
            // SAFETY: the pixel has as many channels as are read and written.
            unsafe {
                let sum = self.ending.of(simd, sum, [pixel, v * LANES], count);
                T::store(simd, y.add(v * LANES), sum, count);
            }
        }
    }

    /// The sums of a tile.
    ///
    /// # Safety
    /// `x` is the first window of the tile, and all of them lie in the band.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const P: usize, const V: usize>(
        &self,
        simd: S,
        x: *const f32,
    ) -> [[[S::V; V]; P]; R] {
        let (row_step, pixel_step) = (self.w.row_step, self.w.pixel_step);
        let mut start = [simd.splat(0.0); V];
        for (v, start) in start.iter_mut().enumerate() {
            let count = self.channels.saturating_sub(v * LANES).min(LANES);
            // SAFETY: the bias has as many floats as the panel has channels.
            *start = unsafe { self.ending.bias(simd, v * LANES, count) };
        }
        let mut sums = [[start; P]; R];
        let mut weights = self.weights;
        for &run in &self.w.runs {
            for tap in 0..self.w.run {
                // SAFETY: the tap lies in each pixel's window, and the weights have one row a tap.
                unsafe {
                    let mut weight = start;
                    for (v, weight) in weight.iter_mut().enumerate() {
                        *weight = simd.load(weights.add(v * LANES));
                    }
                    weights = weights.add(V * LANES);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let x = x.add(run + tap + r * row_step + p * pixel_step);
                            let value = simd.splat(*x);
                            for (sum, &weight) in sums.iter_mut().zip(&weight) {
                                *sum = simd.mul_add(value, weight, *sum);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}
