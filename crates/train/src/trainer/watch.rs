//! What is decided by the validation loss: drops of the learning rate, the end, and the best epoch.

use serde::{Deserialize, Serialize};

use crate::config::{RunConfig, ScheduleName};

/// What the validation losses of a run have come to.
///
/// ```
/// use ferrotape_train::checkpoint::Watch;
///
/// assert_eq!(Watch::default().best, None);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The lowest loss.
    pub best: Option<f64>,
    /// The epoch that had it.
    pub best_epoch: usize,
    /// Epochs since then.
    pub since: usize,
    /// Epochs without a lower loss since the last drop of the learning rate.
    pub waited: usize,
    /// The product of all drops.
    pub factor: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Watch { best: None, best_epoch: 0, since: 0, waited: 0, factor: 1.0 }
    }
}

impl Watch {
    /// Takes note of an epoch's loss, and says whether it is the lowest so far. One that is no number never is.
    pub(crate) fn note(&mut self, epoch: usize, loss: f64, config: &RunConfig) -> bool {
        let is_best = loss < self.best.unwrap_or(f64::INFINITY);
        if is_best {
            (self.best, self.best_epoch) = (Some(loss), epoch);
            (self.since, self.waited) = (0, 0);
        } else {
            (self.since, self.waited) = (self.since + 1, self.waited + 1);
        }
        if config.schedule == ScheduleName::Plateau && self.waited >= config.patience {
            (self.waited, self.factor) = (0, self.factor * config.gamma);
        }
        is_best
    }

    /// Whether the run has waited long enough for a lower loss.
    pub(crate) fn is_over(&self, config: &RunConfig) -> bool {
        config.early_stop > 0 && self.since >= config.early_stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_drops_and_the_run_ends_after_epochs_without_a_lower_loss() {
        let config = RunConfig {
            schedule: ScheduleName::Plateau,
            patience: 2,
            early_stop: 5,
            gamma: 0.5,
            ..RunConfig::default()
        };
        let mut watch = Watch::default();
        let mut factors = Vec::new();
        for (epoch, loss) in
            [3.0, 2.0, 2.0, f64::NAN, 2.5, 1.9, 4.0, 4.0, 4.0, 4.0].into_iter().enumerate()
        {
            watch.note(epoch + 1, loss, &config);
            assert!(!watch.is_over(&config));
            factors.push(watch.factor);
        }
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
        assert_eq!((watch.best, watch.best_epoch), (Some(1.9), 6));
        watch.note(11, 1.9, &config);
        assert!(watch.is_over(&config), "as low is not lower");
    }
}
