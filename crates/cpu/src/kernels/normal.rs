//! Normal draws, many at a time: to the bit those of [`Rng::normal_pair`], which makes them one by one.
//!
//! Logarithm, sine and cosine are `libm`'s (FreeBSD's `msun`, Sun Microsystems, 1993), written without branches so
//! that loops over them vectorise. The operations and their order are the same, none is fused, and where `libm`
//! takes a way of its own, near the multiples of a quarter turn, `Rng::normal_pair` is asked.

use ferrotape_backend::Rng;

use super::dispatch::Loop;

/// Pairs that are made at a time.
pub(crate) const PAIRS: usize = 64;

/// The pairs from `first` on: even draws and odd ones.
pub(crate) struct Normals<'a> {
    pub(crate) rng: Rng,
    pub(crate) first: u64,
    pub(crate) even: &'a mut [f64; PAIRS],
    pub(crate) odd: &'a mut [f64; PAIRS],
}

impl Loop for Normals<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Normals { rng, first, even, odd } = self;
        for (lane, (u, v)) in even.iter_mut().zip(odd.iter_mut()).enumerate() {
            [*u, *v] = rng.normal_uniforms(first.wrapping_add(lane as u64));
        }
        let mut special = [false; PAIRS];
        for ((u, v), special) in even.iter_mut().zip(odd.iter_mut()).zip(&mut special) {
            let angle = std::f64::consts::TAU * *v;
            let radius = (-2.0 * log(1.0 - *u)).sqrt();
            let [sine, cosine] = sine_and_cosine(angle);
            *special = is_special(angle);
            [*u, *v] = [radius * cosine, radius * sine];
        }
        if special.iter().any(|&special| special) {
            for lane in (0..PAIRS).filter(|&lane| special[lane]) {
                [even[lane], odd[lane]] = rng.normal_pair(first.wrapping_add(lane as u64));
            }
        }
    }
}

/// `libm::log` for normal numbers above 0.
#[inline(always)]
fn log(x: f64) -> f64 {
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const L1: f64 = 0.666_666_666_666_673_5;
    const L2: f64 = 0.399_999_999_994_094_2;
    const L3: f64 = 0.285_714_287_436_623_9;
    const L4: f64 = 0.222_221_984_321_497_84;
    const L5: f64 = 0.181_835_721_616_180_5;
    const L6: f64 = 0.153_138_376_992_093_73;
    const L7: f64 = 0.147_981_986_051_165_86;
    /// The upper half of the bits of the root of 1/2, and how far those of 1 are above it.
    const ROOT: u64 = 0x3fe6_a09e << 32;
    const TO_ONE: u64 = (0x3ff0_0000 << 32) - ROOT;
    /// Adding it puts a small integer into the low bits of a number.
    const INTEGER: f64 = 6_755_399_441_055_744.0;

    // x = 2^k (1 + f), with 1 + f from the root of 1/2 to that of 2.
    let bits = x.to_bits().wrapping_add(TO_ONE);
    let exponent = (bits >> 52).wrapping_sub(0x3ff);
    let k = f64::from_bits(INTEGER.to_bits().wrapping_add(exponent)) - INTEGER;
    let f = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(ROOT)) - 1.0;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * (L2 + w * (L4 + w * L6));
    let t2 = z * (L1 + w * (L3 + w * (L5 + w * L7)));
    let r = t2 + t1;
    s * (half_square + r) + k * LN2_LOW - half_square + f + k * LN2_HIGH
}

/// Where the upper halves of the bits of an angle part, each a little past an odd multiple of an eighth turn.
const PARTS: [u64; 4] = [0x3fe9_21fc, 0x4002_d97d, 0x400f_6a7b, 0x4015_fdbd];

/// Whether `libm` takes a way of its own for this angle: tiny, or beside a multiple of a quarter turn.
#[inline(always)]
fn is_special(angle: f64) -> bool {
    let high = (angle.to_bits() >> 32) as u32;
    (high & 0x000f_ffff == 0x0009_21fb) | (high == 0x4012_d97c) | (high < 0x3e46_a09e)
}

/// `libm::sincos` of an angle from 0 to a whole turn that is not [special](is_special).
#[inline(always)]
fn sine_and_cosine(angle: f64) -> [f64; 2] {
    /// The first 33 bits of a quarter turn, and the rest of it.
    const QUARTER: f64 = 1.570_796_326_734_125_6;
    const QUARTER_REST: f64 = 6.077_100_506_506_192e-11;

    // Which quarter is nearest, and what is left from there.
    let past = |part: u64| if angle >= f64::from_bits(part << 32) { 1.0 } else { 0.0 };
    let quarter = past(PARTS[0]) + past(PARTS[1]) + past(PARTS[2]) + past(PARTS[3]);
    let z = angle - quarter * QUARTER;
    let rest = quarter * QUARTER_REST;
    let y = z - rest;
    let low = (z - y) - rest;

    let reduced = sine(y, low);
    let sine = if quarter == 0.0 { small_sine(y) } else { reduced };
    let cosine = cosine(y, low);
    let is_odd = (quarter == 1.0) | (quarter == 3.0);
    let (s, c) = if is_odd { (cosine, sine) } else { (sine, cosine) };
    let s = if (quarter == 2.0) | (quarter == 3.0) { -s } else { s };
    let c = if (quarter == 1.0) | (quarter == 2.0) { -c } else { c };
    [s, c]
}

const S1: f64 = -0.166_666_666_666_666_32;

/// The polynomial of the sine but for its first two terms, and the cube.
#[inline(always)]
fn sine_tail(x: f64) -> [f64; 3] {
    const S2: f64 = 0.008_333_333_333_322_49;
    const S3: f64 = -0.000_198_412_698_298_579_5;
    const S4: f64 = 2.755_731_370_707_006_8e-6;
    const S5: f64 = -2.505_076_025_340_686_3e-8;
    const S6: f64 = 1.589_690_995_211_55e-10;
    let z = x * x;
    let w = z * z;
    let r = S2 + z * (S3 + z * S4) + z * w * (S5 + z * S6);
    [z, r, z * x]
}

/// The sine of `x + low` within an eighth turn.
#[inline(always)]
fn sine(x: f64, low: f64) -> f64 {
    let [z, r, v] = sine_tail(x);
    x - ((z * (0.5 * low - v * r) - low) - v * S1)
}

/// The same where nothing was subtracted before.
#[inline(always)]
fn small_sine(x: f64) -> f64 {
    let [z, r, v] = sine_tail(x);
    x + v * (S1 + z * r)
}

/// The cosine of `x + low` within an eighth turn.
#[inline(always)]
fn cosine(x: f64, low: f64) -> f64 {
    const C1: f64 = 0.041_666_666_666_666_6;
    const C2: f64 = -0.001_388_888_888_887_411;
    const C3: f64 = 2.480_158_728_947_673e-5;
    const C4: f64 = -2.755_731_435_139_066_3e-7;
    const C5: f64 = 2.087_572_321_298_175e-9;
    const C6: f64 = -1.135_964_755_778_819_5e-11;
    let z = x * x;
    let w = z * z;
    let r = z * (C1 + z * (C2 + z * C3)) + w * w * (C4 + z * (C5 + z * C6));
    let half = 0.5 * z;
    let w = 1.0 - half;
    w + (((1.0 - w) - half) + (z * r - x * low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::kernels::dispatch::Available;

    #[test]
    fn each_pair_is_to_the_bit_what_it_is_alone() {
        let (mut even, mut odd) = ([0.0; PAIRS], [0.0; PAIRS]);
        for level in Level::ALL.into_iter().filter_map(|level| Available::new(level).ok()) {
            for seed in 0..8 {
                let rng = Rng::new(seed);
                for block in 0..4000 {
                    let first = block * PAIRS as u64 + (seed << 40);
                    level.run(Normals { rng, first, even: &mut even, odd: &mut odd });
                    for lane in 0..PAIRS {
                        let expected = rng.normal_pair(first + lane as u64).map(f64::to_bits);
                        assert_eq!(
                            [even[lane], odd[lane]].map(f64::to_bits),
                            expected,
                            "{first} {lane}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_functions_are_those_of_libm_at_the_edges_too() {
        for x in [
            1.0,
            1.0 - f64::EPSILON / 2.0,
            0.5,
            f64::EPSILON / 2.0,
            0.7,
            0.708,
            std::f64::consts::FRAC_1_SQRT_2,
        ] {
            assert_eq!(log(x).to_bits(), libm::log(x).to_bits(), "{x}");
        }
        // Around every place where a part begins or ends, and over the whole turn.
        let edges = PARTS.iter().flat_map(|part| {
            (0..2000).map(move |i| {
                f64::from_bits((part << 32).wrapping_add(i << 20).wrapping_sub(1000 << 20))
            })
        });
        let turn = (1..200_000).map(|i| f64::from(i) * (std::f64::consts::TAU / 200_000.0));
        for angle in edges.chain(turn).filter(|&angle| !is_special(angle)) {
            let (s, c) = libm::sincos(angle);
            let found = sine_and_cosine(angle).map(f64::to_bits);
            assert_eq!(found, [s, c].map(f64::to_bits), "{angle}");
        }
    }
}
