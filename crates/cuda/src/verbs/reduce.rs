//! Sums, maxima and minima over dimensions.

use ferrotape_backend::{Array, DType, Reduce, Result, check};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source};
use crate::machine::Grid;
use crate::memory::{self, Operand};
use crate::walk::{RANK, Walk, padded, strides_of};

const REDUCE: Source = Source { name: "reduce", text: include_str!("../../kernels/reduce.cu") };

/// Terms that one part of an output takes at the least, where there are several: sixteen for each of a block's threads
/// that go along them.
const PART: [usize; 2] = [8 * 16, 256 * 16];

/// From so many parts on, a warp joins those of an output, not a thread.
const MANY_PARTS: usize = 8;

/// Blocks that keep a device busy; more parts than it takes for that are of no use.
const BLOCKS: usize = 1024;

/// See [`ferrotape_backend::Backend::reduce`].
pub(crate) fn reduce(
    cuda: &Cuda,
    kind: Reduce,
    src: &Array,
    dst: &Array,
    index: Option<&Array>,
) -> Result<()> {
    check::reduce(kind, src, dst, index)?;
    let writes: SmallVec<[&Array; 2]> = std::iter::once(dst).chain(index).collect();
    memory::open_all(&cuda.pool, &[src], &writes, |ins, outs| {
        if dst.shape().numel() == 0 {
            return Ok(());
        }
        Reduction::new(kind, ins[0], outs).run(cuda)
    })
}

struct Reduction<'a> {
    kind: Reduce,
    src: Operand<'a>,
    dst: Operand<'a>,
    index: Option<Operand<'a>>,
    /// Over what is kept: target, source, index.
    kept: Walk,
    /// Over what is reduced: source.
    reduced: Walk,
    terms: usize,
}

impl<'a> Reduction<'a> {
    fn new(kind: Reduce, src: Operand<'a>, outs: &[Operand<'a>]) -> Self {
        let (dst, index) = (outs[0], outs.get(1).copied());
        let shape = src.layout.shape();
        let is_reduced = |dim: usize| shape[dim] != dst.layout.shape()[dim];
        let select = |strides: &[i64], wanted: bool| -> SmallVec<[i64; RANK]> {
            let list = strides.iter().enumerate().filter(|&(dim, _)| is_reduced(dim) == wanted);
            list.map(|(_, &stride)| stride).collect()
        };
        let sizes = |wanted: bool| -> SmallVec<[usize; RANK]> {
            (0..shape.rank())
                .filter(|&dim| is_reduced(dim) == wanted)
                .map(|dim| shape[dim])
                .collect()
        };
        let from = strides_of(src.layout);
        let to = strides_of(dst.layout);
        let index_to = index.map_or_else(|| to.clone(), |index| strides_of(index.layout));
        let lists = [&to, &from, &index_to].map(|strides| select(strides, false));
        // Neighbouring outputs are those that lie next to each other in the source.
        let [to, from_kept, index_to] = lists;
        let kept = Walk::sorted(&sizes(false), &[from_kept, to, index_to]);
        let over = [select(&from, true)];
        let reduced_sizes = sizes(true);
        // Places are counted in row-major order; a sum may go along memory.
        let reduced = match kind {
            Reduce::Sum => Walk::sorted(&reduced_sizes, &over),
            Reduce::Max | Reduce::Min => Walk::in_order(&reduced_sizes, &over),
        };
        let terms = reduced_sizes.iter().product();
        Reduction { kind, src, dst, index, kept, reduced, terms }
    }

    fn kernel(&self, entry: &'static str) -> Kernel {
        let kind = match self.kind {
            Reduce::Sum => "0",
            Reduce::Max => "1",
            Reduce::Min => "2",
        };
        Kernel::new(REDUCE, entry)
            .with_type("T", self.src.dtype)
            .with_type("D", self.dst.dtype)
            .with_type("A", self.src.dtype.accumulator())
            .with("KIND", kind)
    }

    fn run(&self, cuda: &Cuda) -> Result<()> {
        let outputs = self.kept.count();
        // Side by side along what is adjacent in memory.
        let by_rows = outputs == 1
            || self.reduced.strides(0).last().is_some_and(|stride| stride.abs() == 1)
                && self.terms >= 32;
        let output_blocks = if by_rows { outputs } else { outputs.div_ceil(32) };
        let useful = (BLOCKS / output_blocks.max(1)).max(1);
        let parts = self.terms.div_ceil(PART[usize::from(by_rows)]).clamp(1, useful);
        let state = match (self.kind, self.src.dtype.accumulator()) {
            (Reduce::Sum, DType::F64) => 8,
            (Reduce::Sum, _) => 4,
            _ => 16,
        };
        let scratch = (parts > 1).then(|| cuda.scratch(outputs * parts * state)).transpose()?;
        let partial = scratch.as_ref().map_or(0, |block| block.address());
        let index = self.index.map_or(0, |index| index.address);
        let longs = |list: &[i64], rest| padded::<RANK>(list, rest);
        let kept = longs(self.kept.sizes(), 1);
        let [from, to, index_to] = [0, 1, 2].map(|list| longs(self.kept.strides(list), 0));
        let args = Args::new()
            .pointer(self.src.address)
            .pointer(self.dst.address)
            .pointer(index)
            .pointer(partial)
            .size(outputs)
            .longs(kept)
            .longs(from)
            .longs(to)
            .longs(index_to)
            .size(self.terms)
            .longs(longs(self.reduced.sizes(), 1))
            .longs(longs(self.reduced.strides(0), 0))
            .size(parts)
            .size(output_blocks);
        let (entry, threads) = match by_rows {
            true => ("reduce_rows", [if self.terms < 256 { 64 } else { 256 }, 1]),
            false => ("reduce_columns", [32, 8]),
        };
        let blocks = [(output_blocks * parts) as u32, 1, 1];
        cuda.launch(&self.kernel(entry), Grid { blocks, threads, shared: 0 }, args)?;
        if parts == 1 {
            return Ok(());
        }
        let args = Args::new()
            .pointer(partial)
            .pointer(self.dst.address)
            .pointer(index)
            .size(outputs)
            .longs(kept)
            .longs(to)
            .longs(index_to)
            .size(parts);
        if parts < MANY_PARTS {
            return cuda.launch(&self.kernel("reduce_parts"), linear(outputs), args);
        }
        let blocks = [outputs.div_ceil(8) as u32, 1, 1];
        let grid = Grid { blocks, threads: [32, 8], shared: 0 };
        cuda.launch(&self.kernel("reduce_many_parts"), grid, args)
    }
}
