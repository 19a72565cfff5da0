//! Softmax over rows without gaps.

use super::dispatch::{Available, Loop};
use super::real::Real;

/// Elements whose exponentials are taken in one loop, so that short rows fill vectors too.
const BATCH: usize = 512;

/// `y = softmax(x)` for each row of `row` elements, or its logarithm.
pub(crate) struct SoftmaxRows<'a, R> {
    pub(crate) x: &'a [R],
    pub(crate) y: &'a mut [R],
    pub(crate) row: usize,
    pub(crate) log: bool,
}

#[inline(always)]
fn largest<R: Real>(row: &[R]) -> R {
    row.iter().copied().fold(R::neg_infinity(), |best, x| if x > best { x } else { best })
}

impl<R: Real> Loop for SoftmaxRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let row = self.row;
        if row == 0 {
            return;
        }
        let batch = (BATCH / row).max(1) * row;
        let mut exponentials = [R::zero(); BATCH];
        for (x, y) in self.x.chunks(batch).zip(self.y.chunks_mut(batch)) {
            for (x, y) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)) {
                let shift = largest(x);
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x - shift;
                }
            }
            if !self.log {
                for y in y.iter_mut() {
                    *y = y.exponential::<FMA>();
                }
                for y in y.chunks_exact_mut(row) {
                    let scale = R::one() / sum(y);
                    y.iter_mut().for_each(|y| *y = *y * scale);
                }
                continue;
            }
            for y in y.chunks_exact_mut(row) {
                let mut total = R::zero();
                for part in y.chunks(BATCH) {
                    let exponentials = &mut exponentials[..part.len()];
                    for (e, &y) in exponentials.iter_mut().zip(part) {
                        *e = y.exponential::<FMA>();
                    }
                    total += sum(exponentials);
                }
                let shift = total.ln();
                y.iter_mut().for_each(|y| *y = *y - shift);
            }
        }
    }
}

/// The sum of a row, in 8 strands.
#[inline(always)]
fn sum<R: Real>(row: &[R]) -> R {
    let mut strands = [R::zero(); 8];
    let (whole, rest) = row.as_chunks::<8>();
    for chunk in whole {
        for (strand, &x) in strands.iter_mut().zip(chunk) {
            *strand += x;
        }
    }
    for (strand, &x) in strands.iter_mut().zip(rest) {
        *strand += x;
    }
    strands.into_iter().sum()
}

/// The gradient of [`SoftmaxRows`], from its output.
pub(crate) struct SoftmaxGradRows<'a, R> {
    pub(crate) gy: &'a [R],
    pub(crate) y: &'a [R],
    pub(crate) gx: &'a mut [R],
    pub(crate) row: usize,
    pub(crate) log: bool,
}

impl<R: Real> Loop for SoftmaxGradRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        if self.row == 0 {
            return;
        }
        let rows = self.gy.chunks_exact(self.row).zip(self.y.chunks_exact(self.row));
        for (gx, (gy, y)) in self.gx.chunks_exact_mut(self.row).zip(rows) {
            if self.log {
                let total = sum(gy);
                for (gx, (&gy, &y)) in gx.iter_mut().zip(gy.iter().zip(y)) {
                    *gx = gy - y.exponential::<FMA>() * total;
                }
                continue;
            }
            for (gx, (&gy, &y)) in gx.iter_mut().zip(gy.iter().zip(y)) {
                *gx = gy * y;
            }
            let total = sum(gx);
            for (gx, (&gy, &y)) in gx.iter_mut().zip(gy.iter().zip(y)) {
                *gx = y * (gy - total);
            }
        }
    }
}

struct LogSumExp<'a, R> {
    row: &'a [R],
}

impl<R: Real> Loop for LogSumExp<'_, R> {
    type Output = [R; 2];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> [R; 2] {
        let shift = largest(self.row);
        let mut exponentials = [R::zero(); 64];
        let mut total = R::zero();
        for part in self.row.chunks(64) {
            let exponentials = &mut exponentials[..part.len()];
            for (e, &x) in exponentials.iter_mut().zip(part) {
                *e = (x - shift).exponential::<FMA>();
            }
            total += sum(exponentials);
        }
        [shift, total.ln()]
    }
}

/// `log sum exp` of a row in two parts: the largest element, and what is to be added to it.
pub(crate) fn log_sum_exp_row<R: Real>(level: Available, row: &[R]) -> [R; 2] {
    level.run(LogSumExp { row })
}
