//! Telling how a run is going: to a person, to a log, to a program.
//!
//! The loop calls a [`Reporter`] and knows nothing of where the words go. Three are here: [`Bar`]
//! for a terminal, [`Lines`] for a file or a pipe, [`JsonLines`] for `--json`; [`for_console`] chooses.
//! A reporter never reads a clock: the times come with what it is told.

#[cfg(feature = "terminal")]
mod bar;
mod json_lines;
mod lines;
mod pace;
mod words;

use std::io;
use std::path::Path;
use std::time::Duration;

#[cfg(feature = "terminal")]
pub use bar::Bar;
pub use json_lines::JsonLines;
pub use lines::Lines;

use crate::{EpochRecord, FinalRecord};

/// Someone who is told how a run is going.
///
/// Every method does nothing unless it is implemented, so a reporter says only what it cares for.
/// None can fail: a run goes on when its progress cannot be told any more. What was the reason is
/// asked for [at the end](Self::failure).
///
/// ```
/// use ferrotape_train::EpochRecord;
/// use ferrotape_train::progress::Reporter;
///
/// #[derive(Default)]
/// struct Best(f64);
///
/// impl Reporter for Best {
///     fn epoch_finished(&mut self, record: &EpochRecord) {
///         self.0 = self.0.max(record.train_accuracy);
///     }
/// }
///
/// let mut best = Best::default();
/// best.epoch_finished(&EpochRecord { train_accuracy: 0.9, ..Default::default() });
/// best.message("this one is not listened to");
/// assert_eq!(best.0, 0.9);
/// ```
pub trait Reporter {
    /// An epoch begins.
    fn epoch_started(&mut self, start: &EpochStart) {
        let _ = start;
    }

    /// A batch of the epoch was learned from.
    fn batch_done(&mut self, batch: &BatchDone) {
        let _ = batch;
    }

    /// The epoch is over and tested, if it is tested at all.
    fn epoch_finished(&mut self, record: &EpochRecord) {
        let _ = record;
    }

    /// The run is over and its files are in `folder`.
    fn finished(&mut self, record: &FinalRecord, folder: &Path) {
        let _ = (record, folder);
    }

    /// Something worth saying at any time, as a sentence.
    fn message(&mut self, text: &str) {
        let _ = text;
    }

    /// Why something was lost that should have been said, such as a disk that is full; the first
    /// reason, once. A reader that went away is none.
    fn failure(&mut self) -> Option<io::Error> {
        None
    }
}

/// Keeps the first failure to write that is worth telling.
fn note(failed: &mut Option<io::Error>, written: io::Result<()>) {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && failed.is_none() => {
            *failed = Some(error);
        }
        _ => {}
    }
}

/// Nobody listens.
///
/// ```
/// use ferrotape_train::progress::Reporter;
///
/// ().message("unheard");
/// ```
impl Reporter for () {}

/// An epoch that begins.
///
/// ```
/// let start = ferrotape_train::progress::EpochStart { epoch: 1, epochs: 12, images: 60_000 };
/// assert!(start.epoch <= start.epochs);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EpochStart {
    /// Which epoch, counted from 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Training images of an epoch.
    pub images: u64,
}

/// Where an epoch stands after a batch.
///
/// ```
/// use ferrotape_train::progress::BatchDone;
/// use std::time::Duration;
///
/// let batch = BatchDone { images: 3_000, elapsed: Duration::from_secs(2), ..Default::default() };
/// assert_eq!(batch.images_per_second(), Some(1_500.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BatchDone {
    /// Images of this epoch that were learned from, this batch's included.
    pub images: u64,
    /// Mean loss over those images.
    pub loss: f64,
    /// Share of those images classified rightly, in `[0, 1]`.
    pub accuracy: f64,
    /// Time since the epoch began.
    pub elapsed: Duration,
}

impl BatchDone {
    /// Images over time since the epoch began; `None` before either has begun.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::progress::BatchDone::default().images_per_second(), None);
    /// ```
    pub fn images_per_second(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (self.images > 0 && seconds > 0.0).then(|| self.images as f64 / seconds)
    }
}

/// The reporter for this process: JSON on standard output if asked for, a bar on standard error if
/// both streams are a terminal, otherwise plain lines on standard output.
///
/// ```
/// let mut reporter = ferrotape_train::progress::for_console(true);
/// reporter.message("the data are ready"); // {"event":"message","text":"the data are ready"}
/// ```
pub fn for_console(json: bool) -> Box<dyn Reporter> {
    if json {
        return Box::new(JsonLines::new(io::stdout()));
    }
    #[cfg(feature = "terminal")]
    {
        use std::io::IsTerminal;
        if io::stdout().is_terminal() && io::stderr().is_terminal() {
            return Box::new(Bar::stderr());
        }
    }
    Box::new(Lines::new(io::stdout()))
}
