//! The training loop: open, short, and the same for every model.

use std::time::Instant;

use ferrotape_backend::{Array, DType, Device, Rng};
use ferrotape_data::{HostBatch, Loader};
use ferrotape_nn::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use ferrotape_nn::{Classifier, Outcome, Pass};

use crate::config::{OptimizerName, RunConfig, ScheduleName};
use crate::metrics::{Confusion, RunningMean};
use crate::progress::{BatchDone, EpochStart, Reporter};
use crate::{EpochRecord, Error, Result};

/// Trains a model as a [`RunConfig`] says, epoch by epoch.
///
/// Everything that is drawn depends on the seed, the epoch and the sample, or the step, alone: two
/// trainers with equal configurations make equal weights, on any number of threads.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a dyn Classifier,
    device: Device,
    config: &'a RunConfig,
    autocast: Option<DType>,
    optimizer: Box<dyn Optimizer>,
    batches: usize,
    step: u64,
}

impl<'a> Trainer<'a> {
    /// A trainer at step 0. `batches` is the number of steps of an epoch, which the learning-rate
    /// schedule counts in.
    ///
    /// # Errors
    /// An unknown data type; a configuration that the optimizer refuses.
    pub fn new(
        model: &'a dyn Classifier,
        device: &Device,
        config: &'a RunConfig,
        batches: usize,
    ) -> Result<Self> {
        let autocast = autocast(config)?;
        let optimizer = optimizer(model, config)?;
        let device = device.clone();
        Ok(Trainer { model, device, config, autocast, optimizer, batches, step: 0 })
    }

    /// The learning rate of step `step`, counted from 0.
    ///
    /// It rises linearly over the warm-up, reaching the peak at its end; then stays, or falls as half
    /// a cosine to 0 at the end of the run.
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
    /// # Errors
    /// Data that cannot be read, a loss that is not finite, a device that failed.
    pub fn epoch(
        &mut self,
        epoch: usize,
        loader: &Loader,
        reporter: &mut dyn Reporter,
    ) -> Result<EpochRecord> {
        let started = Instant::now();
        let images = loader.dataset().len() as u64;
        reporter.epoch_started(&EpochStart { epoch, epochs: self.config.epochs, images });
        let mut loss = RunningMean::default();
        let mut confusion = Confusion::new(loader.dataset().classes().len());
        for batch in loader.epoch(epoch as u64 - 1) {
            let batch = batch?;
            let (value, scores) = self.step(&batch)?;
            if !value.is_finite() {
                return Err(Error::Diverged { epoch, step: self.step });
            }
            loss.add(value, batch.labels.len() as u64);
            confusion.add_logits(&scores, &batch.labels)?;
            reporter.batch_done(&BatchDone {
                images: loss.samples(),
                loss: loss.value().unwrap_or(0.0),
                accuracy: confusion.accuracy().unwrap_or(0.0),
                elapsed: started.elapsed(),
            });
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(EpochRecord {
            epoch,
            train_loss: loss.value().unwrap_or(f64::NAN),
            train_accuracy: confusion.accuracy().unwrap_or(0.0),
            learning_rate: self.learning_rate(self.step.saturating_sub(1)),
            images_per_second: loss.samples() as f64 / seconds.max(1e-9),
            seconds,
            ..EpochRecord::default()
        })
    }

    /// One step: forward, loss, backward, update. Gives the loss and the scores as f32.
    fn step(&mut self, batch: &HostBatch) -> Result<(f64, Vec<f32>)> {
        let rng = Rng::new(self.config.seed).step(self.step);
        let mut pass = Pass::train(&self.device, rng);
        if let Some(dtype) = self.autocast {
            pass = pass.autocast(dtype);
        }
        let (images, labels) = upload(&self.device, batch)?;
        let images = pass.input(images)?;
        let Outcome { loss, scores } = self.model.loss(&pass, &images, &labels)?;
        self.optimizer.set_lr(self.learning_rate(self.step));
        self.optimizer.step(&loss.backward()?)?;
        self.step += 1;
        Ok((loss.item()?, scores.array().cast(DType::F32)?.to_vec()?))
    }
}

/// The type that a configuration asks convolutions and products to be computed in, if not f32.
pub(crate) fn autocast(config: &RunConfig) -> Result<Option<DType>> {
    match config.dtype.parse::<DType>()? {
        DType::F32 | DType::F64 => Ok(None),
        dtype @ (DType::BF16 | DType::F16) => Ok(Some(dtype)),
        other => Err(ferrotape_backend::Error::dtype(format!(
            "a network cannot be trained in {other}; use f32, f64 or bf16"
        ))
        .into()),
    }
}

/// Copies a batch to the device.
pub(crate) fn upload(device: &Device, batch: &HostBatch) -> Result<(Array, Array)> {
    let images = Array::from_slice(device, &batch.images, batch.shape)?;
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
