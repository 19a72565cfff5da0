//! Products of a few rows with a matrix that is stored by columns, as a linear layer has them for a small
//! batch: `c[i, j] = a[i, :] . b[:, j]`, where both lie in memory along the sum.
//!
//! Such a product is read once and computed little, so nothing is packed. Columns are taken a few at a time,
//! and a stretch of the sum, so that what is read of the matrix stays in the nearest cache while all rows pass.

use ferrotape_backend::{Error, Result};

use super::dispatch::Kernel;
use super::gemm::{Matrix, MatrixMut};
use super::simd::{InMemory, LANES, Simd};

/// Elements of a stretch of the sum: four columns of them are half of a first cache.
const STRETCH: usize = 1024;

/// Rows of `a`, at most: more are worth packing the matrix.
pub(crate) const MOST_ROWS: usize = 48;

/// `c = a b`, or `c += a b`. Every element is the sum of [`LANES`] partial sums, added pairwise at the end: the
/// same bits whatever the product is cut into.
pub(crate) struct Dots<'a, 'c, T> {
    pub(crate) a: Matrix<'a, f32>,
    pub(crate) b: Matrix<'a, T>,
    pub(crate) c: &'a mut MatrixMut<'c, f32>,
    pub(crate) accumulate: bool,
}

/// Whether `[m, k] [k, n]` with these strides of the two matrices is what the kernel is for.
pub(crate) fn fit([m, k, n]: [usize; 3], a: [isize; 2], b: [isize; 2]) -> bool {
    (1..=MOST_ROWS).contains(&m) && k >= LANES && n > 0 && a[1] == 1 && b[0] == 1
}

impl<T: InMemory> Kernel for Dots<'_, '_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let ([m, k], [_, n]) = (self.a.sizes(), self.b.sizes());
        if self.a.sizes()[1] != self.b.sizes()[0] || self.c.sizes() != [m, n] || m > MOST_ROWS {
            return Err(Error::shape("the sizes of a matrix product do not fit"));
        }
        let (a, b) = (self.a.start(), self.b.start());
        let (a_step, b_step) = (self.a.strides()[0], self.b.strides()[1]);
        let mut sums = [[simd.splat(0.0); 4]; MOST_ROWS];
        for column in (0..n).step_by(4) {
            let columns = (n - column).min(4);
            sums[..m].fill([simd.splat(0.0); 4]);
            // A column past the last is the last one again: it is computed and not stored.
            let b: [*const T; 4] = std::array::from_fn(|j| {
                b.wrapping_offset((column + j.min(columns - 1)) as isize * b_step)
            });
            for start in (0..k).step_by(STRETCH) {
                let count = (k - start).min(STRETCH);
                let b = b.map(|b| b.wrapping_add(start));
                let row = |i: usize| a.wrapping_offset(i as isize * a_step).wrapping_add(start);
                let mut i = 0;
                // SAFETY: rows below `m` and columns below `n` have `k` elements each, side by side, as the
                // matrices checked when they were made; `start + count <= k`.
                unsafe {
                    if const { S::ACCUMULATORS >= 16 } {
                        while i + 4 <= m {
                            tile::<S, T, 4>(
                                simd,
                                std::array::from_fn(|t| row(i + t)),
                                b,
                                count,
                                &mut sums[i..],
                            );
                            i += 4;
                        }
                    }
                    while i < m {
                        tile::<S, T, 1>(simd, [row(i)], b, count, &mut sums[i..]);
                        i += 1;
                    }
                }
            }
            for (i, sums) in sums[..m].iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate().take(columns) {
                    self.c.put([i, column + j], total(simd, sum), self.accumulate);
                }
            }
        }
        Ok(())
    }
}

/// Adds the products of `R` rows and four columns over `count` elements to their sums.
///
/// # Safety
/// All of them have `count` elements.
#[inline(always)]
unsafe fn tile<S: Simd, T: InMemory, const R: usize>(
    simd: S,
    a: [*const f32; R],
    b: [*const T; 4],
    count: usize,
    sums: &mut [[S::V; 4]],
) {
    let mut acc = [[simd.splat(0.0); 4]; R];
    acc.copy_from_slice(&sums[..R]);
    for at in (0..count).step_by(LANES) {
        let lanes = LANES.min(count - at);
        let mut values = [simd.splat(0.0); 4];
        for (value, b) in values.iter_mut().zip(b) {
            // SAFETY: `at + lanes <= count`.
            *value = unsafe { T::load(simd, b.add(at), lanes) };
        }
        for (acc, a) in acc.iter_mut().zip(a) {
            // SAFETY: as above.
            let a = unsafe { f32::load(simd, a.add(at), lanes) };
            for (acc, b) in acc.iter_mut().zip(values) {
                *acc = simd.mul_add(a, b, *acc);
            }
        }
    }
    sums[..R].copy_from_slice(&acc);
}

/// The sum of all lanes, pairwise.
#[inline(always)]
fn total<S: Simd>(simd: S, value: S::V) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: there is room for all lanes.
    unsafe { simd.store(lanes.as_mut_ptr(), value) };
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
