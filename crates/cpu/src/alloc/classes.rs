//! Small blocks, kept by size class.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::VecDeque;
use std::ptr::NonNull;

use super::ALIGNMENT;

/// Four size classes for each power of two, so that at most a fifth of a new block is unused.
const CLASSES_IN_A_DOUBLING: usize = 4;
const CLASSES: usize = CLASSES_IN_A_DOUBLING * usize::BITS as usize;

/// Free blocks of each class.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// The block that was freed last at the back.
    free: Vec<VecDeque<FreeBlock>>,
    clock: u64,
    cached: usize,
}

#[derive(Debug)]
struct FreeBlock {
    memory: Raw,
    freed_at: u64,
}

impl Classes {
    /// Bytes of the free blocks.
    pub(super) fn cached(&self) -> usize {
        self.cached
    }

    /// The block that was freed last of the class for `len` bytes, or else of the next larger ones up to
    /// twice the size; a new one where there is none. `None`: out of memory.
    pub(super) fn take(&mut self, len: usize) -> Option<Raw> {
        let (class, capacity) = class_of(len)?;
        let fitting = self.free.get_mut(class..).unwrap_or_default();
        let kept = fitting.iter_mut().take(CLASSES_IN_A_DOUBLING + 1);
        match kept.filter_map(VecDeque::pop_back).next() {
            Some(block) => {
                self.cached -= block.memory.capacity;
                Some(block.memory)
            }
            None => Raw::new(capacity),
        }
    }

    /// Keeps a block for reuse.
    pub(super) fn put(&mut self, memory: Raw) {
        let Some((class, _)) = class_of(memory.capacity) else { return };
        if self.free.is_empty() {
            self.free.resize_with(CLASSES, VecDeque::new);
        }
        self.clock += 1;
        self.cached += memory.capacity;
        self.free[class].push_back(FreeBlock { memory, freed_at: self.clock });
    }

    /// Hands over the block that lay longest unused.
    pub(super) fn oldest(&mut self) -> Option<Raw> {
        let filled = self.free.iter_mut().filter(|blocks| !blocks.is_empty());
        let oldest = filled.min_by_key(|blocks| blocks.front().map(|block| block.freed_at))?;
        let memory = oldest.pop_front()?.memory;
        self.cached -= memory.capacity;
        Some(memory)
    }
}

/// The number of the size class for `len` bytes, and its blocks' size.
fn class_of(len: usize) -> Option<(usize, usize)> {
    let len = len.max(ALIGNMENT);
    let power = (len - 1).ilog2() as usize;
    let step = 1usize << (power - 2);
    let quarter = (len - 1 - (1 << power)) / step;
    let capacity = (1usize << power).checked_add((quarter + 1) * step)?;
    (capacity <= isize::MAX as usize).then_some((power * 4 + quarter, capacity))
}

/// Bytes of a size class, owned; all of them are initialised.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: a `Raw` owns its bytes like a `Box<[u8]>` does; nothing about them is tied to a thread.
unsafe impl Send for Raw {}
// SAFETY: as above; a shared `Raw` gives out only shared slices.
unsafe impl Sync for Raw {}

impl Raw {
    fn layout(capacity: usize) -> Option<Layout> {
        Layout::from_size_align(capacity, ALIGNMENT).ok()
    }

    /// A new block. `None`: out of memory, or no bytes.
    pub(super) fn new(capacity: usize) -> Option<Self> {
        let layout = Self::layout(capacity).filter(|layout| layout.size() > 0)?;
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        NonNull::new(start).map(|start| Raw { start, capacity })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.capacity) {
            // SAFETY: `start` came from `alloc_zeroed` with this same layout and is freed once,
            // because `Raw` is not cloned.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_waste_little() {
        for len in (1..5000).chain([1 << 20, (1 << 20) + 1, 12_345_678]) {
            let (class, capacity) = class_of(len).unwrap();
            assert!(capacity >= len && class < CLASSES);
            assert!(len <= ALIGNMENT || (capacity - len) * 5 <= capacity, "{len} in {capacity}");
            assert_eq!(class_of(capacity).unwrap(), (class, capacity));
            assert!(class_of(capacity + 1).unwrap().0 > class);
        }
        assert!(class_of(usize::MAX).is_none());
    }

    #[test]
    fn a_larger_block_serves_up_to_half_of_its_size_and_goes_back_to_its_class() {
        const K: usize = 1 << 10;
        let mut classes = Classes::default();
        let block = classes.take(64 * K).unwrap();
        classes.put(block);
        // Too small for it.
        let small = classes.take(24 * K).unwrap();
        assert_eq!(classes.cached(), 64 * K);
        drop(small);
        let block = classes.take(33 * K).unwrap();
        assert_eq!((classes.cached(), block.capacity), (0, 64 * K));
        classes.put(block);
        assert_eq!(classes.cached(), 64 * K);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut classes = Classes::default();
        let blocks = [3000, 64, 3000].map(|len| classes.take(len).unwrap());
        let starts: Vec<_> = blocks.iter().map(|block| block.start).collect();
        blocks.into_iter().for_each(|block| classes.put(block));
        let out = std::iter::from_fn(|| classes.oldest());
        let order: Vec<_> = out.map(|block| block.start).collect();
        assert_eq!(order, starts);
        assert_eq!(classes.cached(), 0);
    }
}
