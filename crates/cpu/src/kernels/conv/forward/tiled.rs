//! The same by products of tiles: pixels by what their windows hold, and that by outputs.

use ferrotape_backend::Result;

use super::{Forward, Panel};
use crate::kernels::conv::panels::panel_width;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{InMemory, LANES, Simd};
use crate::kernels::tiles::{Multiply, Product, SIDE, Sizes, Sums, Tiles, even_depth};

/// Words that a run of a window can be cut into without a rest, at least: fewer leave the tiles empty. Three pixels of
/// 34 channels, 51 words, go by vectors.
const LEAST_DEPTH: usize = 4;

/// A convolution of words that are pairs of bf16, in tiles.
pub(crate) struct InTiles<'a, T, M> {
    pub(crate) forward: Forward<'a, T>,
    pub(crate) tiles: M,
}

impl<T: InMemory, M> InTiles<'_, T, M> {
    /// Whether such a convolution fills tiles.
    pub(crate) fn suits(forward: &Forward<'_, T>) -> bool {
        even_depth(forward.windows.run) >= LEAST_DEPTH
    }
}

impl<T: InMemory, M: Tiles> Kernel for InTiles<'_, T, M> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let InTiles { forward, tiles } = self;
        if !forward.is_some()? {
            return Ok(());
        }
        let (w, pixels, channels) = (forward.windows, forward.y.size[1], forward.y.channels);
        if w.taps() == 0 {
            return forward.run(simd);
        }
        let rows = pixels.div_ceil(pixels.div_ceil(SIDE));
        let sizes = Sizes { rows, depth: even_depth(w.run), columns: LANES };
        let mut starts = Vec::with_capacity(w.runs.len());
        let configured = tiles.configure(sizes);
        for first in (0..channels).step_by(2 * LANES) {
            let width = panel_width(channels, first, 2 * LANES);
            starts.clear();
            starts.extend(w.runs.iter().enumerate().map(|(i, &run)| [run, i * w.run * width]));
            // SAFETY: `is_some` says that all windows lie in the band and that what the ending reads is there; the
            // weights are those of as many vectors as `width` says. A row has as many pixels as a tile.
            unsafe {
                let panel = forward.panel(first, width);
                match width == LANES {
                    true => panel.in_tiles::<S, 1>(simd, &configured, sizes, &starts),
                    false => panel.in_tiles::<S, 2>(simd, &configured, sizes, &starts),
                }
            }
        }
        Ok(())
    }
}

impl<T: InMemory> Panel<'_, T> {
    /// All pixels, in tiles of as many neighbours of a row, two of them at a time; the last tile of a row ends with
    /// the row, and computes again what the one before it may have computed.
    ///
    /// # Safety
    /// As [`Panel::tiles`]; the thread is ready for `sizes`, and a row has as many pixels as a tile has rows. The
    /// first numbers of `starts` are where the windows' runs begin, the second where their weights do.
    #[inline(always)]
    unsafe fn in_tiles<S: Simd, const V: usize>(
        &self,
        simd: S,
        configured: &impl Multiply,
        sizes: Sizes,
        starts: &[[usize; 2]],
    ) {
        let (w, [rows, pixels]) = (self.w, self.size);
        let across = pixels.div_ceil(sizes.rows);
        let place =
            |tile: usize| (tile / across, (tile % across * sizes.rows).min(pixels - sizes.rows));
        let mut bias = [simd.splat(0.0); V];
        for (v, bias) in bias.iter_mut().enumerate() {
            let count = self.channels.saturating_sub(v * LANES).min(LANES);
            // SAFETY: the bias has as many floats as the panel has channels.
            *bias = unsafe { self.ending.bias(simd, v * LANES, count) };
        }
        let mut sums = Sums::new();
        let count = rows * across;
        for tile in (0..count).step_by(2) {
            let places = [tile, (tile + 1).min(count - 1)].map(place);
            // SAFETY: the tiles' pixels are in the block, so their windows end within the reach that was checked;
            // the weights have a row of `V` vectors for each word of a window.
            unsafe {
                let product = Product {
                    a: places
                        .map(|(row, first)| self.band.add(row * w.row_step + first * w.pixel_step)),
                    b: [self.weights, self.weights.add((V - 1) * LANES)],
                    pitch: [w.pixel_step, V * LANES],
                    starts,
                    steps: w.run / sizes.depth,
                    advance: [sizes.depth, sizes.depth * V * LANES],
                };
                configured.sum(&product, &mut sums);
            }
            for (i, (row, first)) in places.into_iter().enumerate().take(count - tile) {
                for p in 0..sizes.rows {
                    let mut outputs = bias;
                    // SAFETY: a row of sums is a vector; the pixel is in the block.
                    unsafe {
                        for (v, output) in outputs.iter_mut().enumerate() {
                            let sum = simd.load(sums.0[2 * i + v][p * SIDE..].as_ptr());
                            *output = simd.add(sum, *output);
                        }
                        let y = self.y.add(row * self.steps[0] + (first + p) * self.steps[1]);
                        self.store(simd, y, self.ending.pixel(row, first + p), outputs);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv::ending::Ending;
    use crate::kernels::conv::outputs::Outputs;
    use crate::kernels::conv::panels::packed_len;
    use crate::kernels::conv::windows::Windows;
    use crate::kernels::simd::Plain;
    use crate::kernels::split::Parts;
    use crate::kernels::tiles::Amx;
    use crate::kernels::tiles::model::{Model, dot, whole_words};

    /// Rows, pixels of a row, runs, words of a run, outputs.
    const CASES: [[usize; 5]; 7] = [
        [1, 1, 1, 16, 1],
        [1, 56, 1, 32, 64],
        [3, 7, 3, 16, 40],
        [2, 14, 1, 24, 16],
        [5, 3, 2, 4, 33],
        [1, 100, 2, 11, 48],
        [4, 17, 9, 20, 70],
    ];

    /// An interpreter takes a few.
    const MOST: usize = if cfg!(miri) { 2 } else { CASES.len() };

    #[test]
    fn sums_of_whole_numbers_are_exact() {
        check(Model);
        if let Some(amx) = Amx::request() {
            check(amx);
        }
    }

    fn check(tiles: impl Tiles) {
        for [rows, pixels, runs, run, outputs] in CASES.into_iter().take(MOST) {
            // Every second pixel of a row is seen, and every window's runs lie three pixels apart.
            let pixel_step = 2 * run;
            let row_step = (2 * pixels + 3 * runs) * run;
            let windows = Windows {
                row_step,
                pixel_step,
                runs: (0..runs).map(|number| 3 * number * run).collect(),
                run,
                ..Windows::of_pixels(pixels, run, pixel_step)
            };
            let band = whole_words(windows.reach(rows, pixels), 1);
            let weights = whole_words(packed_len(windows.taps(), outputs), 2);
            let bias: Vec<f32> = (0..outputs).map(|output| output as f32).collect();
            let (pitch, mut y) = (outputs + 3, vec![f32::NAN; rows * pixels * (outputs + 3)]);
            let sizes = [1, rows, pixels, outputs];
            let parts = Outputs::new(&mut y, sizes, pitch, [rows, pixels, outputs]).unwrap();
            // SAFETY: it is the only part, taken once.
            let block = unsafe { parts.part(0) };
            let ending = Ending::new(Some(&bias)).cut_off(true);
            let (windows, band, weights) = (&windows, &band[..], &weights[..]);
            let forward = Forward { windows, band, weights, ending, y: block };
            assert!(InTiles::<f32, Model>::suits(&forward));
            InTiles { forward, tiles }.run(Plain).unwrap();
            for (at, y) in y.chunks(pitch).enumerate() {
                let x = at / pixels * row_step + at % pixels * pixel_step;
                for (output, &found) in y[..outputs].iter().enumerate() {
                    let first = output / (2 * LANES) * (2 * LANES);
                    let width = panel_width(outputs, first, 2 * LANES);
                    let panel = &weights[first * windows.taps()..];
                    let words =
                        windows.runs.iter().flat_map(|start| (0..run).map(move |i| start + i));
                    let products = words.enumerate().map(|(word, from)| {
                        dot(band[x + from], panel[word * width + output - first])
                    });
                    let sum = (products.sum::<f32>() + bias[output]).max(0.0);
                    assert_eq!(found, sum, "{rows} {pixels} {runs} {run} {outputs}: {at} {output}");
                }
                assert!(y[outputs..].iter().all(|number| number.is_nan()));
            }
        }
    }
}
