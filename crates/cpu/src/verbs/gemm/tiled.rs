//! Large products of one pair of matrices, by the kernels of convolutions: a row of the first matrix is a pixel,
//! and the second has a weight for each of its channels.

use std::borrow::Cow;

use ferrotape_backend::{Array, Conv2d, DType, Element, Result};
use half::bf16;

use crate::kept::{Kind, Packing};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::ending::Ending;
use crate::kernels::conv::factor::Factor;
use crate::kernels::conv::panels::Weights;
use crate::kernels::simd::InMemory;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, In, input, open, output};
use crate::verbs::conv::forward::correlate;
use crate::{Cpu, Level};

/// Rows and columns of a result from which on its kernels are full.
const LEAST: usize = 32;

/// Multiply-adds from which on it pays to lay the second matrix out anew.
const LEAST_PRODUCTS: usize = 1 << 20;

/// Sums that a task adds.
const TASK_SUMS: usize = 1 << 16;

/// Whether a product `[batch, m, k, n]` with `b` may be computed here.
pub(super) fn takes(cpu: &Cpu, [batch, m, k, n]: [usize; 4], b: &Array) -> bool {
    let strides = b.layout().strides();
    cpu.level() != Level::Portable
        && batch == 1
        && m.min(n) >= LEAST
        && m.saturating_mul(n).saturating_mul(k) >= LEAST_PRODUCTS
        && strides[1] > 0
        && strides[2] > 0
}

/// `c = a b`, or `c += a b`, if the machine multiplies numbers of this type.
pub(super) fn product(
    cpu: &Cpu,
    [_, m, k, n]: [usize; 4],
    [a, b]: [&Array; 2],
    c: &mut Array,
    accumulate: bool,
) -> Result<bool> {
    let dtype = a.dtype();
    let pairs = cpu.level.pairs().filter(|_| k.is_multiple_of(2));
    let known = match dtype {
        DType::F32 => true,
        DType::BF16 => pairs.is_some(),
        _ => false,
    };
    let to = c.dtype();
    if !known || !(to == dtype || to == DType::F32) || b.dtype() != dtype {
        return Ok(false);
    }
    let (a, sizes) = (in_words(a)?, [m, k, n]);
    let written = if accumulate { DType::F32 } else { to };
    let before = if accumulate { Before::Kept } else { Before::Ignored };
    output(c, written, Form::Contiguous, before, |c| {
        open([&*a, b], [&*c], |operands, [mut c]| match (dtype, pairs) {
            (DType::BF16, Some(level)) if written == DType::BF16 => {
                multiply::<bf16, bf16>(cpu, level, sizes, operands, c.span()?)
            }
            (DType::BF16, Some(level)) => with_sums(cpu, c.span()?, accumulate, |c| {
                multiply::<bf16, f32>(cpu, level, sizes, operands, c)
            }),
            _ => with_sums(cpu, c.span()?, accumulate, |c| {
                multiply::<f32, f32>(cpu, cpu.level, sizes, operands, c)
            }),
        })
    })?;
    Ok(true)
}

/// Has `multiply` write to `c`, or to a place of its own that is then added to it.
fn with_sums(
    cpu: &Cpu,
    c: &mut [f32],
    accumulate: bool,
    multiply: impl FnOnce(&mut [f32]) -> Result<()>,
) -> Result<()> {
    if !accumulate {
        return multiply(c);
    }
    let mut sums = cpu.workspace::<f32>(c.len())?;
    multiply(sums.as_mut_slice())?;
    let (team, sums) = (cpu.team_for(c.len()), sums.as_slice());
    for_each_part(team, &Chunks::new(c, TASK_SUMS), |index, c| {
        let sums = &sums[index * TASK_SUMS..];
        c.iter_mut().zip(sums).for_each(|(c, &sum)| *c += sum);
        Ok(())
    })
}

/// The matrix by rows without gaps; one of bf16 begins with a whole word.
pub(super) fn in_words(matrix: &Array) -> Result<Cow<'_, Array>> {
    let rows = input(matrix, matrix.dtype(), Form::Contiguous)?;
    if matrix.dtype() == DType::F32 || rows.layout().offset().is_multiple_of(2) {
        return Ok(rows);
    }
    Ok(Cow::Owned(rows.copy()?))
}

fn multiply<T: Factor, O: Element + InMemory>(
    cpu: &Cpu,
    level: T::Level,
    [m, k, n]: [usize; 3],
    [a, b]: [In<'_>; 2],
    c: &mut [O],
) -> Result<()> {
    let strides = b.layout.strides();
    let steps = [strides[2], strides[1]].map(isize::unsigned_abs);
    let packing = Packing { layout: *b.layout, level: cpu.level(), kind: Kind::Product };
    let weights = Weights::of_matrix(b.span::<T>()?, steps, [n, k]).kept_beside(b.kept, packing);
    let geometry = Geometry {
        n: 1,
        size: [1, m],
        out: [1, m],
        kernel: [1, 1],
        params: Conv2d::default(),
        inputs: k,
        outputs: n,
        x_pitch: k,
        y_pitch: n,
    };
    correlate::<T, O>(cpu, level, &geometry, a.span()?, &weights, Ending::NONE, c)
}
