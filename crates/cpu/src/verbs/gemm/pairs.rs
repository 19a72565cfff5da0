//! Products of a few rows of bf16, two multiply-adds at a time, as [`Factor`] has them.

use ferrotape_backend::{Array, DType, Result};
use half::bf16;

use super::tiled::in_words;
use super::{in_type, matrix, product, start};
use crate::Cpu;
use crate::kernels::conv::factor::Factor;
use crate::kernels::dots::{self, Dots};
use crate::kernels::gemm::Matrix;
use crate::kernels::sweep::{self, Sweep};
use crate::memory::{In, open};

/// `c = a b`, or `c += a b`, if it is such a product and the machine multiplies pairs.
pub(super) fn few_rows(
    cpu: &Cpu,
    [batch, m, k, n]: [usize; 4],
    [a, b]: [&Array; 2],
    c: &mut Array,
    accumulate: bool,
) -> Result<bool> {
    let are_pairs = [a, b].iter().all(|array| array.dtype() == DType::BF16) && k.is_multiple_of(2);
    let Some(level) = cpu.level.pairs().filter(|_| are_pairs) else { return Ok(false) };
    let strides = [b.layout().strides()[1], b.layout().strides()[2]];
    let sizes = [batch, m, k / 2, n];
    let by_columns = dots::fit([m, k / 2, n], [1, 1], strides) && begin_with_words(b);
    if !by_columns && !sweep::fit([m, k / 2, n], strides) {
        return Ok(false);
    }
    let a = in_words(a)?;
    in_type(c, DType::F32, accumulate, |c| {
        open([&*a, b], [&*c], |[a, b], [c]| {
            let rows = |image| words(a, image, [m, k / 2], 1);
            if by_columns {
                let columns = |image| words(b, image, [k / 2, n], 0);
                return product::<f32, f32>(cpu, sizes, 1, rows, columns, c, |a, b, c| {
                    level.run_kernel(Dots { a, b, c, accumulate })
                });
            }
            let columns = |image| matrix::<bf16>(b, image, [k, n]);
            product::<f32, bf16>(cpu, sizes, sweep::STRETCH, rows, columns, c, |a, b, c| {
                level.run_kernel(Sweep::<_, 2> { a, b, c, accumulate })
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
