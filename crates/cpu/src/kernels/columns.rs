//! Sums over rows, one a column: `[rows, columns]` in row-major order, as in statistics a channel.
//!
//! Few columns would leave vectors nearly empty, so rows are taken several at a time, as one *wide*
//! row whose columns are added together at the end.

use ferrotape_backend::Result;

use super::dispatch::Loop;
use super::real::Real;
use super::split::{Chunks, for_each_part};
use crate::Cpu;

/// Elements of a wide row, at least.
const WIDE: usize = 128;

/// Elements that a task sums.
const TASK_ELEMENTS: usize = 1 << 16;

/// How rows are cut and widened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Rows in all.
    rows: usize,
    /// Columns.
    columns: usize,
    /// Rows of a task.
    chunk: usize,
    /// Rows that are taken as one.
    fold: usize,
}

impl Cut {
    /// For rows that follow each other without gaps (`dense`), or not.
    pub(crate) fn new(rows: usize, columns: usize, dense: bool) -> Self {
        let fold = if dense && columns > 0 { WIDE.div_ceil(columns) } else { 1 };
        let chunk = (TASK_ELEMENTS / columns.max(1)).max(16).next_multiple_of(fold.max(1));
        Cut { rows, columns, chunk, fold: fold.max(1) }
    }

    /// Elements of a wide row.
    pub(crate) fn wide(&self) -> usize {
        self.columns * self.fold
    }

    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.chunk)
    }
}

/// `values` repeated until it is as long as a wide row.
pub(crate) fn tiled<R: Copy>(values: &[R], cut: &Cut) -> Vec<R> {
    values.iter().copied().cycle().take(cut.wide()).collect()
}

/// A loop over some rows that adds to `S` wide rows of sums.
pub(crate) trait RowLoop<R>: Sync {
    /// Adds rows `start..start + count`; the sums lie one wide row after the other.
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]);
}

struct Task<'a, B, R> {
    body: &'a B,
    start: usize,
    count: usize,
    sums: &'a mut [R],
}

impl<R: Real, B: RowLoop<R>> Loop for Task<'_, B, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.body.add::<FMA>(self.start, self.count, self.sums);
    }
}

/// Writes the sums of every column, `totals[s * columns + column]` for sum `s`, in a fixed order.
pub(crate) fn column_sums<R: Real, B: RowLoop<R>>(
    cpu: &Cpu,
    cut: &Cut,
    body: &B,
    totals: &mut [R],
) -> Result<()> {
    totals.fill(R::zero());
    if cut.rows == 0 || totals.is_empty() {
        return Ok(());
    }
    let kinds = totals.len() / cut.columns;
    let wide = cut.wide() * kinds;
    let mut partial = cpu.workspace::<R>(cut.chunks() * wide)?;
    let partial = partial.as_mut_slice();
    let team = cpu.team_for(cut.rows * cut.columns * kinds);
    for_each_part(team, &Chunks::new(partial, wide), |index, sums| {
        let start = index * cut.chunk;
        let count = cut.chunk.min(cut.rows - start);
        sums.fill(R::zero());
        cpu.level.run(Task { body, start, count, sums });
        Ok(())
    })?;
    for sums in partial.chunks_exact(wide) {
        for (kind, total) in totals.chunks_exact_mut(cut.columns).enumerate() {
            for row in sums[kind * cut.wide()..][..cut.wide()].chunks_exact(cut.columns) {
                for (t, &s) in total.iter_mut().zip(row) {
                    *t += s;
                }
            }
        }
    }
    Ok(())
}

/// The sum of dense rows of a slice.
pub(crate) struct Sum<'a, R> {
    pub(crate) data: &'a [R],
    pub(crate) cut: &'a Cut,
}

impl<R: Real> RowLoop<R> for Sum<'_, R> {
    #[inline(always)]
    fn add<const FMA: bool>(&self, start: usize, count: usize, sums: &mut [R]) {
        let columns = self.cut.columns;
        let data = &self.data[start * columns..(start + count) * columns];
        for row in data.chunks(self.cut.wide()) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}
