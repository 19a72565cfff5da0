//! The peak of f32 multiply-adds: a loop that has nothing to load and nothing to store.
//!
//! An instruction that takes four cycles and begins twice a cycle needs eight results on their way, so
//! there are more independent sums than that, as many as the registers hold beside the two factors.

use std::hint::black_box;

/// Sums in a loop with thirty-two registers.
const MANY: usize = 24;

/// Sums in a loop with sixteen registers.
const FEW: usize = 12;

/// Multiply-adds of each sum in one [`pass`](Loop::pass).
const ROUNDS: usize = 100_000;

/// The widest loop of multiply-adds that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loop(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Loop {
    /// The widest loop that this machine has.
    ///
    /// ```
    /// assert!(ferrotape_benches::ceilings::fma::Loop::widest().flops() > 0);
    /// ```
    #[must_use]
    pub fn widest() -> Self {
        Loop(Kind::available().next().unwrap_or(Kind::Portable))
    }

    /// Floating-point operations of one pass on one thread.
    #[must_use]
    pub fn flops(self) -> u64 {
        (2 * ROUNDS * self.0.sums() * self.0.lanes()) as u64
    }

    /// Computes `a = a / 2 + 1` over and over in every lane of every sum, and adds them up.
    #[must_use]
    pub fn pass(self) -> f32 {
        self.0.run(ROUNDS, black_box(0.5), black_box(1.0))
    }
}

impl Kind {
    /// What this machine has, the widest first.
    fn available() -> impl Iterator<Item = Kind> {
        let wide: [Option<Kind>; 2] = {
            #[cfg(target_arch = "x86_64")]
            {
                let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                [
                    is_x86_feature_detected!("avx512f").then_some(Kind::Avx512),
                    has_avx2.then_some(Kind::Avx2),
                ]
            }
            #[cfg(not(target_arch = "x86_64"))]
            [None, None]
        };
        wide.into_iter().flatten().chain([Kind::Portable])
    }

    fn sums(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => MANY,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => FEW,
            Kind::Portable => FEW,
        }
    }

    fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            Kind::Portable => 4,
        }
    }

    /// Does so many rounds. A kind exists only where [`Kind::available`] found its instructions.
    fn run(self, rounds: usize, factor: f32, summand: f32) -> f32 {
        match self {
            // SAFETY: `available` makes this kind only on a machine with AVX-512 F.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { x86::avx512(rounds, factor, summand) },
            // SAFETY: `available` makes this kind only on a machine with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(rounds, factor, summand) },
            Kind::Portable => portable(rounds, factor, summand),
        }
    }
}

/// The loop in what every processor of the target has, four lanes a register.
fn portable(rounds: usize, factor: f32, summand: f32) -> f32 {
    // The compiler must not see that all sums are equal.
    let mut sums = black_box([[0.0f32; 4]; FEW]);
    for _ in 0..rounds {
        for lane in sums.as_flattened_mut() {
            // Without FMA among the target's own instructions `mul_add` is a function call.
            *lane = match cfg!(target_arch = "x86_64") {
                true => *lane * factor + summand,
                false => lane.mul_add(factor, summand),
            };
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    use std::hint::black_box;

    use super::{FEW, MANY};

    /// # Safety
    /// The machine has AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(rounds: usize, factor: f32, summand: f32) -> f32 {
        let (factor, summand) = (_mm512_set1_ps(factor), _mm512_set1_ps(summand));
        let mut sums = black_box([_mm512_setzero_ps(); MANY]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, summand);
            }
        }
        // By way of memory: additions of parts of these registers would confine them all to the lower
        // sixteen, as AVX-512 F alone has no shorter vectors in the others.
        let mut lanes = [[0.0; 16]; MANY];
        for (sum, lanes) in sums.into_iter().zip(&mut lanes) {
            // SAFETY: `lanes` has room for the sixteen numbers, and the store wants no alignment.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        lanes.as_flattened().iter().sum()
    }

    /// # Safety
    /// The machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(rounds: usize, factor: f32, summand: f32) -> f32 {
        let (factor, summand) = (_mm256_set1_ps(factor), _mm256_set1_ps(summand));
        let mut sums = black_box([_mm256_setzero_ps(); FEW]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, summand);
            }
        }
        let mut lanes = [[0.0; 8]; FEW];
        for (sum, lanes) in sums.into_iter().zip(&mut lanes) {
            // SAFETY: `lanes` has room for the eight numbers, and the store wants no alignment.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        lanes.as_flattened().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_does_all_its_multiply_adds_in_every_lane() {
        // a = a / 2 + 1 tends to 2, one bit a round: after 10 rounds it is 2 - 2^-9.
        for kind in Kind::available() {
            let lanes = (kind.sums() * kind.lanes()) as f32;
            assert_eq!(kind.run(10, 0.5, 1.0), lanes * (2.0 - 1.0 / 512.0), "{kind:?}");
        }
    }
}
