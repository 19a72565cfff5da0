//! Numbers held against numbers, and the worst of them.

use ferrotape::backend::DType;

use super::facts::Float32;
use crate::Verdict;

/// How far a network's numbers may be from those computed in f64, each relative to what its comment
/// says.
///
/// ```
/// use ferrotape::backend::DType;
/// use ferrotape_parity::zoo::Tolerances;
///
/// assert_eq!(Tolerances::of(DType::F64).map(|t| t.eval_logits), Some(1e-9));
/// assert_eq!(Tolerances::of(DType::BF16), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Logits in evaluation mode and their norm, relative to the largest and to the norm.
    pub eval_logits: f64,
    /// Logits in training mode, relative to the largest.
    pub train_logits: f64,
    /// The loss, relative to itself.
    pub loss: f64,
    /// The norm of a gradient, relative to itself.
    pub gradient_norm: f64,
    /// The projection of a gradient, relative to its norm.
    pub projection: f64,
    /// The norm of a running statistic, relative to itself.
    pub running: f64,
    /// Whether a gradient below 1e-5 of the model's largest is judged, then relative to that
    /// bound, or only has to be a number.
    pub judges_small: bool,
}

/// The share of the model's largest gradient norm below which a gradient is what rounding left of
/// zero, as that of a bias in front of a batch norm is.
pub(super) const SMALL: f64 = 1e-5;

impl Tolerances {
    /// Those of f64 and f32, and none for shorter types, which no file was measured in.
    ///
    /// Those of f32 lie a little above what PyTorch's own f32 run differs from its f64 run by, on the
    /// deepest networks. A running statistic moves by a tenth of the batch's, which the training
    /// logits go through as well, so it is held to their tolerance.
    #[must_use]
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F64 => Some(Tolerances {
                eval_logits: 1e-9,
                train_logits: 1e-9,
                loss: 1e-9,
                gradient_norm: 1e-9,
                projection: 1e-9,
                running: 1e-9,
                judges_small: true,
            }),
            DType::F32 => Some(Tolerances {
                eval_logits: 1e-5,
                train_logits: 2e-4,
                loss: 2e-5,
                gradient_norm: 5e-2,
                projection: 8e-2,
                running: 2e-4,
                judges_small: false,
            }),
            _ => None,
        }
    }

    /// The tolerances of f32 for a network that amplifies rounding more than those they were measured
    /// on do: three times what PyTorch's own f32 runs differ by, where that is more.
    pub(super) fn at_least(self, measured: &Float32) -> Self {
        let raised = |tolerance: f64, measured: f64| tolerance.max(3.0 * measured);
        Tolerances {
            eval_logits: raised(self.eval_logits, measured.eval_logits),
            train_logits: raised(self.train_logits, measured.train_logits),
            loss: raised(self.loss, measured.train_loss),
            gradient_norm: raised(self.gradient_norm, measured.norm),
            projection: raised(self.projection, measured.projection),
            running: raised(self.running, measured.running),
            ..self
        }
    }
}

/// The number that is most wrong so far.
#[derive(Debug, Default)]
pub(super) struct Worst {
    ratio: f64,
    found: Option<(String, f64, f64)>,
}

impl Worst {
    /// Notes how far a number is from what was expected, in tolerances.
    pub(super) fn hold(&mut self, what: &str, found: f64, expected: f64, tolerance: f64) {
        let error = (found - expected).abs();
        // A NaN is as wrong as can be.
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let ratio = if error == 0.0 { 0.0 } else { error / tolerance };
        if self.found.is_none() || ratio > self.ratio {
            self.ratio = ratio;
            self.found = Some((what.to_owned(), error, tolerance));
        }
    }

    /// Notes how far each row begins otherwise than the rows expected, relative to the largest
    /// number of those.
    pub(super) fn hold_rows(
        &mut self,
        what: &str,
        found: &[Vec<f64>],
        expected: &[Vec<f64>],
        relative: f64,
    ) -> Result<(), String> {
        let largest = expected.iter().flatten().fold(0.0f64, |max, e| max.max(e.abs()));
        for (found, expected) in found.iter().zip(expected) {
            if found.len() < expected.len() {
                let (found, expected) = (found.len(), expected.len());
                return Err(format!("{what} has {found} numbers a row, the fixture {expected}"));
            }
            for (found, expected) in found.iter().zip(expected) {
                self.hold(what, *found, *expected, relative * largest);
            }
        }
        Ok(())
    }

    /// Whether the worst passes.
    pub(super) fn verdict(self) -> Verdict {
        match self.found {
            Some((tensor, error, tolerance)) if self.ratio > 1.0 => {
                Verdict::Differs { tensor, error, tolerance }
            }
            _ => Verdict::Passed(self.ratio),
        }
    }
}
