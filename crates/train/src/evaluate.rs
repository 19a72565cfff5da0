//! How good a model is on data that it was not trained on.

use ferrotape_backend::{DType, Device};
use ferrotape_data::Loader;
use ferrotape_nn::{Classifier, Pass};

use crate::config::RunConfig;
use crate::metrics::{Confusion, RunningMean, argmax};
use crate::trainer::{autocast, upload};
use crate::{Error, Result};

/// What a model made of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The sample's index in its data set.
    pub index: usize,
    /// Its class.
    pub truth: usize,
    /// The class with the largest probability.
    pub predicted: usize,
    /// That probability, in `[0, 1]`.
    pub probability: f32,
}

/// The result of [`evaluate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The mean cross entropy.
    pub loss: f64,
    /// Who was taken for whom.
    pub confusion: Confusion,
    /// Every sample, in the order of the data.
    pub predictions: Vec<Prediction>,
}

impl Evaluation {
    /// The share of samples classified rightly; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        self.confusion.accuracy().unwrap_or(0.0)
    }

    /// The wrong predictions, the most confident first.
    pub fn worst(&self, count: usize) -> Vec<Prediction> {
        let mut wrong: Vec<Prediction> =
            self.predictions.iter().filter(|p| p.truth != p.predicted).copied().collect();
        wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.index.cmp(&b.index)));
        wrong.truncate(count);
        wrong
    }
}

/// Runs a model in evaluation mode over all batches of a loader.
///
/// # Errors
/// Data that cannot be read, or that does not fit the model.
pub fn evaluate(
    model: &dyn Classifier,
    device: &Device,
    config: &RunConfig,
    loader: &Loader,
) -> Result<Evaluation> {
    let mut loss = RunningMean::default();
    let mut confusion = Confusion::new(loader.dataset().classes().len());
    let mut predictions = Vec::with_capacity(loader.dataset().len());
    for batch in loader.epoch(0) {
        let batch = batch?;
        let (images, labels) = upload(device, &batch)?;
        let pass = eval_pass(device, config)?;
        let images = pass.input(images)?;
        let outcome = model.loss(&pass, &images, &labels)?;
        loss.add(outcome.loss.item()?, batch.labels.len() as u64);
        let probabilities: Vec<f32> =
            outcome.scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?;
        confusion.add_logits(&probabilities, &batch.labels)?;
        let classes = confusion.classes();
        let rows = probabilities.chunks_exact(classes.max(1));
        for ((row, &label), &index) in rows.zip(&batch.labels).zip(&batch.indices) {
            let predicted = argmax(row).ok_or_else(|| {
                Error::Figures(format!("the probabilities of sample {index} are no numbers"))
            })?;
            let probability = row[predicted];
            let truth = label as usize;
            predictions.push(Prediction { index, truth, predicted, probability });
        }
    }
    Ok(Evaluation { loss: loss.value().unwrap_or(0.0), confusion, predictions })
}

/// The pass that a configuration evaluates with.
///
/// # Errors
/// An unknown data type.
pub fn eval_pass(device: &Device, config: &RunConfig) -> Result<Pass> {
    let pass = Pass::eval(device);
    Ok(match autocast(config)? {
        Some(dtype) => pass.autocast(dtype),
        None => pass,
    })
}
