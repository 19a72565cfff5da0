//! Progress as plain lines, for a log file or a pipe.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::pace::Pace;
use super::{BatchDone, EpochStart, Reporter, note, words};
use crate::format::count;
use crate::{EpochRecord, FinalRecord};

/// At most one line within an epoch in this time, so that a log of a long run stays readable.
const QUIET: Duration = Duration::from_secs(10);

/// A line an epoch, and within a long epoch one every ten seconds.
///
/// ```
/// use ferrotape_train::EpochRecord;
/// use ferrotape_train::progress::{EpochStart, Lines, Reporter};
///
/// let mut log = Vec::new();
/// let mut lines = Lines::new(&mut log);
/// lines.epoch_started(&EpochStart { epoch: 1, epochs: 2, images: 60_000 });
/// lines.epoch_finished(&EpochRecord { epoch: 1, train_loss: 0.5, ..Default::default() });
/// assert!(String::from_utf8(log)?.starts_with("Epoch 1/2  train loss 0.5000"));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    pace: Pace,
    /// When, in the epoch's time, the last line was written.
    last: Duration,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`; what it refuses is lost, and the run goes on (see [`Reporter::failure`]).
    ///
    /// ```
    /// use ferrotape_train::progress::Lines;
    ///
    /// let lines = Lines::new(std::io::stdout());
    /// ```
    pub fn new(out: W) -> Self {
        Self { out, pace: Pace::default(), last: Duration::ZERO, failed: None }
    }

    fn say(&mut self, line: &str) {
        // Neither a closed pipe nor a full disk is a reason to stop training.
        let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        note(&mut self.failed, written);
    }
}

impl<W: Write> Reporter for Lines<W> {
    fn epoch_started(&mut self, start: &EpochStart) {
        self.pace.epoch_started(start);
        self.last = Duration::ZERO;
    }

    fn batch_done(&mut self, batch: &BatchDone) {
        if batch.elapsed.saturating_sub(self.last) < QUIET {
            return;
        }
        self.last = batch.elapsed;
        let EpochStart { epoch, epochs, images } = self.pace.start;
        let share = 100.0 * batch.images as f64 / images.max(1) as f64;
        let line = format!(
            "{} {share:>3.0} %  {}",
            words::epoch(epoch, epochs),
            words::batch(batch, self.pace.left(batch))
        );
        self.say(&line);
    }

    fn epoch_finished(&mut self, record: &EpochRecord) {
        self.pace.epoch_finished(record);
        let result = words::epoch_result(record, &self.pace.start);
        let rate = count(record.images_per_second.round() as u64);
        self.say(&format!("{result}  {rate} images/s"));
    }

    fn finished(&mut self, record: &FinalRecord, folder: &Path) {
        self.say(&words::result(record, folder));
    }

    fn message(&mut self, text: &str) {
        self.say(text);
    }

    fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two epochs of 1,000 images, a batch of 50 every second.
    fn log_of_two_epochs() -> String {
        let mut log = Vec::new();
        let mut lines = Lines::new(&mut log);
        for epoch in 1..=2 {
            lines.epoch_started(&EpochStart { epoch, epochs: 2, images: 1_000 });
            for second in 1..=20 {
                lines.batch_done(&BatchDone {
                    images: 50 * second,
                    loss: 0.5,
                    accuracy: 0.75,
                    elapsed: Duration::from_secs(second),
                });
            }
            let seconds = 22.0;
            let images_per_second = 50.0;
            lines.epoch_finished(&EpochRecord {
                epoch,
                images_per_second,
                seconds,
                ..Default::default()
            });
        }
        String::from_utf8(log).unwrap()
    }

    #[test]
    fn a_long_epoch_speaks_every_ten_seconds_and_at_its_end() {
        let log = log_of_two_epochs();
        let starts: Vec<_> = log.lines().map(|line| &line[..16]).collect();
        assert_eq!(
            starts,
            [
                "Epoch 1/2  50 % ",
                "Epoch 1/2 100 % ",
                "Epoch 1/2  train",
                "Epoch 2/2  50 % ",
                "Epoch 2/2 100 % ",
                "Epoch 2/2  train",
            ]
        );
        let first = log.lines().next().unwrap();
        assert!(first.ends_with("50 images/s loss 0.5000 accuracy 75.00 % 30 s left"), "{first}");
    }

    #[test]
    fn a_pipe_that_nobody_reads_stops_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut lines = Lines::new(Closed);
        lines.message("unheard");
        lines.finished(&FinalRecord::default(), Path::new("runs/x-1"));
        assert!(lines.failure().is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_when_asked() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut lines = Lines::new(full);
        lines.message("lost");
        assert_eq!(lines.failure().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
