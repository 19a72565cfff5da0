//! Operands as slices: opening buffers for reading and writing, and bringing arrays into the form
//! that a kernel takes.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{RwLockReadGuard, RwLockWriteGuard};

use ferrotape_backend::{Array, DType, Element, Error, ErrorKind, Layout, Memory, Result};
use smallvec::SmallVec;

use crate::alloc::Block;
use crate::kept::Kept;

/// The memory of a buffer.
pub(crate) struct Held {
    block: Block,
    kept: Kept,
}

impl Held {
    pub(crate) fn new(block: Block) -> Self {
        Held { block, kept: Kept::default() }
    }
}

impl Memory for Held {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

type Handle = Box<dyn Memory>;

enum Guard<'a> {
    Read(RwLockReadGuard<'a, Handle>),
    Write(RwLockWriteGuard<'a, Handle>),
}

enum Bytes<'a> {
    Shared(&'a [u8], &'a Kept),
    Unique(&'a mut [u8]),
    Taken,
}

impl Guard<'_> {
    /// The only place where memory is recognised as this backend's.
    fn bytes(&mut self) -> Result<Bytes<'_>> {
        let bytes = match self {
            Guard::Read(handle) => (***handle)
                .as_any()
                .downcast_ref()
                .map(|held: &Held| Bytes::Shared(held.block.bytes(), &held.kept)),
            Guard::Write(handle) => {
                (***handle).as_any_mut().downcast_mut().map(|held: &mut Held| {
                    held.kept.forget();
                    Bytes::Unique(held.block.bytes_mut())
                })
            }
        };
        bytes.ok_or_else(|| {
            Error::new(
                ErrorKind::DeviceMismatch,
                "the memory of an operand is not the CPU backend's; move it with to_device",
            )
        })
    }
}

/// An operand that is read.
#[derive(Clone, Copy)]
pub(crate) struct In<'a> {
    bytes: &'a [u8],
    /// What was made of the buffer.
    pub(crate) kept: &'a Kept,
    /// Where the elements lie.
    pub(crate) layout: &'a Layout,
    /// What the elements are.
    pub(crate) dtype: DType,
}

/// An operand that is written.
pub(crate) struct Out<'a> {
    bytes: &'a mut [u8],
    /// Where the elements lie.
    pub(crate) layout: &'a Layout,
    /// What the elements are.
    pub(crate) dtype: DType,
}

impl<'a> In<'a> {
    /// The whole buffer.
    pub(crate) fn buffer<T: Element>(self) -> Result<&'a [T]> {
        bytemuck::try_cast_slice(self.bytes).map_err(wrong_type::<T>)
    }

    /// The buffer from the first to the last element that the layout touches.
    pub(crate) fn span<T: Element>(self) -> Result<&'a [T]> {
        let buffer = self.buffer::<T>()?;
        Ok(match self.layout.span() {
            Some((low, high)) => &buffer[low..=high],
            None => &[],
        })
    }
}

impl Out<'_> {
    /// The whole buffer.
    pub(crate) fn buffer<T: Element>(&mut self) -> Result<&mut [T]> {
        bytemuck::try_cast_slice_mut(self.bytes).map_err(wrong_type::<T>)
    }

    /// The buffer from the first to the last element that the layout touches.
    pub(crate) fn span<T: Element>(&mut self) -> Result<&mut [T]> {
        let span = self.layout.span();
        let buffer = self.buffer::<T>()?;
        Ok(match span {
            Some((low, high)) => &mut buffer[low..=high],
            None => &mut [],
        })
    }
}

fn wrong_type<T: Element>(error: bytemuck::PodCastError) -> Error {
    Error::dtype(format!("the memory of an operand does not hold {}: {error}", T::DTYPE))
}

/// Opens the buffers of operands, those of `writes` for writing, for as long as `f` runs.
///
/// Buffers are locked in the order of their ids, each once, so that threads that share arrays
/// cannot wait for each other in a circle.
pub(crate) fn open<'a, const R: usize, const W: usize, T>(
    reads: [&'a Array; R],
    writes: [&'a Array; W],
    f: impl FnOnce([In<'_>; R], [Out<'_>; W]) -> Result<T>,
) -> Result<T> {
    open_all(&reads, &writes, |reads, writes| {
        let reads = <[In<'_>; R]>::try_from(reads).ok();
        let writes = writes.into_inner::<W>();
        match (reads, writes) {
            (Some(reads), Some(writes)) => f(reads, writes),
            _ => Err(Error::argument("an operand was lost on its way to a kernel")),
        }
    })
}

/// The written operands of [`open_all`], in order.
pub(crate) struct Outs<'a>(SmallVec<[Out<'a>; 4]>);

impl<'a> Outs<'a> {
    fn into_inner<const W: usize>(self) -> Option<[Out<'a>; W]> {
        let mut list = self.0.into_iter();
        let mut next = || list.next();
        let mut missing = false;
        let array: [Option<Out<'a>>; W] = std::array::from_fn(|_| {
            let item = next();
            missing |= item.is_none();
            item
        });
        if missing {
            return None;
        }
        Some(array.map(|item| item.expect("no item is missing, as was checked above")))
    }

    /// All of them.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Out<'a>] {
        &mut self.0
    }
}

/// As [`open`], for any number of operands.
pub(crate) fn open_all<T>(
    reads: &[&Array],
    writes: &[&Array],
    f: impl FnOnce(&[In<'_>], Outs<'_>) -> Result<T>,
) -> Result<T> {
    let mut order: SmallVec<[(u64, &Array, bool); 8]> = SmallVec::new();
    order.extend(reads.iter().map(|array| (array.buffer().id(), *array, false)));
    order.extend(writes.iter().map(|array| (array.buffer().id(), *array, true)));
    order.sort_unstable_by_key(|&(id, _, write)| (id, !write));
    order.dedup_by_key(|&mut (id, _, _)| id);
    let mut guards: SmallVec<[(u64, Guard<'_>); 8]> = SmallVec::new();
    for &(id, array, write) in &order {
        let guard = match write {
            true => Guard::Write(array.buffer().write()),
            false => Guard::Read(array.buffer().read()),
        };
        guards.push((id, guard));
    }
    let mut opened: SmallVec<[(u64, Bytes<'_>); 8]> = SmallVec::new();
    for (id, guard) in &mut guards {
        opened.push((*id, guard.bytes()?));
    }
    let find = |array: &Array| {
        order.binary_search_by_key(&array.buffer().id(), |&(id, _, _)| id).unwrap_or(0)
    };
    let mut outs = Outs(SmallVec::new());
    for array in writes {
        match std::mem::replace(&mut opened[find(array)].1, Bytes::Taken) {
            Bytes::Unique(bytes) => {
                outs.0.push(Out { bytes, layout: array.layout(), dtype: array.dtype() });
            }
            _ => return Err(Error::new(ErrorKind::Overlap, "an output shares its memory")),
        }
    }
    let mut ins: SmallVec<[In<'_>; 8]> = SmallVec::new();
    for array in reads {
        match opened[find(array)].1 {
            Bytes::Shared(bytes, kept) => {
                ins.push(In { bytes, kept, layout: array.layout(), dtype: array.dtype() });
            }
            _ => return Err(Error::new(ErrorKind::Overlap, "an input shares an output's memory")),
        }
    }
    f(&ins, outs)
}

/// Whether all outputs are without elements, so that nothing is to be computed; they count as
/// written.
pub(crate) fn nothing_to_write(outputs: &[&Array]) -> Result<bool> {
    if outputs.iter().any(|array| array.shape().numel() > 0) {
        return Ok(false);
    }
    for array in outputs {
        Guard::Write(array.buffer().write()).bytes()?;
    }
    Ok(true)
}

/// How a kernel wants its operands to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In row-major order without gaps.
    Contiguous,
    /// Images in channels-last format, with any pixel pitch.
    Images,
}

impl Form {
    /// This layout if it already has the form, perhaps under another name.
    fn view(self, layout: &Layout) -> Option<Layout> {
        match self {
            Form::Contiguous => layout.is_contiguous().then_some(*layout),
            Form::Images => layout.as_channels_last(),
        }
    }

    /// The layout of an array of this form without gaps.
    pub(crate) fn dense(self, layout: &Layout) -> Result<Layout> {
        match self {
            Form::Contiguous => Ok(Layout::contiguous(*layout.shape())),
            Form::Images => Layout::channels_last(*layout.shape()),
        }
    }
}

/// The type in which kernels that know bf16 read and write an array: its own, or that of sums where they do not
/// know its own.
pub(crate) fn stored(array: &Array) -> DType {
    match array.dtype() {
        DType::BF16 => DType::BF16,
        other => other.accumulator(),
    }
}

/// The array in this form and type: itself, a view of it, or a converted copy.
pub(crate) fn input(array: &Array, dtype: DType, form: Form) -> Result<Cow<'_, Array>> {
    if array.dtype() == dtype
        && let Some(layout) = form.view(array.layout())
    {
        return Ok(match layout == *array.layout() {
            true => Cow::Borrowed(array),
            false => Cow::Owned(array.with_layout(layout)?),
        });
    }
    let mut copy = Array::empty(array.device(), dtype, form.dense(array.layout())?)?;
    array.device().backend().copy(array, &mut copy)?;
    Ok(Cow::Owned(copy))
}

/// Whether an output's elements matter to the kernel that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// They are overwritten unread.
    Ignored,
    /// They are added to.
    Kept,
}

/// Runs `f` on the array in this form and type, by way of a temporary where it has another.
pub(crate) fn output(
    array: &mut Array,
    dtype: DType,
    form: Form,
    before: Before,
    f: impl FnOnce(&mut Array) -> Result<()>,
) -> Result<()> {
    if array.dtype() == dtype
        && let Some(layout) = form.view(array.layout())
    {
        let same = layout == *array.layout();
        return if same { f(array) } else { f(&mut array.with_layout(layout)?) };
    }
    let mut copy = Array::empty(array.device(), dtype, form.dense(array.layout())?)?;
    if before == Before::Kept {
        array.device().backend().copy(array, &mut copy)?;
    }
    f(&mut copy)?;
    copy.device().backend().copy(&copy, array)
}
