//! The gradient of a direct convolution in its input: what a pixel's gradient means for a run of its
//! window is a vector or two, added to the band.

use ferrotape_backend::{Error, Result};

use super::panels::Weights;
use super::windows::Windows;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{LANES, Simd};

/// Floats of a run, at most.
pub(crate) const LONGEST_RUN: usize = 2 * LANES;

/// Floats of a packed run: a whole number of vectors.
fn padded_run(run: usize) -> usize {
    run.next_multiple_of(LANES)
}

/// How many floats [`pack_runs`] writes.
pub(crate) fn packed_len(windows: &Windows, outputs: usize) -> usize {
    windows.runs.len() * outputs * padded_run(windows.run)
}

/// Weights as `[runs, outputs, run]`, runs padded with zeros to whole vectors.
pub(crate) fn pack_runs(windows: &Windows, weights: &Weights<'_, f32>, packed: &mut [f32]) {
    packed.fill(0.0);
    let [outputs, inputs] = weights.channels;
    let padded = padded_run(windows.run);
    for (element, &at) in windows.elements.iter().enumerate() {
        for input in 0..inputs {
            let tap = element * inputs + input;
            let (run, tap) = (tap / windows.run, tap % windows.run);
            for output in 0..outputs {
                packed[(run * outputs + output) * padded + tap] = weights.get(output, input, at);
            }
        }
    }
}

/// Adds the gradients of some rows of one image to a band.
pub(crate) struct InputGrad<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) rows: usize,
    pub(crate) gy: &'a [f32],
    pub(crate) gy_pitch: usize,
    pub(crate) outputs: usize,
    /// As [`pack_runs`] gives them.
    pub(crate) weights: &'a [f32],
    pub(crate) band: &'a mut [f32],
}

impl Kernel for InputGrad<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let w = self.windows;
        let pixels = self.rows * w.out[1];
        let fits = pixels > 0
            && (1..=LONGEST_RUN).contains(&w.run)
            && w.reach(self.rows, w.out[1]) <= self.band.len()
            && packed_len(w, self.outputs) <= self.weights.len()
            && self.outputs <= self.gy_pitch
            && (pixels - 1) * self.gy_pitch + self.outputs <= self.gy.len();
        if !fits {
            return Err(Error::argument("a convolution's band does not fit its windows"));
        }
        let band = self.band.as_mut_ptr();
        let rest = Runs {
            windows: w,
            rows: self.rows,
            gy: self.gy.as_ptr(),
            gy_pitch: self.gy_pitch,
            outputs: self.outputs,
            weights: self.weights.as_ptr(),
            band,
        };
        let mut run = 0;
        while run < w.runs.len() {
            let left = w.runs.len() - run;
            // SAFETY: `fits` checked that all windows lie in the band, and that gradients and
            // weights are all there; the runs from `run` on are `left`.
            run += unsafe {
                match (S::ACCUMULATORS, w.run > LANES, left) {
                    (28, true, 5..) => rest.add::<S, 2, 5, 2>(simd, run),
                    (28, true, 3..) => rest.add::<S, 4, 3, 2>(simd, run),
                    (28, true, _) => rest.add::<S, 8, 1, 2>(simd, run),
                    (28, false, 5..) => rest.add::<S, 4, 5, 1>(simd, run),
                    (28, false, 3..) => rest.add::<S, 8, 3, 1>(simd, run),
                    (28, false, _) => rest.add::<S, 8, 1, 1>(simd, run),
                    (_, true, _) => rest.add::<S, 2, 1, 2>(simd, run),
                    (_, false, _) => rest.add::<S, 4, 1, 1>(simd, run),
                }
            };
        }
        Ok(())
    }
}

/// What is the same for all runs.
struct Runs<'a> {
    windows: &'a Windows,
    rows: usize,
    gy: *const f32,
    gy_pitch: usize,
    outputs: usize,
    weights: *const f32,
    band: *mut f32,
}

impl Runs<'_> {
    /// Adds the runs `run..run + R` of `V` vectors each, `P` pixels at a time; gives `R`.
    ///
    /// # Safety
    /// The runs exist, and what `Kernel::run` checks holds.
    #[inline(always)]
    unsafe fn add<S: Simd, const P: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        run: usize,
    ) -> usize {
        let w = self.windows;
        for row in 0..self.rows {
            let mut pixel = 0;
            while pixel < w.out[1] {
                // SAFETY: as many pixels of the row are left as are added.
                pixel += unsafe {
                    match w.out[1] - pixel >= P {
                        true => self.add_pixels::<S, P, R, V>(simd, run, row, pixel),
                        false => self.add_pixels::<S, 1, R, V>(simd, run, row, pixel),
                    }
                };
            }
        }
        R
    }

    /// As [`Runs::add`], for the pixels `pixel..pixel + P` of a row; gives `P`.
    ///
    /// # Safety
    /// As there; the row has these pixels.
    #[inline(always)]
    unsafe fn add_pixels<S: Simd, const P: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        run: usize,
        row: usize,
        pixel: usize,
    ) -> usize {
        let w = self.windows;
        let mut sums = [[[simd.splat(0.0); V]; R]; P];
        // SAFETY: the pixels' gradients, the runs' weights and their places in the band are there.
        unsafe {
            let gy = self.gy.add((row * w.out[1] + pixel) * self.gy_pitch);
            let weights = self.weights.add(run * self.outputs * V * LANES);
            for output in 0..self.outputs {
                let weights = weights.add(output * V * LANES);
                for r in 0..R {
                    for v in 0..V {
                        let weight = simd.load(weights.add((r * self.outputs * V + v) * LANES));
                        for (p, sums) in sums.iter_mut().enumerate() {
                            let value = simd.splat(*gy.add(p * self.gy_pitch + output));
                            sums[r][v] = simd.mul_add(value, weight, sums[r][v]);
                        }
                    }
                }
            }
            let x = self.band.add(row * w.row_step + pixel * w.pixel_step);
            let tail = w.run - (V - 1) * LANES;
            for (p, sums) in sums.into_iter().enumerate() {
                for (r, sums) in sums.into_iter().enumerate() {
                    for (v, sum) in sums.into_iter().enumerate() {
                        let x = x.add(p * w.pixel_step + w.runs[run + r] + v * LANES);
                        if v + 1 < V || tail == LANES {
                            simd.store(x, simd.add(simd.load(x), sum));
                        } else {
                            simd.store_part(x, simd.add(simd.load_part(x, tail), sum), tail);
                        }
                    }
                }
            }
        }
        P
    }
}
