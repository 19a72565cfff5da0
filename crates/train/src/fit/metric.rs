//! What is measured beside the loss.

use std::fmt;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType};

use crate::metrics::{ClassScores, Confusion, RunningMean, auc, top_k_correct};
use crate::{Error, Result};

/// A figure of merit, a fraction in `[0, 1]`.
///
/// ```
/// use ferrotape_train::fit::Metric;
///
/// assert_eq!(Metric::TopK(5).to_string(), "top-5");
/// assert_eq!(Metric::Auc.to_string(), "AUC");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The share of images classified rightly.
    Accuracy,
    /// The share of images whose class is among the so many with the highest scores.
    TopK(usize),
    /// Of those taken for a class, the share that are of it; the mean over the classes that were guessed.
    Precision,
    /// Of those of a class, the share taken for it; the mean over the classes that there are.
    Recall,
    /// The mean over the classes of 2 precision recall / (precision + recall).
    F1,
    /// The area under the receiver operating characteristic of the second of two classes.
    Auc,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Accuracy => f.write_str("accuracy"),
            Metric::TopK(k) => write!(f, "top-{k}"),
            Metric::Precision => f.write_str("precision"),
            Metric::Recall => f.write_str("recall"),
            Metric::F1 => f.write_str("F1"),
            Metric::Auc => f.write_str("AUC"),
        }
    }
}

/// Loss and metrics over some images. Prints as one line.
///
/// ```
/// use ferrotape_train::{fit::Figures, fit::Metric, metrics::Confusion};
///
/// let figures = Figures {
///     loss: 0.25,
///     metrics: vec![(Metric::Accuracy, Some(0.9)), (Metric::Auc, None)],
///     confusion: Confusion::new(2),
/// };
/// assert_eq!(figures.value(Metric::Accuracy), Some(0.9));
/// assert_eq!((figures.value(Metric::Auc), figures.value(Metric::F1)), (None, None));
/// assert_eq!(figures.to_string(), "loss 0.2500  accuracy 0.9000  AUC -");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The mean loss an image.
    pub loss: f64,
    /// The metrics that were asked for, in that order; `None` where the images have none, such as an AUC of
    /// images of one class.
    pub metrics: Vec<(Metric, Option<f64>)>,
    /// Who was taken for whom.
    pub confusion: Confusion,
}

impl Figures {
    /// The value of a metric that was asked for.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.metrics.iter().find(|(asked, _)| *asked == metric).and_then(|(_, value)| *value)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for (metric, value) in &self.metrics {
            match value {
                Some(value) => write!(f, "  {metric} {value:.4}")?,
                None => write!(f, "  {metric} -")?,
            }
        }
        Ok(())
    }
}

/// What is counted while batches go by.
pub(super) struct Tally<'a> {
    metrics: &'a [Metric],
    loss: RunningMean,
    confusion: Confusion,
    /// How many were among the first k, for each metric that asks so.
    among: Vec<usize>,
    second: Vec<(f32, bool)>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(metrics: &'a [Metric], classes: usize) -> Self {
        Tally {
            metrics,
            loss: RunningMean::default(),
            confusion: Confusion::new(classes),
            among: vec![0; metrics.len()],
            second: Vec::new(),
        }
    }

    /// Takes the mean loss and the scores `[N, classes]` of a batch.
    pub(super) fn add(&mut self, loss: f64, scores: &Array, labels: &[i64]) -> Result<()> {
        self.loss.add(loss, labels.len() as u64);
        let scores = Tensor::from(scores.cast(DType::F32)?);
        let classes = self.confusion.classes();
        let values: Vec<f32> = scores.array().to_vec()?;
        self.confusion.add_logits(&values, labels)?;
        for (metric, among) in self.metrics.iter().zip(&mut self.among) {
            if let Metric::TopK(k) = metric {
                *among += top_k_correct(&values, classes, labels, *k)?;
            }
        }
        if self.metrics.contains(&Metric::Auc) {
            if classes != 2 {
                return Err(Error::Figures(format!(
                    "the AUC is a figure of two classes, and there are {classes}; leave it away"
                )));
            }
            // The order of p(second) is that of the difference of the scores.
            let rows = values.chunks_exact(2).zip(labels);
            self.second.extend(rows.map(|(row, &label)| (row[1] - row[0], label == 1)));
        }
        Ok(())
    }

    pub(super) fn result(self) -> Result<Figures> {
        let total = self.confusion.total();
        let mean = |of: fn(ClassScores) -> Option<f64>| {
            let classes = 0..self.confusion.classes();
            let values: Vec<f64> =
                classes.filter_map(|class| of(self.confusion.scores(class))).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let metrics = self.metrics.iter().zip(&self.among).map(|(metric, among)| {
            let value = match metric {
                Metric::Accuracy => self.confusion.accuracy(),
                Metric::TopK(_) => (total > 0).then(|| *among as f64 / total as f64),
                Metric::Precision => mean(|scores| scores.precision),
                Metric::Recall => mean(|scores| scores.recall),
                Metric::F1 => self.confusion.macro_f1(),
                Metric::Auc => auc(&self.second),
            };
            (*metric, value)
        });
        let metrics = metrics.collect();
        let loss = self
            .loss
            .value()
            .ok_or_else(|| Error::Figures("there are no images to measure; give some".into()))?;
        Ok(Figures { loss, metrics, confusion: self.confusion })
    }
}
