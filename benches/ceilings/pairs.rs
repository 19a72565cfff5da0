//! The peak of bf16 dot products of pairs in vector registers (AVX-512 BF16), from a loop that has nothing to
//! load and nothing to store.

use std::arch::x86_64::{
    __m512bh, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;
use std::mem::transmute;

/// Independent sums, as for [`fma`](super::fma).
const SUMS: usize = 24;

/// Dot products of each sum in one [`pass`](Pairs::pass).
const ROUNDS: usize = 100_000;

/// Lanes of a sum.
const LANES: usize = 16;

/// Every pair of both factors: two bf16 of 2^-8.
const PAIR: i32 = 0x3b80_3b80;

/// Proof that this machine has the instruction.
#[derive(Debug, Clone, Copy)]
pub struct Pairs(());

impl Pairs {
    /// The instruction, where the processor has it.
    ///
    /// ```
    /// use ferrotape_benches::ceilings::pairs::Pairs;
    ///
    /// if let Some(pairs) = Pairs::find() {
    ///     assert!(pairs.pass() > 0.0);
    /// }
    /// ```
    #[must_use]
    pub fn find() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
        found.then_some(Pairs(()))
    }

    /// Floating-point operations of one pass on one thread.
    #[must_use]
    pub fn flops() -> u64 {
        (2 * 2 * ROUNDS * SUMS * LANES) as u64
    }

    /// Adds the products of two pairs to each lane of each sum over and over, and adds them up.
    #[must_use]
    pub fn pass(self) -> f32 {
        self.run(ROUNDS)
    }

    fn run(self, rounds: usize) -> f32 {
        // SAFETY: a `Pairs` is made only where the machine has the instruction.
        unsafe { dots(rounds, black_box(PAIR)) }
    }
}

/// # Safety
/// The machine has AVX-512 F and BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn dots(rounds: usize, pair: i32) -> f32 {
    // SAFETY: both types are 512 bits, of which every pattern is valid.
    let factor: __m512bh = unsafe { transmute(_mm512_set1_epi32(pair)) };
    let mut sums = black_box([_mm512_setzero_ps(); SUMS]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, factor, factor);
        }
    }
    let mut lanes = [[0.0f32; LANES]; SUMS];
    for (sum, lanes) in sums.into_iter().zip(&mut lanes) {
        // SAFETY: `lanes` has room for the sixteen numbers, and the store wants no alignment.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
    }
    lanes.as_flattened().iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_of_every_sum_gets_both_products_of_every_round() {
        if let Some(pairs) = Pairs::find() {
            let product = 2.0f32.powi(-16);
            assert_eq!(pairs.run(10), (10 * 2 * SUMS * LANES) as f32 * product);
        }
    }
}
