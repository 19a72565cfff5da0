//! The ten remedies against overfitting, each on a few digits: how a run is described and done.

use std::sync::Arc;

use ferrotape::cpu::{Cpu, CpuOptions};
use ferrotape::data::{InMemory, Normalise, Transform};
use ferrotape::nn::{
    BatchNormConfig, Conv2dConfig, Distribution, DropoutConfig, Flatten, LinearConfig, PoolConfig,
    activation, max_pool2d,
};
use ferrotape::prelude::*;
use ferrotape::train::config::{OptimizerName, ScheduleName};
use ferrotape::train::{
    Evaluation, Member, RunConfig, RunData, Trainer, evaluate, evaluate_together, train_loader,
};

use crate::Result;
use crate::material::{Digits, some};

/// Digits of a run. There are few, so that a network can learn them by heart.
pub(crate) const DIGITS: usize = 500;

/// Passes over them.
pub(crate) const EPOCHS: usize = 40;

/// A network and the way it is trained; what differs from [`Plan::default`] is the remedy.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) channels: [usize; 2],
    pub(crate) hidden: usize,
    /// Whether each 5x5 convolution is two of 3x3.
    pub(crate) small_filters: bool,
    pub(crate) dropout: f64,
    pub(crate) batch_norm: bool,
    pub(crate) init: Option<Distribution>,
    /// How many networks vote.
    pub(crate) members: usize,
    /// The share of the digits that is held back to say when to stop.
    pub(crate) held_back: f64,
    pub(crate) config: RunConfig,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            channels: [16, 32],
            hidden: 256,
            small_filters: false,
            dropout: 0.0,
            batch_norm: false,
            init: None,
            members: 1,
            held_back: 0.0,
            config: RunConfig {
                model: "small".into(),
                epochs: EPOCHS,
                batch_size: 25,
                optimizer: OptimizerName::Sgd,
                schedule: ScheduleName::Constant,
                learning_rate: 0.01,
                momentum: 0.9,
                ..RunConfig::default()
            },
        }
    }
}

impl Plan {
    /// conv, ReLU, pool, conv, ReLU, pool, dense, ReLU, dense.
    fn network(&self, device: &Device, seed: u64) -> Result<Sequential> {
        let mut layers = Sequential::new(&Init::new(device, Rng::new(seed)));
        let mut inputs = 1;
        for outputs in self.channels {
            let convs = if self.small_filters { vec![3, 3] } else { vec![5] };
            for kernel in convs {
                let conv = Conv2dConfig {
                    weight_init: self.init,
                    ..Conv2dConfig::new(inputs, outputs, kernel).padding(kernel / 2)
                };
                layers = layers.add(conv)?;
                if self.batch_norm {
                    layers = layers.add(BatchNormConfig::new(outputs))?;
                }
                layers = layers.add(activation("relu", Tensor::relu))?;
                inputs = outputs;
            }
            layers = layers.add(max_pool2d(PoolConfig::new(2)))?;
        }
        let dense = |inputs, outputs| LinearConfig {
            weight_init: self.init,
            ..LinearConfig::new(inputs, outputs)
        };
        layers = layers.add(Flatten::new)?;
        if self.dropout > 0.0 {
            layers = layers.add(DropoutConfig { p: self.dropout })?;
        }
        layers = layers
            .add(dense(inputs * 7 * 7, self.hidden))?
            .add(activation("relu", Tensor::relu))?;
        if self.dropout > 0.0 {
            layers = layers.add(DropoutConfig { p: self.dropout })?;
        }
        Ok(layers.add(dense(self.hidden, 10))?)
    }

    /// Parameters of one network.
    pub(crate) fn parameters(&self) -> Result<usize> {
        Ok(self.network(&one_thread()?, 0)?.count_parameters())
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// On the digits it learned from, after training.
    pub(crate) train: f64,
    /// On digits it never saw.
    pub(crate) test: f64,
    pub(crate) test_loss: f64,
    /// The epoch whose weights were kept.
    pub(crate) epochs: usize,
    /// Loss on the digits it learned from and on others, after each epoch, where asked for.
    pub(crate) curve: Vec<[f64; 2]>,
}

/// Trains by a plan on the `number`-th 500 digits and looks at how it does on `test`.
pub(crate) fn run(
    plan: &Plan,
    number: usize,
    train: &InMemory,
    test: &Digits,
    with_curve: bool,
) -> Result<Outcome> {
    let device = one_thread()?;
    let kept_back = (plan.held_back * DIGITS as f64) as usize;
    let start = number * DIGITS;
    let own = some(train, start, DIGITS - kept_back)?;
    let held_back = some(train, start + DIGITS - kept_back, kept_back.max(1))?;
    let mut outcome = Outcome::default();
    let mut networks = Vec::new();
    for member in 0..plan.members {
        let seed = (1 + number + 100 * member) as u64;
        let config = RunConfig { seed, ..plan.config.clone() };
        let network = plan.network(&device, seed)?;
        let normalise = Normalise::mnist();
        let data = RunData { train: own.clone(), test: test.clone(), normalise };
        let loader = train_loader(&data, &config)?;
        let mut trainer = Trainer::new(&network, &device, &config, loader.batches())?;
        let mut best: Option<(f64, Sequential)> = None;
        for epoch in 1..=plan.config.epochs {
            trainer.epoch(epoch, &loader, &mut ())?;
            if kept_back == 0 {
                outcome.epochs = epoch;
            }
            if with_curve {
                let of = |digits: &Digits| measured(&network, &device, &config, digits);
                outcome.curve.push([of(&own)?.loss, of(test)?.loss]);
            }
            if kept_back > 0 {
                let loss = measured(&network, &device, &config, &held_back)?.loss;
                if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
                    best = Some((loss, network.clone()));
                    outcome.epochs = epoch;
                }
            }
        }
        networks.push(best.map_or(network, |(_, best)| best));
    }
    let together = |digits: &Digits| -> Result<Evaluation> {
        let loader = batches(digits)?;
        let members: Vec<Member<'_>> = networks
            .iter()
            .map(|model| Member { model, config: &plan.config, loader: &loader })
            .collect();
        Ok(evaluate_together(&members, &device)?)
    };
    outcome.train = together(&own)?.accuracy();
    let tested = together(test)?;
    (outcome.test, outcome.test_loss) = (tested.accuracy(), tested.loss);
    Ok(outcome)
}

fn measured(
    network: &Sequential,
    device: &Device,
    config: &RunConfig,
    digits: &Digits,
) -> Result<Evaluation> {
    Ok(evaluate(network, device, config, &batches(digits)?)?)
}

fn batches(digits: &Digits) -> Result<Loader> {
    let transform: Arc<dyn Transform> = Arc::new(Normalise::mnist());
    let options =
        LoaderOptions { batch_size: 250, transform: Some(transform), ..LoaderOptions::default() };
    Ok(Loader::new(digits.clone(), options)?)
}

/// A device of its own for a run: many small runs side by side are faster than each on all cores.
pub(crate) fn one_thread() -> Result<Device> {
    Ok(Device::new(Cpu::new(CpuOptions { threads: Some(1), ..CpuOptions::default() })?))
}

/// Does jobs side by side, one a core, and gives their results in order.
pub(crate) fn side_by_side<T: Send>(
    count: usize,
    job: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, std::result::Result<T, String>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = job(index).map_err(|error| error.to_string());
                    let mut done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect::<std::result::Result<_, _>>()?)
}
