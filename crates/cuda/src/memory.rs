//! Operands as addresses: opening buffers for reading and writing.

use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};

use ferrotape_backend::{Array, DType, Error, ErrorKind, Layout, Memory, Result};
use smallvec::SmallVec;

use crate::pool::{Block, Pool};

type Handle = Box<dyn Memory>;

enum Guard<'a> {
    Read(RwLockReadGuard<'a, Handle>),
    Write(RwLockWriteGuard<'a, Handle>),
}

impl Guard<'_> {
    /// The only place where memory is recognised as this backend's.
    fn address(&self, pool: &Arc<Pool>) -> Result<u64> {
        let memory: &dyn Memory = match self {
            Guard::Read(handle) => &***handle,
            Guard::Write(handle) => &***handle,
        };
        let block = memory.as_any().downcast_ref::<Block>().filter(|block| block.is_of(pool));
        block.map(Block::address).ok_or_else(|| {
            Error::new(
                ErrorKind::DeviceMismatch,
                "the memory of an operand is not this device's; move it with to_device",
            )
        })
    }
}

/// Where an operand lies. The address is that of the element at index zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    /// The address of the element at index zero.
    pub(crate) address: u64,
    /// Where the elements lie from there; its offset is already in the address.
    pub(crate) layout: &'a Layout,
    /// What the elements are.
    pub(crate) dtype: DType,
}

impl Operand<'_> {
    /// The strides, those of dimensions of size 1 as they are.
    pub(crate) fn strides<const N: usize>(&self) -> [i64; N] {
        let mut strides = [0; N];
        for (to, &from) in strides.iter_mut().zip(self.layout.strides()) {
            *to = from as i64;
        }
        strides
    }

    /// Whether the address is a multiple of so many bytes.
    pub(crate) fn is_aligned(&self, bytes: u64) -> bool {
        self.address.is_multiple_of(bytes)
    }
}

/// Opens the buffers of operands, those of `writes` for writing, while `f` asks for work on them.
///
/// Work is done in the order in which it is asked for, so an address may be used by work that runs after
/// the buffers are closed again. Buffers are locked in the order of their ids, so that threads that share
/// arrays cannot wait for each other in a circle.
pub(crate) fn open<'a, const R: usize, const W: usize, T>(
    pool: &Arc<Pool>,
    reads: [&'a Array; R],
    writes: [&'a Array; W],
    f: impl FnOnce([Operand<'a>; R], [Operand<'a>; W]) -> Result<T>,
) -> Result<T> {
    open_all(pool, &reads, &writes, |ins, outs| {
        f(std::array::from_fn(|i| ins[i]), std::array::from_fn(|i| outs[i]))
    })
}

/// As [`open`], for any number of operands, which are given in the same order.
pub(crate) fn open_all<'a, T>(
    pool: &Arc<Pool>,
    reads: &[&'a Array],
    writes: &[&'a Array],
    f: impl FnOnce(&[Operand<'a>], &[Operand<'a>]) -> Result<T>,
) -> Result<T> {
    let mut order: SmallVec<[(u64, &Array, bool); 8]> = SmallVec::new();
    order.extend(reads.iter().map(|array| (array.buffer().id(), *array, false)));
    order.extend(writes.iter().map(|array| (array.buffer().id(), *array, true)));
    order.sort_unstable_by_key(|&(id, _, write)| (id, !write));
    order.dedup_by_key(|&mut (id, _, _)| id);
    let mut opened: SmallVec<[(u64, u64, Guard<'_>); 8]> = SmallVec::new();
    for &(id, array, write) in &order {
        let guard = match write {
            true => Guard::Write(array.buffer().write()),
            false => Guard::Read(array.buffer().read()),
        };
        opened.push((id, guard.address(pool)?, guard));
    }
    let operand = |array: &&'a Array| {
        let id = array.buffer().id();
        let base = opened.iter().find(|(opened, _, _)| *opened == id).map_or(0, |found| found.1);
        let offset = (array.layout().offset() * array.dtype().size()) as u64;
        Operand { address: base + offset, layout: array.layout(), dtype: array.dtype() }
    };
    let ins: SmallVec<[Operand<'a>; 8]> = reads.iter().map(operand).collect();
    let outs: SmallVec<[Operand<'a>; 4]> = writes.iter().map(operand).collect();
    f(&ins, &outs)
}
