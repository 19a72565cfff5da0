//! The resident memory of this process, as the peers' benchmarks count it.
//!
//! When model and input exist and one forward pass is done, freed memory goes back to the operating
//! system, the resident size is read, and the peak starts anew there; at the end of the row the peak
//! is read. What a step needs is `peak - before`, less gradients and momentum where it trains.
//! A library's own code, and what its first pass prepares once, so count for nobody.

mod trim;

use ferrotape::prelude::Device;
use serde::Serialize;

use crate::device;

/// What a row held, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// Resident when model and input existed, a forward pass was done and freed memory returned.
    pub rss_before_mib: f64,
    /// The most that was resident from there on.
    pub peak_rss_mib: f64,
    /// Gradients and momentum of all parameters, where the row trains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_and_momentum_mib: Option<f64>,
}

/// A count that has begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    before: f64,
}

impl Count {
    /// Returns freed memory to the operating system, reads what is resident and starts the peak
    /// anew. `None` where the operating system does not say.
    ///
    /// ```
    /// use ferrotape_benches::{device, memory::Count};
    ///
    /// if let Some(usage) = Count::start(&device::open()?).and_then(|count| count.usage(None)) {
    ///     assert!(usage.peak_rss_mib > 0.0);
    /// }
    /// # Ok::<(), ferrotape::Error>(())
    /// ```
    #[must_use]
    pub fn start(device: &Device) -> Option<Self> {
        device::empty_cache(device);
        trim::return_freed_memory();
        // 5 resets the peak of the resident size (`man 5 proc_pid_clear_refs`).
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Count { before: status("VmRSS")? })
    }

    /// What was held until now; `grad_and_momentum_mib` as in [`Usage`].
    #[must_use]
    pub fn usage(&self, grad_and_momentum_mib: Option<f64>) -> Option<Usage> {
        let peak_rss_mib = status("VmHWM")?;
        Some(Usage { rss_before_mib: self.before, peak_rss_mib, grad_and_momentum_mib })
    }
}

/// So many bytes in MiB, to one decimal.
#[must_use]
pub fn mib(bytes: usize) -> f64 {
    (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0
}

/// A field of this process's status, in MiB.
fn status(field: &str) -> Option<f64> {
    in_mib(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

fn in_mib(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: usize = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(mib(kib.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_whole_name() {
        let status = "VmHWMx:\t 9 kB\nVmHWM:\t    2560 kB\nVmRSS:\t 1024 kB\nName:\tx\n";
        assert_eq!(in_mib(status, "VmHWM"), Some(2.5));
        assert_eq!(in_mib(status, "VmRSS"), Some(1.0));
        assert_eq!(in_mib(status, "Name"), None);
        assert_eq!(in_mib(status, "VmPeak"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_counts_from_the_start_on() {
        // Larger than anything that the other tests of this program hold meanwhile.
        const LARGE: usize = 256 << 20;
        let touched = |bytes: usize| std::hint::black_box(vec![1u8; bytes]);
        drop(touched(LARGE));
        let device = device::open().unwrap();
        let Some(count) = Count::start(&device) else { return };
        let before = count.usage(None).unwrap();
        assert!(before.peak_rss_mib < before.rss_before_mib + 128.0, "{before:?}");
        drop(touched(LARGE));
        let after = count.usage(Some(1.0)).unwrap();
        assert!(after.peak_rss_mib >= after.rss_before_mib + 200.0, "{after:?}");
        assert_eq!(after.grad_and_momentum_mib, Some(1.0));
    }
}
