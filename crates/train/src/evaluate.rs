//! How good a model is on data that it was not trained on.

use ferrotape_backend::{DType, Device};
use ferrotape_data::{HostBatch, Loader};
use ferrotape_nn::Classifier;

use crate::config::RunConfig;
use crate::metrics::{Confusion, RunningMean, argmax, auc, top_k_correct};
use crate::trainer::upload;
use crate::{Error, Precision, Result};

/// What a model made of one sample.
///
/// ```
/// let miss = ferrotape_train::Prediction { index: 7, truth: 4, predicted: 9, probability: 0.8 };
/// assert_ne!(miss.truth, miss.predicted);
/// ```
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
///
/// ```
/// use ferrotape_train::{Evaluation, Prediction, metrics::Confusion};
///
/// let predictions = vec![Prediction { index: 0, truth: 0, predicted: 1, probability: 0.9 }];
/// let mut confusion = Confusion::new(2);
/// confusion.add(0, 1)?;
/// let evaluation = Evaluation { loss: 2.3, confusion, predictions, top5: None, auc: None };
/// assert_eq!(evaluation.accuracy(), 0.0);
/// assert_eq!(evaluation.worst(5)[0].predicted, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The mean cross entropy.
    pub loss: f64,
    /// Who was taken for whom.
    pub confusion: Confusion,
    /// Every sample, in the order of the data.
    pub predictions: Vec<Prediction>,
    /// The share of samples whose class is among the five with the highest scores; `None` where there are
    /// no more than five classes.
    pub top5: Option<f64>,
    /// The area under the receiver operating characteristic of the second class; `None` unless there are two
    /// classes, and samples of both.
    pub auc: Option<f64>,
}

impl Evaluation {
    /// The share of samples classified rightly; 0 if there are none.
    ///
    /// ```
    /// use ferrotape_train::{Evaluation, metrics::Confusion};
    ///
    /// let mut confusion = Confusion::new(2);
    /// confusion.add(1, 1)?;
    /// confusion.add(0, 1)?;
    /// let (predictions, top5, auc) = (Vec::new(), None, None);
    /// let evaluation = Evaluation { loss: 0.7, confusion, predictions, top5, auc };
    /// assert_eq!(evaluation.accuracy(), 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accuracy(&self) -> f64 {
        self.confusion.accuracy().unwrap_or(0.0)
    }

    /// The wrong predictions, the most confident first.
    ///
    /// ```
    /// use ferrotape_train::{Evaluation, Prediction, metrics::Confusion};
    ///
    /// let wrong = |index, probability| Prediction { index, truth: 0, predicted: 1, probability };
    /// let predictions = vec![wrong(0, 0.6), wrong(1, 0.9)];
    /// let (confusion, top5, auc) = (Confusion::new(2), None, None);
    /// let evaluation = Evaluation { loss: 1.0, confusion, predictions, top5, auc };
    /// assert_eq!(evaluation.worst(1)[0].index, 1);
    /// ```
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
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_train::{evaluate, test_loader};
///
/// let result = evaluate(&model, &device, &config, &test_loader(&data, &config)?)?;
/// assert_eq!(result.predictions.len(), 2);
/// assert!((0.0..=1.0).contains(&result.accuracy()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Data that cannot be read, or that does not fit the model; a loss that is no finite number.
pub fn evaluate(
    model: &dyn Classifier,
    device: &Device,
    config: &RunConfig,
    loader: &Loader,
) -> Result<Evaluation> {
    let precision = Precision::of(config)?;
    let mut tally = Tally::new(loader);
    for batch in loader.epoch(0) {
        let batch = batch?;
        let (images, labels) = upload(device, precision, &batch)?;
        let pass = precision.eval(device);
        let images = pass.input(images)?;
        let outcome = model.loss(&pass, &images, &labels)?;
        let loss = outcome.loss.item()?;
        let probabilities: Vec<f32> =
            outcome.scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?;
        tally.add(loss, &probabilities, &batch)?;
    }
    tally.result()
}

/// What is wrong with a model whose figures of a batch are no numbers.
fn diverged(what: &str, batch: &HostBatch) -> Error {
    let first =
        batch.indices.first().map_or_else(String::new, |index| format!(" from sample {index} on"));
    Error::Figures(format!(
        "the model's {what} for the batch{first} are no finite numbers, so it has diverged; train again with a \
         smaller learning rate (--lr)"
    ))
}

/// What is counted while the batches go by.
struct Tally {
    loss: RunningMean,
    confusion: Confusion,
    predictions: Vec<Prediction>,
    among_five: usize,
    /// Of two classes, the probability of the second one and whether it is the right one.
    second: Vec<(f32, bool)>,
}

impl Tally {
    fn new(loader: &Loader) -> Self {
        Tally {
            loss: RunningMean::default(),
            confusion: Confusion::new(loader.dataset().classes().len()),
            predictions: Vec::with_capacity(loader.dataset().len()),
            among_five: 0,
            second: Vec::new(),
        }
    }

    /// Takes the mean loss and the probabilities `[N, classes]` of a batch.
    fn add(&mut self, loss: f64, probabilities: &[f32], batch: &HostBatch) -> Result<()> {
        let classes = self.confusion.classes();
        if !loss.is_finite() {
            return Err(diverged("losses", batch));
        }
        self.loss.add(loss, batch.labels.len() as u64);
        self.confusion.add_logits(probabilities, &batch.labels)?;
        self.among_five += top_k_correct(probabilities, classes, &batch.labels, 5)?;
        let rows = probabilities.chunks_exact(classes.max(1));
        for ((row, &label), &index) in rows.zip(&batch.labels).zip(&batch.indices) {
            let predicted = argmax(row).ok_or_else(|| diverged("probabilities", batch))?;
            let (probability, truth) = (row[predicted], label as usize);
            self.predictions.push(Prediction { index, truth, predicted, probability });
            if let [_, second] = row {
                self.second.push((*second, truth == 1));
            }
        }
        Ok(())
    }

    fn result(self) -> Result<Evaluation> {
        let (classes, samples) = (self.confusion.classes(), self.predictions.len());
        let is_any = classes > 5 && samples > 0;
        Ok(Evaluation {
            loss: self.loss.value().unwrap_or(0.0),
            top5: is_any.then(|| self.among_five as f64 / samples as f64),
            auc: auc(&self.second),
            confusion: self.confusion,
            predictions: self.predictions,
        })
    }
}

/// A model of an ensemble: how it computes, and the batches as it wants them normalised.
///
/// See [`evaluate_together`].
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
/// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// use ferrotape_train::{Member, evaluate_together, test_loader};
///
/// let loader = test_loader(&data, &config)?;
/// let member = Member { model: &model, config: &config, loader: &loader };
/// // Twice the same model is that model.
/// let (one, two) = (evaluate_together(&[member], &device)?, evaluate_together(&[member; 2], &device)?);
/// assert_eq!(one.accuracy(), two.accuracy());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Member<'a> {
    /// The model.
    pub model: &'a dyn Classifier,
    /// Its configuration.
    pub config: &'a RunConfig,
    /// The images, in the same batches for all members.
    pub loader: &'a Loader,
}

/// Runs several models over the same images and averages their probabilities: an ensemble. The loss is the
/// mean of `-log p` of the right class.
///
/// ```
/// # use std::sync::Arc;
/// # use ferrotape_backend::{Device, Rng, reference::Reference};
/// # use ferrotape_data::{InMemory, Normalise};
/// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
/// # use ferrotape_train::{RunConfig, RunData};
/// # let classes = InMemory::numbered_classes(2);
/// # let images = Arc::new(InMemory::new(vec![0, 250, 250, 0], [1, 1, 2], vec![0, 1], classes)?);
/// # let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
/// # let data = RunData { train: images.clone(), test: images, normalise };
/// # let device = Device::new(Reference::new());
/// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
/// # let make = |seed| -> ferrotape_backend::Result<_> {
/// #     Sequential::new(&Init::new(&device, Rng::new(seed))).add(Flatten::new)?.add(LinearConfig::new(2, 2))
/// # };
/// use ferrotape_train::{Member, evaluate_together, test_loader};
///
/// let (models, loader) = ([make(1)?, make(2)?], test_loader(&data, &config)?);
/// let members = models.each_ref().map(|model| Member { model, config: &config, loader: &loader });
/// let result = evaluate_together(&members, &device)?;
/// assert_eq!(result.predictions.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// No members, or members with other batches; as [`evaluate`].
pub fn evaluate_together(members: &[Member<'_>], device: &Device) -> Result<Evaluation> {
    let Some(first) = members.first() else {
        return Err(Error::Figures("an ensemble needs at least one model; name one".into()));
    };
    let classes = first.loader.dataset().classes().len();
    let mut tally = Tally::new(first.loader);
    let mut epochs: Vec<_> = members.iter().map(|member| member.loader.epoch(0)).collect();
    loop {
        let mut sum: Vec<f64> = Vec::new();
        let mut batch: Option<HostBatch> = None;
        for (member, epoch) in members.iter().zip(&mut epochs) {
            let Some(own) = epoch.next().transpose()? else { continue };
            if batch.as_ref().is_some_and(|batch| batch.indices != own.indices) {
                return Err(Error::Figures(
                    "the models of an ensemble need the same batches".into(),
                ));
            }
            let precision = Precision::of(member.config)?;
            let (images, _) = upload(device, precision, &own)?;
            let pass = precision.eval(device);
            let scores = member.model.scores(&pass, &pass.input(images)?)?;
            let found: Vec<f32> = scores.cast(DType::F32)?.softmax(1)?.array().to_vec()?;
            sum.resize(found.len(), 0.0);
            sum.iter_mut().zip(&found).for_each(|(sum, &p)| *sum += f64::from(p));
            batch = Some(own);
        }
        let Some(batch) = batch else { break };
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / members.len() as f64) as f32).collect();
        let mut loss = RunningMean::default();
        for (row, &label) in mean.chunks_exact(classes.max(1)).zip(&batch.labels) {
            let right = f64::from(row[label as usize]).max(f64::from(f32::MIN_POSITIVE));
            loss.add(-right.ln(), 1);
        }
        tally.add(loss.value().unwrap_or(0.0), &mean, &batch)?;
    }
    tally.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_are_wrong_the_most_confident_first_and_ties_in_the_order_of_the_data() {
        let prediction =
            |index, predicted, probability| Prediction { index, truth: 3, predicted, probability };
        let evaluation = Evaluation {
            loss: 1.0,
            confusion: Confusion::new(10),
            top5: None,
            auc: None,
            predictions: vec![
                prediction(0, 1, 0.5),
                prediction(1, 3, 0.99),
                prediction(2, 2, 0.9),
                prediction(3, 4, 0.5),
                prediction(4, 5, 0.7),
            ],
        };
        let worst = |count| evaluation.worst(count).iter().map(|p| p.index).collect::<Vec<_>>();
        assert_eq!(worst(10), [2, 4, 0, 3]);
        assert_eq!(worst(2), [2, 4]);
    }
}
