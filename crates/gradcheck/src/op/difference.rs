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
        slope.add(term, weight * near[k], step);
    }
    Ok(slope)
}

/// The four-point rule on one side, `(-11 y(0) + 18 y(h) - 9 y(2h) + 2 y(3h)) / 6h`, whose error is
/// of order `h^3`; a negative step is the other side.
fn one_sided(
    step: f64,
    weights: &[f64],
    mut y: impl FnMut(f64) -> Result<Vec<f64>>,
) -> Result<Slope> {
    let (start, first) = (y(0.0)?, y(step)?);
    let (second, third) = (y(2.0 * step)?, y(3.0 * step)?);
    let mut slope = Slope { value: 0.0, scale: 0.0, noise: 0.0 };
    for (k, weight) in weights.iter().enumerate() {
        let difference = -11.0 * start[k] + 18.0 * first[k] - 9.0 * second[k] + 2.0 * third[k];
        slope.add(weight * difference / (6.0 * step), weight * start[k], step);
    }
    Ok(slope)
}

impl Slope {
    fn add(&mut self, term: f64, value: f64, step: f64) {
        self.value += term;
        self.scale += term.abs();
        self.noise += value.abs() * 16.0 * f64::EPSILON / step.abs();
    }
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

/// How a derivative compares with difference quotients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// One agrees; the difference, relative to the sums of the absolute terms.
    Agrees(f64),
    /// None does: the slope over the middle step, and the tolerance there.
    Differs(f64, f64),
}

/// Compares `analytic` with slopes over ever smaller steps.
///
/// Where the function has a kink nearer than the smallest step, as a network with many does now and
/// then, the slope on the side without it decides.
pub(crate) fn against_slopes(
    analytic: f64,
    scale: f64,
    relative: f64,
    weights: &[f64],
    mut y: impl FnMut(f64) -> Result<Vec<f64>>,
) -> Result<Verdict> {
    let off = |slope: &Slope| (slope.value - analytic).abs();
    let agrees = |slope: &Slope| off(slope) <= tolerance(relative, slope, scale);
    let agreed = |slope: &Slope| {
        let sums = slope.scale + scale;
        Ok(Verdict::Agrees(if sums > 0.0 { off(slope) / sums } else { 0.0 }))
    };
    let mut seen = Verdict::Agrees(0.0);
    for step in STEPS {
        let slope = slope(step, weights, &mut y)?;
        if agrees(&slope) {
            return agreed(&slope);
        }
        if step == STEPS[1] {
            seen = Verdict::Differs(slope.value, tolerance(relative, &slope, scale));
        }
    }
    for step in [1e-4, 1e-5, 1e-6] {
        for side in [step, -step] {
            let slope = one_sided(side, weights, &mut y)?;
            if agrees(&slope) {
                return agreed(&slope);
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Agrees(_))
    }

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
        assert!(agree(against_slopes(1.0, 1.0, 1e-7, &[1.0], y)?));
        Ok(())
    }

    #[test]
    fn next_to_a_kink_the_smooth_side_decides() -> Result<()> {
        let y = |t: f64| Ok(vec![(t + 1e-9).max(0.0) + t.sin()]);
        assert!(agree(against_slopes(2.0, 2.0, 1e-7, &[1.0], y)?));
        assert!(!agree(against_slopes(1.5, 2.0, 1e-7, &[1.0], y)?));
        Ok(())
    }

    #[test]
    fn a_wrong_slope_or_no_number_is_a_disagreement() -> Result<()> {
        let y = |t: f64| Ok(vec![3.0 * t]);
        assert!(!agree(against_slopes(3.00001, 3.0, 1e-7, &[1.0], y)?));
        assert!(!agree(against_slopes(f64::NAN, f64::NAN, 1e-7, &[1.0], y)?));
        Ok(())
    }
}
