//! The words that the reporters for people share.

use std::path::Path;

use super::{BatchDone, EpochStart};
use crate::format::{count, duration, loss, percent, seconds};
use crate::run_folder::REPORT;
use crate::{EpochRecord, FinalRecord};

/// `Epoch  3/12`, as wide for every epoch of a run.
pub(super) fn epoch(epoch: usize, epochs: usize) -> String {
    let width = epochs.max(epoch).to_string().len();
    format!("Epoch {epoch:>width$}/{epochs}")
}

/// Speed, loss, accuracy and the time left, short enough to leave a bar its place in 80 columns.
pub(super) fn batch(batch: &BatchDone, left: Option<std::time::Duration>) -> String {
    let mut words = String::new();
    if let Some(rate) = batch.images_per_second() {
        words += &format!("{:>6} images/s ", count(rate.round() as u64));
    }
    words += &format!("loss {} accuracy {:>7}", loss(batch.loss), percent(batch.accuracy));
    if let Some(left) = left {
        words += &format!(" {} left", duration(left));
    }
    words
}

/// What an epoch came to, within 80 columns.
pub(super) fn epoch_result(record: &EpochRecord, start: &EpochStart) -> String {
    let mut words = format!(
        "{}  train loss {}, {:>7}",
        epoch(record.epoch, start.epochs.max(record.epoch)),
        loss(record.train_loss),
        percent(record.train_accuracy)
    );
    match (record.validation_loss.map(loss), record.validation_accuracy.map(percent)) {
        (Some(loss), Some(right)) => words += &format!("  validation {loss}, {right:>7}"),
        (Some(loss), None) => words += &format!("  validation {loss}"),
        (None, Some(right)) => words += &format!("  validation {right:>7}"),
        (None, None) => {}
    }
    words + "  " + &seconds(record.seconds)
}

/// What the run came to, and where to look.
pub(super) fn result(record: &FinalRecord, folder: &Path) -> String {
    format!(
        "Test accuracy {} ({} of {} wrong), loss {}, after {}; {:.0} % of the training's time went by \
         waiting for data.\nReport: {}",
        percent(record.test_accuracy),
        count(record.test_errors()),
        count(record.test_images),
        loss(record.test_loss),
        seconds(record.seconds),
        100.0 * record.data_wait,
        folder.join(REPORT).display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_epoch_without_validation_says_nothing_of_it() {
        let record = EpochRecord {
            epoch: 3,
            train_loss: 0.25,
            train_accuracy: 0.9,
            images_per_second: 1_234.4,
            seconds: 48.6,
            ..Default::default()
        };
        let start = EpochStart { epoch: 3, epochs: 12, images: 60_000 };
        assert_eq!(epoch_result(&record, &start), "Epoch  3/12  train loss 0.2500, 90.00 %  49 s");
        let tested =
            EpochRecord { validation_loss: Some(0.2), validation_accuracy: Some(0.95), ..record };
        let line = epoch_result(&tested, &start);
        assert_eq!(
            line,
            "Epoch  3/12  train loss 0.2500, 90.00 %  validation 0.2000, 95.00 %  49 s"
        );
        assert!(line.chars().count() < 80);
    }

    #[test]
    fn a_batch_before_any_time_has_passed_names_no_speed() {
        let at_once = BatchDone { images: 64, loss: 2.3, accuracy: 0.1, elapsed: Duration::ZERO };
        assert_eq!(batch(&at_once, None), "loss 2.3000 accuracy 10.00 %");
    }
}
