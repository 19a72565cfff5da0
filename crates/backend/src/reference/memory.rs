//! Memory of the reference backend: how it is counted, opened, read and written.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::{bf16, f16};

use super::Reference;
use crate::{Array, DType, Element, Error, ErrorKind, Memory, MemoryStats, Result};

/// Bytes in use, as the data types would take them.
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

/// The elements of a buffer, each a value that its data type can hold.
struct Store {
    values: Mutex<Vec<f64>>,
    bytes: usize,
    counters: Arc<Counters>,
}

impl Memory for Store {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.counters.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// New memory full of NaN, or of zeros for integers: who reads it before writing shall notice.
pub(super) fn allocate(
    counters: &Arc<Counters>,
    dtype: DType,
    len: usize,
) -> Result<Box<dyn Memory>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| {
        Error::new(
            ErrorKind::OutOfMemory,
            format!("there is no room for {len} elements of {dtype} on the reference backend"),
        )
    })?;
    values.resize(len, round(dtype, f64::NAN));
    // Eight bytes an element were just reserved, so this cannot overflow.
    let bytes = len * dtype.size();
    let live = counters.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
    counters.peak.fetch_max(live, Ordering::Relaxed);
    let counters = Arc::clone(counters);
    Ok(Box::new(Store { values: Mutex::new(values), bytes, counters }))
}

impl Reference {
    /// The one place where memory is downcast: the elements, if they are this device's.
    fn open<'a>(&self, memory: &'a dyn Memory) -> Result<MutexGuard<'a, Vec<f64>>> {
        let store = memory.as_any().downcast_ref::<Store>();
        match store.filter(|store| Arc::ptr_eq(&store.counters, &self.counters)) {
            Some(store) => Ok(store.values.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Err(Error::new(
                ErrorKind::DeviceMismatch,
                "an operand is not in the memory of this reference backend; move it with to_device",
            )),
        }
    }

    /// The elements in row-major order of the logical indices.
    pub(super) fn read(&self, array: &Array) -> Result<Vec<f64>> {
        let memory = array.buffer().read();
        let values = self.open(&**memory)?;
        Ok(array.layout().positions().map(|position| values[position]).collect())
    }

    /// Rounds the elements to the array's data type and stores them.
    pub(super) fn write(&self, array: &Array, elements: &[f64]) -> Result<()> {
        let memory = array.buffer().write();
        let mut values = self.open(&**memory)?;
        for (position, &element) in array.layout().positions().zip(elements) {
            values[position] = round(array.dtype(), element);
        }
        Ok(())
    }
}

/// The nearest value of the data type.
fn round(dtype: DType, value: f64) -> f64 {
    fn through<T: Element>(value: f64) -> f64 {
        T::from_f64(value).to_f64()
    }
    match dtype {
        DType::F32 => through::<f32>(value),
        DType::F64 => value,
        DType::BF16 => through::<bf16>(value),
        DType::F16 => through::<f16>(value),
        DType::I64 => through::<i64>(value),
        DType::U8 => through::<u8>(value),
    }
}

/// The values of elements as the host stores them.
pub(super) fn decode(dtype: DType, bytes: &[u8]) -> Result<Vec<f64>> {
    fn elements<T: Element>(bytes: &[u8]) -> impl Iterator<Item = T> {
        bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned)
    }
    fn values<T: Element>(bytes: &[u8]) -> Vec<f64> {
        elements::<T>(bytes).map(T::to_f64).collect()
    }
    Ok(match dtype {
        DType::F32 => values::<f32>(bytes),
        DType::F64 => values::<f64>(bytes),
        DType::BF16 => values::<bf16>(bytes),
        DType::F16 => values::<f16>(bytes),
        DType::I64 => {
            let exact = 1u64 << f64::MANTISSA_DIGITS;
            if let Some(large) = elements::<i64>(bytes).find(|v| v.unsigned_abs() > exact) {
                return Err(Error::unsupported(format!(
                    "the reference backend keeps numbers in f64 and holds integers only up to \
                     2^53, got {large}"
                )));
            }
            values::<i64>(bytes)
        }
        DType::U8 => values::<u8>(bytes),
    })
}

/// Writes elements as the host stores them.
pub(super) fn encode(dtype: DType, values: &[f64], bytes: &mut [u8]) {
    fn store<T: Element>(values: &[f64], bytes: &mut [u8]) {
        for (chunk, &value) in bytes.chunks_exact_mut(size_of::<T>()).zip(values) {
            chunk.copy_from_slice(bytemuck::bytes_of(&T::from_f64(value)));
        }
    }
    match dtype {
        DType::F32 => store::<f32>(values, bytes),
        DType::F64 => store::<f64>(values, bytes),
        DType::BF16 => store::<bf16>(values, bytes),
        DType::F16 => store::<f16>(values, bytes),
        DType::I64 => store::<i64>(values, bytes),
        DType::U8 => store::<u8>(values, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn live_bytes_follow_buffers_and_the_peak_stays() -> Result<()> {
        let device = Device::new(Reference::new());
        let first = Array::zeros(&device, DType::F16, [10])?;
        let view = first.narrow(0, 0, 1)?;
        let second = Array::zeros(&device, DType::F64, [10])?;
        assert_eq!(device.memory().live_bytes, 100);
        drop((first, second));
        assert_eq!(device.memory().live_bytes, 20);
        drop(view);
        assert_eq!(device.memory().live_bytes, 0);
        assert_eq!(device.memory().peak_bytes, 100);
        Ok(())
    }

    #[test]
    fn stores_round_to_the_data_type() -> Result<()> {
        let device = Device::new(Reference::new());
        let third = Array::full(&device, DType::BF16, [1], 1.0 / 3.0)?;
        assert_eq!(third.item()?, f64::from(bf16::from_f64(1.0 / 3.0)));
        assert_eq!(Array::full(&device, DType::U8, [1], 300.7)?.item()?, 255.0);
        assert_eq!(Array::full(&device, DType::I64, [1], -1.9)?.item()?, -1.0);
        Ok(())
    }

    #[test]
    fn integers_that_f64_cannot_hold_are_refused() -> Result<()> {
        let device = Device::new(Reference::new());
        let largest = 1i64 << 53;
        let kept = Array::from_slice(&device, &[largest, -largest], [2])?;
        assert_eq!(kept.to_vec::<i64>()?, [largest, -largest]);
        let error = Array::from_slice(&device, &[largest + 1], [1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("9007199254740993"), "{error}");
        Ok(())
    }

    #[test]
    fn memory_of_another_device_is_refused_by_every_way_in() -> Result<()> {
        let (device, other) = (Device::new(Reference::new()), Device::new(Reference::new()));
        let foreign = Array::zeros(&other, DType::F32, [2])?;
        let mut own = Array::zeros(&device, DType::F32, [2])?;
        for error in [
            device.backend().copy(&foreign, &mut own).unwrap_err(),
            device.backend().copy(&foreign, &mut foreign.copy()?).unwrap_err(),
            device.backend().fill(&mut foreign.clone(), 1.0).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::DeviceMismatch, "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_request_beyond_the_address_space_is_out_of_memory() {
        let device = Device::new(Reference::new());
        let error = device.allocate(DType::U8, usize::MAX / 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(device.memory().live_bytes, 0);
    }
}
