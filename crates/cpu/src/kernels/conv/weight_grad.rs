//! The gradient of a convolution in its weight: registers hold some floats of a window by a panel of
//! outputs, while all pixels of a band pass by.

mod tiled;

use ferrotape_backend::{Error, Result};

pub(crate) use self::tiled::{InTiles, PackTiles};
use super::panels::{packed_len, panel_width};
use super::windows::Windows;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{LANES, Simd};

/// The gradients of a band's pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradients<'a> {
    /// From the first channel of the first pixel on.
    pub(crate) data: &'a [f32],
    pub(crate) order: Order,
    /// Channels in all.
    pub(crate) channels: usize,
}

/// The order of gradients in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Panel after panel.
    Panels {
        /// Floats from one pixel to the next.
        pitch: usize,
        /// Floats from one panel to the next.
        step: usize,
    },
    /// As [`PackTiles`] lays them out.
    Tiles,
}

/// Adds the products of windows and gradients to the sums of a weight, or begins with them.
pub(crate) struct WeightGrad<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) band: &'a [f32],
    /// Where the first window of each row lies in the band.
    pub(crate) rows: &'a [usize],
    /// Pixels of a row.
    pub(crate) pixels: usize,
    pub(crate) gy: Gradients<'a>,
    /// As [`PackPanel`](super::panels::PackPanel) has weights.
    pub(crate) sums: &'a mut [f32],
    /// Whether what the sums hold is no part of them.
    pub(crate) begins: bool,
}

impl Kernel for WeightGrad<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let (w, gy) = (self.windows, self.gy);
        let pixels = self.rows.len() * self.pixels;
        if pixels * gy.channels == 0 {
            return Ok(());
        }
        let Order::Panels { pitch, step } = gy.order else {
            return Err(Error::argument("gradients lie in tiles and are to be read by panels"));
        };
        let widest = S::PANEL * LANES;
        let farthest = self.rows.iter().copied().max().unwrap_or(0);
        let panels = gy.channels.div_ceil(widest);
        let fits = farthest.saturating_add(w.reach(1, self.pixels)) <= self.band.len()
            && packed_len(w.taps(), gy.channels) <= self.sums.len()
            && (0..panels).all(|panel| {
                let count = (gy.channels - panel * widest).min(widest);
                panel * step + (pixels - 1) * pitch + count <= gy.data.len()
            });
        if !fits {
            return Err(Error::argument("a convolution's band does not fit its windows"));
        }
        for first in (0..gy.channels).step_by(widest) {
            let width = panel_width(gy.channels, first, widest);
            // SAFETY: the panels before this one have `first` outputs together, so its sums and its
            // gradients begin where these are said to, and `fits` says that they are all there, and
            // so are all windows.
            unsafe {
                let panel = Panel {
                    w,
                    band: self.band.as_ptr(),
                    rows: self.rows,
                    pixels: self.pixels,
                    gy: gy.data.as_ptr().add(first / widest * step),
                    pitch,
                    count: (gy.channels - first).min(width),
                    sums: self.sums.as_mut_ptr().add(first * w.taps()),
                    begins: self.begins,
                };
                if const { S::PANEL == 2 } && width == 2 * LANES {
                    panel.add_runs::<S, 2>(simd);
                } else {
                    panel.add_all::<S>(simd);
                }
            }
        }
        Ok(())
    }
}

/// What is the same for all floats of the windows.
struct Panel<'a> {
    w: &'a Windows,
    band: *const f32,
    rows: &'a [usize],
    pixels: usize,
    gy: *const f32,
    pitch: usize,
    /// Outputs of the panel.
    count: usize,
    sums: *mut f32,
    begins: bool,
}

impl Panel<'_> {
    /// As [`Panel::add_runs`] for a panel of one vector; windows of few floats are added whole.
    ///
    /// # Safety
    /// As [`Panel::add`].
    #[inline(always)]
    unsafe fn add_all<S: Simd>(&self, simd: S) {
        // SAFETY: the caller's; the runs are as many and as long as the numbers say.
        unsafe {
            match (S::ACCUMULATORS, self.w.runs.len(), self.w.run) {
                (28, 5, 5) => self.add::<S, 5, 5, 1>(simd, 0, 0),
                (28, 3, 9) => self.add::<S, 3, 9, 1>(simd, 0, 0),
                (28, 3, 3) => self.add::<S, 3, 3, 1>(simd, 0, 0),
                _ => self.add_runs::<S, 1>(simd),
            }
        }
    }

    /// Adds to all floats of the windows, some adjacent ones of a run at a time.
    ///
    /// # Safety
    /// As [`Panel::add`].
    #[inline(always)]
    unsafe fn add_runs<S: Simd, const V: usize>(&self, simd: S) {
        let longest = S::TILE.min(14);
        // Parts of equal length, so that none is too short to fill the arithmetic units.
        let parts = self.w.run.div_ceil(longest).max(1);
        let part = self.w.run.div_ceil(parts).max(1);
        for run in 0..self.w.runs.len() {
            for tap in (0..self.w.run).step_by(part) {
                // SAFETY: the caller's; the run has as many floats from `tap` on as are added.
                unsafe {
                    let count = part.min(self.w.run - tap);
                    if const { S::TILE < 14 } {
                        self.add_few::<S, V>(simd, run, tap, count);
                    } else {
                        self.add_many::<S, V>(simd, run, tap, count);
                    }
                }
            }
        }
    }

    /// Adds to `count` floats of a run, 6 at most.
    ///
    /// # Safety
    /// As [`Panel::add`].
    #[inline(always)]
    unsafe fn add_few<S: Simd, const V: usize>(
        &self,
        simd: S,
        run: usize,
        tap: usize,
        count: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            match count {
                6 => self.add::<S, 1, 6, V>(simd, run, tap),
                5 => self.add::<S, 1, 5, V>(simd, run, tap),
                4 => self.add::<S, 1, 4, V>(simd, run, tap),
                3 => self.add::<S, 1, 3, V>(simd, run, tap),
                2 => self.add::<S, 1, 2, V>(simd, run, tap),
                _ => self.add::<S, 1, 1, V>(simd, run, tap),
            }
        }
    }

    /// Adds to `count` floats of a run, 14 at most.
    ///
    /// # Safety
    /// As [`Panel::add`].
    #[inline(always)]
    unsafe fn add_many<S: Simd, const V: usize>(
        &self,
        simd: S,
        run: usize,
        tap: usize,
        count: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            match count {
                14 => self.add::<S, 1, 14, V>(simd, run, tap),
                13 => self.add::<S, 1, 13, V>(simd, run, tap),
                12 => self.add::<S, 1, 12, V>(simd, run, tap),
                11 => self.add::<S, 1, 11, V>(simd, run, tap),
                10 => self.add::<S, 1, 10, V>(simd, run, tap),
                9 => self.add::<S, 1, 9, V>(simd, run, tap),
                8 => self.add::<S, 1, 8, V>(simd, run, tap),
                7 => self.add::<S, 1, 7, V>(simd, run, tap),
                _ => self.add_few::<S, V>(simd, run, tap, count),
            }
        }
    }

    /// Adds to the floats `tap..tap + T` of the runs `run..run + R`.
    ///
    /// # Safety
    /// The runs exist and have these floats; the band holds all windows of the rows, `gy` all their
    /// gradients, and `sums` `V` vectors for each float of a window.
    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize, const T: usize, const V: usize>(
        &self,
        simd: S,
        run: usize,
        tap: usize,
    ) {
        let w = self.w;
        let mut products = [[[simd.splat(0.0); V]; T]; R];
        let runs: [usize; R] = std::array::from_fn(|r| w.runs[run + r] + tap);
        let whole = self.count == V * LANES;
        let mut gy = self.gy;
        for &row in self.rows {
            // SAFETY: pixels and floats are in the band, as the caller vouches.
            unsafe {
                let mut x = self.band.add(row);
                for _ in 0..self.pixels {
                    let mut gradient = [simd.splat(0.0); V];
                    for (v, gradient) in gradient.iter_mut().enumerate() {
                        *gradient = match whole {
                            true => simd.load(gy.add(v * LANES)),
                            false => {
                                let count = self.count.saturating_sub(v * LANES).min(LANES);
                                simd.load_part(gy.wrapping_add(v * LANES), count)
                            }
                        };
                    }
                    for (products, run) in products.iter_mut().zip(runs) {
                        for (t, products) in products.iter_mut().enumerate() {
                            let value = simd.splat(*x.add(run + t));
                            for (product, &gradient) in products.iter_mut().zip(&gradient) {
                                *product = simd.mul_add(value, gradient, *product);
                            }
                        }
                    }
                    x = x.wrapping_add(w.pixel_step);
                    gy = gy.wrapping_add(self.pitch);
                }
            }
        }
        for (r, products) in products.into_iter().enumerate() {
            for (t, products) in products.into_iter().enumerate() {
                let float = (run + r) * w.run + tap + t;
                for (v, product) in products.into_iter().enumerate() {
                    // SAFETY: the float of the window has its sums.
                    unsafe {
                        let sum = self.sums.add((float * V + v) * LANES);
                        let before = if self.begins { simd.splat(0.0) } else { simd.load(sum) };
                        simd.store(sum, simd.add(before, product));
                    }
                }
            }
        }
    }
}
