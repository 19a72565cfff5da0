//! Memory on a device, with the counter that tells whether it changed.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{DType, Device};

/// What a backend stores behind a [`Buffer`]. The backend downcasts it in one function.
///
/// ```
/// use ferrotape_backend::Memory;
/// use std::any::Any;
///
/// /// Floats on the host.
/// struct Floats(Vec<f32>);
///
/// impl Memory for Floats {
///     fn as_any(&self) -> &dyn Any {
///         self
///     }
///     fn as_any_mut(&mut self) -> &mut dyn Any {
///         self
///     }
/// }
///
/// let memory: Box<dyn Memory> = Box::new(Floats(vec![1.0, 2.0]));
/// let floats = memory.as_any().downcast_ref::<Floats>();
/// assert_eq!(floats.map(|floats| floats.0.len()), Some(2));
/// ```
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
///
/// ```
/// use ferrotape_backend::{DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let buffer = device.allocate(DType::F32, 6)?;
/// assert_eq!((buffer.len(), buffer.is_empty(), buffer.dtype()), (6, false, DType::F32));
/// assert_eq!(buffer.device(), &device);
/// assert_ne!(buffer.id(), device.allocate(DType::F32, 6)?.id());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let mut x = Array::zeros(&device, DType::F32, [2])?;
    /// let before = x.buffer().generation();
    /// x.to_vec::<f32>()?;
    /// assert_eq!(x.buffer().generation(), before, "reading is no change");
    /// device.backend().fill(&mut x, 1.0)?;
    /// assert!(x.buffer().generation() > before);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Opens the memory for reading; waits while another thread writes.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let buffer = device.allocate(DType::F32, 6)?;
    /// let (first, second) = (buffer.read(), buffer.read());
    /// assert_eq!(buffer.generation(), 0, "any number of readers, and nothing changes");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn read(&self) -> RwLockReadGuard<'_, Box<dyn Memory>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the memory for writing and bumps the generation; waits while others use it.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let buffer = device.allocate(DType::F32, 6)?;
    /// drop(buffer.write());
    /// assert_eq!(buffer.generation(), 1);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
