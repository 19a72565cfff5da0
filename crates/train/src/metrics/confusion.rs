//! Who was taken for whom.

use super::top_k::{argmax, rows};
use crate::{Error, Result};

/// A confusion matrix: `counts[truth][predicted]` over K classes, and what follows from it.
///
/// ```
/// use ferrotape_train::metrics::Confusion;
///
/// let mut confusion = Confusion::new(2);
/// confusion.add(0, 0)?;
/// confusion.add(0, 1)?;
/// confusion.add(1, 1)?;
/// assert_eq!(confusion.accuracy(), Some(2.0 / 3.0));
/// assert_eq!(confusion.scores(1).precision, Some(0.5));
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

/// How well one class is told from the others.
///
/// With true positives `tp`, false positives `fp` and false negatives `fn` of the class. A score
/// whose denominator is 0 is `None`, where scikit-learn would say 0 and warn.
///
/// ```
/// use ferrotape_train::metrics::Confusion;
///
/// assert_eq!(Confusion::new(3).scores(0).recall, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// `tp / (tp + fp)`: of those taken for the class, the share that is of it.
    pub precision: Option<f64>,
    /// `tp / (tp + fn)`: of those of the class, the share that was recognised.
    pub recall: Option<f64>,
    /// `2 tp / (2 tp + fp + fn)`, the harmonic mean of the two.
    pub f1: Option<f64>,
    /// `tp + fn`: samples of the class.
    pub support: u64,
}

/// A kind of mistake and how often it was made.
///
/// ```
/// use ferrotape_train::metrics::{Confusion, Mistake};
///
/// let mut confusion = Confusion::new(10);
/// confusion.add(4, 9)?;
/// let worst = confusion.top_mistakes(1);
/// assert_eq!(worst, [Mistake { truth: 4, predicted: 9, count: 1 }]);
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    /// What the sample was.
    pub truth: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// How often.
    pub count: u64,
}

impl Confusion {
    /// An empty matrix of `classes` x `classes`.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::metrics::Confusion::new(10).total(), 0);
    /// ```
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// A matrix of `classes` x `classes` with these counts, in the order of [`Confusion::counts`].
    ///
    /// # Errors
    ///
    /// If there are not as many counts.
    ///
    /// ```
    /// use ferrotape_train::metrics::Confusion;
    ///
    /// assert_eq!(Confusion::from_counts(2, vec![3, 1, 0, 4])?.count(0, 1), 1);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn from_counts(classes: usize, counts: Vec<u64>) -> Result<Self> {
        if Some(counts.len()) != classes.checked_mul(classes) {
            return Err(Error::Figures(format!(
                "{} counts are no confusion matrix of {classes} classes",
                counts.len()
            )));
        }
        Ok(Self { classes, counts })
    }

    /// All counts: those of the first true class in the order of the predictions, then the next.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::metrics::Confusion::new(2).counts(), [0; 4]);
    /// ```
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts one sample.
    ///
    /// # Errors
    ///
    /// If either is no class; nothing is counted then.
    ///
    /// ```
    /// assert!(ferrotape_train::metrics::Confusion::new(2).add(0, 2).is_err());
    /// ```
    pub fn add(&mut self, truth: usize, predicted: usize) -> Result<()> {
        let classes = self.classes;
        if truth >= classes || predicted >= classes {
            return Err(Error::Figures(format!(
                "class {} is none of the {classes} classes, counted from 0; \
                 check the labels or the number of classes",
                truth.max(predicted)
            )));
        }
        self.counts[truth * classes + predicted] += 1;
        Ok(())
    }

    /// Counts a batch: `logits` is `[N, K]` in row-major order, `labels` is `[N]`; the prediction is
    /// the [`argmax`]. Returns how many were right.
    ///
    /// # Errors
    ///
    /// If the sizes do not fit or a label is no class; nothing is counted then.
    ///
    /// ```
    /// use ferrotape_train::metrics::Confusion;
    ///
    /// let mut confusion = Confusion::new(2);
    /// assert_eq!(confusion.add_logits(&[0.9, 0.1, 0.8, 0.2], &[0, 1])?, 1);
    /// assert_eq!(confusion.count(1, 0), 1);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn add_logits(&mut self, logits: &[f32], labels: &[i64]) -> Result<u64> {
        let mut correct = 0;
        for (scores, truth) in rows(logits, self.classes, labels)? {
            let predicted =
                argmax(scores).expect("rows are not empty, they hold one score a class");
            self.counts[truth * self.classes + predicted] += 1;
            correct += u64::from(truth == predicted);
        }
        Ok(correct)
    }

    /// Adds another matrix's counts to this one's.
    ///
    /// # Errors
    ///
    /// If the two have different numbers of classes.
    ///
    /// ```
    /// use ferrotape_train::metrics::Confusion;
    ///
    /// let mut all = Confusion::new(2);
    /// let mut part = Confusion::new(2);
    /// part.add(1, 0)?;
    /// all.merge(&part)?;
    /// assert_eq!(all, part);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.classes != other.classes {
            return Err(Error::Figures(format!(
                "a confusion matrix of {} classes cannot be added to one of {}; \
                 count both over the same classes",
                other.classes, self.classes
            )));
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        Ok(())
    }

    /// The number of classes, K.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::metrics::Confusion::new(10).classes(), 10);
    /// ```
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often `truth` was taken for `predicted`; 0 for what is no class.
    ///
    /// ```
    /// let mut confusion = ferrotape_train::metrics::Confusion::new(2);
    /// confusion.add(0, 1)?;
    /// assert_eq!((confusion.count(0, 1), confusion.count(1, 0)), (1, 0));
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes {
            self.counts[truth * self.classes + predicted]
        } else {
            0
        }
    }

    /// Samples counted.
    ///
    /// ```
    /// let mut confusion = ferrotape_train::metrics::Confusion::new(2);
    /// confusion.add(0, 1)?;
    /// assert_eq!(confusion.total(), 1);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples on the diagonal: those that were right.
    ///
    /// ```
    /// let mut confusion = ferrotape_train::metrics::Confusion::new(2);
    /// confusion.add(1, 1)?;
    /// assert_eq!(confusion.correct(), 1);
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// The share that was right, `correct / total`; `None` if nothing was counted.
    ///
    /// ```
    /// assert_eq!(ferrotape_train::metrics::Confusion::new(2).accuracy(), None);
    /// ```
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// Precision, recall and F1 of a class; all absent for what is no class.
    ///
    /// ```
    /// let mut confusion = ferrotape_train::metrics::Confusion::new(2);
    /// confusion.add(0, 0)?;
    /// confusion.add(1, 0)?;
    /// let scores = confusion.scores(0);
    /// assert_eq!((scores.precision, scores.recall), (Some(0.5), Some(1.0)));
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn scores(&self, class: usize) -> ClassScores {
        let hits = self.count(class, class);
        let of_class: u64 = (0..self.classes).map(|other| self.count(class, other)).sum();
        let taken_for: u64 = (0..self.classes).map(|other| self.count(other, class)).sum();
        ClassScores {
            precision: ratio(hits, taken_for),
            recall: ratio(hits, of_class),
            f1: ratio(2 * hits, of_class + taken_for),
            support: of_class,
        }
    }

    /// The mean F1 over the classes that have one; `None` if none has.
    ///
    /// ```
    /// let mut confusion = ferrotape_train::metrics::Confusion::new(3);
    /// confusion.add(0, 0)?;
    /// assert_eq!(confusion.macro_f1(), Some(1.0));
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn macro_f1(&self) -> Option<f64> {
        let scores: Vec<f64> = (0..self.classes).filter_map(|c| self.scores(c).f1).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// The `n` commonest mistakes, commonest first, equals in the order of their classes.
    ///
    /// ```
    /// assert!(ferrotape_train::metrics::Confusion::new(10).top_mistakes(5).is_empty());
    /// ```
    pub fn top_mistakes(&self, n: usize) -> Vec<Mistake> {
        let mut mistakes: Vec<Mistake> = (0..self.classes)
            .flat_map(|truth| (0..self.classes).map(move |predicted| (truth, predicted)))
            .map(|(truth, predicted)| Mistake {
                truth,
                predicted,
                count: self.count(truth, predicted),
            })
            .filter(|mistake| mistake.truth != mistake.predicted && mistake.count > 0)
            .collect();
        // A stable sort keeps equals in the order in which they were listed.
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
        mistakes.truncate(n);
        mistakes
    }
}

/// `part / whole`, where there is a whole.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are truths: 0 is right 3 of 5 times, 1 always of 2, 2 never of 3 and never predicted.
    fn sample() -> Confusion {
        let mut confusion = Confusion::new(3);
        for (truth, predicted, times) in [(0, 0, 3), (0, 1, 2), (1, 1, 2), (2, 0, 1), (2, 1, 2)] {
            for _ in 0..times {
                confusion.add(truth, predicted).unwrap();
            }
        }
        confusion
    }

    #[test]
    fn scores_are_those_of_the_formulas() {
        let confusion = sample();
        assert_eq!((confusion.total(), confusion.correct()), (10, 5));
        assert_eq!(confusion.accuracy(), Some(0.5));
        let zero = confusion.scores(0);
        assert_eq!(zero.precision, Some(3.0 / 4.0));
        assert_eq!(zero.recall, Some(3.0 / 5.0));
        assert_eq!(zero.f1, Some(6.0 / 9.0));
        assert_eq!(zero.support, 5);
        let one = confusion.scores(1);
        assert_eq!((one.precision, one.recall), (Some(2.0 / 6.0), Some(1.0)));
        let two = confusion.scores(2);
        assert_eq!((two.precision, two.recall, two.f1), (None, Some(0.0), Some(0.0)));
        assert_eq!(confusion.macro_f1(), Some((6.0 / 9.0 + 4.0 / 8.0 + 0.0) / 3.0));
    }

    #[test]
    fn mistakes_come_commonest_first_and_ties_by_class() {
        let mistakes = sample().top_mistakes(9);
        let listed: Vec<_> = mistakes.iter().map(|m| (m.truth, m.predicted, m.count)).collect();
        assert_eq!(listed, [(0, 1, 2), (2, 1, 2), (2, 0, 1)]);
        assert_eq!(sample().top_mistakes(1).len(), 1);
    }

    #[test]
    fn a_bad_batch_counts_nothing() {
        let mut confusion = Confusion::new(2);
        assert!(confusion.add_logits(&[1.0, 0.0, 0.0, 1.0], &[0, 5]).is_err());
        assert!(confusion.add_logits(&[1.0, 0.0, 0.0], &[0, 1]).is_err());
        assert_eq!(confusion.total(), 0);
        assert!(confusion.merge(&Confusion::new(3)).is_err());
    }

    #[test]
    fn counts_do_not_depend_on_how_samples_fall_into_batches() {
        let logits = [0.1, 0.9, 0.9, 0.1, 0.4, 0.6];
        let labels = [1, 1, 0];
        let mut whole = Confusion::new(2);
        assert_eq!(whole.add_logits(&logits, &labels).unwrap(), 1);
        let mut parts = Confusion::new(2);
        for i in 0..3 {
            let mut part = Confusion::new(2);
            part.add_logits(&logits[2 * i..2 * i + 2], &labels[i..=i]).unwrap();
            parts.merge(&part).unwrap();
        }
        assert_eq!(whole, parts);
    }
}
