//! A handle on a backend.

use std::fmt;
use std::sync::Arc;

use crate::{Backend, Buffer, DType, MemoryStats, Result};

/// A device to compute on: a cheap handle that everything carries along.
///
/// Two handles are equal when they are the same device.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// assert_eq!(device.name(), "reference");
/// assert_ne!(device, Device::new(Reference::new()));
/// assert_eq!(device.backend().name(), device.name());
/// ```
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

impl Device {
    /// A device that computes with this backend.
    ///
    /// ```
    /// use ferrotape_backend::{Device, meta::Meta};
    ///
    /// let device = Device::new(Meta::new());
    /// let handle = device.clone();
    /// assert_eq!((handle == device, handle.name()), (true, "meta".into()));
    /// ```
    pub fn new(backend: impl Backend) -> Self {
        Device(Arc::new(backend))
    }

    /// The verbs of the device.
    pub fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    /// The name, such as `cpu` or `cuda:0`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Bytes in use and at most in use.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::zeros(&device, DType::F32, [100])?;
    /// assert_eq!(device.memory().live_bytes, 400);
    /// drop(x);
    /// assert_eq!((device.memory().live_bytes, device.memory().peak_bytes), (0, 400));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn memory(&self) -> MemoryStats {
        self.0.memory()
    }

    /// Waits until everything that was asked of the device is done.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let mut x = Array::zeros(&device, DType::F32, [8, 8])?;
    /// device.backend().fill(&mut x, 1.0)?;
    /// // Before a clock is read: some devices work behind the caller's back.
    /// device.synchronize()?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0; 64]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn synchronize(&self) -> Result<()> {
        self.0.synchronize()
    }

    /// New memory with unspecified contents.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let buffer = device.allocate(DType::F64, 3)?;
    /// assert_eq!((buffer.len(), device.memory().live_bytes), (3, 24));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory, or the device does not have the data type.
    pub fn allocate(&self, dtype: DType, len: usize) -> Result<Buffer> {
        Ok(Buffer::new(self.clone(), dtype, len, self.0.allocate(dtype, len)?))
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
