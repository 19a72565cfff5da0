//! Copies that convert layout and type, and filling.

use ferrotape_backend::{Array, DType, Result, check};

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source, digit};
use crate::machine::Grid;
use crate::memory::Operand;
use crate::walk::{RANK, Walk, strides_of};

const COPY: Source = Source { name: "copy", text: include_str!("../../kernels/copy.cu") };
const FILL: Source = Source { name: "fill", text: include_str!("../../kernels/fill.cu") };

/// Blocks that one launch may have along x.
const MOST_BLOCKS: i64 = i32::MAX as i64;

/// See [`ferrotape_backend::Backend::copy`].
pub(crate) fn copy(cuda: &Cuda, src: &Array, dst: &Array) -> Result<()> {
    check::copy(src, dst)?;
    cuda.open([src], [dst], |[src], [dst]| copy_operands(cuda, src, dst))
}

/// As [`copy`], of operands that are open.
pub(crate) fn copy_operands(cuda: &Cuda, src: Operand<'_>, dst: Operand<'_>) -> Result<()> {
    let shape = dst.layout.shape();
    if shape.numel() == 0 {
        return Ok(());
    }
    let walk = Walk::sorted(shape, &[strides_of(dst.layout), strides_of(src.layout)]);
    let kernel =
        |entry| Kernel::new(COPY, entry).with_type("S", src.dtype).with_type("D", dst.dtype);
    if let Some((grid, args)) = transposed(&walk, src, dst) {
        return cuda.launch(&kernel("transpose").with("R", "1").with("V", "1"), grid, args);
    }
    let pack = pack(&walk, &[dst, src]);
    let (rank, dims) = few(walk.rank());
    let kernel = kernel("copy").with("R", rank).with("V", digit(pack));
    let count = walk.count() / pack;
    let args = Args::new().pointer(src.address).pointer(dst.address);
    let args = match dims {
        3 => add_dims::<3>(args, &walk, pack),
        _ => add_dims::<RANK>(args, &walk, pack),
    };
    let inner = walk.strides(1).last().copied().unwrap_or(0);
    cuda.launch(&kernel, linear(count), args.size(count).int(i32::from(inner != 0)))
}

fn add_dims<const R: usize>(args: Args, walk: &Walk, pack: usize) -> Args {
    args.longs(walk.sizes_in_packs::<R>(pack))
        .longs(walk.strides_in_packs::<R>(1, pack))
        .longs(walk.strides_in_packs::<R>(0, pack))
}

/// Kernels are compiled for three dimensions or for all.
fn few(rank: usize) -> (&'static str, usize) {
    if rank <= 3 { ("3", 3) } else { ("8", RANK) }
}

/// How many elements can be taken at once: as many as fill sixteen bytes of the widest operand, if sizes,
/// strides and addresses allow it, else one.
pub(crate) fn pack(walk: &Walk, operands: &[Operand<'_>]) -> usize {
    let widest = operands.iter().map(|operand| operand.dtype.size()).max().unwrap_or(8);
    let pack = (16 / widest).min(8);
    let inner = walk.sizes().last().copied().unwrap_or(1);
    let fits = inner % pack as i64 == 0
        && operands.iter().enumerate().all(|(index, operand)| {
            let splat = walk.strides(index).last() == Some(&0);
            walk.takes_packs(index, pack)
                && (splat || operand.is_aligned((pack * operand.dtype.size()) as u64))
        });
    if fits { pack } else { 1 }
}

/// The launch for operands that are each other's transpose, dimension by dimension: three dimensions at the
/// most, of which the target is dense along the last and the source along the one before.
fn transposed(walk: &Walk, src: Operand<'_>, dst: Operand<'_>) -> Option<(Grid, Args)> {
    let [batch, rows, columns] = match *walk.sizes() {
        [rows, columns] => [1, rows, columns],
        [batch, rows, columns] => [batch, rows, columns],
        _ => return None,
    };
    let last = walk.rank() - 1;
    let [to, from] = [walk.strides(0), walk.strides(1)];
    if rows < 4 || columns < 4 || to[last] != 1 || from[last - 1] != 1 {
        return None;
    }
    let batch_stride = |strides: &[i64]| if last == 2 { strides[0] } else { 0 };
    let (row_tiles, column_tiles) = ((rows + 31) / 32, (columns + 31) / 32);
    let blocks = batch.checked_mul(row_tiles)?.checked_mul(column_tiles)?;
    if blocks > MOST_BLOCKS {
        return None;
    }
    let args = Args::new()
        .pointer(src.address)
        .pointer(dst.address)
        .long(rows)
        .long(columns)
        .long(batch_stride(from))
        .long(from[last])
        .long(batch_stride(to))
        .long(to[last - 1])
        .long(row_tiles)
        .long(column_tiles);
    Some((Grid { blocks: [blocks as u32, 1, 1], threads: [32, 8], shared: 0 }, args))
}

/// See [`ferrotape_backend::Backend::fill`].
pub(crate) fn fill(cuda: &Cuda, dst: &Array, value: f64) -> Result<()> {
    check::fill(dst)?;
    cuda.open([], [dst], |[], [dst]| {
        if dst.layout.shape().numel() == 0 {
            return Ok(());
        }
        let walk = Walk::sorted(dst.layout.shape(), &[strides_of(dst.layout)]);
        let pack = pack(&walk, &[dst]);
        let (rank, dims) = few(walk.rank());
        let kernel = Kernel::new(FILL, "fill").with_type("D", dst.dtype);
        let kernel = kernel.with("R", rank).with("V", digit(pack));
        let count = walk.count() / pack;
        let args = Args::new().pointer(dst.address);
        let args = match dims {
            3 => args
                .longs(walk.sizes_in_packs::<3>(pack))
                .longs(walk.strides_in_packs::<3>(0, pack)),
            _ => args
                .longs(walk.sizes_in_packs::<RANK>(pack))
                .longs(walk.strides_in_packs::<RANK>(0, pack)),
        };
        cuda.launch(&kernel, linear(count), args.size(count).double(value))
    })
}

/// A copy of an operand in memory of its own, dense in this layout.
pub(crate) fn converted(
    array: &Array,
    dtype: DType,
    layout: ferrotape_backend::Layout,
) -> Result<Array> {
    let mut copy = Array::empty(array.device(), dtype, layout)?;
    array.device().backend().copy(array, &mut copy)?;
    Ok(copy)
}
