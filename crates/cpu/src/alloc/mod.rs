//! Aligned memory that is kept for reuse.
//!
//! Training frees and asks for the same sizes at every step. Memory that goes back to the operating
//! system comes again as untouched pages, and their faults cost more than many a kernel; so freed
//! memory is kept and handed out again: small blocks by size class, large ones cut from segments.
//!
//! What is held in all stays below one and a half times the most that was ever live, and
//! [`CACHE_SLACK`]; beyond that what is not in use goes back.
//!
//! With the feature `exact-memory` nothing is kept, and each block is one of the system's allocator, as long as
//! it was asked for: a tool that watches memory sees the first byte that is read or written beyond it.

mod arena;
mod classes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrotape_backend::{Error, ErrorKind, MemoryStats, Result};

use self::arena::{Arena, Region, Span};
use self::classes::{Classes, Raw};

/// Bytes that every block begins at a multiple of: a cache line, and the widest vector.
pub(crate) const ALIGNMENT: usize = 64;

/// Bytes that may always be kept for reuse, however little was live.
const CACHE_SLACK: usize = 16 << 20;

/// From this size on, blocks are cut from segments.
const LARGE: usize = 256 << 10;

/// Hands out blocks of bytes and takes them back.
#[derive(Debug, Default)]
pub(crate) struct Allocator {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: usize,
    peak: usize,
    small: Classes,
    large: Arena,
}

impl State {
    fn take(&mut self, len: usize) -> Option<Place> {
        let place = match (cfg!(feature = "exact-memory"), len < LARGE) {
            (true, _) => Place::Alone(Raw::new(len)?),
            (false, true) => Place::Small(self.small.take(len)?),
            (false, false) => Place::Large(self.large.take(len)?),
        };
        self.live += len;
        self.peak = self.peak.max(self.live);
        Some(place)
    }

    fn cached(&self) -> usize {
        self.small.cached() + self.large.cached()
    }

    /// Takes out what may not be kept any longer.
    fn evict(&mut self) -> (Vec<Raw>, Vec<Region>) {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        let limit = self.peak.saturating_add(self.peak / 2).saturating_add(CACHE_SLACK);
        while self.live + self.cached() > limit {
            if let Some(region) = self.large.unused() {
                large.push(region);
            } else if let Some(block) = self.small.oldest() {
                small.push(block);
            } else {
                self.large.clean();
                break;
            }
        }
        (small, large)
    }
}

impl Allocator {
    /// A block of `len` bytes with unspecified, initialised contents.
    pub(crate) fn allocate(self: &Arc<Self>, len: usize) -> Result<Block> {
        if len == 0 {
            return Ok(Block { place: Place::Nowhere, len, allocator: Arc::clone(self) });
        }
        let first = self.lock().take(len);
        let place = first.or_else(|| {
            self.empty();
            self.lock().take(len)
        });
        let place = place.ok_or_else(|| {
            let text = format!("there is no room for {len} bytes of memory");
            Error::new(ErrorKind::OutOfMemory, text)
        })?;
        Ok(Block { place, len, allocator: Arc::clone(self) })
    }

    /// Gives what is kept for reuse back to the operating system.
    pub(crate) fn empty(&self) {
        let mut state = self.lock();
        let small = std::mem::take(&mut state.small);
        let large: Vec<Region> = std::iter::from_fn(|| state.large.unused()).collect();
        state.large.clean();
        drop(state);
        drop((small, large));
    }

    pub(crate) fn stats(&self) -> MemoryStats {
        let state = self.lock();
        MemoryStats { live_bytes: state.live, peak_bytes: state.peak, cached_bytes: state.cached() }
    }

    fn release(&self, place: Place, len: usize) {
        let mut state = self.lock();
        match place {
            Place::Nowhere => return,
            Place::Alone(memory) => drop(memory),
            Place::Small(memory) => state.small.put(memory),
            Place::Large(span) => state.large.put(span),
        }
        state.live -= len;
        let evicted = state.evict();
        drop(state);
        drop(evicted);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the bytes of a block are.
#[derive(Debug)]
enum Place {
    /// For no bytes.
    Nowhere,
    /// Of the block's own length, never reused.
    Alone(Raw),
    Small(Raw),
    Large(Span),
}

/// Bytes in use; dropping them gives them back to their allocator.
#[derive(Debug)]
pub(crate) struct Block {
    place: Place,
    len: usize,
    allocator: Arc<Allocator>,
}

impl Block {
    fn start(&self) -> Option<std::ptr::NonNull<u8>> {
        match &self.place {
            Place::Nowhere => None,
            Place::Alone(memory) | Place::Small(memory) => Some(memory.start),
            Place::Large(span) => Some(span.start),
        }
    }

    /// The bytes, aligned to [`ALIGNMENT`].
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self.start() {
            // SAFETY: the place was taken for `len` bytes, all initialised, which are this block's alone;
            // `&self` keeps them from being written or freed.
            Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) },
            None => bytemuck::cast_slice(NOTHING),
        }
    }

    /// The bytes, aligned to [`ALIGNMENT`].
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self.start() {
            // SAFETY: as in `bytes`; `&mut self` makes this the only reference.
            Some(start) => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len) },
            None => bytemuck::cast_slice_mut::<u64, u8>(&mut []),
        }
    }
}

/// No bytes, aligned for every element type.
const NOTHING: &[u64] = &[];

impl Drop for Block {
    fn drop(&mut self) {
        let place = std::mem::replace(&mut self.place, Place::Nowhere);
        self.allocator.release(place, self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_zeroed_at_first_and_counted() {
        let allocator = Arc::new(Allocator::default());
        let block = allocator.allocate(1000).unwrap();
        assert_eq!(block.bytes().len(), 1000);
        assert_eq!(block.bytes().as_ptr() as usize % ALIGNMENT, 0);
        assert!(block.bytes().iter().all(|&byte| byte == 0));
        assert_eq!(allocator.stats().live_bytes, 1000);
        drop(block);
        let stats = allocator.stats();
        let kept = if cfg!(feature = "exact-memory") { 0 } else { 1024 };
        assert_eq!((stats.live_bytes, stats.peak_bytes, stats.cached_bytes), (0, 1000, kept));
        allocator.empty();
        assert_eq!(allocator.stats().cached_bytes, 0);
    }

    #[cfg(not(feature = "exact-memory"))]
    #[test]
    fn a_freed_block_is_handed_out_again() {
        let allocator = Arc::new(Allocator::default());
        let mut block = allocator.allocate(4096).unwrap();
        block.bytes_mut()[7] = 42;
        drop(block);
        let block = allocator.allocate(4000).unwrap();
        assert_eq!(block.bytes()[7], 42);
        assert_eq!(allocator.stats().cached_bytes, 0);
    }

    #[cfg(not(feature = "exact-memory"))]
    #[test]
    fn the_cache_is_bounded_and_drops_the_oldest() {
        let allocator = Arc::new(Allocator::default());
        let limit = |peak: usize| peak + peak / 2 + CACHE_SLACK;
        for step in 1..60 {
            let len = step << 20;
            drop(allocator.allocate(len).unwrap());
            let stats = allocator.stats();
            assert!(stats.cached_bytes <= limit(stats.peak_bytes), "{stats:?}");
        }
        assert!(allocator.stats().cached_bytes > 0);
    }

    #[test]
    fn an_impossible_request_is_an_error() {
        let allocator = Arc::new(Allocator::default());
        let error = allocator.allocate(isize::MAX as usize - 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(allocator.allocate(0).unwrap().bytes().is_empty());
    }
}
