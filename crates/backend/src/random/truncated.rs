//! The normal distribution between two bounds, by inversion of its distribution function.

use std::f64::consts::FRAC_1_SQRT_2;

use crate::{Error, Result};

/// The normal distribution between two bounds, as draws of it are made from uniform ones.
///
/// With Φ the standard normal distribution function, a = (low - mean) / std and
/// b = (high - mean) / std, the number for a uniform u in [0, 1) is
///
/// `x = mean + std Φ⁻¹(Φ(a) + u (Φ(b) - Φ(a)))`,
///
/// brought between the bounds where rounding took it past them: one draw a number, wherever the
/// bounds are. It is what `torch.nn.init.trunc_normal_` does. Where both bounds lie above the mean,
/// the reflection about it is drawn and reflected, because Φ is more exact far below the mean than
/// far above it.
///
/// Φ is `libm`'s erfc; Φ⁻¹ is algorithm AS 241 (Wichura 1988), good to about 1e-15 relative. So the
/// same u is the same number on every platform that computes it by this function.
///
/// ```
/// use ferrotape_backend::random::{Rng, TruncatedNormal};
///
/// let within_two = TruncatedNormal::new(0.0, 1.0, -2.0, 2.0)?;
/// assert_eq!(within_two.at(0.0), -2.0);
/// assert!(within_two.at(0.5).abs() < 1e-15);
/// let rng = Rng::new(5);
/// assert!((0..1000).all(|index| within_two.at(rng.uniform_f64(index)).abs() <= 2.0));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruncatedNormal {
    mean: f64,
    /// Negative where the reflection is drawn.
    std: f64,
    bounds: [f64; 2],
    /// Φ at the lower bound, and how far it is from there to that at the upper one.
    from: f64,
    span: f64,
}

impl TruncatedNormal {
    /// The distribution with this mean and standard deviation *before* it is cut off.
    ///
    /// ```
    /// use ferrotape_backend::random::TruncatedNormal;
    ///
    /// let error = TruncatedNormal::new(0.0, 1.0, 2.0, -2.0).unwrap_err().to_string();
    /// assert!(error.ends_with("the lower bound must be below the upper"), "{error}");
    /// assert!(TruncatedNormal::new(0.0, 0.0, -2.0, 2.0).is_err());
    /// ```
    ///
    /// # Errors
    /// A standard deviation that is not above 0, a mean that is not finite, bounds that are not in
    /// order or so far from the mean that no f64 probability lies between them.
    pub fn new(mean: f64, std: f64, low: f64, high: f64) -> Result<Self> {
        let of = || format!("a normal distribution of mean {mean} and standard deviation {std}");
        if !(mean.is_finite() && std > 0.0 && std.is_finite()) {
            return Err(Error::argument(format!(
                "{} cannot be truncated; the mean must be finite and the standard deviation above 0",
                of()
            )));
        }
        if low.is_nan() || high.is_nan() || low >= high {
            return Err(Error::argument(format!(
                "{} cannot be truncated to {low}..{high}; the lower bound must be below the upper",
                of()
            )));
        }
        let (mut a, mut b, mut signed) = ((low - mean) / std, (high - mean) / std, std);
        if a > 0.0 {
            (a, b, signed) = (-b, -a, -std);
        }
        let from = below(a);
        let span = below(b) - from;
        if span <= 0.0 {
            return Err(Error::argument(format!(
                "{} has nothing between {low} and {high} that a draw could hit; choose bounds \
                 nearer to the mean, or further apart",
                of()
            )));
        }
        Ok(TruncatedNormal { mean, std: signed, bounds: [low, high], from, span })
    }

    /// The number for a uniform draw `u` in [0, 1).
    ///
    /// ```
    /// use ferrotape_backend::random::TruncatedNormal;
    ///
    /// let upper = TruncatedNormal::new(0.0, 1.0, 0.0, f64::INFINITY)?;
    /// // Half of the upper half lies below the upper quartile of the whole.
    /// assert!((upper.at(0.5) - 0.6744897501960817).abs() < 1e-12);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn at(&self, u: f64) -> f64 {
        let z = quantile(self.from + u * self.span);
        (self.mean + self.std * z).max(self.bounds[0]).min(self.bounds[1])
    }
}

/// Φ(z): the probability of less than z.
fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Φ⁻¹(p): AS 241, routine PPND16.
fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.425 * 0.425 - q * q);
    }
    let r = (-libm::log(p.min(1.0 - p))).sqrt();
    let z = if r <= 5.0 { ratio(&TAIL, r - 1.6) } else { ratio(&FAR_TAIL, r - 5.0) };
    // At p = 0 and 1 both polynomials are infinite.
    let z = if r.is_infinite() { r } else { z };
    z.copysign(q)
}

/// Two polynomials of degree seven, the first over the second; highest powers first.
fn ratio([over, under]: &[[f64; 8]; 2], r: f64) -> f64 {
    let [over, under] =
        [over, under].map(|p| p.iter().fold(0.0, |sum, coefficient| sum * r + coefficient));
    over / under
}

/// For p within 0.425 of a half, in 0.425² - (p - 1/2)².
const CENTRE: [[f64; 8]; 2] = [
    [
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ],
    [
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ],
];

/// For p down to e^-25, in sqrt(-ln p) - 1.6.
const TAIL: [[f64; 8]; 2] = [
    [
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ],
    [
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ],
];

/// For smaller p, in sqrt(-ln p) - 5.
const FAR_TAIL: [[f64; 8]; 2] = [
    [
        2.0103343992922881e-07,
        2.7115555687434876e-05,
        0.0012426609473880784,
        0.026532189526576124,
        0.29656057182850487,
        1.7848265399172913,
        5.463784911164114,
        6.657904643501103,
    ],
    [
        2.0442631033899397e-15,
        1.421511758316446e-07,
        1.8463183175100548e-05,
        0.0007868691311456133,
        0.014875361290850615,
        0.1369298809227358,
        0.599832206555888,
        1.0,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn quantiles_are_the_published_ones_and_invert_the_distribution_function() {
        // The three check values of the AS 241 paper.
        for (p, z) in [
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
        ] {
            assert!((quantile(p) / z - 1.0).abs() < 1e-15, "{p}: {}", quantile(p));
        }
        for step in -300..=80 {
            let z = f64::from(step) / 10.0;
            let back = quantile(below(z));
            // Above the mean 1 - p has few digits left.
            let digits = (f64::EPSILON / density(z)).max(4e-15 * z.abs()).max(1e-15);
            assert!((back - z).abs() <= 2.0 * digits, "{z}: {back}");
        }
    }

    fn density(z: f64) -> f64 {
        (-0.5 * z.max(0.0).powi(2)).exp() / std::f64::consts::TAU.sqrt()
    }

    /// Mean and variance of the draws, and those that the formulas have.
    fn moments(mean: f64, std: f64, low: f64, high: f64) -> [f64; 2] {
        let distribution = TruncatedNormal::new(mean, std, low, high).unwrap();
        let (rng, count) = (Rng::new(23), 100_000);
        let draws: Vec<f64> = (0..count).map(|i| distribution.at(rng.uniform_f64(i))).collect();
        assert!(draws.iter().all(|x| (low..=high).contains(x)));
        let average = draws.iter().sum::<f64>() / count as f64;
        let var = draws.iter().map(|x| (x - average).powi(2)).sum::<f64>() / count as f64;
        [average, var.sqrt()]
    }

    #[test]
    fn draws_have_the_moments_of_the_truncated_distribution() {
        // Computed with scipy.stats.truncnorm; five standard errors of 100,000 draws.
        for (mean, std, low, high, expected, deviation) in MOMENTS {
            let [average, found] = moments(mean, std, low, high);
            let error = 5.0 * deviation / 316.0;
            assert!((average - expected).abs() < error, "{low}..{high}: mean {average}");
            assert!((found - deviation).abs() < error, "{low}..{high}: deviation {found}");
        }
    }

    const MOMENTS: [(f64, f64, f64, f64, f64, f64); 5] = [
        (0.0, 1.0, -2.0, 2.0, 0.000000000, 0.879625661),
        (0.0, 0.01, -2.0, 2.0, 0.000000000, 0.010000000),
        (1.0, 2.0, 0.0, 1.5, 0.761498882, 0.428870707),
        (-3.0, 1.0, 1.0, 9.0, 1.225607144, 0.216038974),
        (0.0, 1.0, -8.0, -6.0, -6.158481367, 0.154871603),
    ];

    #[test]
    fn the_ends_of_the_uniform_draws_stay_within_the_bounds() {
        for (low, high) in
            [(-2.0, 2.0), (-1e9, 1e9), (f64::NEG_INFINITY, 3.0), (7.0, f64::INFINITY)]
        {
            let distribution = TruncatedNormal::new(0.0, 1.0, low, high).unwrap();
            for u in [0.0, f64::MIN_POSITIVE, 0.5, 1.0 - f64::EPSILON / 2.0] {
                assert!((low..=high).contains(&distribution.at(u)), "{low}..{high} at {u}");
            }
        }
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        for (mean, std, low, high) in [
            (f64::NAN, 1.0, -1.0, 1.0),
            (f64::INFINITY, 1.0, -1.0, 1.0),
            (0.0, 0.0, -1.0, 1.0),
            (0.0, -1.0, -1.0, 1.0),
            (0.0, f64::INFINITY, -1.0, 1.0),
            (0.0, 1.0, 1.0, 1.0),
            (0.0, 1.0, 1.0, -1.0),
            (0.0, 1.0, f64::NAN, 1.0),
            (0.0, 1.0, 40.0, 41.0),
        ] {
            assert!(
                TruncatedNormal::new(mean, std, low, high).is_err(),
                "{mean} {std} {low} {high}"
            );
        }
    }
}
