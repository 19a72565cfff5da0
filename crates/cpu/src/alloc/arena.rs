//! Large blocks, cut from segments in which free neighbours grow together.
//!
//! A step of training wants activations that grow smaller and then gradients of the same sizes in another
//! order. Blocks that kept their sizes would lie unused for half of it (a step of ResNet-18 at batch 16 held 587
//! MiB so for 322 in use); here what is free is one hole however it was cut before, and each block is cut
//! from the smallest hole that holds it.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

/// Spans begin and end at multiples of this: a page, so that it can go back to the operating system.
const PAGE: usize = 4096;

/// The smallest segment. Its pages cost nothing before they are touched.
const SMALLEST: usize = 64 << 20;

/// Segments with their holes.
#[derive(Debug, Default)]
pub(super) struct Arena {
    segments: BTreeMap<u32, Segment>,
    /// Every hole by length, segment and offset.
    holes: BTreeSet<(usize, u32, usize)>,
    next: u32,
    dirty: usize,
}

#[derive(Debug)]
struct Segment {
    region: Region,
    /// By offset. No two touch.
    holes: BTreeMap<usize, Hole>,
}

/// Bytes that nobody has.
#[derive(Debug, Clone, Copy)]
struct Hole {
    len: usize,
    /// How many of them were used before, so that the operating system has pages for them.
    dirty: usize,
}

/// Bytes of a segment, owned; all of them are initialised. They go back to the arena they came from.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) start: NonNull<u8>,
    segment: u32,
    offset: usize,
    len: usize,
}

// SAFETY: a `Span` owns its bytes like a `Box<[u8]>` does; nothing about them is tied to a thread.
unsafe impl Send for Span {}
// SAFETY: as above; a shared `Span` gives out only shared slices.
unsafe impl Sync for Span {}

impl Arena {
    /// Bytes of holes that the operating system has pages for.
    pub(super) fn cached(&self) -> usize {
        self.dirty
    }

    /// A span of `len` bytes at least, from the smallest hole that holds it, or from a new segment. `None`:
    /// out of memory.
    pub(super) fn take(&mut self, len: usize) -> Option<Span> {
        let len = len.checked_next_multiple_of(PAGE)?;
        if self.holes.range((len, 0, 0)..).next().is_none() {
            self.grow(len)?;
        }
        let &(_, segment, offset) = self.holes.range((len, 0, 0)..).next()?;
        let hole = self.remove(segment, offset)?;
        if hole.len > len {
            let rest = Hole { len: hole.len - len, dirty: hole.dirty.saturating_sub(len) };
            self.insert(segment, offset + len, rest);
        }
        let start = self.segments.get(&segment)?.region.at(offset);
        Some(Span { start, segment, offset, len })
    }

    /// Takes a span back; it becomes one with the holes beside it.
    pub(super) fn put(&mut self, span: Span) {
        let Span { segment, mut offset, len, .. } = span;
        let mut hole = Hole { len, dirty: len };
        let Some(Segment { holes, .. }) = self.segments.get(&segment) else { return };
        let before = holes.range(..offset).next_back().map(|(&at, hole)| (at, hole.len));
        if let Some((at, before)) = before.filter(|(at, len)| at + len == offset) {
            let dirty = self.remove(segment, at).map_or(0, |hole| hole.dirty);
            hole = Hole { len: before + hole.len, dirty: dirty + hole.dirty };
            offset = at;
        }
        if let Some(after) = self.remove(segment, span.offset + len) {
            hole = Hole { len: hole.len + after.len, dirty: hole.dirty + after.dirty };
        }
        self.insert(segment, offset, hole);
    }

    /// Hands over a segment of which nothing is in use, the last of them.
    pub(super) fn unused(&mut self) -> Option<Region> {
        let is_unused = |s: &Segment| s.holes.get(&0).is_some_and(|hole| hole.len == s.region.len);
        let id = self.segments.iter().rev().find(|(_, s)| is_unused(s)).map(|(&id, _)| id)?;
        self.remove(id, 0);
        self.segments.remove(&id).map(|segment| segment.region)
    }

    /// Gives the pages of all holes back to the operating system, where it takes them.
    pub(super) fn clean(&mut self) {
        for segment in self.segments.values_mut() {
            for (&offset, hole) in &mut segment.holes {
                if hole.dirty > 0 && segment.region.clean(offset, hole.len) {
                    self.dirty -= hole.dirty;
                    hole.dirty = 0;
                }
            }
        }
    }

    /// Adds a segment: of half of what there is, so that few are needed however much it becomes.
    fn grow(&mut self, len: usize) -> Option<()> {
        let all: usize = self.segments.values().map(|segment| segment.region.len).sum();
        let ample = (all / 2).next_multiple_of(PAGE).max(SMALLEST).max(len);
        let region = Region::new(ample).or_else(|| Region::new(len))?;
        let (id, len) = (self.next, region.len);
        self.next += 1;
        self.segments.insert(id, Segment { region, holes: BTreeMap::new() });
        self.insert(id, 0, Hole { len, dirty: 0 });
        Some(())
    }

    fn insert(&mut self, segment: u32, offset: usize, hole: Hole) {
        let Some(Segment { holes, .. }) = self.segments.get_mut(&segment) else { return };
        holes.insert(offset, hole);
        self.holes.insert((hole.len, segment, offset));
        self.dirty += hole.dirty;
    }

    fn remove(&mut self, segment: u32, offset: usize) -> Option<Hole> {
        let hole = self.segments.get_mut(&segment)?.holes.remove(&offset)?;
        self.holes.remove(&(hole.len, segment, offset));
        self.dirty -= hole.dirty;
        Some(hole)
    }
}

/// Pages of the operating system, which has none for them before they are touched.
#[derive(Debug)]
pub(super) struct Region {
    /// The first whole page.
    start: NonNull<u8>,
    len: usize,
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `Region` owns its bytes, which nothing ties to a thread.
unsafe impl Send for Region {}
// SAFETY: as above; a shared `Region` gives out addresses only.
unsafe impl Sync for Region {}

impl Region {
    fn new(len: usize) -> Option<Self> {
        // Not aligned: the allocators of Rust and C zero aligned memory by writing to it.
        let layout = Layout::from_size_align(len.checked_add(PAGE)?, 1).ok()?;
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let ahead = memory.align_offset(PAGE);
        // SAFETY: there are `PAGE` bytes more than `len`, and `ahead` is smaller than `PAGE`.
        let start = unsafe { memory.add(ahead) };
        // Large pages have fewer faults and take fewer entries of the processor's page cache.
        #[cfg(target_os = "linux")]
        // SAFETY: these pages are the region's own, and the advice changes nothing that can be read.
        unsafe {
            libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE)
        };
        Some(Region { start, len, memory, layout })
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.len);
        // SAFETY: holes lie within the region.
        unsafe { self.start.add(offset) }
    }

    /// Gives pages back that nobody uses; they read as zeros again. Whether the operating system took them.
    fn clean(&self, offset: usize, len: usize) -> bool {
        #[cfg(target_os = "linux")]
        {
            let start = self.at(offset).as_ptr().cast();
            // SAFETY: these are whole pages of this region, of a hole that nobody has a reference into; what is
            // read there afterwards is initialised, as zeros.
            unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) == 0 }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, len);
            false
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `memory` came from `alloc_zeroed` with this same layout and is freed once, because a
        // `Region` is not cloned.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ferrotape_backend::Rng;

    use super::*;

    const MIB: usize = 1 << 20;

    /// Every byte of a segment belongs to one hole or one span.
    fn check(arena: &Arena, spans: &[Span]) {
        let mut taken: HashMap<u32, Vec<(usize, usize)>> = HashMap::new();
        for span in spans {
            taken.entry(span.segment).or_default().push((span.offset, span.len));
        }
        let (mut dirty, mut count) = (0, 0);
        for (id, segment) in &arena.segments {
            let mut parts = taken.remove(id).unwrap_or_default();
            for (&offset, hole) in &segment.holes {
                assert!(hole.dirty <= hole.len && arena.holes.contains(&(hole.len, *id, offset)));
                assert!(!segment.holes.contains_key(&(offset + hole.len)), "holes touch");
                parts.push((offset, hole.len));
                (dirty, count) = (dirty + hole.dirty, count + 1);
            }
            parts.sort_unstable();
            let end = parts.iter().fold(0, |end, &(offset, len)| {
                assert_eq!(offset, end);
                offset + len
            });
            assert_eq!(end, segment.region.len);
        }
        assert!(taken.is_empty());
        assert_eq!((dirty, count), (arena.dirty, arena.holes.len()));
    }

    #[test]
    fn spans_and_holes_cover_every_segment_once() {
        let rng = Rng::new(7);
        let (mut arena, mut spans) = (Arena::default(), Vec::new());
        for step in 0..2000 {
            let pick = |n: usize| rng.call(step).permutation(n)[0];
            if spans.is_empty() || pick(5) < 2 + usize::from(spans.len() < 20) {
                let span = arena.take(pick(900) * 40_000 + 1).unwrap();
                spans.push(span);
            } else {
                let span = spans.swap_remove(pick(spans.len()));
                arena.put(span);
            }
            match pick(100) {
                0 => arena.clean(),
                1 => drop(arena.unused()),
                _ => {}
            }
            check(&arena, &spans);
        }
        spans.drain(..).for_each(|span| arena.put(span));
        check(&arena, &[]);
        while arena.unused().is_some() {}
        assert!(arena.segments.is_empty() && arena.holes.is_empty() && arena.dirty == 0);
    }

    #[test]
    fn freed_neighbours_serve_a_block_of_their_size_together() {
        let mut arena = Arena::default();
        let [a, b, c] = [1, 2, 3].map(|mib| arena.take(mib * MIB).unwrap());
        let start = a.start;
        for span in [b, a] {
            arena.put(span);
        }
        assert_eq!(arena.cached(), 3 * MIB);
        let both = arena.take(3 * MIB).unwrap();
        assert_eq!((both.start, arena.cached(), arena.segments.len()), (start, 0, 1));
        for span in [both, c] {
            arena.put(span);
        }
        assert_eq!(arena.holes.len(), 1);
    }

    #[test]
    fn the_smallest_hole_that_holds_it_is_cut() {
        let mut arena = Arena::default();
        let [wide, wall, narrow, last] = [4, 1, 2, 1].map(|mib| arena.take(mib * MIB).unwrap());
        let start = narrow.start;
        arena.put(wide);
        arena.put(narrow);
        assert_eq!(arena.take(2 * MIB).unwrap().start, start);
        assert!(wall.start < last.start);
    }

    #[test]
    fn pages_that_went_back_read_as_zeros_and_count_no_more() {
        let mut arena = Arena::default();
        let (span, other) = (arena.take(MIB).unwrap(), arena.take(MIB).unwrap());
        // SAFETY: the span's bytes are this test's alone.
        unsafe { span.start.write_bytes(1, MIB) };
        let start = span.start;
        arena.put(span);
        arena.clean();
        if cfg!(target_os = "linux") {
            assert_eq!(arena.cached(), 0);
            let again = arena.take(MIB).unwrap();
            // SAFETY: as above.
            assert!(again.start == start && unsafe { again.start.read() } == 0);
        }
        arena.put(other);
    }
}
