//! Large products of one pair of matrices, by the kernels of convolutions: a row of the first matrix is a pixel,
//! and the second has a weight for each of its channels.

use std::borrow::Cow;

use ferrotape_backend::{Array, Conv2d, DType, Element, Result};
use half::bf16;

use crate::kernels::conv::Geometry;
use crate::kernels::conv::factor::Factor;
use crate::kernels::conv::panels::Weights;
use crate::kernels::simd::InMemory;
use crate::memory::{Before, Form, In, Out, input, open, output};
use crate::verbs::conv::forward::correlate;
use crate::{Cpu, Level};

/// Rows and columns of a result from which on its kernels are full.
const LEAST: usize = 32;

/// Multiply-adds from which on it pays to lay the second matrix out anew.
const LEAST_PRODUCTS: usize = 1 << 24;

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

/// `c = a b`, if the machine multiplies numbers of this type.
pub(super) fn product(
    cpu: &Cpu,
    [_, m, k, n]: [usize; 4],
    [a, b]: [&Array; 2],
    c: &mut Array,
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
    let a = in_words(a)?;
    output(c, to, Form::Contiguous, Before::Ignored, |c| {
        open([&*a, b], [&*c], |operands, [c]| match (dtype, pairs) {
            (DType::BF16, Some(level)) if to == DType::BF16 => {
                multiply::<bf16, bf16>(cpu, level, [m, k, n], operands, c)
            }
            (DType::BF16, Some(level)) => multiply::<bf16, f32>(cpu, level, [m, k, n], operands, c),
            _ => multiply::<f32, f32>(cpu, cpu.level, [m, k, n], operands, c),
        })
    })?;
    Ok(true)
}

/// The matrix by rows without gaps; one of bf16 begins with a whole word.
fn in_words(matrix: &Array) -> Result<Cow<'_, Array>> {
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
    mut c: Out<'_>,
) -> Result<()> {
    let strides = b.layout.strides();
    let steps = [strides[2], strides[1]].map(isize::unsigned_abs);
    let weights = Weights::of_matrix(b.span::<T>()?, steps, [n, k]);
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
    correlate::<T, O>(cpu, level, &geometry, a.span()?, &weights, None, c.span()?)
}
