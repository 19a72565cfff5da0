//! Products of a few rows with a matrix that is stored by rows, as the gradient of a linear layer's input has
//! them for a small batch: `c[i, :] += a[i, k] b[k, :]`, row of `b` by row.
//!
//! The matrix is read once, in stretches of its rows that lie side by side in memory; the rows of the result
//! stay in a near cache while a stretch of all rows passes. Nothing is packed.

use ferrotape_backend::{Error, Result};

use super::dispatch::Kernel;
use super::gemm::{Matrix, MatrixMut};
use super::simd::{InMemory, LANES, Simd};

/// Vectors of a stretch of a row.
const VECTORS: usize = 32;

/// Elements of a stretch.
pub(crate) const STRETCH: usize = VECTORS * LANES;

/// Rows of `a`, at most: more are worth packing the matrix.
pub(crate) const MOST_ROWS: usize = 32;

/// Rows of `b` that are added at a time.
const DEPTH: usize = 4;

/// `c = a b`, or `c += a b`. An element adds its products in the order of the sum: the same bits whatever the
/// product is cut into.
pub(crate) struct Sweep<'a, 'c, T> {
    pub(crate) a: Matrix<'a, f32>,
    pub(crate) b: Matrix<'a, T>,
    pub(crate) c: &'a mut MatrixMut<'c, f32>,
    pub(crate) accumulate: bool,
}

/// Whether `[m, k] [k, n]` with these strides of the second matrix is what the kernel is for.
pub(crate) fn fit([m, k, n]: [usize; 3], b: [isize; 2]) -> bool {
    (1..=MOST_ROWS).contains(&m) && k >= DEPTH && n >= LANES && b[1] == 1
}

impl<T: InMemory> Kernel for Sweep<'_, '_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let ([m, k], [_, n]) = (self.a.sizes(), self.b.sizes());
        if k != self.b.sizes()[0] || self.c.sizes() != [m, n] || m > MOST_ROWS {
            return Err(Error::shape("the sizes of a matrix product do not fit"));
        }
        let (a, [down, right]) = (self.a.start(), self.a.strides());
        let (b, b_step) = (self.b.start(), self.b.strides()[0]);
        let mut sums = [[simd.splat(0.0); VECTORS]; MOST_ROWS];
        for first in (0..n).step_by(STRETCH) {
            let width = (n - first).min(STRETCH);
            sums[..m].fill([simd.splat(0.0); VECTORS]);
            let row = |kk: usize| b.wrapping_offset(kk as isize * b_step).wrapping_add(first);
            // SAFETY: `a` has `m` rows of `k` elements, as the matrix checked; those of `b` have `width`
            // elements from `first` on, side by side.
            unsafe {
                let factor = |i: usize, kk: usize| {
                    simd.splat(*a.offset(i as isize * down + kk as isize * right))
                };
                let whole = k - k % DEPTH;
                for kk in (0..whole).step_by(DEPTH) {
                    let rows: [*const T; DEPTH] = std::array::from_fn(|t| row(kk + t));
                    for (i, sums) in sums[..m].iter_mut().enumerate() {
                        let factors = std::array::from_fn(|t| factor(i, kk + t));
                        add_rows::<S, T, DEPTH>(simd, factors, rows, width, sums);
                    }
                }
                for kk in whole..k {
                    for (i, sums) in sums[..m].iter_mut().enumerate() {
                        add_rows::<S, T, 1>(simd, [factor(i, kk)], [row(kk)], width, sums);
                    }
                }
            }
            for (i, sums) in sums[..m].iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate().take(width.div_ceil(LANES)) {
                    let mut lanes = [0.0f32; LANES];
                    // SAFETY: there is room for all lanes.
                    unsafe { simd.store(lanes.as_mut_ptr(), sum) };
                    let count = (width - v * LANES).min(LANES);
                    for (lane, &value) in lanes.iter().enumerate().take(count) {
                        self.c.put([i, first + v * LANES + lane], value, self.accumulate);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds the rows times their factors to the sums.
///
/// # Safety
/// The rows have `width` elements, and `width <= STRETCH`.
#[inline(always)]
unsafe fn add_rows<S: Simd, T: InMemory, const D: usize>(
    simd: S,
    factors: [S::V; D],
    rows: [*const T; D],
    width: usize,
    sums: &mut [S::V; VECTORS],
) {
    for (v, sum) in sums.iter_mut().enumerate().take(width.div_ceil(LANES)) {
        let lanes = LANES.min(width - v * LANES);
        let mut acc = *sum;
        for (factor, row) in factors.into_iter().zip(rows) {
            // SAFETY: `v * LANES + lanes <= width`.
            let row = unsafe { T::load(simd, row.add(v * LANES), lanes) };
            acc = simd.mul_add(factor, row, acc);
        }
        *sum = acc;
    }
}
