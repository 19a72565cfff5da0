//! Copies from the host that the host need not wait for.
//!
//! The driver copies asynchronously from pinned memory only. Bytes go through one of a few pinned buffers,
//! which are used in turn: the device fetches one while the host fills the next.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, result, sys};
use ferrotape_backend::Result;

use crate::gpu::driver;

/// How many copies may be under way.
const SLOTS: usize = 3;

/// The largest copy that is staged; larger ones go piece by piece.
const LARGEST: usize = 64 << 20;

/// Pinned buffers used in turn.
pub(crate) struct Staging {
    context: Arc<CudaContext>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: [Option<Slot>; SLOTS],
    next: usize,
}

struct Slot {
    memory: *mut u8,
    capacity: usize,
    /// Recorded after the copy that last used the buffer.
    event: sys::CUevent,
}

// SAFETY: the memory is reached through the lock of `Staging::state` only, and handles of the driver may be
// used from any thread whose current context is theirs.
unsafe impl Send for Slot {}

impl Slot {
    fn new(capacity: usize) -> Result<Self> {
        // SAFETY: the caller made the context current.
        let memory = unsafe { result::malloc_host(capacity, 0) }
            .map_err(driver("pinning memory of the host"))?
            .cast();
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        match result::event::create(flags) {
            Ok(event) => Ok(Slot { memory, capacity, event }),
            Err(error) => {
                // SAFETY: the memory was allocated just now and nothing uses it. That it cannot be freed
                // changes nothing.
                let _ = unsafe { result::free_host(memory.cast()) };
                Err(driver("making an event")(error))
            }
        }
    }

    fn wait(&self) -> Result<()> {
        // SAFETY: the event is alive. One that was never recorded is complete.
        unsafe { result::event::synchronize(self.event) }.map_err(driver("waiting for a copy"))
    }

    /// Gives memory and event back. The context must be current.
    fn release(self) {
        // Nothing may read the buffer any more; if waiting fails, the device is lost anyway.
        let _ = self.wait();
        // SAFETY: both are this slot's own, and no copy is under way.
        unsafe {
            let _ = result::free_host(self.memory.cast());
            let _ = result::event::destroy(self.event);
        }
    }
}

impl Staging {
    /// No buffers yet: they are made when they are first needed.
    pub(crate) fn new(context: &Arc<CudaContext>) -> Self {
        Staging { context: Arc::clone(context), state: Mutex::default() }
    }

    /// Copies bytes to the device in the order of the stream; `src` may be reused at once.
    ///
    /// # Safety
    /// `dst` is the address of as many bytes of the device, the stream is alive, its context current.
    pub(crate) unsafe fn upload(
        &self,
        src: &[u8],
        dst: sys::CUdeviceptr,
        stream: sys::CUstream,
    ) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (piece, offset) in src.chunks(LARGEST).zip((0u64..).step_by(LARGEST)) {
            let next = state.next;
            state.next = (next + 1) % SLOTS;
            let slot = &mut state.slots[next];
            if slot.as_ref().is_none_or(|slot| slot.capacity < piece.len()) {
                if let Some(old) = slot.take() {
                    old.release();
                }
                *slot = Some(Slot::new(piece.len().next_power_of_two())?);
            }
            let Some(slot) = slot else { continue };
            slot.wait()?;
            // SAFETY: the buffer holds at least as many bytes and no copy from it is under way. It lives until
            // `release`, which waits for the copy begun here.
            let staged = unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), slot.memory, piece.len());
                std::slice::from_raw_parts(slot.memory, piece.len())
            };
            // SAFETY: the caller promises the target and the stream; the source is pinned and stays.
            unsafe {
                result::memcpy_htod_async(dst + offset, staged, stream)
                    .map_err(driver("copying to the device"))?;
                result::event::record(slot.event, stream).map_err(driver("recording an event"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            state.slots.iter_mut().filter_map(Option::take).for_each(Slot::release);
        }
    }
}
