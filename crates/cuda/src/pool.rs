//! Device memory that is kept for reuse.
//!
//! A step of training asks for the same sizes as the one before. Asking the driver takes longer than
//! many a kernel, and giving memory back waits for the device; so blocks that are freed are kept by size
//! class and handed out again. One queue of work makes that safe at once: whoever gets the block next
//! asks for work after everything that used it before.
//!
//! What is held in all stays below the most that was ever live plus a quarter of it and [`SLACK`]; beyond
//! that the blocks that lay longest unused are given back. When the device has no room, all of them are.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrotape_backend::{Error, ErrorKind, Memory, MemoryStats, Result};

use crate::machine::Machine;
use crate::queue::Queue;

/// Bytes that may always be kept, however little was live.
const SLACK: usize = 256 << 20;

/// The smallest block, and what addresses are multiples of.
const GRAIN: usize = 512;

/// Hands out blocks of device memory and takes them back.
#[derive(Debug)]
pub(crate) struct Pool {
    machine: Arc<dyn Machine>,
    queue: Arc<Queue>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stats: MemoryStats,
    /// When each free block was freed, by its size and address.
    free: HashMap<usize, BTreeMap<u64, u64>>,
    /// Size and address of each free block by when it was freed, oldest first.
    ages: BTreeMap<u64, (usize, u64)>,
    clock: u64,
}

impl State {
    /// The free block of the lowest address: which one it is depends on which are free and not on the order
    /// in which they became so, so that equal steps get equal addresses.
    fn take(&mut self, capacity: usize) -> Option<u64> {
        let (address, freed_at) = self.free.get_mut(&capacity)?.pop_first()?;
        self.ages.remove(&freed_at);
        self.stats.cached_bytes -= capacity;
        Some(address)
    }

    fn take_oldest(&mut self) -> Option<(u64, usize)> {
        let (_, (capacity, address)) = self.ages.pop_first()?;
        self.free.get_mut(&capacity)?.remove(&address)?;
        self.stats.cached_bytes -= capacity;
        Some((address, capacity))
    }
}

/// A size rounded up to its class: eight classes for each power of two.
fn class(bytes: usize) -> Option<usize> {
    let bytes = bytes.max(1).checked_next_multiple_of(GRAIN)?;
    let step = (bytes.next_power_of_two() / 16).max(GRAIN);
    bytes.checked_next_multiple_of(step).filter(|&bytes| bytes <= isize::MAX as usize)
}

impl Pool {
    /// A pool of a machine's memory.
    pub(crate) fn new(machine: Arc<dyn Machine>, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Pool { machine, queue, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in use.
    pub(crate) fn stats(&self) -> MemoryStats {
        self.state().stats
    }

    /// Memory with unspecified contents.
    ///
    /// # Errors
    /// `OutOfMemory` with the size.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Block> {
        self.hand_out(bytes, bytes)
    }

    /// The same for what the backend keeps for itself, which does not count as live.
    ///
    /// # Errors
    /// As [`Pool::allocate`].
    pub(crate) fn keep(self: &Arc<Self>, bytes: usize) -> Result<Block> {
        self.hand_out(bytes, 0)
    }

    fn hand_out(self: &Arc<Self>, bytes: usize, live: usize) -> Result<Block> {
        let capacity = class(bytes).ok_or_else(|| too_large(bytes))?;
        let mut state = self.state();
        let address = match state.take(capacity) {
            Some(address) => address,
            None => self.ask(&mut state, capacity, bytes)?,
        };
        state.stats.live_bytes += live;
        state.stats.peak_bytes = state.stats.peak_bytes.max(state.stats.live_bytes);
        Ok(Block { address, live, capacity, pool: Arc::clone(self) })
    }

    /// Asks the machine, if need be after everything unused went back.
    fn ask(&self, state: &mut State, capacity: usize, bytes: usize) -> Result<u64> {
        match self.machine.allocate(capacity) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {}
            other => return other,
        }
        self.give_back(state, 0);
        self.machine.allocate(capacity).map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "{bytes} bytes were asked for, {} are in use, and the device has no room left \
                     ({}); use a smaller batch or smaller images",
                    state.stats.live_bytes,
                    error.message()
                ),
            ),
            _ => error,
        })
    }

    /// Gives all unused blocks back; answers whether there were any.
    pub(crate) fn trim(&self) -> bool {
        let mut state = self.state();
        let had_any = state.stats.cached_bytes > 0;
        self.give_back(&mut state, 0);
        had_any
    }

    /// Gives unused blocks back to the device, oldest first, until no more than so many bytes are unused.
    fn give_back(&self, state: &mut State, most: usize) {
        if state.stats.cached_bytes <= most {
            return;
        }
        // Work may still use them, asked for or not. If the device refuses it, whoever waits next is told.
        let _ = self.queue.after(|| self.machine.synchronize());
        while state.stats.cached_bytes > most {
            let Some((address, capacity)) = state.take_oldest() else { break };
            self.machine.free(address, capacity);
        }
    }

    fn put_back(&self, address: u64, live: usize, capacity: usize) {
        let mut state = self.state();
        state.stats.live_bytes -= live;
        state.stats.cached_bytes += capacity;
        state.clock += 1;
        let freed_at = state.clock;
        state.ages.insert(freed_at, (capacity, address));
        state.free.entry(capacity).or_default().insert(address, freed_at);
        let MemoryStats { live_bytes, peak_bytes, .. } = state.stats;
        self.give_back(&mut state, peak_bytes - live_bytes + peak_bytes / 4 + SLACK);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.give_back(&mut self.state(), 0);
    }
}

fn too_large(bytes: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes are more than a device can address"))
}

/// A run of device memory, which goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Block {
    address: u64,
    /// The bytes that count as live.
    live: usize,
    capacity: usize,
    pool: Arc<Pool>,
}

impl Block {
    /// The address of its first byte.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Whether it is memory of this pool.
    pub(crate) fn is_of(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.put_back(self.address, self.live, self.capacity);
    }
}

impl Memory for Block {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_size_and_wastes_little() {
        for bytes in (0..200_000).chain([1 << 30, (1 << 30) + 1, 1_234_567_891]) {
            let capacity = class(bytes).unwrap();
            assert!(capacity >= bytes && capacity.is_multiple_of(GRAIN), "{bytes}: {capacity}");
            assert!(capacity <= bytes + bytes / 8 + GRAIN, "{bytes}: {capacity}");
        }
        assert_eq!(class(usize::MAX), None);
        assert_eq!(class(isize::MAX as usize), None);
    }
}
