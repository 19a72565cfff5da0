//! The loops of batch normalisation: over rows of channels, some rows at a time as one wide row.
//!
//! A row is computed in blocks, with what lies between two steps in a buffer on the stack: a loop with one
//! output, or with a buffer for output, needs few checks of what overlaps, and is compiled to vectors.

use super::columns::RowLoop;
use super::dispatch::Loop;
use super::fetch::fetch_ahead;
use super::images::Pixels;
use super::real::{Real, Stored};

/// Elements of a buffer.
const BLOCK: usize = 128;

/// The sum of each column.
pub(crate) struct Sums<'a, S> {
    pub(crate) x: Pixels<'a, S>,
}

impl<R: Real, S: Stored> RowLoop<R> for Sums<'_, S> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        for (row, rows) in self.x.wide_rows(start, count, sums.len()) {
            let x = self.x.rows(row, rows);
            fetch_ahead(x);
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += R::load(x);
            }
        }
    }
}

/// The sum of the squares of what differs from `center`.
pub(crate) struct Squares<'a, R, S> {
    pub(crate) x: Pixels<'a, S>,
    pub(crate) center: &'a [R],
}

impl<R: Real, S: Stored> RowLoop<R> for Squares<'_, R, S> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        for (row, rows) in self.x.wide_rows(start, count, sums.len()) {
            let x = self.x.rows(row, rows);
            fetch_ahead(x);
            for (sum, (&x, &center)) in sums.iter_mut().zip(x.iter().zip(self.center)) {
                let d = R::load(x) - center;
                *sum = R::fused::<FMA>(d, d, *sum);
            }
        }
    }
}

/// `y = (x - mean) scale + shift`, plus a residual, and `least` where it is below.
pub(crate) struct Normalise<'a, R, S> {
    pub(crate) x: Pixels<'a, S>,
    pub(crate) residual: Option<Pixels<'a, S>>,
    pub(crate) start: usize,
    pub(crate) count: usize,
    /// Mean, scale and shift.
    pub(crate) parameters: [&'a [R]; 3],
    pub(crate) least: R,
    /// From row `start` on, and the elements from one row to the next.
    pub(crate) y: (&'a mut [S], usize),
}

impl<R: Real, S: Stored> Loop for Normalise<'_, R, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ([mean, scale, shift], least, (data, pitch)) = (self.parameters, self.least, self.y);
        let mut buffer = [R::zero(); BLOCK];
        for (row, rows) in self.x.wide_rows(self.start, self.count, mean.len()) {
            let x = self.x.rows(row, rows);
            let y = &mut data[(row - self.start) * pitch..][..x.len()];
            let residual = self.residual.map(|residual| residual.rows(row, rows));
            for at in (0..x.len()).step_by(BLOCK) {
                let n = BLOCK.min(x.len() - at);
                let values = &mut buffer[..n];
                let (x, mean) = (&x[at..at + n], &mean[at..at + n]);
                let (scale, shift) = (&scale[at..at + n], &shift[at..at + n]);
                fetch_ahead(x);
                match residual {
                    None => {
                        for i in 0..n {
                            let value =
                                R::fused::<FMA>(R::load(x[i]) - mean[i], scale[i], shift[i]);
                            values[i] = at_least(value, least);
                        }
                    }
                    Some(residual) => {
                        let residual = &residual[at..at + n];
                        fetch_ahead(residual);
                        for i in 0..n {
                            let value =
                                R::fused::<FMA>(R::load(x[i]) - mean[i], scale[i], shift[i]);
                            values[i] = at_least(value + R::load(residual[i]), least);
                        }
                    }
                }
                store(values, &mut y[at..at + n]);
            }
        }
    }
}

/// What gradients of a normalisation are made from.
#[derive(Clone, Copy)]
pub(crate) struct Gradients<'a, S> {
    pub(crate) gy: Pixels<'a, S>,
    pub(crate) x: Pixels<'a, S>,
    /// The result of the ReLU that the gradient passes first, if there is one.
    pub(crate) y: Option<Pixels<'a, S>>,
}

impl<S: Stored> Gradients<'_, S> {
    /// The gradients that pass the ReLU, from element `at` of some rows on, as many as there is room for.
    #[inline(always)]
    fn passed<R: Real>(&self, row: usize, rows: usize, at: usize, passed: &mut [R]) {
        let n = passed.len();
        let gy = &self.gy.rows(row, rows)[at..at + n];
        fetch_ahead(gy);
        for (passed, &gy) in passed.iter_mut().zip(gy) {
            *passed = R::load(gy);
        }
        // Not in the loop before: a gradient that is read only where its output was positive would be asked of
        // memory only when that has arrived.
        if let Some(y) = &self.y {
            let y = &y.rows(row, rows)[at..at + n];
            fetch_ahead(y);
            for (passed, &y) in passed.iter_mut().zip(y) {
                *passed = if R::load(y) <= R::zero() { R::zero() } else { *passed };
            }
        }
    }
}

/// The sums of the gradients that pass, and of their products with `x - mean`.
pub(crate) struct GradSums<'a, R, S> {
    pub(crate) of: Gradients<'a, S>,
    pub(crate) mean: &'a [R],
}

impl<R: Real, S: Stored> RowLoop<R> for GradSums<'_, R, S> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        let (sum_gy, sum_gy_x) = sums.split_at_mut(self.mean.len());
        let mut buffers = [[R::zero(); BLOCK]; 2];
        for (row, rows) in self.of.x.wide_rows(start, count, self.mean.len()) {
            let len = rows * self.of.x.channels;
            for at in (0..len).step_by(BLOCK) {
                let n = BLOCK.min(len - at);
                let [gy, x] = &mut buffers;
                let (gy, x) = (&mut gy[..n], &mut x[..n]);
                self.of.passed(row, rows, at, gy);
                let values = &self.of.x.rows(row, rows)[at..at + n];
                fetch_ahead(values);
                for (x, (&value, &mean)) in
                    x.iter_mut().zip(values.iter().zip(&self.mean[at..at + n]))
                {
                    *x = R::load(value) - mean;
                }
                for (sum, &gy) in sum_gy[at..at + n].iter_mut().zip(&*gy) {
                    *sum += gy;
                }
                for (sum, (&gy, &x)) in sum_gy_x[at..at + n].iter_mut().zip(gy.iter().zip(&*x)) {
                    *sum = R::fused::<FMA>(gy, x, *sum);
                }
            }
        }
    }
}

/// `gx = a gy + b (x - mean) + c`, of the gradients that pass; they are written out too where there is room
/// for them.
pub(crate) struct GradApply<'a, R, S> {
    pub(crate) of: Gradients<'a, S>,
    pub(crate) start: usize,
    pub(crate) count: usize,
    /// Mean, a, b and c.
    pub(crate) parameters: [&'a [R]; 4],
    /// From row `start` on, and the elements from one row to the next.
    pub(crate) gx: (&'a mut [S], usize),
    /// As `gx`.
    pub(crate) passed: Option<(&'a mut [S], usize)>,
}

impl<R: Real, S: Stored> Loop for GradApply<'_, R, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let [mean, a, b, c] = self.parameters;
        let ((gx, pitch), mut passed) = (self.gx, self.passed);
        let mut buffer = [R::zero(); BLOCK];
        for (row, rows) in self.of.x.wide_rows(self.start, self.count, mean.len()) {
            let (len, place) = (rows * self.of.x.channels, row - self.start);
            for at in (0..len).step_by(BLOCK) {
                let n = BLOCK.min(len - at);
                let values = &mut buffer[..n];
                self.of.passed(row, rows, at, values);
                if let Some((passed, pitch)) = &mut passed {
                    store(values, &mut passed[place * *pitch + at..][..n]);
                }
                let x = &self.of.x.rows(row, rows)[at..at + n];
                fetch_ahead(x);
                let (mean, a) = (&mean[at..at + n], &a[at..at + n]);
                let (b, c) = (&b[at..at + n], &c[at..at + n]);
                for i in 0..n {
                    let rest = R::fused::<FMA>(b[i], R::load(x[i]) - mean[i], c[i]);
                    values[i] = R::fused::<FMA>(a[i], values[i], rest);
                }
                store(values, &mut gx[place * pitch + at..][..n]);
            }
        }
    }
}

#[inline(always)]
fn store<R: Real, S: Stored>(values: &[R], to: &mut [S]) {
    for (to, &value) in to.iter_mut().zip(values) {
        *to = value.store();
    }
}

/// `value`, or `least` where it is below: a NaN stays one.
#[inline(always)]
fn at_least<R: Real>(value: R, least: R) -> R {
    if value < least { least } else { value }
}
