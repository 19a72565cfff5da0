//! Shared parts of the benchmarks: a device and reproducible data on it.

use ferrotape::prelude::*;

/// The device that `FERROTAPE_DEVICE` names, else the CPU, with the threads that
/// `FERROTAPE_THREADS` says, else one a core.
///
/// # Panics
/// The device cannot be opened: there is nothing to measure then.
pub fn device() -> Device {
    let name = std::env::var("FERROTAPE_DEVICE").unwrap_or_else(|_| "cpu".into());
    let threads = std::env::var("FERROTAPE_THREADS").ok().map(|text| {
        text.parse().unwrap_or_else(|_| panic!("FERROTAPE_THREADS is {text}, not a number"))
    });
    Device::open_with(&name, DeviceOptions { threads }).unwrap_or_else(|error| panic!("{error}"))
}

/// Normal numbers.
///
/// # Panics
/// The device has no room.
pub fn normal(device: &Device, shape: &[usize]) -> Array {
    Init::new(device, Rng::new(7)).normal(shape, 0.0, 1.0).unwrap_or_else(|error| panic!("{error}"))
}

/// Images of normal numbers, channels-last.
///
/// # Panics
/// The device has no room.
pub fn images(device: &Device, shape: [usize; 4]) -> Array {
    normal(device, &shape).channels_last().unwrap_or_else(|error| panic!("{error}"))
}

/// Classes in turn.
///
/// # Panics
/// The device has no room.
pub fn labels(device: &Device, count: usize, classes: usize) -> Array {
    let labels: Vec<i64> = (0..count).map(|i| (i % classes) as i64).collect();
    Array::from_slice(device, &labels, [count]).unwrap_or_else(|error| panic!("{error}"))
}
