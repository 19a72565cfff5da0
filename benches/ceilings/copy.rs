//! The bandwidth of memory, by copying arrays that no cache holds.
//!
//! A plain store first reads the line that it is about to fill; a non-temporal one does not, but some
//! machines are slower with it. The C library's copy chooses by the size of the caches that the
//! processor reports, which on a virtual machine are the host's. So both are tried.

use std::path::Path;
use std::time::Duration;

use ferrotape::Result;

use super::{at_once, threads};

/// A line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u8; 64]);

/// The least size of an array in bytes.
const LEAST: usize = 256 << 20;

/// How many times the last-level cache an array is.
const CACHES: usize = 2;

/// Two arrays, and the fastest way from one to the other.
#[derive(Debug)]
pub struct Arrays {
    from: Vec<Line>,
    to: Vec<Line>,
    threads: usize,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    #[cfg(target_arch = "x86_64")]
    NonTemporal,
}

impl Way {
    const ALL: &[Way] = &[
        Way::Plain,
        #[cfg(target_arch = "x86_64")]
        Way::NonTemporal,
    ];

    fn copy(self, from: &[Line], to: &mut [Line]) {
        match self {
            Way::Plain => to.copy_from_slice(from),
            #[cfg(target_arch = "x86_64")]
            Way::NonTemporal => non_temporal(from, to),
        }
    }
}

impl Arrays {
    /// Arrays of [`size`] bytes, copied by as many threads as compute.
    ///
    /// # Errors
    /// As [`threads`].
    pub fn new() -> Result<Self> {
        Ok(Self::of(size() / size_of::<Line>(), threads()?.get()))
    }

    fn of(lines: usize, threads: usize) -> Self {
        let (from, to) = (vec![Line([1; 64]); lines], vec![Line([0; 64]); lines]);
        let mut arrays = Arrays { from, to, threads, way: Way::Plain };
        let mut least = Duration::MAX;
        for &way in Way::ALL.iter().cycle().take(3 * Way::ALL.len()) {
            let time = arrays.once(way);
            if time < least {
                (least, arrays.way) = (time, way);
            }
        }
        arrays
    }

    /// The time that so many copies take.
    pub fn copy(&mut self, times: u64) -> Duration {
        (0..times).map(|_| self.once(self.way)).sum()
    }

    fn once(&mut self, way: Way) -> Duration {
        let part = self.from.len().div_ceil(self.threads).max(1);
        let parts = self.from.chunks(part).zip(self.to.chunks_mut(part)).collect();
        at_once(parts, |(from, to)| way.copy(from, to))
    }
}

/// Bytes of an array: far more than the last-level cache, but no more than an eighth of the memory
/// that is free.
///
/// ```
/// assert!(ferrotape_benches::ceilings::copy::size() >= 1 << 20);
/// ```
#[must_use]
pub fn size() -> usize {
    let wanted = (CACHES * last_level_cache().unwrap_or(0)).max(LEAST);
    wanted.min(free_memory().map_or(LEAST, |free| free / 8).max(1 << 20))
}

/// Bytes of the largest cache of the first processor, where the operating system says.
fn last_level_cache() -> Option<usize> {
    let caches = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    caches.filter_map(|cache| cache_size(&cache.ok()?.path().join("size"))).max()
}

fn cache_size(file: &Path) -> Option<usize> {
    in_bytes(std::fs::read_to_string(file).ok()?.trim())
}

/// `266240K` in bytes.
fn in_bytes(text: &str) -> Option<usize> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text.get(split..)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    text.get(..split)?.parse::<usize>().ok()?.checked_mul(unit)
}

/// Bytes that a program may still take, where the operating system says.
fn free_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    in_bytes(&value.trim().replace(" kB", "K"))
}

/// Copies as many lines as both have, past the caches.
#[cfg(target_arch = "x86_64")]
fn non_temporal(from: &[Line], to: &mut [Line]) {
    use std::arch::x86_64::{__m128i, _mm_load_si128, _mm_sfence, _mm_stream_si128};

    for (from, to) in from.iter().zip(to) {
        let (from, to) = (from.0.as_ptr().cast::<__m128i>(), to.0.as_mut_ptr().cast::<__m128i>());
        for part in 0..4 {
            // SAFETY: a line is 64 bytes at a multiple of 64, so each of its four parts is 16 bytes
            // at a multiple of 16; the references make them valid to read and to write. SSE2 is part
            // of every x86-64.
            unsafe { _mm_stream_si128(to.add(part), _mm_load_si128(from.add(part))) };
        }
    }
    // SAFETY: SSE is part of every x86-64. The fence makes the stores above visible to the thread
    // that this one is joined by.
    unsafe { _mm_sfence() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_copies_everything() {
        for &way in Way::ALL {
            for (lines, threads) in [(1, 3), (7, 2), (100, 3)] {
                let mut arrays = Arrays::of(lines, threads);
                for (index, line) in arrays.from.iter_mut().enumerate() {
                    line.0 = std::array::from_fn(|byte| (index * 64 + byte) as u8);
                }
                arrays.once(way);
                assert!(arrays.from.iter().zip(&arrays.to).all(|(from, to)| from.0 == to.0));
            }
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(in_bytes("266240K"), Some(266_240 << 10));
        assert_eq!(in_bytes("32M"), Some(32 << 20));
        assert_eq!(in_bytes("7"), Some(7));
        assert_eq!(in_bytes("7X"), None);
        assert_eq!(in_bytes(""), None);
    }
}
