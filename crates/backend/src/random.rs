//! Random numbers that are a function of what they are for, not of when they were asked for.
//!
//! A generator with a state gives different numbers when the work is cut differently. Here a draw
//! depends on a key and a logical index alone, so a dropout mask is the same on every device, with
//! any number of threads, in any memory layout, and when a forward pass is computed a second time.
//!
//! The bits come from Philox4x32-10 (Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy
//! as 1, 2, 3*, SC 2011). The counter's first two words are the block's number, its third word is
//! the kind of draw, so that draws of different kinds with one key never share bits.

mod truncated;

pub use truncated::TruncatedNormal;

const PHILOX_MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const PHILOX_WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The third counter word of [`Rng::bits`] and of the draws made from it.
const STREAM_BITS: u32 = 0;
/// The third counter word of the draws that take 64 bits.
const STREAM_WIDE: u32 = 1;
/// The third counter word of [`Rng::normal_f64`].
const STREAM_NORMAL: u32 = 2;

const DOMAIN_SEED: u64 = 0x6665_7272_6F74_6170;
const DOMAIN_STEP: u64 = 0x7374_6570_0000_0001;
const DOMAIN_PATH: u64 = 0x7061_7468_0000_0002;
const DOMAIN_CALL: u64 = 0x6361_6C6C_0000_0003;

/// Four random words from a counter and a key: Philox4x32 with ten rounds.
///
/// The function is a bijection of the counter for every key. Source: Salmon et al., SC 2011, and
/// the reference implementation Random123, whose known answers are this module's tests.
///
/// ```
/// use ferrotape_backend::random::philox4x32_10;
///
/// let words = philox4x32_10([0; 4], [0; 2]);
/// assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
#[inline]
#[must_use]
pub const fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut counter = counter;
    let mut key = key;
    let mut round = 0;
    while round < 10 {
        let left = PHILOX_MULTIPLIERS[0] as u64 * counter[0] as u64;
        let right = PHILOX_MULTIPLIERS[1] as u64 * counter[2] as u64;
        counter = [
            (right >> 32) as u32 ^ counter[1] ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ counter[3] ^ key[1],
            left as u32,
        ];
        key[0] = key[0].wrapping_add(PHILOX_WEYL[0]);
        key[1] = key[1].wrapping_add(PHILOX_WEYL[1]);
        round += 1;
    }
    counter
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// FNV-1a over 64 bits: it needs no table and is the same on every platform.
const fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        index += 1;
    }
    hash
}

/// A key of random numbers: a place in the tree seed → step → layer path → call.
///
/// An `Rng` has no state. [`step`](Rng::step), [`path`](Rng::path) and [`call`](Rng::call) derive
/// the key of a narrower purpose; a draw names the logical index of the number it wants (for a
/// tensor, the index in NCHW order). Integer and uniform draws are the same bits on every platform.
///
/// ```
/// use ferrotape_backend::random::Rng;
///
/// let rng = Rng::new(42).step(7).path("layer3.0.dropout").call(0);
/// assert_eq!(rng.uniform_f32(1000), rng.uniform_f32(1000));
/// assert_ne!(rng.key(), rng.call(0).key());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    key: u64,
}

impl Rng {
    /// The root of all draws of a run with this seed. Every seed is as good as another.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// const RNG: Rng = Rng::new(0);
    /// assert_eq!(RNG, Rng::new(0));
    /// assert_ne!(RNG, Rng::new(1));
    /// ```
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { key: mix(seed ^ DOMAIN_SEED) }
    }

    const fn derive(self, domain: u64, value: u64) -> Self {
        // For a fixed parent this is a bijection of `value`, and for a fixed `value` one of the
        // parent, so neighbours cannot collide.
        Self { key: mix(mix(self.key ^ domain) ^ mix(value)) }
    }

    /// The key of one training step, epoch or any other numbered stage.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(1);
    /// assert_ne!(rng.step(1), rng.step(2));
    /// assert_ne!(rng.step(1), rng.call(1));
    /// ```
    #[must_use]
    pub const fn step(self, number: u64) -> Self {
        self.derive(DOMAIN_STEP, number)
    }

    /// The key of something that has a name, such as the layer at a path.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(1);
    /// assert_ne!(rng.path("conv1"), rng.path("conv2"));
    /// ```
    #[must_use]
    pub const fn path(self, name: &str) -> Self {
        self.derive(DOMAIN_PATH, hash_bytes(name.as_bytes()))
    }

    /// The key of one of several calls of the same thing within one step.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(1).path("dropout");
    /// assert_ne!(rng.call(0), rng.call(1));
    /// ```
    #[must_use]
    pub const fn call(self, number: u64) -> Self {
        self.derive(DOMAIN_CALL, number)
    }

    /// The key itself: its low and high halves are the two key words of Philox.
    ///
    /// ```
    /// use ferrotape_backend::random::{Rng, philox4x32_10};
    ///
    /// let rng = Rng::new(3);
    /// let key = [rng.key() as u32, (rng.key() >> 32) as u32];
    /// assert_eq!(rng.bits(2), philox4x32_10([0, 0, 0, 0], key)[2]);
    /// ```
    #[must_use]
    pub const fn key(self) -> u64 {
        self.key
    }

    #[inline]
    const fn words(self, block: u64, stream: u32) -> [u32; 4] {
        let key = [self.key as u32, (self.key >> 32) as u32];
        philox4x32_10([block as u32, (block >> 32) as u32, stream, 0], key)
    }

    /// The words of [`bits`](Rng::bits) for the indices `4 * block` to `4 * block + 3`.
    ///
    /// Kernels that fill memory use this, as one word costs as much as four.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(5);
    /// assert_eq!(rng.block(2), [rng.bits(8), rng.bits(9), rng.bits(10), rng.bits(11)]);
    /// ```
    #[inline]
    #[must_use]
    pub const fn block(self, block: u64) -> [u32; 4] {
        self.words(block, STREAM_BITS)
    }

    /// 32 random bits: lane `index % 4` of block `index / 4`.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(5);
    /// assert_ne!(rng.bits(0), rng.bits(1));
    /// ```
    #[inline]
    #[must_use]
    pub const fn bits(self, index: u64) -> u32 {
        self.block(index >> 2)[(index & 3) as usize]
    }

    /// Two 64-bit values from one block, so that wide draws cost two to a block.
    #[inline]
    const fn wide_pair(self, block: u64, stream: u32) -> [u64; 2] {
        let words = self.words(block, stream);
        [words[0] as u64 | ((words[1] as u64) << 32), words[2] as u64 | ((words[3] as u64) << 32)]
    }

    const fn wide(self, index: u64) -> u64 {
        self.wide_pair(index >> 1, STREAM_WIDE)[(index & 1) as usize]
    }

    /// A uniform number in [0, 1): the upper 24 bits of [`bits`](Rng::bits), times 2⁻²⁴.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let keep = Rng::new(5).uniform_f32(17) >= 0.5;
    /// assert_eq!(keep, Rng::new(5).bits(17) >= 1 << 31);
    /// ```
    #[inline]
    #[must_use]
    pub const fn uniform_f32(self, index: u64) -> f32 {
        (self.bits(index) >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
    }

    /// A uniform number in [0, 1) with 53 random bits.
    ///
    /// These are draws of their own; they do not refine [`uniform_f32`](Rng::uniform_f32).
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let draw = Rng::new(5).uniform_f64(17);
    /// assert!((0.0..1.0).contains(&draw));
    /// ```
    #[inline]
    #[must_use]
    pub const fn uniform_f64(self, index: u64) -> f64 {
        unit_f64(self.wide(index))
    }

    /// The draws `2 pair` and `2 pair + 1` of [`uniform_f64`](Rng::uniform_f64), which share their
    /// block of bits.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(5);
    /// assert_eq!(rng.uniform_pair(3), [rng.uniform_f64(6), rng.uniform_f64(7)]);
    /// ```
    #[inline]
    #[must_use]
    pub const fn uniform_pair(self, pair: u64) -> [f64; 2] {
        let [first, second] = self.wide_pair(pair, STREAM_WIDE);
        [unit_f64(first), unit_f64(second)]
    }

    /// A draw from the standard normal distribution, by the method of Box and Muller (1958):
    /// √(−2 ln u) · cos 2πv for an even index, · sin 2πv for the odd one after it.
    ///
    /// Logarithm, sine and cosine are those of `libm`, so this too is the same on every platform
    /// where it is computed by this function. No draw is infinite: the largest is about 8.6.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(5);
    /// let mean = (0..10_000).map(|index| rng.normal_f64(index)).sum::<f64>() / 10_000.0;
    /// assert!(mean.abs() < 0.05);
    /// ```
    #[must_use]
    pub fn normal_f64(self, index: u64) -> f64 {
        self.normal_pair(index >> 1)[(index & 1) as usize]
    }

    /// The draws `2 pair` and `2 pair + 1` of [`normal_f64`](Rng::normal_f64): together they cost
    /// what one costs.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let rng = Rng::new(5);
    /// assert_eq!(rng.normal_pair(3), [rng.normal_f64(6), rng.normal_f64(7)]);
    /// ```
    #[must_use]
    pub fn normal_pair(self, pair: u64) -> [f64; 2] {
        let [u, v] = self.normal_uniforms(pair);
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - u)).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * v);
        [radius * cosine, radius * sine]
    }

    /// The uniform numbers u and v in [0, 1) that [`normal_pair`](Rng::normal_pair) is made of, for kernels that make
    /// it of many at a time.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let [u, v] = Rng::new(5).normal_uniforms(3);
    /// assert!((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v));
    /// ```
    #[inline]
    #[must_use]
    pub const fn normal_uniforms(self, pair: u64) -> [f64; 2] {
        let [first, second] = self.wide_pair(pair, STREAM_NORMAL);
        [unit_f64(first), unit_f64(second)]
    }

    /// A uniform integer in `0..n`, the upper half of a 128-bit product of 64 random bits and `n`.
    ///
    /// No value is more than n / 2⁶⁴ off its fair share. For `n = 0` there is nothing to choose
    /// from, and the answer is 0.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// assert!((0..100).all(|index| Rng::new(5).below(index, 6) < 6));
    /// ```
    #[must_use]
    pub const fn below(self, index: u64, n: u64) -> u64 {
        ((self.wide(index) as u128 * n as u128) >> 64) as u64
    }

    /// A random order of `0..n`, by the shuffle of Fisher and Yates.
    ///
    /// ```
    /// use ferrotape_backend::random::Rng;
    ///
    /// let mut order = Rng::new(5).permutation(10);
    /// assert_ne!(order, Rng::new(6).permutation(10));
    /// order.sort_unstable();
    /// assert_eq!(order, (0..10).collect::<Vec<_>>());
    /// ```
    #[must_use]
    pub fn permutation(self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            let chosen = self.below(last as u64, last as u64 + 1);
            order.swap(last, chosen as usize);
        }
        order
    }
}

#[inline]
const fn unit_f64(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn philox_gives_the_published_known_answers() {
        // From `kat_vectors` of Random123 1.14.
        let cases: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn splitmix_gives_the_published_known_answers() {
        // The first outputs of the reference implementation for the seed 1234567.
        let gamma = 0x9E37_79B9_7F4A_7C15_u64;
        assert_eq!(mix(1234567), 6457827717110365317);
        assert_eq!(mix(1234567_u64.wrapping_add(gamma)), 3203168211198807973);
    }

    #[test]
    fn draws_never_change_between_versions() {
        // Frozen on purpose: checkpoints and published figures depend on these values, which a
        // second implementation, written in Python from this module's description, gave as well.
        let rng = Rng::new(42).step(3).path("features.0").call(1);
        assert_eq!(rng.key(), 0x29c0_ebff_19cd_88b0);
        let bits = [0, 1, 5, 1 << 40].map(|index| rng.bits(index));
        assert_eq!(bits, [0xd84f_8b31, 0x718e_f7be, 0xb71b_b7b1, 0x4888_e516]);
        assert_eq!(rng.permutation(8), [3, 6, 0, 2, 7, 1, 5, 4]);
        assert_eq!(rng.uniform_f64(9).to_bits(), 0x3feb_c7fd_266c_dba2);
        assert_eq!(rng.normal_f64(9).to_bits(), 0xbff9_404d_97e7_ea57);
    }

    #[test]
    fn derived_keys_differ_between_kinds_values_and_orders() {
        let root = Rng::new(7);
        let mut keys = HashSet::new();
        keys.insert(root.key());
        for value in 0..1000 {
            assert!(keys.insert(root.step(value).key()));
            assert!(keys.insert(root.call(value).key()));
            assert!(keys.insert(root.path(&value.to_string()).key()));
        }
        assert_ne!(root.step(1).step(2), root.step(2).step(1));
        assert_ne!(root.step(1).call(1), root.call(1).step(1));
    }

    #[test]
    fn uniform_draws_stay_in_their_interval_and_are_even() {
        let rng = Rng::new(11);
        let count = 40_000_u64;
        let mut narrow = [0_u32; 10];
        let mut wide = [0_u32; 10];
        for index in 0..count {
            let (single, double) = (rng.uniform_f32(index), rng.uniform_f64(index));
            assert!((0.0..1.0).contains(&single) && (0.0..1.0).contains(&double));
            narrow[(single * 10.0) as usize] += 1;
            wide[(double * 10.0) as usize] += 1;
        }
        // Five standard deviations of a bin's count, √(40,000 · 0.1 · 0.9) = 60.
        for bin in narrow.into_iter().chain(wide) {
            assert!(bin.abs_diff(4000) < 300, "a tenth of the interval got {bin} draws of 40,000");
        }
    }

    #[test]
    fn the_largest_random_bits_still_give_less_than_one() {
        assert!((u32::MAX >> 8) as f32 * (1.0 / (1_u32 << 24) as f32) < 1.0);
        assert!(unit_f64(u64::MAX) < 1.0);
    }

    #[test]
    fn normal_draws_have_the_moments_of_a_normal_distribution() {
        let rng = Rng::new(13);
        let count = 100_000_u64;
        let mut moments = [0.0_f64; 4];
        let mut neighbours = 0.0;
        for index in 0..count {
            let draw = rng.normal_f64(index);
            neighbours += draw * rng.normal_f64(index ^ 1);
            for (power, moment) in moments.iter_mut().enumerate() {
                *moment += draw.powi(power as i32 + 1) / count as f64;
            }
        }
        // Bounds are five standard errors: 1, √2, √15 and √96 over √100,000.
        assert!(moments[0].abs() < 0.016, "mean {}", moments[0]);
        assert!((moments[1] - 1.0).abs() < 0.023, "variance {}", moments[1]);
        assert!(moments[2].abs() < 0.062, "third moment {}", moments[2]);
        assert!((moments[3] - 3.0).abs() < 0.155, "fourth moment {}", moments[3]);
        assert!((neighbours / count as f64).abs() < 0.023, "sine and cosine are correlated");
    }

    #[test]
    fn sine_and_cosine_are_those_of_the_two_functions() {
        // The draws of a pair use `sincos`; the definition names sine and cosine.
        let rng = Rng::new(29);
        for index in 0..20_000 {
            let angle = std::f64::consts::TAU * rng.uniform_f64(index);
            for angle in [angle, angle * 1e-7, angle * 1e-8, angle * 1e-9] {
                assert_eq!(libm::sincos(angle), (libm::sin(angle), libm::cos(angle)), "{angle}");
            }
        }
    }

    #[test]
    fn below_reaches_every_value_and_nothing_else() {
        let rng = Rng::new(17);
        let seen: HashSet<u64> = (0..1000).map(|index| rng.below(index, 7)).collect();
        assert_eq!(seen, (0..7).collect());
        assert_eq!(rng.below(0, 0), 0);
        assert_eq!(rng.below(0, 1), 0);
        assert!((0..100).any(|index| rng.below(index, u64::MAX) > u64::MAX / 2));
    }

    #[test]
    fn permutations_are_permutations_and_all_orders_of_three_are_as_likely() {
        for n in [0, 1, 2, 1000] {
            let mut order = Rng::new(19).permutation(n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
        let mut counts = std::collections::HashMap::new();
        for step in 0..6000 {
            *counts.entry(Rng::new(19).step(step).permutation(3)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // Five standard deviations, √(6,000 · 1/6 · 5/6) = 29.
        assert!(counts.values().all(|count| count.abs_diff(1000) < 145), "{counts:?}");
    }
}
