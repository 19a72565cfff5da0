//! `ferrotape train --dry-run`: what would be trained, on what, and what it takes.

use std::io::Write;
use std::sync::Arc;

use ferrotape::backend::meta::Meta;
use ferrotape::prelude::*;
use ferrotape::train::format::{bytes, count, setting};
use ferrotape::train::{RunConfig, RunData, Trainer};
use serde_json::json;

use crate::error::Result;
use crate::model;
use crate::shown::stdout;

/// How many rates of the learning-rate curve are shown.
const SHOWN: usize = 11;

/// Says what a run would be. Nothing is trained and nothing is written.
pub(crate) fn show(config: &RunConfig, data: &RunData, as_json: bool) -> Result<()> {
    let images = data.train.len();
    let aside = match config.folds {
        0 if config.validation > 0.0 => {
            let [_, aside] =
                ferrotape::data::split(Arc::clone(&data.train), config.validation, config.seed)?;
            aside.len()
        }
        0 => 0,
        folds => {
            let [_, aside] = ferrotape::data::fold(
                Arc::clone(&data.train),
                folds,
                config.fold - 1,
                config.seed,
            )?;
            aside.len()
        }
    };
    let batches = (images - aside).div_ceil(config.batch_size);
    let steps = batches.div_ceil(config.accumulate) * config.epochs;
    let classes = data.train.classes().len();

    // Shapes are all that is computed, so that the largest model takes no memory.
    let device = Device::new(Meta::new());
    let network = model::blank(config, &device, classes)?;
    let trainer = Trainer::new(&*network, &device, config, batches)?;
    let parameters = network.parameters();
    let trained = parameters.iter().filter(|p| p.is_trainable());
    let trained: usize = trained.map(|p| p.shape().numel()).sum();
    let rates: Vec<(f64, f64)> = (0..SHOWN)
        .map(|at| {
            let step = (config.epochs * batches).saturating_sub(1) * at / (SHOWN - 1);
            (step as f64 / batches.max(1) as f64, trainer.learning_rate(step as u64))
        })
        .collect();
    let memory = memory(config, data, classes)?;

    let mut out = stdout();
    if as_json {
        let line = json!({
            "event": "plan",
            "model": config.model,
            "parameters": network.count_parameters(),
            "trained": trained,
            "classes": classes,
            "training_images": images - aside,
            "validation_images": aside,
            "test_images": data.test.len(),
            "batches": batches,
            "steps": steps,
            "memory_bytes": memory,
            "learning_rates": rates,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(
        out,
        "model     {}, {} parameters, {} of them trained",
        config.model,
        count(network.count_parameters() as u64),
        count(trained as u64)
    )?;
    writeln!(
        out,
        "data      {}: {} images to train on, {} to validate, {} to test, {classes} classes",
        config.data,
        count((images - aside) as u64),
        count(aside as u64),
        count(data.test.len() as u64)
    )?;
    writeln!(
        out,
        "steps     {}: {} epochs of {} batches of {}{}",
        count(steps as u64),
        config.epochs,
        count(batches as u64),
        config.batch_size,
        if config.accumulate > 1 {
            format!(", {} a step", config.accumulate)
        } else {
            String::new()
        }
    )?;
    writeln!(out, "memory    {} at most in a step, weights and optimizer included", bytes(memory))?;
    writeln!(out, "\nafter epochs  learning rate")?;
    for (epoch, rate) in rates {
        writeln!(out, "{epoch:>12.2}  {}", setting(rate))?;
    }
    Ok(())
}

/// Bytes in use at most in two steps, by the device that has shapes alone.
fn memory(config: &RunConfig, data: &RunData, classes: usize) -> Result<u64> {
    let device = Device::new(Meta::new());
    let network = model::blank(config, &device, classes)?;
    let mut trainer = Trainer::new(&*network, &device, config, 2)?;
    let [channels, height, width] = data.train.image_shape();
    let batch = config.batch_size.min(data.train.len());
    // In the second step the optimizer's state is there from the start.
    for _ in 0..2 {
        trainer.rehearse([batch, channels, height, width])?;
    }
    Ok(device.memory().peak_bytes as u64)
}
