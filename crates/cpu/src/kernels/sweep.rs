//! Products of a few rows with a matrix that is stored by rows, as the gradient of a linear layer's input has
//! them for a small batch: `c[i, :] += a[i, k] b[k, :]`, row of `b` by row.
//!
//! The matrix is read once, in stretches of its rows that lie side by side in memory; the rows of the result
//! stay in a near cache while a stretch of all rows passes. Nothing is packed.

use ferrotape_backend::{Error, Result};

use super::dispatch::Kernel;
use super::gemm::{Matrix, MatrixMut};
use super::simd::{LANES, Simd};

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
pub(crate) struct Sweep<'a, 'c> {
    pub(crate) a: Matrix<'a, f32>,
    pub(crate) b: Matrix<'a, f32>,
    pub(crate) c: &'a mut MatrixMut<'c, f32>,
    pub(crate) accumulate: bool,
}

impl Sweep<'_, '_> {
    /// Whether these operands are what the kernel is for.
    pub(crate) fn fit(a: &Matrix<'_, f32>, b: &Matrix<'_, f32>) -> bool {
        let ([m, k], [_, n]) = (a.sizes(), b.sizes());
        (1..=MOST_ROWS).contains(&m) && k >= DEPTH && n >= LANES && b.strides()[1] == 1
    }
}

impl Kernel for Sweep<'_, '_> {
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
                    let rows: [*const f32; DEPTH] = std::array::from_fn(|t| row(kk + t));
                    for (i, sums) in sums[..m].iter_mut().enumerate() {
                        let factors = std::array::from_fn(|t| factor(i, kk + t));
                        add_rows::<S, DEPTH>(simd, factors, rows, width, sums);
                    }
                }
                for kk in whole..k {
                    for (i, sums) in sums[..m].iter_mut().enumerate() {
                        add_rows::<S, 1>(simd, [factor(i, kk)], [row(kk)], width, sums);
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
unsafe fn add_rows<S: Simd, const D: usize>(
    simd: S,
    factors: [S::V; D],
    rows: [*const f32; D],
    width: usize,
    sums: &mut [S::V; VECTORS],
) {
    let whole = width / LANES;
    for (v, sum) in sums.iter_mut().enumerate().take(whole) {
        let mut acc = *sum;
        for (factor, row) in factors.into_iter().zip(rows) {
            // SAFETY: `(v + 1) * LANES <= width`.
            acc = simd.mul_add(factor, unsafe { simd.load(row.add(v * LANES)) }, acc);
        }
        *sum = acc;
    }
    let rest = width % LANES;
    if rest > 0 {
        let mut acc = sums[whole];
        for (factor, row) in factors.into_iter().zip(rows) {
            // SAFETY: `whole * LANES + rest == width`.
            acc =
                simd.mul_add(factor, unsafe { simd.load_part(row.add(whole * LANES), rest) }, acc);
        }
        sums[whole] = acc;
    }
}
