//! The training loop: open, short, and the same for every model.

mod average;
mod finder;
mod finite;
mod groups;
mod rate;
mod state;
mod watch;

use std::time::{Duration, Instant};

use ferrotape_autograd::{Gradients, Tensor};
use ferrotape_backend::{Array, CrossEntropy, DType, Device, Rng};
use ferrotape_data::{HostBatch, Loader, mix};
use ferrotape_nn::{Classifier, Frozen, Outcome, Pass, Path};

use crate::config::RunConfig;
use crate::progress::{BatchDone, EpochStart, Reporter};
use crate::{EpochRecord, Error, Precision, Result};
use average::Average;
pub(crate) use average::copied;
pub use finder::{RateCurve, RatePoint, RateRange};
pub(crate) use finite::first_not_finite;
use groups::Groups;
use state::UnderWay;
pub use watch::Watch;

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
    groups: Groups,
    average: Option<Average>,
    frozen: Frozen,
    batches: usize,
    step: u64,
    /// The epoch of the next step, from 1.
    next: usize,
    under_way: Option<UnderWay>,
    /// The sum of the gradients of batches that wait for others, and how many they are.
    pending: Option<(Gradients, usize)>,
    watch: Watch,
}

impl<'a> Trainer<'a> {
    /// A trainer at step 0; what the configuration freezes is frozen in the model. `batches` is the number of
    /// batches of an epoch, which the learning-rate schedule counts in.
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
        let groups = Groups::of(model, config)?;
        let average = (config.ema > 0.0).then(|| Average::new(model, config.ema)).transpose()?;
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
        Ok(Trainer {
            model,
            device: device.clone(),
            config,
            precision,
            groups,
            average,
            frozen,
            batches,
            step: 0,
            next: 1,
            under_way: None,
            pending: None,
            watch: Watch::default(),
        })
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

    /// Batches learned from, those before a [`Trainer::restore`] included.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Takes note of an epoch's validation loss, and says whether it is the lowest so far.
    pub(crate) fn note_validation(&mut self, epoch: usize, loss: f64) -> bool {
        self.watch.note(epoch, loss, self.config)
    }

    /// Whether there is no epoch left to train, or no reason to.
    pub(crate) fn is_over(&self) -> bool {
        self.next > self.config.epochs || self.watch.is_over(self.config)
    }

    /// The epoch with the lowest validation loss, if there is one.
    pub(crate) fn best_epoch(&self) -> Option<usize> {
        self.watch.best.map(|_| self.watch.best_epoch)
    }

    /// Does something with the weights that count: the average where one is kept, else those of the last
    /// step.
    pub(crate) fn with_weights_that_count<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(average) = &self.average else { return f() };
        let own = copied(&self.model.state_dict()?)?;
        self.model.load_state_dict(average.arrays(), true)?;
        let result = f();
        self.model.load_state_dict(&own, true)?;
        result
    }

    /// Gives the model the moving average of its weights, if one is kept, for good.
    pub(crate) fn settle(&self) -> Result<()> {
        if let Some(average) = &self.average {
            self.model.load_state_dict(average.arrays(), true)?;
        }
        Ok(())
    }

    pub(crate) fn config(&self) -> &'a RunConfig {
        self.config
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
    /// let mut checkpoints = Vec::new();
    /// Trainer::new(&model, &device, &config, 1)?.epoch_with(1, &loader, &mut (), &mut |trainer| {
    ///     checkpoints.push(trainer.checkpoint()?);
    ///     Ok(())
    /// })?;
    /// assert_eq!(checkpoints[0].position.step, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        self.pending = None;
        let mut batches = loader.epoch_from(epoch as u64 - 1, first);
        let began = Instant::now();
        for batch in batches.by_ref() {
            let mut batch = batch?;
            let done = self.under_way.as_ref().map_or(0, |under_way| under_way.batch + 1);
            let (value, scores) = self.learn(epoch, &mut batch, classes)?;
            let is_due = |(_, count): &(_, usize)| *count >= self.config.accumulate;
            if done == self.batches || self.pending.as_ref().is_some_and(is_due) {
                self.update()?;
            }
            self.step += 1;
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
            // Gradients that wait are in no checkpoint.
            if self.pending.is_none() {
                after(self)?;
            }
        }
        let waited = batches.waited().as_secs_f64() / began.elapsed().as_secs_f64().max(1e-9);
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
            data_wait: waited.min(1.0),
            ..EpochRecord::default()
        })
    }

    /// Forward, loss, backward. Gives the loss and the scores as f32, and adds to the gradients that wait for
    /// an update. A loss that is not finite is an error.
    fn learn(
        &mut self,
        epoch: usize,
        batch: &mut HostBatch,
        classes: usize,
    ) -> Result<(f64, Vec<f32>)> {
        let mixing = self.config.mixing();
        let mixed = mixing.is_any().then(|| {
            let rng = Rng::new(self.config.seed).path("mix").step(self.step);
            mix(batch, mixing, classes, rng)
        });
        let (images, mut labels) = upload(&self.device, self.precision, batch)?;
        if let Some(probabilities) = mixed.transpose()? {
            labels =
                Array::from_slice(&self.device, &probabilities, [batch.labels.len(), classes])?;
        }
        let pass = self.pass();
        let images = pass.input(images)?;
        let params = CrossEntropy {
            label_smoothing: self.config.label_smoothing,
            ..CrossEntropy::default()
        };
        let Outcome { loss, scores } = self.model.outcome(&pass, &images, &labels, &params)?;
        let value = loss.item()?;
        if !value.is_finite() {
            let again =
                |pass: &Pass, images: &Tensor| self.model.loss(pass, images, &labels).map(drop);
            let place = first_not_finite(self.model, self.pass(), images.array(), again)?;
            return Err(Error::Diverged { epoch, step: self.step + 1, place });
        }
        let gradients = self.penalised(&pass, loss)?.backward()?;
        match &mut self.pending {
            Some((sum, count)) => {
                sum.add(&gradients)?;
                *count += 1;
            }
            None => self.pending = Some((gradients, 1)),
        }
        Ok((value, scores.array().cast(DType::F32)?.to_vec()?))
    }

    /// The loss with the L1 penalty, if there is one.
    fn penalised(&self, pass: &Pass, loss: Tensor) -> Result<Tensor> {
        if self.config.l1 == 0.0 {
            return Ok(loss);
        }
        let mut loss = loss;
        for (name, parameter) in self.model.named_parameters() {
            let path = Path::new(&name);
            if parameter.is_trainable() && !self.config.no_decay.iter().any(|p| path.matches(p)) {
                let size = pass.param(&parameter)?.abs()?.sum_all()?.cast(loss.dtype())?;
                loss = loss.add(&size.mul_scalar(self.config.l1)?)?;
            }
        }
        Ok(loss)
    }

    /// Steps the parameters by the mean of the gradients that wait.
    fn update(&mut self) -> Result<()> {
        self.update_at(self.learning_rate(self.step))
    }

    /// [`Trainer::update`] with another learning rate than the schedule's.
    fn update_at(&mut self, rate: f64) -> Result<()> {
        let Some((mut gradients, count)) = self.pending.take() else { return Ok(()) };
        if count > 1 {
            gradients.scale(1.0 / count as f64)?;
        }
        if self.config.clip_value > 0.0 {
            gradients.clip_value(self.config.clip_value)?;
        }
        if self.config.clip_norm > 0.0 {
            gradients.clip_norm(self.config.clip_norm)?;
        }
        self.groups.step(&gradients, rate)?;
        match &mut self.average {
            Some(average) => average.update(self.model),
            None => Ok(()),
        }
    }

    /// Computes one step on images of zeros `[N, C, H, W]` without looking at any value, as a device that has
    /// shapes alone can do it: its peak of memory is that of a step. The trainer is of no use afterwards.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};
    /// use ferrotape_train::{RunConfig, Trainer};
    ///
    /// let device = Device::new(Meta::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1)));
    /// let model = model.add(Flatten::new)?.add(LinearConfig::new(64, 2))?;
    /// let config = RunConfig { model: "line".into(), ..Default::default() };
    /// Trainer::new(&model, &device, &config, 1)?.rehearse([8, 1, 8, 8])?;
    /// assert!(device.memory().peak_bytes > 8 * 64 * 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Images that do not fit the model.
    pub fn rehearse(&mut self, images: [usize; 4]) -> Result<()> {
        let labels = Array::zeros(&self.device, DType::I64, [images[0]])?;
        let images = Array::zeros(&self.device, self.precision.parameters, images)?;
        let pass = self.pass();
        let images = pass.input(images)?;
        let loss = self.model.loss(&pass, &images, &labels)?.loss;
        let gradients = self.penalised(&pass, loss)?.backward()?;
        self.groups.step(&gradients, 0.0)?;
        self.average.as_mut().map_or(Ok(()), |average| average.update(self.model))
    }

    /// What the next step computes in.
    fn pass(&self) -> Pass {
        let rng = Rng::new(self.config.seed).step(self.step);
        self.precision.cast(Pass::train(&self.device, rng)).frozen(&self.frozen)
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

#[cfg(test)]
mod tests;
