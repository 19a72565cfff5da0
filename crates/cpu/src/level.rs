//! Which vector instructions the kernels use.

use std::fmt;
use std::str::FromStr;

use ferrotape_backend::{Error, Result};

#[cfg(target_arch = "x86_64")]
use crate::kernels::tiles::Amx;

/// The environment variable that forces a level.
pub const LEVEL_VARIABLE: &str = "FERROTAPE_CPU";

/// A set of vector instructions that the kernels were compiled for.
///
/// Levels compute the same within rounding; one level computes the same bits on every machine that
/// has it, with any number of threads. (That tiles of AMX add in one order everywhere is what Intel's manual says.)
///
/// ```
/// use ferrotape_cpu::Level;
///
/// assert_eq!("portable".parse::<Level>()?, Level::Portable);
/// assert!(Level::Portable.is_available());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every processor of the target has.
    Portable,
    /// 256-bit vectors: AVX2 and FMA.
    Avx2,
    /// 512-bit vectors: AVX-512 F, VL, BW and DQ.
    Avx512,
    /// As [`Level::Avx512`], with products of bf16 two at a time. These take subnormal numbers for zero; all
    /// else is as in [`Level::Avx512`], bit for bit.
    Avx512Bf16,
    /// As [`Level::Avx512Bf16`], with convolutions and large products of bf16 in tiles of AMX, on Linux. Sums are
    /// added in another order there; all else is as in [`Level::Avx512Bf16`], bit for bit.
    Amx,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Level; 5] =
        [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16, Level::Amx];

    /// The fastest level that this machine has, see [`Level::is_available`].
    pub fn best() -> Self {
        Level::ALL.into_iter().rev().find(|level| level.is_available()).unwrap_or(Level::Portable)
    }

    /// The level that [`LEVEL_VARIABLE`] asks for, else the best one.
    ///
    /// # Errors
    /// The variable names no level, or one that this machine does not have.
    pub fn from_env() -> Result<Self> {
        match std::env::var_os(LEVEL_VARIABLE) {
            None => Ok(Level::best()),
            Some(name) => name
                .to_string_lossy()
                .parse::<Level>()
                .and_then(Level::checked)
                .map_err(|error| error.at(LEVEL_VARIABLE)),
        }
    }

    /// Whether this machine has these instructions, and the operating system lets this process use them: it is
    /// asked for those of [`Level::Amx`], whose registers take more of its memory.
    pub fn is_available(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => {
                Level::Avx512.is_available() && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Amx => Level::Avx512Bf16.is_available() && Amx::request().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    pub(crate) fn checked(self) -> Result<Self> {
        if self.is_available() {
            return Ok(self);
        }
        Err(Error::argument(format!(
            "this machine does not have the instructions of '{self}'; the best it has is '{}'",
            Level::best()
        )))
    }

    /// The name that [`LEVEL_VARIABLE`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Bf16 => "avx512bf16",
            Level::Amx => "amx",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Level::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
            Error::argument(format!(
                "'{name}' is no instruction level, use one of portable, avx2, avx512, avx512bf16, amx"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_say_what_there_is() {
        for level in Level::ALL {
            assert_eq!(level.name().parse::<Level>().unwrap(), level);
        }
        let error = "sse9".parse::<Level>().unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("avx2"), "{error}");
    }

    #[test]
    fn the_best_level_is_available() {
        assert!(Level::best().is_available());
        assert!(Level::best().checked().is_ok());
    }
}
