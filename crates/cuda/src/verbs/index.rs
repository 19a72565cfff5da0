//! Gathering and scattering by index.

use ferrotape_backend::{Array, Result, check, describe};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source};
use crate::memory::Operand;
use crate::verbs::copy;
use crate::walk::{RANK, padded, strides_of};

const GATHER: Source = Source { name: "gather", text: include_str!("../../kernels/gather.cu") };
const SCATTER: Source = Source { name: "scatter", text: include_str!("../../kernels/scatter.cu") };

/// An operand's strides, and the one along a dimension apart.
fn without(operand: Operand<'_>, dim: usize) -> ([i64; RANK], i64) {
    let mut strides = strides_of(operand.layout);
    let along = std::mem::take(&mut strides[dim]);
    (padded(&strides, 0), along)
}

/// See [`ferrotape_backend::Backend::gather`].
pub(crate) fn gather(
    cuda: &Cuda,
    src: &Array,
    dim: usize,
    index: &Array,
    dst: &Array,
) -> Result<()> {
    check::gather(src, dim, index, dst)?;
    cuda.open([src, index], [dst], |[x, places], [y]| {
        let count = dst.shape().numel();
        if count == 0 {
            return Ok(());
        }
        let sizes: SmallVec<[i64; RANK]> = dst.shape().iter().map(|&size| size as i64).collect();
        let (from, along) = without(x, dim);
        let args = Args::new()
            .pointer(x.address)
            .pointer(places.address)
            .pointer(y.address)
            .longs(padded::<RANK>(&sizes, 1))
            .longs(from)
            .longs(padded::<RANK>(&strides_of(places.layout), 0))
            .longs(padded::<RANK>(&strides_of(y.layout), 0))
            .size(count)
            .long(along)
            .size(src.shape()[dim]);
        let args = cuda.watch(describe("gather", &[src, index, dst])).add_to(args);
        cuda.launch(&Kernel::new(GATHER, "gather").with_type("T", x.dtype), linear(count), args)
    })
}

/// See [`ferrotape_backend::Backend::scatter_add`].
pub(crate) fn scatter_add(
    cuda: &Cuda,
    src: &Array,
    dim: usize,
    index: &Array,
    dst: &mut Array,
) -> Result<()> {
    check::scatter_add(src, dim, index, dst)?;
    let wide = dst.dtype().accumulator();
    if wide == dst.dtype() {
        return scatter(cuda, src, dim, index, dst);
    }
    // Sixteen-bit floats are added up in f32 and rounded once.
    let source = copy::converted(src, wide, src.layout().like(*src.shape()))?;
    let sums = copy::converted(dst, wide, dst.layout().like(*dst.shape()))?;
    scatter(cuda, &source, dim, index, &sums)?;
    copy::copy(cuda, &sums, dst)
}

fn scatter(cuda: &Cuda, src: &Array, dim: usize, index: &Array, dst: &Array) -> Result<()> {
    cuda.open([src, index], [dst], |[x, places], [y]| {
        if src.shape().numel() == 0 {
            return Ok(());
        }
        let mut sizes: SmallVec<[i64; RANK]> =
            src.shape().iter().map(|&size| size as i64).collect();
        let length = std::mem::replace(&mut sizes[dim], 1);
        let lines = src.shape().numel() / length as usize;
        let (from, from_along) = without(x, dim);
        let (index_strides, index_along) = without(places, dim);
        let (to, to_along) = without(y, dim);
        let args = Args::new()
            .pointer(x.address)
            .pointer(places.address)
            .pointer(y.address)
            .longs(padded::<RANK>(&sizes, 1))
            .longs(from)
            .longs(index_strides)
            .longs(to)
            .size(lines)
            .long(length)
            .long(from_along)
            .long(index_along)
            .long(to_along)
            .size(dst.shape()[dim]);
        let args = cuda.watch(describe("scatter_add", &[src, index, dst])).add_to(args);
        let kernel = Kernel::new(SCATTER, "scatter_add").with_type("T", x.dtype);
        cuda.launch(&kernel, linear(lines), args)
    })
}
