//! What this machine can do at all: the rates that kernels are held against.
//!
//! All threads work at once, each for itself, from a common start to the end of the last.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
pub mod copy;
pub mod fma;
#[cfg(target_arch = "x86_64")]
pub mod pairs;

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use ferrotape::Result;

use crate::device;

/// How many threads compute: those of the device under test, else one a processor.
///
/// ```
/// assert!(ferrotape_benches::ceilings::threads()?.get() > 0);
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// As [`device::threads`].
pub fn threads() -> Result<NonZeroUsize> {
    let given = device::threads()?;
    Ok(given.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)))
}

/// The time from when the first thread of all that are ready begins until the last has done its part of the work.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let done = AtomicUsize::new(0);
/// let parts = vec![1, 2, 3];
/// ferrotape_benches::ceilings::at_once(parts, |part| {
///     done.fetch_add(part, Ordering::Relaxed);
/// });
/// assert_eq!(done.into_inner(), 6);
/// ```
pub fn at_once<P: Send>(parts: Vec<P>, work: impl Fn(P) + Sync) -> Duration {
    let ready = Barrier::new(parts.len());
    let (ready, work) = (&ready, &work);
    let times: Vec<[Instant; 2]> = std::thread::scope(|scope| {
        let start = |part| {
            scope.spawn(move || {
                ready.wait();
                // Threads look at the clock themselves: one that waits for them may wake late.
                let began = Instant::now();
                work(part);
                [began, Instant::now()]
            })
        };
        let threads: Vec<_> = parts.into_iter().map(start).collect();
        let join =
            |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|e| resume_unwind(e));
        threads.into_iter().map(join).collect()
    });
    let first = times.iter().map(|[began, _]| *began).min();
    let last = times.iter().map(|[_, ended]| *ended).max();
    first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_counts_to_the_end_of_the_last() {
        let waits = [1, 30].map(Duration::from_millis).to_vec();
        assert!(at_once(waits, std::thread::sleep) >= Duration::from_millis(30));
    }
}
