//! Softmax and cross entropy.

use ferrotape_backend::{Array, CrossEntropy, Result, check, describe};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::kernel::{Kernel, Source};
use crate::machine::Grid;
use crate::memory::Operand;
use crate::walk::{RANK, Walk, padded, strides_of};

const SOFTMAX: Source = Source { name: "softmax", text: include_str!("../../kernels/softmax.cu") };
const CROSS_ENTROPY: Source =
    Source { name: "cross_entropy", text: include_str!("../../kernels/cross_entropy.cu") };

/// Lines that a block takes, a warp each.
const LINES: usize = 4;

fn warps(lines: usize) -> Grid {
    let blocks = lines.div_ceil(LINES).max(1) as u32;
    Grid { blocks: [blocks, 1, 1], threads: [32, LINES as u32], shared: 0 }
}

/// The lines along a dimension: what the others go along, and each operand's stride along it.
fn lines<const N: usize>(operands: [Operand<'_>; N], dim: usize) -> (Walk, [i64; N]) {
    let mut shape: SmallVec<[usize; RANK]> = operands[0].layout.shape().iter().copied().collect();
    shape[dim] = 1;
    let mut along = [0; N];
    let mut strides: SmallVec<[_; 4]> = SmallVec::new();
    for (operand, along) in operands.iter().zip(&mut along) {
        let mut list = strides_of(operand.layout);
        *along = std::mem::take(&mut list[dim]);
        strides.push(list);
    }
    (Walk::sorted(&shape, &strides), along)
}

fn kernel(source: Source, entry: &'static str, x: Operand<'_>) -> Kernel {
    Kernel::new(source, entry).with_type("T", x.dtype).with_type("A", x.dtype.accumulator())
}

/// See [`ferrotape_backend::Backend::softmax`].
pub(crate) fn softmax(cuda: &Cuda, x: &Array, y: &Array, dim: usize, log: bool) -> Result<()> {
    check::softmax(x, y, dim)?;
    cuda.open([x], [y], |[x], [y]| {
        if x.layout.shape().numel() == 0 {
            return Ok(());
        }
        let (walk, [from, to]) = lines([x, y], dim);
        let count = walk.count();
        let args = Args::new()
            .pointer(x.address)
            .pointer(y.address)
            .size(count)
            .longs(padded::<RANK>(walk.sizes(), 1))
            .longs(padded::<RANK>(walk.strides(0), 0))
            .longs(padded::<RANK>(walk.strides(1), 0))
            .size(x.layout.shape()[dim])
            .long(from)
            .long(to)
            .int(i32::from(log));
        cuda.launch(&kernel(SOFTMAX, "softmax", x), warps(count), args)
    })
}

/// See [`ferrotape_backend::Backend::softmax_grad`].
pub(crate) fn softmax_grad(
    cuda: &Cuda,
    gy: &Array,
    y: &Array,
    gx: &Array,
    dim: usize,
    log: bool,
) -> Result<()> {
    check::softmax_grad(gy, y, gx, dim)?;
    cuda.open([gy, y], [gx], |[gy, y], [gx]| {
        if gx.layout.shape().numel() == 0 {
            return Ok(());
        }
        let (walk, [gy_along, y_along, gx_along]) = lines([gy, y, gx], dim);
        let count = walk.count();
        let args = Args::new()
            .pointer(gy.address)
            .pointer(y.address)
            .pointer(gx.address)
            .size(count)
            .longs(padded::<RANK>(walk.sizes(), 1))
            .longs(padded::<RANK>(walk.strides(0), 0))
            .longs(padded::<RANK>(walk.strides(1), 0))
            .longs(padded::<RANK>(walk.strides(2), 0))
            .size(y.layout.shape()[dim])
            .long(gy_along)
            .long(y_along)
            .long(gx_along)
            .int(i32::from(log));
        cuda.launch(&kernel(SOFTMAX, "softmax_grad", y), warps(count), args)
    })
}

/// See [`ferrotape_backend::Backend::cross_entropy`].
pub(crate) fn cross_entropy(
    cuda: &Cuda,
    logits: &Array,
    targets: &Array,
    loss: &Array,
    params: &CrossEntropy,
) -> Result<()> {
    let [rows, classes] = check::cross_entropy(logits, targets, loss, params)?;
    cuda.open([logits, targets], [loss], |[x, t], [y]| {
        if rows == 0 {
            return Ok(());
        }
        let [row, along] = x.strides::<2>();
        let args = Args::new()
            .pointer(x.address)
            .pointer(t.address)
            .pointer(y.address)
            .size(rows)
            .size(classes)
            .long(row)
            .long(along)
            .long(t.strides::<1>()[0])
            .long(y.strides::<1>()[0])
            .double(params.label_smoothing)
            .long(params.ignore_index);
        let watch = cuda.watch(describe("cross_entropy", &[logits, targets, loss]));
        let kernel = kernel(CROSS_ENTROPY, "cross_entropy", x);
        cuda.launch(&kernel, warps(rows), watch.add_to(args))
    })
}

/// See [`ferrotape_backend::Backend::cross_entropy_grad`].
pub(crate) fn cross_entropy_grad(
    cuda: &Cuda,
    gloss: &Array,
    logits: &Array,
    targets: &Array,
    gx: &Array,
    params: &CrossEntropy,
) -> Result<()> {
    let [rows, classes] = check::cross_entropy_grad(gloss, logits, targets, gx, params)?;
    cuda.open([gloss, logits, targets], [gx], |[g, x, t], [gx_out]| {
        if rows == 0 || classes == 0 {
            return Ok(());
        }
        let [row, along] = x.strides::<2>();
        let [gx_row, gx_along] = gx_out.strides::<2>();
        let args = Args::new()
            .pointer(g.address)
            .pointer(x.address)
            .pointer(t.address)
            .pointer(gx_out.address)
            .size(rows)
            .size(classes)
            .long(g.strides::<1>()[0])
            .long(row)
            .long(along)
            .long(t.strides::<1>()[0])
            .long(gx_row)
            .long(gx_along)
            .double(params.label_smoothing)
            .long(params.ignore_index);
        let watch = cuda.watch(describe("cross_entropy_grad", &[gloss, logits, targets, gx]));
        let kernel = kernel(CROSS_ENTROPY, "cross_entropy_grad", x);
        cuda.launch(&kernel, warps(rows), watch.add_to(args))
    })
}
