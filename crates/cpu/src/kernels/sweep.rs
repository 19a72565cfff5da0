//! Products of a few rows with a matrix that is stored by rows, as the gradient of a linear layer's input has
//! them for a small batch: `c[i, :] += a[i, k] b[k, :]`, row of `b` by row.
//!
//! The matrix is read once, in stretches of its rows that lie side by side in memory; the rows of the result
//! stay in a near cache while a stretch of all rows passes. A few rows at a time are made what is multiplied, once
//! for all rows of the result: floats, or words of two bf16 that lie below each other.

use ferrotape_backend::{Error, Result};

use super::dispatch::Kernel;
use super::fetch::fetch_at;
use super::gemm::{Matrix, MatrixMut};
use super::simd::{InMemory, LANES, Simd};

/// Vectors of a stretch of a row.
const VECTORS: usize = 32;

/// Elements of a stretch.
pub(crate) const STRETCH: usize = VECTORS * LANES;

/// Rows of `a`, at most: more are worth packing the matrix.
pub(crate) const MOST_ROWS: usize = 32;

/// Rows of words that are added at a time.
const DEPTH: usize = 4;

/// `c = a b`, or `c += a b`. An element adds its products in the order of the sum: the same bits whatever the
/// product is cut into.
pub(crate) struct Sweep<'a, 'c, T, const IN_WORD: usize> {
    /// Of words of so many numbers, one or two.
    pub(crate) a: Matrix<'a, f32>,
    pub(crate) b: Matrix<'a, T>,
    pub(crate) c: &'a mut MatrixMut<'c, f32>,
    pub(crate) accumulate: bool,
}

/// Whether `[m, k] [k, n]` with these strides of the second matrix is what the kernel is for.
pub(crate) fn fit([m, k, n]: [usize; 3], b: [isize; 2]) -> bool {
    (1..=MOST_ROWS).contains(&m) && k >= DEPTH && n >= LANES && b[1] == 1
}

impl<T: InMemory, const IN_WORD: usize> Kernel for Sweep<'_, '_, T, IN_WORD> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let ([m, k], [_, n]) = (self.a.sizes(), self.b.sizes());
        let fits = k * IN_WORD == self.b.sizes()[0] && self.c.sizes() == [m, n] && m <= MOST_ROWS;
        if !fits {
            return Err(Error::shape("the sizes of a matrix product do not fit"));
        }
        let (a, [down, right]) = (self.a.start(), self.a.strides());
        let (b, b_step) = (self.b.start(), self.b.strides()[0]);
        let mut sums = [[simd.splat(0.0); VECTORS]; MOST_ROWS];
        let mut words = [[simd.splat(0.0); VECTORS]; DEPTH];
        for first in (0..n).step_by(STRETCH) {
            let width = (n - first).min(STRETCH);
            let vectors = width.div_ceil(LANES);
            sums[..m].fill([simd.splat(0.0); VECTORS]);
            let row = |kk: usize| b.wrapping_offset(kk as isize * b_step).wrapping_add(first);
            for kk in (0..k).step_by(DEPTH) {
                let depth = DEPTH.min(k - kk);
                for (t, words) in words[..depth].iter_mut().enumerate() {
                    let first = (kk + t) * IN_WORD;
                    let rows = [row(first), row(first + IN_WORD - 1)];
                    for next in (0..IN_WORD).map(|r| first + DEPTH * IN_WORD + r) {
                        fetch_at(row(next), width);
                    }
                    for (v, word) in words[..vectors].iter_mut().enumerate() {
                        let lanes = LANES.min(width - v * LANES);
                        // SAFETY: both rows are of `b`, which has them as was checked, and have `width` elements
                        // from `first` on, side by side.
                        *word = unsafe {
                            let upper = T::load(simd, rows[0].add(v * LANES), lanes);
                            match IN_WORD {
                                1 => upper,
                                _ => simd.pair(upper, T::load(simd, rows[1].add(v * LANES), lanes)),
                            }
                        };
                    }
                }
                for (i, sums) in sums[..m].iter_mut().enumerate() {
                    let sums = &mut sums[..vectors];
                    // SAFETY: `a` has `m` rows of `k` elements, as the matrix checked.
                    let factor = |t: usize| unsafe {
                        simd.splat(*a.offset(i as isize * down + (kk + t) as isize * right))
                    };
                    if depth == DEPTH {
                        let factors = std::array::from_fn(factor);
                        add_rows::<S, DEPTH>(simd, factors, &words, sums);
                        continue;
                    }
                    for (t, words) in words[..depth].iter().enumerate() {
                        add_rows::<S, 1>(simd, [factor(t)], std::array::from_ref(words), sums);
                    }
                }
            }
            for (i, sums) in sums[..m].iter().enumerate() {
                for (v, &sum) in sums[..vectors].iter().enumerate() {
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
#[inline(always)]
fn add_rows<S: Simd, const D: usize>(
    simd: S,
    factors: [S::V; D],
    words: &[[S::V; VECTORS]; D],
    sums: &mut [S::V],
) {
    for (v, sum) in sums.iter_mut().enumerate() {
        let mut acc = *sum;
        for (factor, words) in factors.into_iter().zip(words) {
            acc = simd.mul_add(factor, words[v], acc);
        }
        *sum = acc;
    }
}
