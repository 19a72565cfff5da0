//! Products of a few rows of bf16 with a matrix whose columns lie in memory along the sum: two multiply-adds at a
//! time, as [`Factor`] has them.

use ferrotape_backend::{Array, DType, Result};
use half::bf16;

use super::tiled::in_words;
use super::{in_type, product, start};
use crate::Cpu;
use crate::kernels::conv::factor::Factor;
use crate::kernels::dots::{self, Dots};
use crate::kernels::gemm::Matrix;
use crate::memory::{In, open};

/// `c = a b`, or `c += a b`, if it is such a product and the machine multiplies pairs.
pub(super) fn few_rows(
    cpu: &Cpu,
    [batch, m, k, n]: [usize; 4],
    [a, b]: [&Array; 2],
    c: &mut Array,
    accumulate: bool,
) -> Result<bool> {
    let Some(level) = cpu.level.pairs() else { return Ok(false) };
    let sizes = [batch, m, k / 2, n];
    let fits = dots::fit([m, k / 2, n], [1, 1], [b.layout().strides()[1], 1]);
    let are_pairs = [a, b].iter().all(|array| array.dtype() == DType::BF16);
    if !fits || !are_pairs || !k.is_multiple_of(2) || !begin_with_words(b) {
        return Ok(false);
    }
    let a = in_words(a)?;
    in_type(c, DType::F32, accumulate, |c| {
        open([&*a, b], [&*c], |[a, b], [c]| {
            let rows = |image| words(a, image, [m, k / 2], 1);
            let columns = |image| words(b, image, [k / 2, n], 0);
            product::<f32, f32>(cpu, sizes, 1, rows, columns, c, |a, b, c| {
                level.run_kernel(Dots { a, b, c, accumulate })
            })
        })
    })?;
    Ok(true)
}

/// Whether every column of every matrix begins with the first number of a word.
fn begin_with_words(b: &Array) -> bool {
    let layout = b.layout();
    let is_even = |dim: usize| layout.shape()[dim] == 1 || layout.strides()[dim] % 2 == 0;
    layout.offset().is_multiple_of(2) && is_even(0) && is_even(2)
}

/// Matrix `index` of a batch in words, whose numbers lie side by side along dimension `along`.
fn words(
    operand: In<'_>,
    index: usize,
    sizes: [usize; 2],
    along: usize,
) -> Result<Matrix<'_, f32>> {
    let numbers = operand.buffer::<bf16>()?;
    let words = bf16::words(&numbers[..numbers.len() / 2 * 2])?;
    let strides = operand.layout.strides();
    let step = |dim: usize| if dim == along { 1 } else { strides[1 + dim] / 2 };
    Matrix::new(words, start(operand, index) / 2, sizes, [step(0), step(1)])
}
