//! What is resident in this process, counted as the harness of PyTorch counts it.

use std::fs;

/// Returns freed memory to the system, reads what is resident, and starts the peak anew there.
///
/// It is called when model and input exist and one forward pass is done, so that what [`peak_mib`]
/// says later is above it by what the measured steps need. `None` where the system does not say.
pub fn start_count() -> Option<f64> {
    // SAFETY: malloc_trim takes no pointer, and the C library locks its arenas by itself.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
    fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

/// The most that was resident since the count began, in MiB.
pub fn peak_mib() -> Option<f64> {
    status("VmHWM:")
}

/// The bytes of `values` numbers of four bytes each, in gradients and in momentum, in MiB.
pub fn gradients_and_momentum_mib(values: usize) -> f64 {
    one_decimal(2.0 * 4.0 * values as f64 / 1024.0 / 1024.0)
}

fn status(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(one_decimal(kib / 1024.0))
}

fn one_decimal(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
