//! The mean of a figure that arrives batch by batch.

use serde::{Deserialize, Serialize};

/// A mean over samples, fed with means over batches of any size: `Σ nᵢ mᵢ / Σ nᵢ`.
///
/// The last batch of an epoch is usually smaller; weighting it by its samples makes the epoch's
/// loss the loss per image. The sum is compensated (Neumaier 1974), so that it is as good after a
/// million batches as after one.
///
/// ```
/// use ferrotape_train::metrics::RunningMean;
///
/// let mut loss = RunningMean::default();
/// loss.add(1.0, 64);
/// loss.add(4.0, 32);
/// assert_eq!(loss.value(), Some(2.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMean {
    sum: f64,
    lost: f64,
    samples: u64,
}

impl RunningMean {
    /// Adds a batch of `samples` whose mean is `mean`; a batch of none changes nothing.
    ///
    /// A mean that is not finite makes the value so, and it stays so: a loss that was lost once in
    /// an epoch is not to be averaged away.
    ///
    /// ```
    /// use ferrotape_train::metrics::RunningMean;
    ///
    /// let mut loss = RunningMean::default();
    /// loss.add(f64::NAN, 64);
    /// loss.add(0.5, 64);
    /// assert!(loss.value().unwrap().is_nan());
    /// ```
    pub fn add(&mut self, mean: f64, samples: u64) {
        if samples == 0 {
            return;
        }
        self.samples += samples;
        let term = mean * samples as f64;
        let sum = self.sum + term;
        // What the addition rounded off, taken from the smaller operand. An infinite sum rounds
        // nothing off, and the difference of infinities would turn it into NaN.
        if sum.is_finite() {
            self.lost += if self.sum.abs() >= term.abs() {
                (self.sum - sum) + term
            } else {
                (term - sum) + self.sum
            };
        }
        self.sum = sum;
    }

    /// The mean so far; `None` before the first sample.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::metrics::RunningMean::default().value(), None);
    /// ```
    pub fn value(&self) -> Option<f64> {
        (self.samples > 0).then(|| (self.sum + self.lost) / self.samples as f64)
    }

    /// How many samples were added.
    ///
    /// ```
    /// let mut mean = ferrotape_train::metrics::RunningMean::default();
    /// mean.add(0.5, 3);
    /// assert_eq!(mean.samples(), 3);
    /// ```
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_batches_are_not_swallowed_by_a_large_sum() {
        let mut mean = RunningMean::default();
        mean.add(1e16, 1);
        for _ in 0..1000 {
            mean.add(1.0, 1);
        }
        mean.add(-1e16, 1);
        assert_eq!(mean.value(), Some(1000.0 / 1002.0));
    }

    #[test]
    fn an_empty_batch_does_not_count_even_if_its_mean_is_no_number() {
        let mut mean = RunningMean::default();
        mean.add(f64::NAN, 0);
        assert_eq!(mean.value(), None);
        mean.add(3.0, 2);
        assert_eq!(mean.value(), Some(3.0));
    }

    #[test]
    fn an_infinite_loss_stays_infinite() {
        let mut mean = RunningMean::default();
        mean.add(f64::INFINITY, 4);
        mean.add(1.0, 4);
        assert_eq!(mean.value(), Some(f64::INFINITY));
    }
}
