//! Batched matrix products.

mod pairs;
mod tiled;

use std::borrow::Cow;

use ferrotape_backend::{Array, DType, Element, Result, check};
use half::bf16;

use crate::kernels::dots::{self, Dots};
use crate::kernels::gemm::{Blocks, Matrix, MatrixMut, multiply};
use crate::kernels::real::Real;
use crate::kernels::simd::InMemory;
use crate::kernels::split::for_each_part;
use crate::kernels::sweep::{self, Sweep};
use crate::memory::{Before, Form, In, Out, input, nothing_to_write, open, output};
use crate::{Cpu, Level};

/// Multiply-adds of a task: what takes some tens of microseconds.
const TASK_PRODUCTS: usize = 1 << 21;

/// See [`ferrotape_backend::Backend::gemm`].
pub(crate) fn gemm(cpu: &Cpu, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Result<()> {
    let sizes = check::gemm(a, b, c)?;
    if nothing_to_write(&[c])? {
        return Ok(());
    }
    if tiled::takes(cpu, sizes, b) && tiled::product(cpu, sizes, [a, b], c, accumulate)? {
        return Ok(());
    }
    if pairs::few_rows(cpu, sizes, [a, b], c, accumulate)? {
        return Ok(());
    }
    let dtype = a.dtype().accumulator();
    let a = of_type(a, dtype)?;
    // A copy in another type may lie otherwise than its original; what is read as it is, as bf16 is, does not.
    let b = match b.dtype() {
        DType::BF16 => Cow::Borrowed(b),
        _ => of_type(b, dtype)?,
    };
    let few = Few::of(cpu, sizes, &a, &b);
    let b = match (few, b) {
        (None, Cow::Borrowed(b)) => of_type(b, dtype)?,
        (_, b) => b,
    };
    let run = |c: &mut Array| {
        open([&*a, &*b], [&*c], |operands, [c]| match (dtype, few) {
            (DType::F64, _) => {
                strided::<f64, f64>(cpu, sizes, operands, c, multiply_on(accumulate))
            }
            (_, None) => strided::<f32, f32>(cpu, sizes, operands, c, multiply_on(accumulate)),
            (_, Some(few)) if b.dtype() == DType::BF16 => {
                strided::<f32, bf16>(cpu, sizes, operands, c, few.multiply_on(cpu, accumulate))
            }
            (_, Some(few)) => {
                strided::<f32, f32>(cpu, sizes, operands, c, few.multiply_on(cpu, accumulate))
            }
        })
    };
    in_type(c, dtype, accumulate, run)
}

/// Has `run` write `c`, or an array of this type that becomes it.
fn in_type(
    c: &mut Array,
    dtype: DType,
    accumulate: bool,
    run: impl FnOnce(&mut Array) -> Result<()>,
) -> Result<()> {
    if c.dtype() == dtype {
        return run(c);
    }
    let before = if accumulate { Before::Kept } else { Before::Ignored };
    output(c, dtype, Form::Contiguous, before, run)
}

/// A product of a few rows, for which nothing is packed.
#[derive(Debug, Clone, Copy)]
enum Few {
    /// With a matrix whose columns lie in memory along the sum.
    Dots,
    /// With a matrix by rows.
    Sweep,
}

impl Few {
    /// What suits a product `[batch, m, k, n]` of f32 with `b`, if there are few rows.
    fn of(cpu: &Cpu, [_, m, k, n]: [usize; 4], a: &Array, b: &Array) -> Option<Self> {
        let strides = |array: &Array| [array.layout().strides()[1], array.layout().strides()[2]];
        if a.dtype() != DType::F32 || cpu.level() == Level::Portable {
            None
        } else if dots::fit([m, k, n], strides(a), strides(b)) {
            Some(Few::Dots)
        } else if sweep::fit([m, k, n], strides(b)) {
            Some(Few::Sweep)
        } else {
            None
        }
    }

    /// As [`product`] wants it.
    fn multiply_on<T: InMemory>(
        self,
        cpu: &Cpu,
        accumulate: bool,
    ) -> impl Fn(Matrix<'_, f32>, Matrix<'_, T>, &mut MatrixMut<'_, f32>) -> Result<()> + Sync {
        move |a, b, c| match self {
            Few::Dots => cpu.level.run_kernel(Dots { a, b, c, accumulate }),
            Few::Sweep => cpu.level.run_kernel(Sweep::<_, 1> { a, b, c, accumulate }),
        }
    }
}

/// The array in this type; in any layout, because strides do not matter to a product: a copy keeps the order in
/// memory.
fn of_type(array: &Array, dtype: DType) -> Result<Cow<'_, Array>> {
    if array.dtype() == dtype {
        return Ok(Cow::Borrowed(array));
    }
    let strides = array.layout().strides();
    if strides[1].abs() >= strides[2].abs() {
        return input(array, dtype, Form::Contiguous);
    }
    let columns = array.permute(&[0, 2, 1])?;
    let copy = input(&columns, dtype, Form::Contiguous)?;
    Ok(Cow::Owned(copy.permute(&[0, 2, 1])?))
}

/// Rows and columns of the blocks that tasks compute.
///
/// A task reads the whole other operand, so the cut goes through the longer side, and leaves tasks
/// of at least [`TASK_PRODUCTS`], and of stretches of `least` columns.
fn block([m, k, n]: [usize; 3], least: usize) -> [usize; 2] {
    let tasks = (m.saturating_mul(n).saturating_mul(k) / TASK_PRODUCTS).clamp(1, 64);
    let cut = |length: usize| length.div_ceil(tasks).next_multiple_of(16);
    if m >= n { [cut(m), n] } else { [m, cut(n).max(least)] }
}

/// [`multiply`], as [`product`] wants it.
fn multiply_on<R: Real>(
    accumulate: bool,
) -> impl Fn(Matrix<'_, R>, Matrix<'_, R>, &mut MatrixMut<'_, R>) -> Result<()> + Sync {
    move |a, b, c| multiply(a, b, c, accumulate)
}

/// [`product`] of arrays in any layout.
fn strided<R: Real, B: Element>(
    cpu: &Cpu,
    sizes: [usize; 4],
    operands: [In<'_>; 2],
    c: Out<'_>,
    multiply: impl Fn(Matrix<'_, R>, Matrix<'_, B>, &mut MatrixMut<'_, R>) -> Result<()> + Sync,
) -> Result<()> {
    let [_, m, k, n] = sizes;
    // Rows that a few rows of the other operand pass over are read in whole stretches.
    let by_rows = m <= sweep::MOST_ROWS && operands[1].layout.strides()[2] == 1;
    let least = if by_rows { sweep::STRETCH } else { 1 };
    let a = |image: usize| matrix::<R>(operands[0], image, [m, k]);
    let b = |image: usize| matrix::<B>(operands[1], image, [k, n]);
    product(cpu, sizes, least, a, b, c, multiply)
}

/// `multiply` on blocks of `c`, of at least so many columns, with the matrices that the first two operands are
/// at a number in the batch.
fn product<'a, R: Real, B: Element>(
    cpu: &Cpu,
    [batch, m, k, n]: [usize; 4],
    least: usize,
    a: impl Fn(usize) -> Result<Matrix<'a, R>> + Sync,
    b: impl Fn(usize) -> Result<Matrix<'a, B>> + Sync,
    mut c: Out<'_>,
    multiply: impl Fn(Matrix<'_, R>, Matrix<'_, B>, &mut MatrixMut<'_, R>) -> Result<()> + Sync,
) -> Result<()> {
    let layout = c.layout;
    let blocks = Blocks::new(c.buffer::<R>()?, layout, block([m, k, n], least))?;
    let team = cpu.team_for(batch.saturating_mul(m).saturating_mul(n).saturating_mul(k) / 8);
    for_each_part(team, &blocks, |index, mut c| {
        let place = blocks.place(index);
        let a = a(place.image)?.row_range(place.rows[0], place.rows[1])?;
        let b = b(place.image)?.column_range(place.columns[0], place.columns[1])?;
        multiply(a, b, &mut c)
    })
}

/// Matrix `index` of a batch; a batch of one is used for all.
fn matrix<R: Element>(operand: In<'_>, index: usize, sizes: [usize; 2]) -> Result<Matrix<'_, R>> {
    let strides = operand.layout.strides();
    Matrix::new(operand.buffer()?, start(operand, index), sizes, [strides[1], strides[2]])
}

/// Where matrix `index` of a batch begins.
fn start(operand: In<'_>, index: usize) -> usize {
    let (shape, strides) = (operand.layout.shape(), operand.layout.strides());
    let step = if shape[0] == 1 { 0 } else { index as isize * strides[0] };
    operand.layout.offset().wrapping_add_signed(step)
}
