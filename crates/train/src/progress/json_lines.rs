//! Progress as JSON, for a program that watches the run.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::pace::Pace;
use super::{BatchDone, EpochStart, Reporter, note};
use crate::{EpochRecord, FinalRecord};

/// At most one progress event within an epoch in this time.
const QUIET: Duration = Duration::from_secs(1);

/// One JSON object a line, each with its kind under `event`.
///
/// | `event` | when | keys |
/// | --- | --- | --- |
/// | `epoch_started` | an epoch begins | `epoch`, `epochs`, `images` |
/// | `progress` | at most once a second | `epoch`, `images`, `loss`, `accuracy`, `images_per_second`, `seconds_left` |
/// | `epoch` | an epoch ended | those of [`EpochRecord`] |
/// | `final` | the run ended | those of [`FinalRecord`], and `run`, its folder |
/// | `message` | at any time | `text` |
///
/// A figure that is not finite or not known yet is `null`.
///
/// ```
/// use ferrotape_train::progress::{JsonLines, Reporter};
///
/// let mut out = Vec::new();
/// JsonLines::new(&mut out).message("the data are ready");
/// assert_eq!(out, b"{\"event\":\"message\",\"text\":\"the data are ready\"}\n");
/// ```
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    pace: Pace,
    /// When, in the epoch's time, the last progress event was written.
    last: Duration,
    failed: Option<io::Error>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    EpochStarted {
        epoch: usize,
        epochs: usize,
        images: u64,
    },
    Progress {
        epoch: usize,
        images: u64,
        loss: f64,
        accuracy: f64,
        images_per_second: Option<f64>,
        seconds_left: Option<f64>,
    },
    Epoch(&'a EpochRecord),
    Final {
        #[serde(flatten)]
        record: &'a FinalRecord,
        run: String,
    },
    Message {
        text: &'a str,
    },
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`; what it refuses is lost, and the run goes on (see [`Reporter::failure`]).
    ///
    /// ```
    /// use ferrotape_train::progress::JsonLines;
    ///
    /// let events = JsonLines::new(std::io::stdout());
    /// ```
    pub fn new(out: W) -> Self {
        Self { out, pace: Pace::default(), last: Duration::ZERO, failed: None }
    }

    fn send(&mut self, event: &Event<'_>) {
        let mut line = serde_json::to_string(event).expect("an event is numbers and text");
        line.push('\n');
        // Neither a closed pipe nor a full disk is a reason to stop training.
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
        note(&mut self.failed, written);
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn epoch_started(&mut self, start: &EpochStart) {
        self.pace.epoch_started(start);
        self.last = Duration::ZERO;
        let EpochStart { epoch, epochs, images } = *start;
        self.send(&Event::EpochStarted { epoch, epochs, images });
    }

    fn batch_done(&mut self, batch: &BatchDone) {
        if batch.elapsed.saturating_sub(self.last) < QUIET {
            return;
        }
        self.last = batch.elapsed;
        let event = Event::Progress {
            epoch: self.pace.start.epoch,
            images: batch.images,
            loss: batch.loss,
            accuracy: batch.accuracy,
            images_per_second: batch.images_per_second(),
            seconds_left: self.pace.left(batch).map(|left| left.as_secs_f64()),
        };
        self.send(&event);
    }

    fn epoch_finished(&mut self, record: &EpochRecord) {
        self.pace.epoch_finished(record);
        self.send(&Event::Epoch(record));
    }

    fn finished(&mut self, record: &FinalRecord, folder: &Path) {
        self.send(&Event::Final { record, run: folder.to_string_lossy().into_owned() });
    }

    fn message(&mut self, text: &str) {
        self.send(&Event::Message { text });
    }

    fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use serde_json::Value;

    #[test]
    fn every_line_is_an_object_that_says_what_it_is() {
        let mut out = Vec::new();
        let mut json = JsonLines::new(&mut out);
        let record = EpochRecord { epoch: 1, train_loss: f64::NAN, ..Default::default() };
        json.message("two\nlines and a \"quote\"");
        json.epoch_started(&EpochStart { epoch: 1, epochs: 1, images: 100 });
        for tenths in 1..=25 {
            json.batch_done(&BatchDone {
                images: 4 * tenths,
                loss: f64::NAN,
                accuracy: 0.5,
                elapsed: Duration::from_millis(100 * tenths),
            });
        }
        json.epoch_finished(&record);
        json.finished(&FinalRecord::default(), Path::new("runs/x-1"));

        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["message", "epoch_started", "progress", "progress", "epoch", "final"]);
        assert_eq!(lines[2]["images"], 40);
        assert_eq!(lines[2]["seconds_left"], 1.5);
        assert!(lines[2]["loss"].is_null());
        assert_eq!(lines[5]["run"], "runs/x-1");
    }

    #[test]
    fn an_epoch_reads_as_it_does_in_the_runs_metrics() {
        let record = EpochRecord { epoch: 4, validation_loss: Some(0.125), ..Default::default() };
        let mut out = Vec::new();
        JsonLines::new(&mut out).epoch_finished(&record);
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line.trim_end(), Record::Epoch(record).to_json());
    }
}
