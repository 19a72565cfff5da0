//! `ferrotape train`.

use std::path::PathBuf;
use std::time::Instant;

use ferrotape::prelude::*;
use ferrotape::train::progress::for_console;
use ferrotape::train::report::Environment;
use ferrotape::train::{Precision, Run, RunConfig, RunFolder, recipe};

use crate::error::{Failure, Result};
use crate::{data, model, summary};

/// Flags of `train`. Those that are not given are the model's recipe.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model, such as lenet5.
    model: String,
    #[command(flatten)]
    source: data::Source,
    /// Folder to write to, missing or empty [default: runs/MODEL-N].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Passes over the training data.
    #[arg(long)]
    epochs: Option<usize>,
    /// Images a step.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Seed of weights, data order and augmentation.
    #[arg(long)]
    seed: Option<u64>,
    /// Train on the first so many images only; of class folders, on so many that the seed draws.
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    #[command(flatten)]
    weights: model::Weights,
    /// Names that training leaves as they are, with `*` for any characters, such as "layer1.*";
    /// norms whose statistics fit stay in evaluation mode. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    #[command(flatten)]
    machine: model::Machine,
    /// Print one JSON object a line instead of progress.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn config(&self) -> Result<RunConfig> {
        let recipe = self.source.over(recipe(&self.model));
        let config = RunConfig {
            epochs: self.epochs.unwrap_or(recipe.epochs),
            batch_size: self.batch_size.unwrap_or(recipe.batch_size),
            learning_rate: self.lr.unwrap_or(recipe.learning_rate),
            seed: self.seed.unwrap_or(recipe.seed),
            limit: self.limit,
            device: self.machine.device.clone().unwrap_or(recipe.device),
            dtype: self.machine.dtype.clone().unwrap_or(recipe.dtype),
            threads: self.machine.threads,
            weights: self.weights.weights.as_ref().map(|file| file.display().to_string()),
            except: self.weights.except.clone(),
            freeze: self.freeze.clone(),
            ..recipe
        };
        config.validate()?;
        Precision::of(&config)?;
        Ok(config)
    }
}

/// Trains, and writes the run folder.
pub(crate) fn run(arguments: &Arguments, started: Instant) -> Result<()> {
    // The model's name is checked first: it is the likeliest thing to be mistyped.
    zoo::find(&arguments.model)?;
    let mut config = arguments.config()?;
    let device = model::open(&config.device, config.threads)?;
    let data = data::load(&mut config, None)?;
    let network = model::build(&config, &device, &data)?;
    model::load_weights(&*network, &device, &config)?;
    data::check_test_pictures(&data, &config)?;
    let mut folder = RunFolder::create(arguments.out.as_deref(), &config.model)?;
    let mut reporter = for_console(arguments.json);
    let run = Run {
        model: &*network,
        device: &device,
        config: &config,
        environment: environment(&config),
        layers: summary::rows(&config.model, data.test.classes().len())?,
        started,
    };
    run.execute(&data, &mut folder, &mut *reporter)?;
    match reporter.failure() {
        None => Ok(()),
        Some(cause) => Err(Failure::Said(format!(
            "the run is finished and in {}, but not all of its progress could be written to the \
             standard output: {cause}; free some space, or let the output go elsewhere",
            folder.path().display()
        ))),
    }
}

fn environment(config: &RunConfig) -> Environment {
    Environment {
        cpu: crate::doctor::cpu_model(),
        threads: config.threads.unwrap_or_else(crate::doctor::cores),
        device: config.device.clone(),
        dtype: config.dtype.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}
