//! Progress as a bar that moves, for a terminal.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::pace::Pace;
use super::{BatchDone, EpochStart, Reporter, words};
use crate::{EpochRecord, FinalRecord};

/// The words beside the bar change at most this often: faster cannot be read, and costs time.
const QUIET: Duration = Duration::from_millis(100);

/// A bar for the epoch that runs, above it a line for each that is over.
///
/// ```text
/// Epoch  1/12  train loss 0.2417, 92.61 %  test loss 0.0703, 97.74 %  2.9 s
/// Epoch  2/12 ━━━━━━━━━━╸─────── 21,345 images/s loss 0.0812 accuracy 97.52 % 31 s left
/// ```
///
/// ```
/// use ferrotape_train::progress::{Bar, EpochStart, Reporter};
///
/// let mut bar = Bar::new(indicatif::ProgressDrawTarget::hidden());
/// bar.epoch_started(&EpochStart { epoch: 1, epochs: 12, images: 60_000 });
/// ```
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    pace: Pace,
    /// When, in the epoch's time, the words were last changed.
    last: Duration,
}

impl Bar {
    /// Draws on standard error, where a bar belongs: what a program computes goes to the other
    /// stream.
    ///
    /// ```
    /// let bar = ferrotape_train::progress::Bar::stderr();
    /// ```
    pub fn stderr() -> Self {
        Self::new(ProgressDrawTarget::stderr())
    }

    /// Draws on `target`.
    ///
    /// ```
    /// let bar = ferrotape_train::progress::Bar::new(indicatif::ProgressDrawTarget::hidden());
    /// ```
    pub fn new(target: ProgressDrawTarget) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar:.cyan/dim} {msg}")
            .expect("the template is constant and a test draws it")
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style);
        Self { bar, pace: Pace::default(), last: Duration::ZERO }
    }

    /// Writes a line that stays, above the bar if there is one.
    fn say(&self, text: &str) {
        self.bar.println(text);
    }
}

impl Reporter for Bar {
    fn epoch_started(&mut self, start: &EpochStart) {
        self.pace.epoch_started(start);
        self.last = Duration::ZERO;
        self.bar.reset();
        self.bar.set_length(start.images);
        self.bar.set_message("");
        self.bar.set_prefix(words::epoch(start.epoch, start.epochs));
    }

    fn batch_done(&mut self, batch: &BatchDone) {
        let over = batch.images >= self.pace.start.images;
        if batch.elapsed.saturating_sub(self.last) < QUIET && !over {
            return;
        }
        self.last = batch.elapsed;
        self.bar.set_position(batch.images);
        self.bar.set_message(words::batch(batch, self.pace.left(batch)));
    }

    fn epoch_finished(&mut self, record: &EpochRecord) {
        self.pace.epoch_finished(record);
        self.say(&words::epoch_result(record, &self.pace.start));
    }

    fn finished(&mut self, record: &FinalRecord, folder: &Path) {
        self.bar.finish_and_clear();
        self.say(&words::result(record, folder));
    }

    fn message(&mut self, text: &str) {
        self.say(text);
    }
}

impl Drop for Bar {
    /// A run that fails leaves no bar standing above its error.
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that remembers what was written, escape codes removed.
    #[derive(Debug, Clone, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn read(&self) -> String {
            self.0.lock().unwrap().clone()
        }

        fn add(&self, text: &str) -> io::Result<()> {
            let plain = without_escapes(text);
            self.0.lock().unwrap().push_str(&plain);
            Ok(())
        }
    }

    /// What is left of a text without the sequences that colour it.
    fn without_escapes(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c == '\u{1b}' {
                rest.find(|c| c.is_ascii_alphabetic());
            } else {
                plain.push(c);
            }
        }
        plain
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.add(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.add(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            self.add("\n")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_epoch_speed_loss_accuracy_and_time_left() {
        let paper = Paper::default();
        let mut bar = Bar::new(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        bar.epoch_started(&EpochStart { epoch: 3, epochs: 12, images: 60_000 });
        bar.batch_done(&BatchDone {
            images: 30_000,
            loss: 0.0412,
            accuracy: 0.9871,
            elapsed: Duration::from_secs(2),
        });
        bar.bar.force_draw();
        let drawn = paper.read();
        let line = drawn.lines().rev().find(|line| line.contains("images/s")).expect(&drawn);
        assert!(line.starts_with("Epoch  3/12 ━"), "{line}");
        assert!(line.contains('─'), "half of the bar is still open: {line}");
        let words = " 15,000 images/s loss 0.0412 accuracy 98.71 % 38 s left";
        assert!(line.trim_end().ends_with(words), "{line}");
    }

    #[test]
    fn an_epochs_result_and_a_message_stay_above_the_bar() {
        let paper = Paper::default();
        let mut bar = Bar::new(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        bar.epoch_started(&EpochStart { epoch: 1, epochs: 1, images: 10 });
        bar.message("this build is not optimised");
        bar.epoch_finished(&EpochRecord { epoch: 1, train_loss: 0.5, ..Default::default() });
        bar.finished(
            &FinalRecord { test_accuracy: 0.9912, ..Default::default() },
            "runs/x-1".as_ref(),
        );
        let drawn = paper.read();
        for said in
            ["this build is not", "train loss 0.5000", "Test accuracy 99.12 %", "report.html"]
        {
            assert!(drawn.contains(said), "{said:?} is not in {drawn}");
        }
    }
}
