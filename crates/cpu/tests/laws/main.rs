//! What holds for the CPU backend at every level and with any number of threads.

mod conformance;
mod extremes;
mod indices;
mod kept;
mod threads;

use ferrotape_backend::Device;
use ferrotape_cpu::{Cpu, CpuOptions, Level};

/// A device for each level that this machine has, with this many threads.
fn devices(threads: usize) -> impl Iterator<Item = (Level, Device)> {
    Level::ALL.into_iter().filter(|level| level.is_available()).map(move |level| {
        let options = CpuOptions { threads: Some(threads), level: Some(level) };
        (level, Device::new(Cpu::new(options).expect("the level is available")))
    })
}
