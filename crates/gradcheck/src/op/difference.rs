//! Difference quotients along a line, by random projection.

use ferrotape_backend::Result;

/// The slope at 0 of `sum_k weights[k] y[k](t)`, with what its accuracy is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slope {
    pub(crate) value: f64,
    /// The sum of the terms' absolute values.
    pub(crate) scale: f64,
    /// A bound of what rounding in `y` does to the quotient.
    pub(crate) noise: f64,
}

/// The five-point rule `(8 (y(h) - y(-h)) - (y(2h) - y(-2h))) / 12h`, whose error is of order `h^4`.
pub(crate) fn slope(
    step: f64,
    weights: &[f64],
    mut y: impl FnMut(f64) -> Result<Vec<f64>>,
) -> Result<Slope> {
    let [near, before] = [y(step)?, y(-step)?];
    let [far, far_before] = [y(2.0 * step)?, y(-2.0 * step)?];
    let mut slope = Slope { value: 0.0, scale: 0.0, noise: 0.0 };
    for (k, weight) in weights.iter().enumerate() {
        let difference = 8.0 * (near[k] - before[k]) - (far[k] - far_before[k]);
        let term = weight * difference / (12.0 * step);
        slope.value += term;
        slope.scale += term.abs();
        slope.noise += (weight * near[k]).abs() * 16.0 * f64::EPSILON / step;
    }
    Ok(slope)
}

/// How close a slope must come to `analytic`, whose terms' absolute values sum to `scale`.
pub(crate) fn tolerance(relative: f64, slope: &Slope, scale: f64) -> f64 {
    relative * (slope.scale + scale) + slope.noise + FLOOR
}

/// What is left where terms of size 1 cancel.
const FLOOR: f64 = 1e-13;

/// The steps that are tried: the first is right for smooth functions of ordinary size, the smaller
/// ones for those that bend within it.
pub(crate) const STEPS: [f64; 3] = [1e-3, 1e-4, 1e-5];

/// Compares `analytic` with slopes over ever smaller steps: `None` if one agrees, else the slope
/// over the middle step and the tolerance there.
pub(crate) fn disagreement(
    analytic: f64,
    scale: f64,
    relative: f64,
    weights: &[f64],
    mut y: impl FnMut(f64) -> Result<Vec<f64>>,
) -> Result<Option<(f64, f64)>> {
    let mut seen = None;
    for step in STEPS {
        let slope = slope(step, weights, &mut y)?;
        let tolerance = tolerance(relative, &slope, scale);
        if (slope.value - analytic).abs() <= tolerance {
            return Ok(None);
        }
        if step == STEPS[1] {
            seen = Some((slope.value, tolerance));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotient_of_a_smooth_function_has_eleven_digits() -> Result<()> {
        let slope = slope(STEPS[0], &[2.0, -1.0], |t| Ok(vec![(1.0 + t).exp(), (1.0 + t).ln()]))?;
        let exact = 2.0 * 1f64.exp() - 1.0;
        assert!((slope.value - exact).abs() < 1e-11, "{} {exact}", slope.value);
        Ok(())
    }

    #[test]
    fn a_kink_within_the_first_step_is_no_disagreement() -> Result<()> {
        let y = |t: f64| Ok(vec![(t + 5e-4).max(0.0)]);
        assert_eq!(disagreement(1.0, 1.0, 1e-7, &[1.0], y)?, None);
        Ok(())
    }

    #[test]
    fn a_wrong_slope_or_no_number_is_a_disagreement() -> Result<()> {
        let y = |t: f64| Ok(vec![3.0 * t]);
        assert!(disagreement(3.00001, 3.0, 1e-7, &[1.0], y)?.is_some());
        assert!(disagreement(f64::NAN, f64::NAN, 1e-7, &[1.0], y)?.is_some());
        Ok(())
    }
}
