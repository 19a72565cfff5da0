//! Where a trainer stands: the epoch under way, checkpoints, and what is watched from epoch to epoch.

use std::time::Instant;

use ferrotape_backend::Array;
use ferrotape_nn::StateDict;

use super::Trainer;
use crate::checkpoint::{self, Checkpoint, Position};
use crate::metrics::{Confusion, RunningMean};
use crate::{Error, Result};

/// An epoch of which some batches were learned from.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    pub(super) epoch: usize,
    pub(super) batch: usize,
    pub(super) loss: RunningMean,
    pub(super) confusion: Confusion,
    /// Seconds that earlier processes spent on it.
    before: f64,
    started: Instant,
}

impl UnderWay {
    pub(super) fn new(epoch: usize, classes: usize) -> Self {
        UnderWay {
            epoch,
            batch: 0,
            loss: RunningMean::default(),
            confusion: Confusion::new(classes),
            before: 0.0,
            started: Instant::now(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

impl Trainer<'_> {
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
        let average = self.average.as_ref().map(|average| average.arrays().clone());
        for (part, dict) in [
            (checkpoint::MODEL, self.model.state_dict()?),
            (checkpoint::OPTIMIZER, self.groups.state_dict()?),
            (checkpoint::AVERAGE, average.unwrap_or_default()),
        ] {
            dict.iter()
                .for_each(|(name, array)| arrays.insert(format!("{part}{name}"), array.clone()));
        }
        let (step, epoch, batches) = (self.step, self.next, self.batches);
        let watch = self.watch.clone();
        let mut position = Position { step, epoch, batches, watch, ..Position::default() };
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

    /// Goes on from where another trainer was. After an error the trainer is of no use any more.
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
    /// let checkpoint = Trainer::new(&model, &device, &config, 1)?.checkpoint()?;
    /// let mut other = Trainer::new(&model, &device, &config, 2)?;
    /// let error = other.restore(&checkpoint).unwrap_err().to_string();
    /// assert!(error.contains("had 1 batches when the run began, and has 2 now"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A checkpoint of another model or optimizer, or of data with another number of batches.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let position = &checkpoint.position;
        if position.batches != self.batches {
            return Err(Error::Figures(format!(
                "an epoch had {} batches when the run began, and has {} now: its data has another number \
                 of images, or a batch another size; restore what it was, or train anew",
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
        self.model.load_state_dict(&model, true)?;
        self.groups.load_state_dict(&checkpoint.part(checkpoint::OPTIMIZER))?;
        if let Some(average) = &mut self.average {
            average.restore(&checkpoint.part(checkpoint::AVERAGE))?;
        }
        self.watch = position.watch.clone();
        (self.step, self.next, self.under_way) = (position.step, position.epoch, under_way);
        Ok(())
    }
}
