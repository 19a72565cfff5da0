//! The device under test, and arrays on it.

use std::any::Any;
use std::num::NonZeroUsize;

use ferrotape::backend::{IntoShape, Layout, Random};
use ferrotape::cpu::Cpu;
use ferrotape::prelude::*;
use ferrotape::{Error, Result};

/// The variable in which `cargo xtask bench --threads N` hands the number of threads on.
pub const THREADS: &str = "FERROTAPE_BENCH_THREADS";

/// The variable in which `cargo xtask bench --device D` hands the device's name on.
pub const NAME: &str = "FERROTAPE_BENCH_DEVICE";

/// The number of threads that the device under test is to use; `None` leaves it to the device.
///
/// ```
/// assert_eq!(ferrotape_benches::device::threads()?, None);
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// The variable [`THREADS`] is set to something else than a number above 0.
pub fn threads() -> Result<Option<NonZeroUsize>> {
    std::env::var(THREADS).ok().map(|value| parse(&value)).transpose()
}

fn parse(value: &str) -> Result<NonZeroUsize> {
    value.parse().map_err(|_| {
        Error::argument(format!("{THREADS} is \"{value}\"; set it to a number above 0 or unset it"))
    })
}

/// The device under test: that of the variable [`NAME`], or the CPU, with [`threads`].
///
/// ```
/// assert_eq!(ferrotape_benches::device::open()?.name(), "cpu");
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// The variables do not name a device that can be opened here.
pub fn open() -> Result<Device> {
    let name = std::env::var(NAME).unwrap_or_else(|_| "cpu".to_owned());
    Device::open_with(
        &name,
        DeviceOptions { threads: threads()?.map(NonZeroUsize::get), ..DeviceOptions::default() },
    )
}

/// Gives the memory that the device keeps for reuse back to the operating system. On another device
/// than the CPU nothing is kept in the host's memory.
pub fn empty_cache(device: &Device) {
    let backend: &dyn Any = device.backend();
    if let Some(cpu) = backend.downcast_ref::<Cpu>() {
        cpu.empty_cache();
    }
}

/// Numbers between -1 and 1, in row-major order.
///
/// # Errors
/// The device has no room.
pub fn numbers(device: &Device, dtype: DType, shape: impl IntoShape) -> Result<Array> {
    let layout = Layout::contiguous(shape.into_shape()?);
    let mut array = Array::empty(device, dtype, layout)?;
    device.backend().random(Random::Uniform { low: -1.0, high: 1.0 }, Rng::new(7), &mut array)?;
    Ok(array)
}

/// Images `[N, C, H, W]` of numbers between -1 and 1, channels-last.
///
/// # Errors
/// The device has no room.
pub fn images(device: &Device, dtype: DType, shape: [usize; 4]) -> Result<Array> {
    numbers(device, dtype, shape)?.channels_last()
}

/// Images `[N, C, H, W]` with unspecified contents, channels-last: for what a verb writes.
///
/// # Errors
/// The device has no room.
pub fn blank_images(device: &Device, dtype: DType, shape: [usize; 4]) -> Result<Array> {
    Array::empty(device, dtype, Layout::channels_last(Shape::new(&shape)?)?)
}

/// An array with unspecified contents, in row-major order: for what a verb writes.
///
/// # Errors
/// The device has no room.
pub fn blank(device: &Device, dtype: DType, shape: impl IntoShape) -> Result<Array> {
    Array::empty(device, dtype, Layout::contiguous(shape.into_shape()?))
}

/// A class for each of `count` images, as the benchmarks of other frameworks choose them:
/// `(7919 i + 13) mod classes`.
///
/// ```
/// use ferrotape_benches::device;
///
/// assert_eq!(device::labels(&device::open()?, 3, 10)?.to_vec::<i64>()?, [3, 2, 1]);
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// The device has no room.
pub fn labels(device: &Device, count: usize, classes: usize) -> Result<Array> {
    let labels: Vec<i64> = (0..count).map(|i| ((i * 7919 + 13) % classes) as i64).collect();
    Array::from_slice(device, &labels, [count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_a_number_above_zero() {
        assert_eq!(parse("2").unwrap().get(), 2);
        for bad in ["0", "-1", "two", ""] {
            assert!(parse(bad).unwrap_err().to_string().contains(THREADS), "{bad}");
        }
    }

    #[test]
    fn an_emptied_device_keeps_no_memory() {
        // A device of its own: the others of this process have memory of their own to keep.
        let device = Device::new(Cpu::new(Default::default()).unwrap());
        drop(images(&device, DType::F32, [1, 3, 64, 64]).unwrap());
        assert!(device.memory().cached_bytes > 0);
        empty_cache(&device);
        assert_eq!(device.memory().cached_bytes, 0);
    }

    #[test]
    fn images_are_channels_last_and_within_their_bounds() {
        let images = images(&open().unwrap(), DType::BF16, [2, 3, 4, 5]).unwrap();
        assert!(images.layout().is_dense_channels_last());
        let values = images.to_f64_vec().unwrap();
        assert!(values.iter().all(|value| value.abs() <= 1.0));
        assert!(values.iter().any(|value| *value != values[0]));
    }
}
