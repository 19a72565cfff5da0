//! Reductions over any dimensions.
//!
//! The dimensions are reordered so that memory is `[outer, reduced, inner]` without gaps; where it is
//! not, a copy is.

use ferrotape_backend::{Array, DType, Reduce, Result, check};
use smallvec::SmallVec;

use crate::Cpu;
use crate::kernels::columns::{Cut, Sum, column_sums};
use crate::kernels::dispatch::Loop;
use crate::kernels::real::Real;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, input, nothing_to_write, open, output};

/// Elements that a task adds up.
const TASK_ELEMENTS: usize = 1 << 16;

/// See [`ferrotape_backend::Backend::reduce`].
pub(crate) fn reduce(
    cpu: &Cpu,
    kind: Reduce,
    src: &Array,
    dst: &mut Array,
    index: Option<&mut Array>,
) -> Result<()> {
    check::reduce(kind, src, dst, index.as_deref())?;
    if nothing_to_write(&[dst, index.as_deref().unwrap_or(dst)])? {
        return Ok(());
    }
    let dtype = src.dtype().accumulator();
    let src = src.cast(dtype)?;
    let (order, sizes) = order(&src, dst);
    let src = src.permute(&order)?;
    let src = input(&src, dtype, Form::Contiguous)?;
    let mut dst = dst.permute(&order)?;
    output(&mut dst, dtype, Form::Contiguous, Before::Ignored, |dst| {
        let Some(index) = index else {
            return match (kind, dtype) {
                (Reduce::Sum, DType::F64) => sum::<f64>(cpu, &src, dst, sizes),
                (Reduce::Sum, _) => sum::<f32>(cpu, &src, dst, sizes),
                (_, DType::F64) => extreme::<f64>(cpu, kind, &src, dst, None, sizes),
                _ => extreme::<f32>(cpu, kind, &src, dst, None, sizes),
            };
        };
        let mut index = index.permute(&order)?;
        output(&mut index, DType::I64, Form::Contiguous, Before::Ignored, |index| match dtype {
            DType::F64 => extreme::<f64>(cpu, kind, &src, dst, Some(index), sizes),
            _ => extreme::<f32>(cpu, kind, &src, dst, Some(index), sizes),
        })
    })
}

/// The order of dimensions in which `src` is `[outer, reduced, inner]`, and those three sizes.
///
/// The order of memory, if in it the reduced dimensions stand together, in their own order; else
/// the kept dimensions before the reduced.
fn order(src: &Array, dst: &Array) -> (SmallVec<[usize; 8]>, [usize; 3]) {
    let shape = src.shape();
    let reduced = |dim: usize| dst.shape()[dim] == 1 && shape[dim] != 1;
    let mut order: SmallVec<[usize; 8]> = (0..shape.rank()).collect();
    order.sort_by_key(|&dim| {
        (shape[dim] != 1, std::cmp::Reverse(src.layout().strides()[dim].unsigned_abs()))
    });
    let first = order.iter().position(|&dim| reduced(dim)).unwrap_or(order.len());
    let last = order.iter().rposition(|&dim| reduced(dim)).map_or(first, |last| last + 1);
    let middle = &order[first..last];
    let together = middle.iter().all(|&dim| reduced(dim));
    if !together || !middle.is_sorted() {
        let (kept, gone): (SmallVec<[usize; 8]>, SmallVec<[usize; 8]>) =
            (0..shape.rank()).partition(|&dim| !reduced(dim));
        let product = |dims: &[usize]| dims.iter().map(|&dim| shape[dim]).product();
        let sizes = [product(&kept), product(&gone), 1];
        return (kept.into_iter().chain(gone).collect(), sizes);
    }
    let product = |dims: &[usize]| dims.iter().map(|&dim| shape[dim]).product();
    let sizes = [product(&order[..first]), product(middle), product(&order[last..])];
    (order, sizes)
}

fn sum<R: Real>(
    cpu: &Cpu,
    src: &Array,
    dst: &Array,
    [outer, reduced, inner]: [usize; 3],
) -> Result<()> {
    open([src], [dst], |[src], [mut dst]| {
        let (src, dst) = (src.span::<R>()?, dst.span::<R>()?);
        if reduced == 0 {
            dst.fill(R::zero());
            return Ok(());
        }
        if inner == 1 {
            return row_sums(cpu, src, dst, reduced);
        }
        let cut = Cut::new(reduced, inner, true);
        if outer >= 16 || reduced * inner < TASK_ELEMENTS {
            // Each outer index is a task of its own.
            let group = (TASK_ELEMENTS / (reduced * inner)).max(1);
            let team = cpu.team_for(src.len());
            return for_each_part(team, &Chunks::new(dst, group * inner), |index, totals| {
                for (i, totals) in totals.chunks_exact_mut(inner).enumerate() {
                    let start = (index * group + i) * reduced * inner;
                    let data = &src[start..start + reduced * inner];
                    cpu.level.run(ColumnsHere { data, totals });
                }
                Ok(())
            });
        }
        for (data, totals) in src.chunks_exact(reduced * inner).zip(dst.chunks_exact_mut(inner)) {
            column_sums(cpu, &cut, &Sum { data, cut: &cut }, totals)?;
        }
        Ok(())
    })
}

/// Adds up the columns of a few rows.
struct ColumnsHere<'a, R> {
    data: &'a [R],
    totals: &'a mut [R],
}

impl<R: Real> Loop for ColumnsHere<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.totals.fill(R::zero());
        for row in self.data.chunks_exact(self.totals.len()) {
            for (total, &x) in self.totals.iter_mut().zip(row) {
                *total += x;
            }
        }
    }
}

/// Sums of rows without gaps. Long rows are cut in parts, whose sums are added in order.
fn row_sums<R: Real>(cpu: &Cpu, src: &[R], dst: &mut [R], row: usize) -> Result<()> {
    let parts = row.div_ceil(TASK_ELEMENTS);
    let team = cpu.team_for(src.len());
    if parts == 1 {
        let group = (TASK_ELEMENTS / row).max(1);
        return for_each_part(team, &Chunks::new(dst, group), |index, totals| {
            for (i, total) in totals.iter_mut().enumerate() {
                let data = &src[(index * group + i) * row..][..row];
                *total = cpu.level.run(RowSum { data });
            }
            Ok(())
        });
    }
    let mut partial = cpu.workspace::<R>(dst.len() * parts)?;
    for_each_part(team, &Chunks::new(partial.as_mut_slice(), 1), |index, total| {
        let (row_index, part) = (index / parts, index % parts);
        let data = &src[row_index * row..][..row][part * TASK_ELEMENTS..];
        let data = &data[..data.len().min(TASK_ELEMENTS)];
        total[0] = cpu.level.run(RowSum { data });
        Ok(())
    })?;
    for (total, parts) in dst.iter_mut().zip(partial.as_slice().chunks_exact(parts)) {
        *total = parts.iter().copied().sum();
    }
    Ok(())
}

/// The sum of a row, in 32 strands.
struct RowSum<'a, R> {
    data: &'a [R],
}

impl<R: Real> Loop for RowSum<'_, R> {
    type Output = R;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> R {
        let mut strands = [R::zero(); 32];
        let (whole, rest) = self.data.as_chunks::<32>();
        for chunk in whole {
            for (strand, &x) in strands.iter_mut().zip(chunk) {
                *strand += x;
            }
        }
        for (strand, &x) in strands.iter_mut().zip(rest) {
            *strand += x;
        }
        let mut width = 16;
        while width > 0 {
            for i in 0..width {
                let other = strands[i + width];
                strands[i] += other;
            }
            width /= 2;
        }
        strands[0]
    }
}

/// Maximum or minimum, with the position of the first or of the first NaN.
fn extreme<R: Real>(
    cpu: &Cpu,
    kind: Reduce,
    src: &Array,
    dst: &Array,
    index: Option<&mut Array>,
    [outer, reduced, inner]: [usize; 3],
) -> Result<()> {
    let scan = |o: usize, values: &mut [R], positions: &mut [i64], src: &[R]| {
        let data = &src[o * reduced * inner..][..reduced * inner];
        cpu.level.run(Extreme { kind, data, values, positions });
    };
    let team = cpu.team_for(outer * reduced * inner);
    match index {
        None => open([src], [dst], |[src], [mut dst]| {
            let src = src.span::<R>()?;
            for_each_part(team, &Chunks::new(dst.span::<R>()?, inner), |o, values| {
                scan(o, values, &mut [], src);
                Ok(())
            })
        }),
        Some(index) => open([src], [dst, index], |[src], [mut dst, mut index]| {
            let src = src.span::<R>()?;
            let values = Chunks::new(dst.span::<R>()?, inner);
            let positions = Chunks::new(index.span::<i64>()?, inner);
            for_each_part(team, &(values, positions), |o, (values, positions)| {
                scan(o, values, positions, src);
                Ok(())
            })
        }),
    }
}

struct Extreme<'a, R> {
    kind: Reduce,
    data: &'a [R],
    values: &'a mut [R],
    /// Empty if nobody asks.
    positions: &'a mut [i64],
}

impl<R: Real> Loop for Extreme<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match self.kind {
            Reduce::Min => self.scan(|x, best| x < best),
            Reduce::Max | Reduce::Sum => self.scan(|x, best| x > best),
        }
    }
}

impl<R: Real> Extreme<'_, R> {
    #[inline(always)]
    fn scan(self, better: impl Fn(R, R) -> bool) {
        let inner = self.values.len();
        self.values.copy_from_slice(&self.data[..inner]);
        self.positions.fill(0);
        for (at, row) in self.data.chunks_exact(inner).enumerate().skip(1) {
            if self.positions.is_empty() {
                for (best, &x) in self.values.iter_mut().zip(row) {
                    *best = if better(x, *best) || x.is_nan() { x } else { *best };
                }
                continue;
            }
            let bests = self.values.iter_mut().zip(&mut *self.positions);
            for ((best, position), &x) in bests.zip(row) {
                let wins = better(x, *best) || (x.is_nan() && !best.is_nan());
                *best = if wins { x } else { *best };
                *position = if wins { at as i64 } else { *position };
            }
        }
    }
}
