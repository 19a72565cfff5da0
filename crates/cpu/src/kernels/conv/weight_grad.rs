//! The gradient of a direct convolution in its weight: each tap's sixteen outputs stay in registers
//! while all pixels of a band pass by.

use ferrotape_backend::{Error, Result};

use super::direct::Windows;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{LANES, Simd};

/// Adds the products of the windows and output gradients of some rows of one image.
pub(crate) struct WeightGrad<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) rows: usize,
    pub(crate) band: &'a [f32],
    pub(crate) gy: &'a [f32],
    pub(crate) gy_pitch: usize,
    pub(crate) outputs: usize,
    /// `[blocks of sixteen outputs, taps, 16]`.
    pub(crate) sums: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let w = self.windows;
        let pixels = self.rows * w.pixels;
        let blocks = self.outputs.div_ceil(LANES);
        let fits = pixels > 0
            && w.reach(self.rows) <= self.band.len()
            && blocks * w.taps() * LANES <= self.sums.len()
            && self.outputs <= self.gy_pitch
            && (pixels - 1) * self.gy_pitch + self.outputs <= self.gy.len();
        if !fits {
            return Err(Error::argument("a convolution's band does not fit its windows"));
        }
        for block in 0..blocks {
            let channel = block * LANES;
            let count = LANES.min(self.outputs - channel);
            // SAFETY: a block has `count` outputs from `channel` on and its `taps * 16` sums; what
            // is read of band and gradient was checked above.
            unsafe {
                let gy = self.gy.as_ptr().add(channel);
                let sums = self.sums.as_mut_ptr().add(block * w.taps() * LANES);
                let (rows, band) = (self.rows, self.band.as_ptr());
                let taps = Taps { w, rows, band, gy, pitch: self.gy_pitch, count };
                match (S::ACCUMULATORS, w.runs.len(), w.run) {
                    (28, 5, 5) => taps.add::<S, 5, 5>(simd, 0, 0, sums),
                    (28, 3, 9) => taps.add::<S, 3, 9>(simd, 0, 0, sums),
                    (28, 3, 3) => taps.add::<S, 3, 3>(simd, 0, 0, sums),
                    _ => taps.add_runs(simd, sums),
                }
            }
        }
        Ok(())
    }
}

/// What is the same for all taps of a block of outputs.
struct Taps<'a> {
    w: &'a Windows,
    rows: usize,
    band: *const f32,
    gy: *const f32,
    pitch: usize,
    count: usize,
}

impl Taps<'_> {
    /// Adds all taps, some adjacent ones of a run at a time.
    ///
    /// # Safety
    /// As [`Taps::add`].
    #[inline(always)]
    unsafe fn add_runs<S: Simd>(&self, simd: S, sums: *mut f32) {
        for run in 0..self.w.runs.len() {
            let mut tap = 0;
            while tap < self.w.run {
                let left = self.w.run - tap;
                // SAFETY: the caller's; `tap` and those added with it are in the run.
                tap += unsafe {
                    match (S::ACCUMULATORS, left) {
                        (28, 15..) => self.add_some::<S, 15>(simd, run, tap, sums),
                        (28, 8..) => self.add_some::<S, 8>(simd, run, tap, sums),
                        (6.., 5..) => self.add_some::<S, 5>(simd, run, tap, sums),
                        (_, 3..) => self.add_some::<S, 3>(simd, run, tap, sums),
                        _ => self.add_some::<S, 1>(simd, run, tap, sums),
                    }
                };
            }
        }
    }

    /// Adds `T` adjacent taps of a run, and says how many that were.
    ///
    /// # Safety
    /// As [`Taps::add`].
    #[inline(always)]
    unsafe fn add_some<S: Simd, const T: usize>(
        &self,
        simd: S,
        run: usize,
        tap: usize,
        sums: *mut f32,
    ) -> usize {
        // SAFETY: the caller's.
        unsafe { self.add::<S, 1, T>(simd, run, tap, sums) };
        T
    }

    /// Adds the taps `tap..tap + T` of the runs `run..run + R`.
    ///
    /// # Safety
    /// The runs exist and have these taps; the band holds all windows of the rows, `gy` all their
    /// gradients, and `sums` sixteen floats a tap.
    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize, const T: usize>(
        &self,
        simd: S,
        run: usize,
        tap: usize,
        sums: *mut f32,
    ) {
        let w = self.w;
        let mut products = [[simd.splat(0.0); T]; R];
        let runs: [usize; R] = std::array::from_fn(|r| w.runs[run + r] + tap);
        for row in 0..self.rows {
            for pixel in 0..w.pixels {
                // SAFETY: pixel and taps are in the band, as the caller vouches.
                unsafe {
                    let gy = self.gy.add((row * w.pixels + pixel) * self.pitch);
                    let gy = match self.count == LANES {
                        true => simd.load(gy),
                        false => simd.load_part(gy, self.count),
                    };
                    let x = self.band.add(row * w.row_step + pixel * w.pixel_step);
                    for (products, run) in products.iter_mut().zip(runs) {
                        for (t, product) in products.iter_mut().enumerate() {
                            let value = simd.splat(*x.add(run + t));
                            *product = simd.mul_add(value, gy, *product);
                        }
                    }
                }
            }
        }
        for (r, products) in products.into_iter().enumerate() {
            for (t, product) in products.into_iter().enumerate() {
                // SAFETY: tap `tap + t` of run `run + r` has its sixteen sums.
                unsafe {
                    let sum = sums.add(((run + r) * w.run + tap + t) * LANES);
                    simd.store(sum, simd.add(simd.load(sum), product));
                }
            }
        }
    }
}

/// Undoes [`pack_outputs`](super::direct::pack_outputs), adding to `weights`, `[taps, outputs]`.
pub(crate) fn add_unpacked(packed: &[f32], outputs: usize, weights: &mut [f32]) {
    let taps = weights.len() / outputs.max(1);
    for (block, packed) in packed.chunks_exact((taps * LANES).max(1)).enumerate() {
        let first = block * LANES;
        let count = LANES.min(outputs - first);
        for (from, to) in packed.chunks_exact(LANES).zip(weights.chunks_exact_mut(outputs)) {
            let to = &mut to[first..first + count];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
        }
    }
}
