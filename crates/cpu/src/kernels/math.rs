//! Elementary functions in single precision, without branches, so that loops over them vectorise.
//!
//! Each is within a few units in the last place of the true value; the tests below hold them
//! against [`UnaryOp::eval`](ferrotape_backend::pointwise::UnaryOp::eval) over the whole range. The
//! polynomials of log and log1p are those of FreeBSD's `msun` (Sun Microsystems, 1993), those of
//! erf are N. Juffa's; exp and tanh follow Cephes (S. Moshier).

/// Adding and subtracting this rounds a number below 2²² to the nearest integer, and leaves that
/// integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn horner<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    let mut i = 1;
    while i < N {
        sum = mul_add::<FMA>(sum, x, coefficients[i]);
        i += 1;
    }
    sum
}

/// `x` between the bounds; NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// `(r, n)` with `x = r + n ln 2` and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduce_exp<const FMA: bool>(x: f32) -> (f32, i32) {
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -LN2_HIGH, x);
    let r = mul_add::<FMA>(n, -LN2_LOW, r);
    (r, (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32))
}

/// `2^n` for -126 <= n <= 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `(exp(r) - 1 - r) / r²` for `|r| <= ln 2 / 2`.
#[inline(always)]
fn exp_tail<const FMA: bool>(r: f32) -> f32 {
    horner::<FMA, 6>(
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    )
}

#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    let (r, n) = reduce_exp::<FMA>(clamp(x, -104.0, 89.0));
    let p = mul_add::<FMA>(exp_tail::<FMA>(r) * r, r, r) + 1.0;
    // Two factors, because 2^n itself may be subnormal or infinite where the product is not.
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// exp for arguments that are not positive: the result cannot overflow.
#[inline(always)]
fn exp_of_negative<const FMA: bool>(x: f32) -> f32 {
    exp::<FMA>(x)
}

#[inline(always)]
pub(crate) fn expm1<const FMA: bool>(x: f32) -> f32 {
    let (r, n) = reduce_exp::<FMA>(clamp(x, -30.0, 89.0));
    let q = mul_add::<FMA>(exp_tail::<FMA>(r) * r, r, r);
    // With half of 2^n, which does not overflow: 2 (2^(n-1) q + 2^(n-1) - 1/2).
    let scale = power_of_two(n.wrapping_sub(1));
    let value = 2.0 * mul_add::<FMA>(scale, q, scale - 0.5);
    // Where the result is so small that doubling and halving could lose the last subnormal bit.
    if x.abs() < 1e-30 { x } else { value }
}

/// `log(1 + f)` for `1 + f` between the roots of 1/2 and 2, plus `k ln 2` and a small correction.
#[inline(always)]
fn log_sum<const FMA: bool>(f: f32, k: f32, correction: f32) -> f32 {
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = z * horner::<FMA, 4>(z, [0.242_790_79, 0.284_987_87, 0.400_009_72, 0.666_666_6]);
    let half_square = 0.5 * f * f;
    // ln 2 in two parts of which the first has few bits, so that k times it is exact.
    let low = mul_add::<FMA>(k, 9.058_001e-6, correction);
    mul_add::<FMA>(s, half_square + tail, low) - half_square + f + k * 0.693_138_1
}

/// `(f, k)` with `x = 2^k (1 + f)`, `1 + f` between the roots of 1/2 and 2, for normal `x > 0`.
#[inline(always)]
fn reduce_log(x: f32) -> (f32, i32) {
    let bits = x.to_bits() as i32;
    let k = bits.wrapping_sub(0x3f35_04f3) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(k << 23) as u32);
    (mantissa - 1.0, k)
}

/// Where a logarithm of `x` is not an ordinary number: at 0, below, at infinity and NaN.
#[inline(always)]
fn log_limits(x: f32, value: f32) -> f32 {
    let value = if x == f32::INFINITY { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 || x.is_nan() { f32::NAN } else { value }
}

#[inline(always)]
pub(crate) fn log<const FMA: bool>(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let (f, k) = reduce_log(if subnormal { x * 33_554_432.0 } else { x });
    let k = if subnormal { k.wrapping_sub(25) } else { k };
    log_limits(x, log_sum::<FMA>(f, k as f32, 0.0))
}

#[inline(always)]
pub(crate) fn log1p<const FMA: bool>(x: f32) -> f32 {
    let sum = 1.0 + x;
    let (f, k) = reduce_log(sum);
    // What rounding 1 + x lost, relative to the sum.
    let lost = if k > 0 { 1.0 - (sum - x) } else { x - (sum - 1.0) };
    let correction = if k == 0 || k > 25 { 0.0 } else { lost / sum };
    let f = if k == 0 { x } else { f };
    let value = log_limits(sum, log_sum::<FMA>(f, k as f32, correction));
    // x itself, subnormal or zero of either sign as it may be.
    if x.abs() < 1e-20 { x } else { value }
}

#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let tail = horner::<FMA, 5>(
        z,
        [-5.704_988_7e-3, 2.063_909_5e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1],
    );
    let small = mul_add::<FMA>(tail * z, size, size);
    let e = exp_of_negative::<FMA>(-2.0 * size);
    let large = (1.0 - e) / (1.0 + e);
    with_sign(if size > 0.625 { large } else { small }, x)
}

#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    let e = exp_of_negative::<FMA>(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

#[inline(always)]
pub(crate) fn softplus<const FMA: bool>(x: f32) -> f32 {
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + log1p::<FMA>(exp_of_negative::<FMA>(-x.abs()))
}

#[inline(always)]
pub(crate) fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = clamp(x.abs(), 0.0, 4.0);
    let z = size * size;
    let a = mul_add::<FMA>(-1.728_534_7e-5, size, 3.831_972e-4);
    let b = mul_add::<FMA>(-3.883_964e-3, size, 2.425_462_2e-2);
    let r = mul_add::<FMA>(a, z, b);
    let r = horner_step::<FMA>(r, size, -1.067_778_8e-1);
    let r = horner_step::<FMA>(r, size, -6.348_467e-1);
    let r = horner_step::<FMA>(r, size, -1.287_175_1e-1);
    let r = mul_add::<FMA>(r, size, -size);
    let large = 1.0 - exp_of_negative::<FMA>(r);
    let tail = horner::<FMA, 6>(
        z,
        [
            -5.967_617e-4,
            4.991_194_2e-3,
            -2.676_813_5e-2,
            1.128_199_25e-1,
            -3.761_253_4e-1,
            1.283_791_7e-1,
        ],
    );
    let small = mul_add::<FMA>(tail, size, size);
    with_sign(if size > 0.927_734_4 { large } else { small }, x)
}

/// A number that is not negative, with the sign of another.
#[inline(always)]
fn with_sign(value: f32, sign: f32) -> f32 {
    f32::from_bits(value.to_bits() | (sign.to_bits() & 0x8000_0000))
}

#[inline(always)]
fn horner_step<const FMA: bool>(r: f32, x: f32, c: f32) -> f32 {
    mul_add::<FMA>(r, x, c)
}

/// Up to here [`sin`] and [`cos`] reduce their argument; beyond, callers use double precision.
pub(crate) const SIN_LIMIT: f32 = 1e7;

/// `(r, q)` with `x = r + q π / 2` and `|r| <= π / 4`, by way of double precision.
#[inline(always)]
fn reduce_sin(x: f32) -> (f32, i32) {
    let x = f64::from(x);
    // 1.5 · 2^52: as `ROUND`, for doubles.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::FRAC_2_PI + ROUND;
    let n = shifted - ROUND;
    // π / 2 in two parts of which the first has 25 bits, so that n times it is exact.
    let r = x - n * 1.570_796_310_901_641_8 - n * 1.589_325_477_352_819_7e-8;
    (r as f32, shifted.to_bits() as i32)
}

/// The sine of `r + q π / 2`.
#[inline(always)]
fn sin_of_quadrant<const FMA: bool>(r: f32, q: i32) -> f32 {
    let z = r * r;
    let tail = horner::<FMA, 3>(z, [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
    let sine = mul_add::<FMA>(tail * z, r, r);
    let tail = horner::<FMA, 3>(z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let cosine = mul_add::<FMA>(tail * z, z, mul_add::<FMA>(-0.5, z, 1.0));
    let value = if q & 1 == 0 { sine } else { cosine };
    if q & 2 == 0 { value } else { -value }
}

/// The sine, for `|x| <= SIN_LIMIT`.
#[inline(always)]
pub(crate) fn sin<const FMA: bool>(x: f32) -> f32 {
    let (r, q) = reduce_sin(x);
    // r of a subnormal or of -0 may have lost its sign on the way.
    if x.abs() < 1e-12 { x } else { sin_of_quadrant::<FMA>(r, q) }
}

/// The cosine, for `|x| <= SIN_LIMIT`.
#[inline(always)]
pub(crate) fn cos<const FMA: bool>(x: f32) -> f32 {
    let (r, q) = reduce_sin(x);
    sin_of_quadrant::<FMA>(r, q.wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotape_backend::pointwise::UnaryOp;

    /// Every few thousandth float of both signs, and the special ones.
    fn points() -> impl Iterator<Item = f32> {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            f32::MIN,
            1e-45,
            -1e-45,
            f32::MIN_POSITIVE,
            0.5,
            2.0,
            88.72,
            88.73,
            -87.4,
            -103.9,
            -104.1,
        ];
        (0..=u32::MAX)
            .step_by(2503)
            .map(f32::from_bits)
            .chain(special)
            .chain((-40_000..40_000).map(|i| i as f32 * 3.0e-3))
    }

    /// The distance in units of the last place of the rounded true value.
    fn ulps(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        if got == rounded && got == 0.0 && got.is_sign_negative() != rounded.is_sign_negative() {
            return f64::INFINITY;
        }
        if got == rounded || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        if !got.is_finite() || !rounded.is_finite() {
            // One step over the edge of the range is one unit.
            let near_max = f64::from(f32::MAX) * (1.0 - 1e-6);
            return if f64::from(got).abs() > near_max
                && want.abs() > near_max
                && got.signum() == rounded.signum()
            {
                1.0
            } else {
                f64::INFINITY
            };
        }
        let unit = f64::from(rounded.abs().next_up() - rounded.abs());
        (f64::from(got) - want).abs() / unit
    }

    fn check<const FMA: bool>(op: UnaryOp, f: fn(f32) -> f32, bound: f64, limit: f32) {
        let mut worst = (0.0, 0.0f32);
        for x in points().filter(|x| x.is_nan() || x.abs() <= limit) {
            let error = ulps(f(x), op.eval(f64::from(x)));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        assert!(
            worst.0 <= bound,
            "{op:?} with FMA {FMA} is {} units off at {:e}: {:e}, not {:e}",
            worst.0,
            worst.1,
            f(worst.1),
            op.eval(f64::from(worst.1))
        );
    }

    fn check_all<const FMA: bool>() {
        let all = f32::INFINITY;
        check::<FMA>(UnaryOp::Exp, exp::<FMA>, 1.5, all);
        check::<FMA>(UnaryOp::Expm1, expm1::<FMA>, 2.5, all);
        check::<FMA>(UnaryOp::Log, log::<FMA>, 1.5, all);
        check::<FMA>(UnaryOp::Log1p, log1p::<FMA>, 2.5, all);
        check::<FMA>(UnaryOp::Tanh, tanh::<FMA>, 3.0, all);
        check::<FMA>(UnaryOp::Sigmoid, sigmoid::<FMA>, 3.0, all);
        check::<FMA>(UnaryOp::Softplus, softplus::<FMA>, 2.5, all);
        check::<FMA>(UnaryOp::Erf, erf::<FMA>, 2.0, all);
        check::<FMA>(UnaryOp::Sin, sin::<FMA>, 2.0, SIN_LIMIT);
        check::<FMA>(UnaryOp::Cos, cos::<FMA>, 2.0, SIN_LIMIT);
    }

    #[test]
    fn functions_are_accurate_with_fused_multiplication() {
        check_all::<true>();
    }

    #[test]
    fn functions_are_accurate_without_fused_multiplication() {
        check_all::<false>();
    }
}
