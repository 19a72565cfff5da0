//! The same by products of tiles: outputs by pixels, and these by what their windows hold.
//!
//! Gradients are laid out tile by tile for that, each output's in a row; windows are read as they lie. The sums come
//! out by outputs, and are turned as they are added.

use ferrotape_backend::{Error, Result};
use half::bf16;

use super::{Gradients, Order, WeightGrad};
use crate::kernels::conv::factor::Rows;
use crate::kernels::conv::panels::{packed_len, panel_width};
use crate::kernels::conv::windows::Windows;
use crate::kernels::dispatch::Kernel;
use crate::kernels::fetch::fetch_ahead;
use crate::kernels::simd::{LANES, Simd, read, write};
use crate::kernels::tiles::{Multiply, Product, SIDE, Sizes, Sums, Tiles, even_depth};

/// Words of a row, at least: fewer leave the tiles empty.
const LEAST_WORDS: usize = 4;

/// Depth of tiles from which on a row is cut without a rest.
const EVEN_DEPTH: usize = 8;

/// Some words of each row, cut into tiles of one depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    first: usize,
    count: usize,
    depth: usize,
}

/// All words of a row: in equal steps, or in the deepest and one for the rest.
fn steps(words: usize) -> impl Iterator<Item = Steps> + Clone {
    let depth = even_depth(words);
    let (depth, rest) = match depth >= EVEN_DEPTH || depth == words {
        true => (depth, 0),
        false => (SIDE, words % SIDE),
    };
    let whole = Steps { first: 0, count: words / depth, depth };
    let rest = Steps { first: words - rest, count: 1, depth: rest };
    [whole, rest].into_iter().filter(|steps| steps.count * steps.depth > 0)
}

/// Gradients of rows of pixels, tile by tile: for each vector of outputs and each kind of step, those of all rows.
pub(crate) struct PackTiles<'a, 'r> {
    pub(crate) rows: Rows<'a, bf16>,
    pub(crate) room: &'r mut [f32],
}

impl PackTiles<'_, '_> {
    /// Whether rows of so many words, pairs of pixels, fill tiles.
    pub(crate) fn fills(words: usize) -> bool {
        words >= LEAST_WORDS
    }

    /// Whether such rows do.
    pub(crate) fn suits(rows: &Rows<'_, bf16>) -> bool {
        Self::fills(rows.size[1].div_ceil(2))
    }
}

impl<'r> Kernel for PackTiles<'_, 'r> {
    type Output = Gradients<'r>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Gradients<'r> {
        let PackTiles { rows: Rows { data, pitch, size: [rows, pixels], channels }, room } = self;
        let across = pixels.div_ceil(2);
        for steps in steps(across) {
            for (row, step) in (0..rows).flat_map(|row| (0..steps.count).map(move |s| (row, s))) {
                let first = 2 * (steps.first + step * steps.depth);
                for (vector, at) in (0..channels).step_by(LANES).enumerate() {
                    let lanes = LANES.min(channels - at);
                    let pixel = |number: usize| -> &[bf16] {
                        if number >= pixels {
                            return &[];
                        }
                        let pixel = &data[(row * pixels + number) * pitch + at..][..lanes];
                        fetch_ahead(pixel);
                        pixel
                    };
                    let mut words = [simd.splat(0.0); LANES];
                    for (k, word) in words.iter_mut().enumerate().take(steps.depth) {
                        let (near, far) = (pixel(first + 2 * k), pixel(first + 2 * k + 1));
                        *word = simd.pair(read(simd, near), read(simd, far));
                    }
                    let tile = row * steps.count + step;
                    let to =
                        (vector * across + steps.first) * rows * LANES + tile * LANES * steps.depth;
                    let to = &mut room[to..][..LANES * steps.depth];
                    for (to, row) in to.chunks_exact_mut(steps.depth).zip(simd.transpose(words)) {
                        write(simd, to, row);
                    }
                }
            }
        }
        Gradients { data: room, order: Order::Tiles, channels }
    }
}

/// A gradient of a weight in words that are pairs of bf16, in tiles.
pub(crate) struct InTiles<'a, M> {
    pub(crate) gradient: WeightGrad<'a>,
    pub(crate) tiles: M,
}

impl<M: Tiles> Kernel for InTiles<'_, M> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let InTiles {
            gradient: WeightGrad { windows: w, band, rows, pixels, gy, sums, begins },
            tiles,
        } = self;
        if rows.len() * pixels * gy.channels * w.run == 0 {
            return Ok(());
        }
        let farthest = rows.iter().copied().max().unwrap_or(0);
        let row = rows.len() * pixels * LANES;
        let fits = gy.order == Order::Tiles
            && farthest.saturating_add(w.reach(1, pixels)) <= band.len()
            && packed_len(w.taps(), gy.channels) <= sums.len()
            && gy.channels.div_ceil(LANES) * row <= gy.data.len();
        if !fits {
            return Err(Error::argument("a convolution's band does not fit its windows"));
        }
        let columns = w.run.div_ceil(w.run.div_ceil(SIDE));
        let mut starts = Vec::with_capacity(rows.len());
        for steps in steps(pixels) {
            let sizes = Sizes { rows: LANES, depth: steps.depth, columns };
            let configured = tiles.configure(sizes);
            let tile = LANES * steps.depth;
            starts.clear();
            starts.extend(
                rows.iter()
                    .enumerate()
                    .map(|(i, &row)| [i * steps.count * tile, row + steps.first * w.pixel_step]),
            );
            for first in (0..gy.channels).step_by(2 * LANES) {
                let width = panel_width(gy.channels, first, 2 * LANES);
                let vectors = width / LANES;
                // SAFETY: `fits` says that the gradients of all vectors of outputs are there, that all windows lie
                // in the band, and that the sums have `width` floats for each word of a window from those of
                // the panels before this one on.
                unsafe {
                    let gradients = gy.data.as_ptr().add(first * rows.len() * pixels);
                    let gradients = gradients.add(steps.first * rows.len() * LANES);
                    let panel = Panel {
                        w,
                        band: band.as_ptr(),
                        gradients: [gradients, gradients.add((vectors - 1) * row)],
                        starts: &starts,
                        steps,
                        sums: sums.as_mut_ptr().add(first * w.taps()),
                        width,
                        begins: begins && steps.first == 0,
                    };
                    panel.add(simd, &configured, columns);
                }
            }
        }
        Ok(())
    }
}

/// Some words of a window.
#[derive(Debug, Clone, Copy)]
struct Words {
    /// From the window's first word on.
    from: usize,
    /// Their number among all of a window's.
    first: usize,
    /// How many at the beginning the words before have, too.
    known: usize,
}

/// What is the same for all words of the windows.
struct Panel<'a> {
    w: &'a Windows,
    band: *const f32,
    /// Of the panel's vectors of outputs; of one vector twice.
    gradients: [*const f32; 2],
    starts: &'a [[usize; 2]],
    steps: Steps,
    sums: *mut f32,
    /// Outputs of the panel, those that are none counted in.
    width: usize,
    begins: bool,
}

impl Panel<'_> {
    /// Adds to all words of the windows, as many as a tile has columns at a time; the last of a run end with the run.
    ///
    /// # Safety
    /// The thread is ready for tiles of [`LANES`] rows, of the steps' depth and of `columns`, of which no run has
    /// fewer words. The band holds all windows, from all starts on, and `sums` has `width` floats for each of
    /// their words.
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, simd: S, configured: &impl Multiply, columns: usize) {
        let Panel { w, steps, .. } = *self;
        let across = w.run.div_ceil(columns);
        let words = |tile: usize| {
            let (run, after) = (tile / across, tile % across * columns);
            let word = after.min(w.run - columns);
            Words { from: w.runs[run] + word, first: run * w.run + word, known: after - word }
        };
        let mut sums = Sums::new();
        let count = w.runs.len() * across;
        for tile in (0..count).step_by(2) {
            let words = [tile, (tile + 1).min(count - 1)].map(words);
            // SAFETY: the caller's; the words are some of the windows'.
            unsafe {
                let product = Product {
                    a: self.gradients,
                    b: words.map(|words| self.band.add(words.from)),
                    pitch: [steps.depth, w.pixel_step],
                    starts: self.starts,
                    steps: steps.count,
                    advance: [LANES * steps.depth, steps.depth * w.pixel_step],
                };
                configured.sum(&product, &mut sums);
            }
            for (j, words) in words.into_iter().enumerate().take(count - tile) {
                for v in 0..self.width / LANES {
                    let mut vectors = [simd.splat(0.0); LANES];
                    for (vector, row) in
                        vectors.iter_mut().zip(sums.0[2 * v + j].chunks_exact(SIDE))
                    {
                        *vector = read(simd, row);
                    }
                    let vectors = simd.transpose(vectors);
                    for (i, vector) in
                        vectors.into_iter().enumerate().take(columns).skip(words.known)
                    {
                        // SAFETY: the word of the window has its sums.
                        unsafe {
                            let sum = self.sums.add((words.first + i) * self.width + v * LANES);
                            let before = if self.begins { simd.splat(0.0) } else { simd.load(sum) };
                            simd.store(sum, simd.add(before, vector));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Plain;
    use crate::kernels::tiles::Amx;
    use crate::kernels::tiles::model::{Model, dot, whole_numbers, whole_words};

    /// Rows, pixels of a row, runs, words of a run, outputs.
    const CASES: [[usize; 5]; 7] = [
        [1, 8, 1, 1, 1],
        [2, 56, 1, 32, 64],
        [3, 13, 3, 48, 40],
        [4, 28, 2, 24, 16],
        [1, 194, 1, 17, 33],
        [5, 35, 2, 4, 48],
        [2, 74, 3, 5, 70],
    ];

    /// An interpreter takes a few.
    const MOST: usize = if cfg!(miri) { 2 } else { CASES.len() };

    #[test]
    fn a_row_is_cut_into_steps_that_cover_it_once() {
        for words in 1..200 {
            let mut next = 0;
            for steps in steps(words) {
                assert_eq!(steps.first, next, "{words}");
                assert!(steps.depth <= SIDE);
                next += steps.count * steps.depth;
            }
            assert_eq!(next, words);
        }
    }

    #[test]
    fn sums_of_whole_numbers_are_exact() {
        check(Model);
        if let Some(amx) = Amx::request() {
            check(amx);
        }
    }

    fn check(tiles: impl Tiles) {
        for [rows, pixels, runs, run, outputs] in CASES.into_iter().take(MOST) {
            let (words, pixel_step) = (pixels.div_ceil(2), run + 1);
            let windows = Windows {
                runs: (0..runs).map(|number| 2 * number * (run + 1)).collect(),
                ..Windows::of_pixels(words, run, pixel_step)
            };
            let row_step = windows.reach(1, words) + 5;
            let starts: Vec<usize> = (0..rows).map(|row| 3 + row * row_step).collect();
            let band = whole_words(3 + rows * row_step, 3);
            let pitch = outputs + 2;
            let numbers = whole_numbers(rows * pixels * pitch, 4);
            let (size, channels) = ([rows, pixels], outputs);
            let of_pixels = Rows { data: &numbers, pitch, size, channels };
            assert!(PackTiles::suits(&of_pixels));
            let vectors = outputs.div_ceil(LANES);
            let mut room = vec![f32::NAN; vectors * rows * words * LANES];
            let gy = PackTiles { rows: of_pixels, room: &mut room }.run(Plain);
            let mut sums = vec![1.0; packed_len(windows.taps(), outputs)];
            for begins in [true, false] {
                let (windows, band, rows, sums) = (&windows, &band[..], &starts[..], &mut sums[..]);
                let gradient = WeightGrad { windows, band, rows, pixels: words, gy, sums, begins };
                InTiles { gradient, tiles }.run(Plain).unwrap();
            }
            let gradient = |row: usize, pixel: usize, output: usize| match pixel < pixels {
                true => numbers[(row * pixels + pixel) * pitch + output],
                false => bf16::ZERO,
            };
            for output in 0..outputs {
                let first = output / (2 * LANES) * (2 * LANES);
                let width = panel_width(outputs, first, 2 * LANES);
                let panel = &sums[first * windows.taps()..];
                for (word, from) in windows
                    .runs
                    .iter()
                    .flat_map(|start| (0..run).map(move |i| start + i))
                    .enumerate()
                {
                    let mut sum = 0.0;
                    for (row, pair) in (0..rows).flat_map(|row| (0..words).map(move |k| (row, k))) {
                        let [near, far] =
                            [0, 1].map(|i| gradient(row, 2 * pair + i, output).to_bits());
                        let gradients = f32::from_bits(u32::from(near) | u32::from(far) << 16);
                        sum += dot(band[starts[row] + pair * pixel_step + from], gradients);
                    }
                    // Twice: the second pass added to what the first began with.
                    let found = panel[word * width + output - first];
                    assert_eq!(
                        found,
                        2.0 * sum,
                        "{rows} {pixels} {runs} {run} {outputs}: {word} {output}"
                    );
                }
            }
        }
    }

    #[test]
    fn gradients_by_panels_are_refused() {
        let windows = Windows::of_pixels(4, 4, 4);
        let (data, order) = (&[0.0; 64][..], Order::Panels { pitch: LANES, step: 4 * LANES });
        let (band, sums) = (&[0.0; 16][..], &mut [0.0; 64][..]);
        let gy = Gradients { data, order, channels: 16 };
        let gradient =
            WeightGrad { windows: &windows, band, rows: &[0], pixels: 4, gy, sums, begins: true };
        assert!(InTiles { gradient, tiles: Model }.run(Plain).is_err());
    }
}
