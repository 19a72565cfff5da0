//! Shared parts of the benchmarks.
//!
//! A benchmark is a file in this folder with a `[[bench]]` entry in the manifest; `cargo xtask bench`
//! finds it through criterion. The id is `phase/model/bBATCH/dtype` for whole models and begins with
//! the verb's name for the rest. What the benchmark declares as its throughput is what its rate is
//! counted in: `Throughput::Elements` means images under `train/`, `infer/` and `loader/` and
//! floating-point operations elsewhere, `Throughput::Bytes` means memory traffic.

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
