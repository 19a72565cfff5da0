//! Shared parts of the benchmarks.
//!
//! A benchmark is a file in this folder with a `[[bench]]` entry in the manifest; `cargo xtask bench`
//! finds it through criterion. The id is `phase/model/bBATCH/dtype` for whole models and begins with
//! the verb's name for the rest. What the benchmark declares as its throughput is what its rate is
//! counted in: `Throughput::Elements` means images under `train/`, `infer/` and `loader/` and
//! floating-point operations elsewhere, `Throughput::Bytes` means memory traffic.

use ferrotape::prelude::*;

/// The variable in which `cargo xtask bench --threads N` hands the number of threads on.
pub const THREADS: &str = "FERROTAPE_BENCH_THREADS";

/// The number of threads that the device under test is to use; `None` leaves it to the device.
///
/// ```
/// assert_eq!(ferrotape_benches::threads(), Ok(None));
/// ```
///
/// # Errors
/// The variable [`THREADS`] is set to something else than a number above 0.
pub fn threads() -> Result<Option<usize>, String> {
    std::env::var(THREADS).ok().map(|value| parse(&value)).transpose()
}

fn parse(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(threads) if threads > 0 => Ok(threads),
        _ => Err(format!("{THREADS} is \"{value}\"; set it to a number above 0 or unset it")),
    }
}

/// The device under test: the CPU with [`threads`].
///
/// # Panics
/// The device cannot be opened: there is nothing to measure then.
pub fn device() -> Device {
    let threads = threads().unwrap_or_else(|problem| panic!("{problem}"));
    Device::open_with("cpu", DeviceOptions { threads }).unwrap_or_else(|error| panic!("{error}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_a_number_above_zero() {
        assert_eq!(parse("2"), Ok(2));
        for bad in ["0", "-1", "two", ""] {
            assert!(parse(bad).unwrap_err().contains(THREADS), "{bad}");
        }
    }
}
