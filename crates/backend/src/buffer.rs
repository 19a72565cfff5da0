//! Memory on a device, with the counter that tells whether it changed.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{DType, Device};

/// What a backend stores behind a [`Buffer`]. The backend downcasts it in one function.
pub trait Memory: Any + Send + Sync {
    /// For the backend's downcast.
    fn as_any(&self) -> &dyn Any;
    /// For the backend's downcast.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A run of elements of one type on one device.
///
/// A buffer is mutated only through [`Buffer::write`], which bumps its generation: whoever caches
/// something derived from a buffer, or saved it for a backward pass, keeps the generation beside it
/// and can tell whether the contents are still the same.
pub struct Buffer {
    id: u64,
    device: Device,
    dtype: DType,
    len: usize,
    generation: AtomicU64,
    memory: RwLock<Box<dyn Memory>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Buffer {
    pub(crate) fn new(device: Device, dtype: DType, len: usize, memory: Box<dyn Memory>) -> Self {
        Buffer {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            device,
            dtype,
            len,
            generation: AtomicU64::new(0),
            memory: RwLock::new(memory),
        }
    }

    /// A number no other buffer of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The device that holds the memory.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often the contents were opened for writing.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Opens the memory for reading; waits while another thread writes.
    pub fn read(&self) -> RwLockReadGuard<'_, Box<dyn Memory>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the memory for writing and bumps the generation; waits while others use it.
    pub fn write(&self) -> RwLockWriteGuard<'_, Box<dyn Memory>> {
        let guard = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        guard
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer #{} ({} x {} on {})", self.id, self.len, self.dtype, self.device)
    }
}
