//! Running a loop as compiled for the machine's vector instructions.

use ferrotape_backend::Result;

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
            Level::Avx512 => unsafe { run_avx512(body) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => body.run::<false>(),
        }
    }
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
