//! Runs pointwise programs over blocks that stay in the first-level cache.
//!
//! Each slot of a program is a block of [`BLOCK`] elements. A step reads the blocks of its operands
//! and fills a spare one, which then changes places with its destination's; so a step never reads
//! what it writes, and its loop vectorises.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Instr, Program};
use half::{bf16, f16};
use smallvec::SmallVec;

use super::dispatch::Loop;
use super::fetch::fetch_ahead;
use super::real::{Real, Stored, binary, select};
use super::split::{Chunks, Parts};
use crate::memory::{In, Out};
use crate::walk::Pattern;

/// Elements of a block.
pub(crate) const BLOCK: usize = 512;

/// Blocks are computed in multiples of this, so that no loop has a remainder.
const STEP: usize = 64;

/// Runs `$body` with `$T` as the Rust type of the data type `$dtype`.
macro_rules! for_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {{
        use ferrotape_backend::DType;
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            DType::F16 => {
                type $T = half::f16;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
        }
    }};
}
pub(crate) use for_dtype;

/// Elements of any type that are read.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    BF16(&'a [bf16]),
    F16(&'a [f16]),
    I64(&'a [i64]),
    U8(&'a [u8]),
}

/// Elements of any type that are written.
pub(crate) enum Target<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    BF16(&'a mut [bf16]),
    F16(&'a mut [f16]),
    I64(&'a mut [i64]),
    U8(&'a mut [u8]),
}

/// Types that have a variant in [`Source`] and [`Target`].
pub(crate) trait Typed: Stored {
    fn source(data: &[Self]) -> Source<'_>;
    fn target(data: &mut [Self]) -> Target<'_>;
}

macro_rules! typed {
    ($($type:ty, $variant:ident;)*) => {$(
        impl Typed for $type {
            fn source(data: &[Self]) -> Source<'_> {
                Source::$variant(data)
            }
            fn target(data: &mut [Self]) -> Target<'_> {
                Target::$variant(data)
            }
        }
    )*};
}

typed! { f32, F32; f64, F64; bf16, BF16; f16, F16; i64, I64; u8, U8; }

macro_rules! for_variant {
    ($enum:ident, $value:expr, $data:ident => $body:expr) => {
        match $value {
            $enum::F32($data) => $body,
            $enum::F64($data) => $body,
            $enum::BF16($data) => $body,
            $enum::F16($data) => $body,
            $enum::I64($data) => $body,
            $enum::U8($data) => $body,
        }
    };
}

/// An operand that is read along a walk.
pub(crate) struct Input<'a, R> {
    source: Source<'a>,
    pattern: Pattern,
    /// A short repeated row, repeated until a block fits at any phase; empty for others.
    tile: Vec<R>,
}

impl<'a, R: Real> Input<'a, R> {
    /// The operand, for walks of `len` elements.
    pub(crate) fn new(operand: In<'a>, pattern: Pattern, len: usize) -> Result<Self> {
        let source = for_dtype!(operand.dtype, T => T::source(operand.buffer()?));
        let mut input = Input { source, pattern, tile: Vec::new() };
        if let Pattern::Periodic { period, .. } = input.pattern
            && period < BLOCK
            && len > 2 * period
        {
            let mut tile = vec![R::zero(); period + BLOCK.min(len)];
            input.load(0, &mut tile);
            input.tile = tile;
        }
        Ok(input)
    }

    /// Elements `start..start + len` where they lie, if they do so without gaps and as `R`.
    #[inline(always)]
    fn view(&self, start: usize, len: usize) -> Option<&[R]> {
        match (&self.pattern, self.tile.is_empty()) {
            (Pattern::Periodic { period, .. }, false) => Some(&self.tile[start % period..][..len]),
            (&Pattern::Linear { offset, stride: 1 }, _) => {
                let data = for_variant!(Source, self.source, data => R::same(data))?;
                let view = &data[offset + start..][..len];
                fetch_ahead(view);
                Some(view)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn load(&self, start: usize, dst: &mut [R]) {
        if let (Pattern::Periodic { period, .. }, false) = (&self.pattern, self.tile.is_empty()) {
            dst.copy_from_slice(&self.tile[start % period..][..dst.len()]);
            return;
        }
        for_variant!(Source, self.source, data => load_runs(data, &self.pattern, start, dst));
    }
}

#[inline(always)]
fn load_runs<S: Stored, R: Real>(data: &[S], pattern: &Pattern, start: usize, dst: &mut [R]) {
    for run in pattern.runs(start, dst.len()) {
        let dst = &mut dst[run.at..run.at + run.len];
        match run.stride {
            0 => dst.fill(R::load(data[run.position])),
            1 => {
                let data = &data[run.position..run.position + run.len];
                fetch_ahead(data);
                for (d, &s) in dst.iter_mut().zip(data) {
                    *d = R::load(s);
                }
            }
            _ => {
                for (j, d) in dst.iter_mut().enumerate() {
                    *d = R::load(data[run.position_of(j)]);
                }
            }
        }
    }
}

/// Outputs of any types, dense along the walk, cut into parts of equal numbers of elements.
pub(crate) struct OutputParts<'a> {
    outputs: SmallVec<[AnyChunks<'a>; 4]>,
    count: usize,
}

enum AnyChunks<'a> {
    F32(Chunks<'a, f32>),
    F64(Chunks<'a, f64>),
    BF16(Chunks<'a, bf16>),
    F16(Chunks<'a, f16>),
    I64(Chunks<'a, i64>),
    U8(Chunks<'a, u8>),
}

impl<'a> OutputParts<'a> {
    /// Parts of `chunk` elements of outputs with `len` elements each.
    pub(crate) fn new(outputs: &'a mut [Out<'_>], len: usize, chunk: usize) -> Result<Self> {
        let count = len.div_ceil(chunk.max(1));
        let mut list = SmallVec::new();
        for output in outputs {
            let target = for_dtype!(output.dtype, T => T::target(output.span()?));
            list.push(match target {
                Target::F32(data) => AnyChunks::F32(Chunks::exactly(data, chunk, count)),
                Target::F64(data) => AnyChunks::F64(Chunks::exactly(data, chunk, count)),
                Target::BF16(data) => AnyChunks::BF16(Chunks::exactly(data, chunk, count)),
                Target::F16(data) => AnyChunks::F16(Chunks::exactly(data, chunk, count)),
                Target::I64(data) => AnyChunks::I64(Chunks::exactly(data, chunk, count)),
                Target::U8(data) => AnyChunks::U8(Chunks::exactly(data, chunk, count)),
            });
        }
        Ok(OutputParts { outputs: list, count })
    }
}

// SAFETY: part `i` is part `i` of each output, and outputs do not share memory.
unsafe impl<'a> Parts for OutputParts<'a> {
    type Part = SmallVec<[Target<'a>; 4]>;

    fn count(&self) -> usize {
        self.count
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        // SAFETY: every output has `count` parts, and the caller has each number once.
        let part = |chunks: &AnyChunks<'a>| unsafe {
            match chunks {
                AnyChunks::F32(chunks) => Target::F32(chunks.part(index)),
                AnyChunks::F64(chunks) => Target::F64(chunks.part(index)),
                AnyChunks::BF16(chunks) => Target::BF16(chunks.part(index)),
                AnyChunks::F16(chunks) => Target::F16(chunks.part(index)),
                AnyChunks::I64(chunks) => Target::I64(chunks.part(index)),
                AnyChunks::U8(chunks) => Target::U8(chunks.part(index)),
            }
        };
        self.outputs.iter().map(part).collect()
    }
}

/// A stretch of the walk for one program.
pub(crate) struct Stretch<'a, 'o, 'w, R> {
    pub(crate) program: &'a Program,
    pub(crate) scalars: &'a [R],
    pub(crate) inputs: &'a [Input<'a, R>],
    /// The stretch's own elements of each output.
    pub(crate) outputs: SmallVec<[Target<'o>; 4]>,
    /// The first element.
    pub(crate) start: usize,
    /// The number of elements.
    pub(crate) len: usize,
    /// As many elements as [`workspace`] says.
    pub(crate) workspace: &'w mut [R],
}

/// How many elements of workspace a stretch of `len` elements wants.
pub(crate) fn workspace(program: &Program, len: usize) -> usize {
    (program.slots() + 1 + constants(program)) * block_len(len)
}

fn block_len(len: usize) -> usize {
    BLOCK.min(len.next_multiple_of(STEP))
}

/// Steps whose result is the same at every element.
fn constants(program: &Program) -> usize {
    let is_constant = |i: &&Instr| matches!(i, Instr::Scalar { .. } | Instr::Const { .. });
    program.instrs().iter().filter(is_constant).count()
}

impl<'a, R: Real> Stretch<'a, '_, '_, R> {
    /// One step on `count` elements from `at`, or on so many more as make whole vectors. What slots
    /// hold is in their blocks, or elsewhere if `views` has it.
    #[inline(always)]
    fn step<'v, const FMA: bool>(
        &mut self,
        instr: Instr,
        [at, count]: [usize; 2],
        blocks: &[&mut [R]],
        views: &[Option<&'v [R]>],
        constants: &mut std::slice::ChunksExact<'v, R>,
        out: &mut [R],
    ) -> Done<'v, R>
    where
        'a: 'v,
    {
        let whole = out.len();
        let slot = |slot: u16| match views[slot as usize] {
            Some(view) => view,
            None => &blocks[slot as usize][..whole],
        };
        match instr {
            Instr::Input { dst, index } => {
                let input: &'a Input<'a, R> = &self.inputs[index];
                if count == whole
                    && let Some(view) = input.view(self.start + at, count)
                {
                    return Done::Elsewhere(dst, view);
                }
                input.load(self.start + at, &mut out[..count]);
                Done::Computed(dst)
            }
            Instr::Previous { dst, index } => {
                for_variant!(Target, &self.outputs[index], data => {
                    let data = &data[at..at + count];
                    fetch_ahead(data);
                    for (d, &s) in out.iter_mut().zip(data) {
                        *d = R::load(s);
                    }
                });
                Done::Computed(dst)
            }
            Instr::Scalar { dst, .. } | Instr::Const { dst, .. } => match constants.next() {
                Some(block) => Done::Elsewhere(dst, &block[..whole]),
                None => Done::Stored,
            },
            Instr::Unary { dst, op, a } => {
                R::unary::<FMA>(op, out, slot(a));
                Done::Computed(dst)
            }
            Instr::Binary { dst, op, a, b } => {
                binary(op, out, slot(a), slot(b));
                Done::Computed(dst)
            }
            Instr::Select { dst, op, a, b, then, otherwise } => {
                select(op, out, [slot(a), slot(b)], [slot(then), slot(otherwise)]);
                Done::Computed(dst)
            }
            Instr::Store { index, a } => {
                let value = slot(a);
                for_variant!(Target, &mut self.outputs[index], data => {
                    for (d, &s) in data[at..at + count].iter_mut().zip(value) {
                        *d = s.store();
                    }
                });
                Done::Stored
            }
        }
    }
}

/// What became of a step's result.
enum Done<'v, R> {
    /// It is in the spare block, and belongs in this slot.
    Computed(u16),
    /// It belongs in this slot, and lies elsewhere already.
    Elsewhere(u16, &'v [R]),
    /// It was written to an output.
    Stored,
}

impl<R: Real> Loop for Stretch<'_, '_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let block = block_len(self.len);
        let workspace = std::mem::take(&mut self.workspace);
        let slots = self.program.slots();
        let (own, constants) = workspace.split_at_mut((slots + 1) * block);
        let mut filled = constants.chunks_exact_mut(block);
        for instr in self.program.instrs() {
            let value = match *instr {
                Instr::Scalar { index, .. } => self.scalars[index],
                Instr::Const { value, .. } => R::of(value),
                _ => continue,
            };
            filled.by_ref().take(1).for_each(|block| block.fill(value));
        }
        let constants = &*constants;
        let mut blocks: SmallVec<[&mut [R]; 16]> = own.chunks_exact_mut(block).collect();
        let Some(mut spare) = blocks.pop() else { return };
        let program = self.program;
        let mut at = 0;
        while at < self.len {
            let count = block.min(self.len - at);
            let whole = count.next_multiple_of(STEP);
            let mut views: SmallVec<[Option<&[R]>; 16]> = SmallVec::from_elem(None, slots);
            let mut constants = constants.chunks_exact(block);
            for &instr in program.instrs() {
                let out = &mut spare[..whole];
                match self.step::<FMA>(instr, [at, count], &blocks, &views, &mut constants, out) {
                    Done::Computed(dst) => {
                        std::mem::swap(&mut blocks[dst as usize], &mut spare);
                        views[dst as usize] = None;
                    }
                    Done::Elsewhere(dst, view) => views[dst as usize] = Some(view),
                    Done::Stored => {}
                }
            }
            at += count;
        }
    }
}
