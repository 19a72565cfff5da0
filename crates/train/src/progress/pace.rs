//! How long a run will still take.

use std::time::Duration;

use super::{BatchDone, EpochStart};
use crate::EpochRecord;

/// Keeps what an estimate of the time left needs: where the run is, and what an epoch costs besides
/// its training steps (testing, mostly), as the epochs so far have shown it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    pub(super) start: EpochStart,
    besides: f64,
    finished: u32,
}

impl Pace {
    pub(super) fn epoch_started(&mut self, start: &EpochStart) {
        self.start = *start;
    }

    pub(super) fn epoch_finished(&mut self, record: &EpochRecord) {
        let training = self.start.images as f64 / record.images_per_second;
        let besides = record.seconds - training;
        if besides.is_finite() && besides >= 0.0 {
            self.besides += besides;
            self.finished += 1;
        }
    }

    /// Time until the end of the run at the present speed; `None` while there is no speed yet.
    pub(super) fn left(&self, batch: &BatchDone) -> Option<Duration> {
        let rate = batch.images_per_second()?;
        let besides = self.besides / f64::from(self.finished.max(1));
        let here = self.start.images.saturating_sub(batch.images) as f64 / rate + besides;
        let epoch = self.start.images as f64 / rate + besides;
        let epochs = self.start.epochs.saturating_sub(self.start.epoch) as f64;
        Duration::try_from_secs_f64(here + epochs * epoch).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_later_epochs_and_their_tests() {
        let mut pace = Pace::default();
        pace.epoch_started(&EpochStart { epoch: 1, epochs: 3, images: 1_000 });
        let half = BatchDone { images: 500, elapsed: Duration::from_secs(5), ..Default::default() };
        assert_eq!(pace.left(&BatchDone::default()), None);
        assert_eq!(pace.left(&half), Some(Duration::from_secs(5 + 10 + 10)));

        let record = EpochRecord { images_per_second: 100.0, seconds: 12.0, ..Default::default() };
        pace.epoch_finished(&record);
        pace.epoch_started(&EpochStart { epoch: 2, epochs: 3, images: 1_000 });
        assert_eq!(pace.left(&half), Some(Duration::from_secs(5 + 2 + 10 + 2)));
    }

    #[test]
    fn an_epoch_without_a_speed_does_not_spoil_the_estimate() {
        let mut pace = Pace::default();
        pace.epoch_started(&EpochStart { epoch: 1, epochs: 1, images: 10 });
        pace.epoch_finished(&EpochRecord::default());
        let batch = BatchDone { images: 5, elapsed: Duration::from_secs(1), ..Default::default() };
        assert_eq!(pace.left(&batch), Some(Duration::from_secs(1)));
    }
}
