//! Running a loop as compiled for the machine's vector instructions.

use ferrotape_backend::Result;

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512, Avx512Pairs};
use super::simd::{LANES, Plain, Simd};
use super::tiles::Amx;
use crate::Level;

/// A level that this machine has: holding one is the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Available(Level);

impl Available {
    /// Checks that the machine has the level.
    pub(crate) fn new(level: Level) -> Result<Self> {
        level.checked().map(Available)
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }

    /// Outputs of a panel, see [`Simd::PANEL`].
    pub(crate) fn panel(self) -> usize {
        struct Panel;
        impl Kernel for Panel {
            type Output = usize;

            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::PANEL * LANES
            }
        }
        self.run_kernel(Panel)
    }

    /// Runs the loop as compiled for this level.
    #[inline]
    pub(crate) fn run<L: Loop>(self, body: L) -> L::Output {
        match self.0 {
            Level::Portable => body.run::<false>(),
            // SAFETY: an `Available` is made only of a level whose features were detected.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2(body) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 | Level::Amx => unsafe { run_avx512(body) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => body.run::<false>(),
        }
    }

    /// Runs a loop of explicit vectors with those of this level.
    #[inline]
    pub(crate) fn run_kernel<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Plain),
            // SAFETY: an `Available` is made only of a level whose features were detected.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { kernel_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 | Level::Amx => unsafe { kernel_avx512(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => kernel.run(Plain),
        }
    }
}

/// A level that multiplies pairs of bf16: holding one is the proof that this machine has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pairs {
    tiles: Option<Amx>,
}

impl Available {
    /// The instructions for pairs of bf16, where the level has them.
    pub(crate) fn pairs(self) -> Option<Pairs> {
        match self.0 {
            Level::Portable | Level::Avx2 | Level::Avx512 => None,
            Level::Avx512Bf16 => Some(Pairs { tiles: None }),
            Level::Amx => Some(Pairs { tiles: Amx::request() }),
        }
    }
}

impl Pairs {
    /// What multiplies tiles of pairs, where the level has that.
    pub(crate) fn tiles(self) -> Option<Amx> {
        self.tiles
    }

    /// Runs a loop of explicit vectors whose floats are pairs of bf16, see
    /// [`Avx512Pairs`](super::simd::Avx512Pairs).
    #[inline]
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn run_kernel<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: a `Pairs` is made only of a level whose features were detected.
        unsafe { kernel_avx512_pairs(kernel) }
    }

    /// There are none on this processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn run_kernel<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(Plain)
    }
}

/// A loop written with explicit vectors.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// The loop itself; implementations are `#[inline(always)]`, and so is what they call in their
    /// inner loops.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn kernel_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function's features are those that the type stands for.
    kernel.run(unsafe { Avx2::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn kernel_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function's features include those that the type stands for.
    kernel.run(unsafe { Avx512::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
fn kernel_avx512_pairs<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function's features include those that the type stands for.
    kernel.run(unsafe { Avx512Pairs::new() })
}

/// A loop that the compiler vectorises for whatever instructions its caller enables.
pub(crate) trait Loop {
    /// What it gives.
    type Output;

    /// The loop itself; implementations are `#[inline(always)]`, and so is what they call in their
    /// inner loops. With `FMA`, [`f32::mul_add`] is one instruction; without it is a slow call.
    fn run<const FMA: bool>(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<L: Loop>(body: L) -> L::Output {
    body.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn run_avx512<L: Loop>(body: L) -> L::Output {
    body.run::<true>()
}
