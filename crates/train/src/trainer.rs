//! The training loop: open, short, and the same for every model.

use std::time::{Duration, Instant};

use ferrotape_backend::{Array, DType, Device, Rng};
use ferrotape_data::{HostBatch, Loader};
use ferrotape_nn::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use ferrotape_nn::{Classifier, Frozen, Outcome, Pass, StateDict};

use crate::checkpoint::{self, Checkpoint, Position};
use crate::config::{OptimizerName, RunConfig, ScheduleName};
use crate::metrics::{Confusion, RunningMean};
use crate::progress::{BatchDone, EpochStart, Reporter};
use crate::{EpochRecord, Error, Precision, Result};

/// Trains a model as a [`RunConfig`] says, epoch by epoch.
///
/// Everything that is drawn depends on the seed, the epoch and the sample, or the step, alone: two
/// trainers with equal configurations make equal weights, on any number of threads.
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
/// use ferrotape_train::{Trainer, train_loader};
///
/// let loader = train_loader(&data, &config)?;
/// let mut trainer = Trainer::new(&model, &device, &config, loader.batches())?;
/// let losses = [1, 2, 3].map(|epoch| trainer.epoch(epoch, &loader, &mut ()));
/// let [first, _, last] = losses.map(|record| record.unwrap().train_loss);
/// assert!(last < first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a dyn Classifier,
    device: Device,
    config: &'a RunConfig,
    precision: Precision,
    optimizer: Box<dyn Optimizer>,
    frozen: Frozen,
    batches: usize,
    step: u64,
    /// The epoch of the next step, from 1.
    next: usize,
    under_way: Option<UnderWay>,
}

/// An epoch of which some batches were learned from.
#[derive(Debug, Clone)]
struct UnderWay {
    epoch: usize,
    batch: usize,
    loss: RunningMean,
    confusion: Confusion,
    /// Seconds that earlier processes spent on it.
    before: f64,
    started: Instant,
}

impl UnderWay {
    fn new(epoch: usize, classes: usize) -> Self {
        UnderWay {
            epoch,
            batch: 0,
            loss: RunningMean::default(),
            confusion: Confusion::new(classes),
            before: 0.0,
            started: Instant::now(),
        }
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

impl<'a> Trainer<'a> {
    /// A trainer at step 0; what the configuration freezes is frozen in the model. `batches` is the number of steps of an epoch, which the learning-rate
    /// schedule counts in.
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
    /// use ferrotape_train::Trainer;
    ///
    /// let odd = RunConfig { dtype: "f33".into(), ..config };
    /// assert!(Trainer::new(&model, &device, &odd, 1).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An unknown data type; a configuration that the optimizer refuses; a pattern to freeze that
    /// fits nothing, or nothing left to train.
    pub fn new(
        model: &'a dyn Classifier,
        device: &Device,
        config: &'a RunConfig,
        batches: usize,
    ) -> Result<Self> {
        let precision = Precision::of(config)?;
        let optimizer = optimizer(model, config)?;
        let patterns: Vec<&str> = config.freeze.iter().map(String::as_str).collect();
        let frozen = model.freeze_matching(&patterns)?;
        if !patterns.is_empty() && !model.parameters().iter().any(|p| p.is_trainable()) {
            return Err(Error::Config {
                path: None,
                message: format!(
                    "freeze leaves no parameter of {} to train; let its patterns ({}) fit less",
                    config.model,
                    patterns.join(", ")
                ),
            });
        }
        let device = device.clone();
        let (step, next, under_way) = (0, 1, None);
        let trainer = Trainer {
            model,
            device,
            config,
            precision,
            optimizer,
            frozen,
            batches,
            step,
            next,
            under_way,
        };
        Ok(trainer)
    }

    /// The epoch that comes next, or is under way, counted from 1.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_backend::{Device, Rng, reference::Reference};
    /// # use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
    /// # use ferrotape_train::RunConfig;
    /// # let device = Device::new(Reference::new());
    /// # let model = Sequential::new(&Init::new(&device, Rng::new(1)));
    /// # let model = model.add(Flatten::new)?.add(LinearConfig::new(2, 2))?;
    /// # let config = RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() };
    /// use ferrotape_train::Trainer;
    ///
    /// assert_eq!(Trainer::new(&model, &device, &config, 1)?.next_epoch(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_epoch(&self) -> usize {
        self.next
    }

    /// Steps taken, those before a [`Trainer::restore`] included.
    pub fn steps(&self) -> u64 {
        self.step
    }

    pub(crate) fn config(&self) -> &'a RunConfig {
        self.config
    }

    /// Everything that another trainer of the same configuration, data and model needs to
    /// [go on](Trainer::restore) from here to the bit.
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
    /// use ferrotape_train::{Trainer, train_loader};
    ///
    /// let loader = train_loader(&data, &config)?;
    /// let mut trainer = Trainer::new(&model, &device, &config, 1)?;
    /// trainer.epoch(1, &loader, &mut ())?;
    /// let checkpoint = trainer.checkpoint()?;
    /// assert_eq!((checkpoint.position.step, checkpoint.position.epoch), (1, 2));
    /// Trainer::new(&model, &device, &config, 1)?.restore(&checkpoint)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut arrays = StateDict::new();
        for (part, dict) in [
            (checkpoint::MODEL, self.model.state_dict()?),
            (checkpoint::OPTIMIZER, self.optimizer.state_dict()?),
        ] {
            dict.iter()
                .for_each(|(name, array)| arrays.insert(format!("{part}{name}"), array.clone()));
        }
        let (step, epoch, batches) = (self.step, self.next, self.batches);
        let mut position = Position { step, epoch, batches, ..Position::default() };
        if let Some(epoch) = &self.under_way {
            let classes = epoch.confusion.classes();
            let counts: Vec<i64> = epoch.confusion.counts().iter().map(|&n| n as i64).collect();
            let counts = Array::from_slice(&self.device, &counts, [classes, classes])?;
            arrays.insert(checkpoint::CONFUSION, counts);
            position.batch = epoch.batch;
            position.loss = epoch.loss;
            position.epoch_seconds = epoch.seconds();
        }
        Ok(Checkpoint { position, arrays })
    }

    /// Goes on from where another trainer was. Nothing changes unless everything fits.
    ///
    /// # Errors
    /// A checkpoint of another model or optimizer, or of data with another number of batches.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let position = &checkpoint.position;
        if position.batches != self.batches {
            return Err(Error::Figures(format!(
                "an epoch had {} batches when the run began, and has {} now: its data has another number \
                 of images; restore the data, or train anew",
                position.batches, self.batches
            )));
        }
        let under_way = match checkpoint.arrays.get(checkpoint::CONFUSION) {
            None => None,
            Some(counts) => {
                let classes = counts.shape().dims().first().copied().unwrap_or(0);
                let counts = counts.to_vec::<i64>()?.into_iter().map(|n| n.max(0) as u64).collect();
                Some(UnderWay {
                    batch: position.batch,
                    loss: position.loss,
                    confusion: Confusion::from_counts(classes, counts)?,
                    before: position.epoch_seconds,
                    ..UnderWay::new(position.epoch, classes)
                })
            }
        };
        let batch = under_way.as_ref().map_or(0, |epoch| epoch.batch);
        let steps = position.epoch.checked_sub(1).and_then(|done| done.checked_mul(self.batches));
        if steps.and_then(|steps| steps.checked_add(batch)).map(|s| s as u64) != Some(position.step)
            || position.batch != batch
            || batch > self.batches
        {
            return Err(Error::Figures(
                "its position contradicts itself; restore the file, or train anew".into(),
            ));
        }
        let model = checkpoint.part(checkpoint::MODEL);
        // The optimizer's is checked whole before anything changes; the model's likewise.
        self.model.load_state_dict(&model, true)?;
        self.optimizer.load_state_dict(&checkpoint.part(checkpoint::OPTIMIZER))?;
        (self.step, self.next, self.under_way) = (position.step, position.epoch, under_way);
        Ok(())
    }

    /// The learning rate of step `step`, counted from 0.
    ///
    /// It rises linearly over the warm-up, reaching the peak at its end; then stays, or falls as half
    /// a cosine to 0 at the end of the run.
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
    /// use ferrotape_train::Trainer;
    ///
    /// let config = RunConfig { epochs: 10, learning_rate: 1.0, warmup_epochs: 2.0, ..config };
    /// let trainer = Trainer::new(&model, &device, &config, 1)?;
    /// assert_eq!(trainer.learning_rate(0), 1.0 / 3.0);
    /// assert_eq!(trainer.learning_rate(2), 1.0);
    /// assert!(trainer.learning_rate(9) < 0.05);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn learning_rate(&self, step: u64) -> f64 {
        let peak = self.config.learning_rate;
        let total = (self.config.epochs * self.batches).max(1) as f64;
        let warmup = (self.config.warmup_epochs * self.batches as f64).min(total);
        let step = step as f64;
        if step < warmup {
            return peak * (step + 1.0) / (warmup + 1.0);
        }
        match self.config.schedule {
            ScheduleName::Constant => peak,
            ScheduleName::Cosine => {
                let done = (step - warmup) / (total - warmup).max(1.0);
                peak * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }

    /// One pass over the training data. `epoch` counts from 1.
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
    /// use ferrotape_train::{Trainer, train_loader};
    ///
    /// let loader = train_loader(&data, &config)?;
    /// let record = Trainer::new(&model, &device, &config, 1)?.epoch(1, &loader, &mut ())?;
    /// assert_eq!(record.epoch, 1);
    /// assert!(record.train_loss.is_finite());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Data that cannot be read, a loss that is not finite, a device that failed.
    pub fn epoch(
        &mut self,
        epoch: usize,
        loader: &Loader,
        reporter: &mut dyn Reporter,
    ) -> Result<EpochRecord> {
        self.epoch_with(epoch, loader, reporter, &mut |_| Ok(()))
    }

    /// As [`Trainer::epoch`], with something done after each batch, such as a
    /// [checkpoint](Trainer::checkpoint); its error ends the epoch, which can be gone on with. An epoch
    /// that is under way is.
    ///
    /// # Errors
    /// As [`Trainer::epoch`]; what `after` says.
    pub fn epoch_with(
        &mut self,
        epoch: usize,
        loader: &Loader,
        reporter: &mut dyn Reporter,
        after: &mut dyn FnMut(&Trainer<'_>) -> Result<()>,
    ) -> Result<EpochRecord> {
        let classes = loader.dataset().classes().len();
        let resumed = self.under_way.take().filter(|under_way| under_way.epoch == epoch);
        let under_way = resumed.unwrap_or_else(|| UnderWay::new(epoch, classes));
        let first = under_way.batch;
        (self.next, self.under_way) = (epoch, Some(under_way));
        let images = loader.dataset().len() as u64;
        reporter.epoch_started(&EpochStart { epoch, epochs: self.config.epochs, images });
        for batch in loader.epoch_from(epoch as u64 - 1, first) {
            let batch = batch?;
            let (value, scores) = self.step(epoch, &batch)?;
            let Some(under_way) = &mut self.under_way else { break };
            under_way.batch += 1;
            under_way.loss.add(value, batch.labels.len() as u64);
            under_way.confusion.add_logits(&scores, &batch.labels)?;
            reporter.batch_done(&BatchDone {
                images: under_way.loss.samples(),
                loss: under_way.loss.value().unwrap_or(0.0),
                accuracy: under_way.confusion.accuracy().unwrap_or(0.0),
                elapsed: Duration::from_secs_f64(under_way.seconds()),
            });
            after(self)?;
        }
        let done = self.under_way.take().unwrap_or_else(|| UnderWay::new(epoch, classes));
        self.next = epoch + 1;
        let seconds = done.seconds();
        Ok(EpochRecord {
            epoch,
            train_loss: done.loss.value().unwrap_or(f64::NAN),
            train_accuracy: done.confusion.accuracy().unwrap_or(0.0),
            learning_rate: self.learning_rate(self.step.saturating_sub(1)),
            images_per_second: done.loss.samples() as f64 / seconds.max(1e-9),
            seconds,
            ..EpochRecord::default()
        })
    }

    /// One step: forward, loss, backward, update. Gives the loss and the scores as f32.
    /// A loss that is not finite changes no parameter.
    fn step(&mut self, epoch: usize, batch: &HostBatch) -> Result<(f64, Vec<f32>)> {
        let (images, labels) = upload(&self.device, self.precision, batch)?;
        let pass = self.pass();
        let images = pass.input(images)?;
        let Outcome { loss, scores } = self.model.loss(&pass, &images, &labels)?;
        let value = loss.item()?;
        if !value.is_finite() {
            let place = self.first_not_finite(images.array(), &labels)?;
            return Err(Error::Diverged { epoch, step: self.step + 1, place });
        }
        self.optimizer.set_lr(self.learning_rate(self.step));
        self.optimizer.step(&loss.backward()?)?;
        if let Some(path) = self.optimizer.missing().first() {
            return Err(Error::Untrained { path: path.to_string() });
        }
        self.step += 1;
        Ok((value, scores.array().cast(DType::F32)?.to_vec()?))
    }

    /// What the next step computes in.
    fn pass(&self) -> Pass {
        let rng = Rng::new(self.config.seed).step(self.step);
        self.precision.cast(Pass::train(&self.device, rng)).frozen(&self.frozen)
    }

    /// Where a step that gave no finite loss first had a number that is not finite.
    fn first_not_finite(&self, images: &Array, labels: &Array) -> Result<String> {
        let is_finite = |array: &Array| -> Result<bool> {
            Ok(array.cast(DType::F32)?.to_vec::<f32>()?.iter().all(|value| value.is_finite()))
        };
        for (name, parameter) in self.model.named_parameters() {
            if !is_finite(&parameter.value())? {
                return Ok(format!("the parameter {name}"));
            }
        }
        if !is_finite(images)? {
            return Ok("the images".into());
        }
        // The same step again, with everybody's output kept; states stay as they are.
        let pass = self.pass().without_effects().trace().probe("*");
        self.model.loss(&pass, &pass.input(images.clone())?, labels)?;
        for (path, output) in pass.probes() {
            if !is_finite(output.array())? {
                let call = pass.calls().into_iter().find(|call| call.path == path);
                let kind = call.map_or(String::new(), |call| format!(" ({})", call.kind));
                return Ok(format!("the output of {path}{kind}"));
            }
        }
        Ok("the loss itself".into())
    }
}

/// Copies a batch to the device, the images in the type of the parameters.
pub(crate) fn upload(
    device: &Device,
    precision: Precision,
    batch: &HostBatch,
) -> Result<(Array, Array)> {
    let images = Array::from_slice(device, &batch.images, batch.shape)?;
    let images = images.cast(precision.parameters)?;
    let labels = Array::from_slice(device, &batch.labels, [batch.labels.len()])?;
    Ok((images, labels))
}

fn optimizer(model: &dyn Classifier, config: &RunConfig) -> Result<Box<dyn Optimizer>> {
    let parameters = model.parameters();
    let (lr, weight_decay) = (config.learning_rate, config.weight_decay);
    Ok(match config.optimizer {
        OptimizerName::Sgd => {
            let momentum = config.momentum;
            let options = SgdConfig { lr, momentum, weight_decay, ..Default::default() };
            Box::new(Sgd::new(parameters, options)?)
        }
        OptimizerName::Adam => {
            let options = AdamConfig { lr, weight_decay, ..Default::default() };
            Box::new(Adam::new(parameters, options)?)
        }
        OptimizerName::AdamW => {
            let options = AdamWConfig(AdamConfig { lr, weight_decay, ..Default::default() });
            Box::new(AdamW::new(parameters, options)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferrotape_backend::reference::Reference;
    use ferrotape_data::{InMemory, LoaderOptions};
    use ferrotape_nn::{Flatten, Init, LinearConfig, Module, Sequential};

    use super::*;

    fn model(device: &Device) -> Sequential {
        let init = Init::new(device, Rng::new(1));
        Sequential::new(&init).add(Flatten::new).unwrap().add(LinearConfig::new(2, 2)).unwrap()
    }

    fn config() -> RunConfig {
        RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() }
    }

    /// Four samples in batches of two.
    fn loader() -> Loader {
        let pixels = vec![0, 250, 250, 0, 10, 240, 230, 20];
        let classes = InMemory::numbered_classes(2);
        let data = InMemory::new(pixels, [1, 1, 2], vec![0, 1, 0, 1], classes).unwrap();
        let options = LoaderOptions { batch_size: 2, ..LoaderOptions::default() };
        Loader::new(Arc::new(data), options).unwrap()
    }

    #[test]
    fn the_rate_rises_over_the_warmup_and_falls_as_half_a_cosine() {
        let device = Device::new(Reference::new());
        let model = model(&device);
        let rates = |schedule, warmup_epochs, steps: &[u64]| -> Vec<f64> {
            let config =
                RunConfig { epochs: 5, learning_rate: 2.0, warmup_epochs, schedule, ..config() };
            let trainer = Trainer::new(&model, &device, &config, 4).unwrap();
            steps.iter().map(|&step| trainer.learning_rate(step)).collect()
        };
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(found.iter().zip(expected).all(near), "{found:?}");
        };
        // Four steps of warm-up, then sixteen of cosine: half-way down at 12.
        let steps = [0, 1, 3, 4, 12, 20];
        close(rates(ScheduleName::Cosine, 1.0, &steps), &[0.4, 0.8, 1.6, 2.0, 1.0, 0.0]);
        close(rates(ScheduleName::Constant, 1.0, &steps), &[0.4, 0.8, 1.6, 2.0, 2.0, 2.0]);
        close(rates(ScheduleName::Cosine, 0.0, &[0, 10]), &[2.0, 1.0]);
        // A warm-up longer than the run never divides by zero.
        assert!(rates(ScheduleName::Cosine, 99.0, &steps).iter().all(|rate| rate.is_finite()));
    }

    #[test]
    fn a_loss_that_is_no_number_names_its_epoch_and_step() {
        let device = Device::new(Reference::new());
        let model = model(&device);
        let config = config();
        let loader = loader();
        let mut trainer = Trainer::new(&model, &device, &config, loader.batches()).unwrap();
        trainer.epoch(1, &loader, &mut ()).unwrap();
        for parameter in model.parameters() {
            let nan = Array::full(&device, DType::F32, *parameter.value().shape(), f64::NAN);
            parameter.set(nan.unwrap()).unwrap();
        }
        let error = trainer.epoch(2, &loader, &mut ()).unwrap_err();
        assert!(matches!(error, Error::Diverged { epoch: 2, step: 3, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("step 3 in epoch 2, first in the parameter"), "{text}");
        assert!(text.contains("--lr"), "{text}");
    }

    #[test]
    fn what_is_frozen_stays_and_the_rest_is_trained() {
        let device = Device::new(Reference::new());
        let model = model(&device);
        let config = RunConfig { freeze: vec!["*.bias".into()], ..config() };
        let before = model.state_dict().unwrap();
        let loader = loader();
        let mut trainer = Trainer::new(&model, &device, &config, loader.batches()).unwrap();
        trainer.epoch(1, &loader, &mut ()).unwrap();
        for (name, array) in model.state_dict().unwrap().iter() {
            let old = before.get(name).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(array.to_vec::<f32>().unwrap() == old, name.ends_with(".bias"), "{name}");
        }
        for (patterns, said) in [("*", "no parameter of line"), ("nose.*", "'nose.*' fits no")] {
            let config = RunConfig { freeze: vec![patterns.into()], ..config.clone() };
            let error = Trainer::new(&model, &device, &config, 2).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_model_in_f64_is_given_images_in_f64() {
        let device = Device::new(Reference::new());
        let model = model(&device);
        model.to_dtype(DType::F64).unwrap();
        let config = RunConfig { dtype: "f64".into(), ..config() };
        let mut trainer = Trainer::new(&model, &device, &config, 2).unwrap();
        assert!(trainer.epoch(1, &loader(), &mut ()).unwrap().train_loss > 0.0);
    }
}
