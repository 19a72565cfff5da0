//! Memory that is counted and not there.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Meta;
use crate::{DType, Error, ErrorKind, Memory, MemoryStats, Result};

/// Bytes that would be in use.
#[derive(Debug, Default)]
pub(super) struct Counters {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Counters {
    pub(super) fn stats(&self) -> MemoryStats {
        MemoryStats {
            live_bytes: self.live.load(Ordering::Relaxed),
            peak_bytes: self.peak.load(Ordering::Relaxed),
            cached_bytes: 0,
        }
    }
}

/// A buffer's size.
struct Size {
    bytes: usize,
    counters: Arc<Counters>,
}

impl Memory for Size {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Size {
    fn drop(&mut self) {
        self.counters.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Counts a buffer. Only one that no address space could hold is refused.
pub(super) fn allocate(
    counters: &Arc<Counters>,
    dtype: DType,
    len: usize,
) -> Result<Box<dyn Memory>> {
    let bytes = len.checked_mul(dtype.size()).filter(|&bytes| bytes <= isize::MAX as usize);
    let bytes = bytes.ok_or_else(|| {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("{len} elements of {dtype} are more than any memory can hold"),
        )
    })?;
    let live = counters.live.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    counters.peak.fetch_max(live, Ordering::Relaxed);
    Ok(Box::new(Size { bytes, counters: Arc::clone(counters) }))
}

impl Meta {
    /// The one place where memory is downcast.
    pub(super) fn owns(&self, memory: &dyn Memory) -> Result<()> {
        let size = memory.as_any().downcast_ref::<Size>();
        match size.filter(|size| Arc::ptr_eq(&size.counters, &self.counters)) {
            Some(_) => Ok(()),
            None => Err(Error::new(
                ErrorKind::DeviceMismatch,
                "an operand is not on this meta device; move it with to_device",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, Device};

    #[test]
    fn what_no_memory_could_hold_is_counted_and_given_back() -> Result<()> {
        let device = Device::new(Meta::new());
        let large = Array::zeros(&device, DType::F32, [1 << 20, 1 << 30])?;
        assert_eq!(device.memory().live_bytes, 1 << 52);
        drop(large);
        assert_eq!(device.memory().live_bytes, 0);
        assert_eq!(device.memory().peak_bytes, 1 << 52);
        let error = device.allocate(DType::F64, usize::MAX / 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        Ok(())
    }

    #[test]
    fn elements_cannot_be_read() -> Result<()> {
        let device = Device::new(Meta::new());
        let array = Array::from_slice(&device, &[1.0f32, 2.0], [2])?;
        let error = array.to_vec::<f32>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("no elements to read"), "{error}");
        Ok(())
    }
}
