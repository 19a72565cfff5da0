//! `ferrotape zoo`.

use std::io::Write;

use ferrotape::backend::meta::Meta;
use ferrotape::nn::Summary;
use ferrotape::nn::optim::{Optimizer, Sgd, SgdConfig};
use ferrotape::prelude::*;
use ferrotape::train::format::{bytes, count};
use ferrotape::zoo::Model;
use serde_json::json;

use crate::error::{Failure, Result};
use crate::shown::stdout;

/// Flags of `zoo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The batch size that memory is given for.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// Print one JSON object a model.
    #[arg(long)]
    json: bool,
}

/// What a model takes.
struct Facts {
    parameters: usize,
    multiply_adds: u64,
    /// Bytes at most in use: parameters and what a pass keeps.
    inference: usize,
    training: usize,
}

impl Facts {
    /// Found out on the device that has shapes and no elements.
    fn of(model: &Model, batch: usize) -> Result<Self> {
        let [c, h, w] = model.input;
        let made = || -> Result<_> {
            let device = Device::new(Meta::new());
            let network = model.build(&Init::new(&device, Rng::new(0)), model.classes)?;
            Ok((device, network))
        };
        let (device, network) = made()?;
        let one = Array::zeros(&device, DType::F32, [1, c, h, w])?;
        let multiply_adds = Summary::of(&network, one)?.multiply_adds();
        let parameters = network.count_parameters();

        let (device, network) = made()?;
        let images = Array::zeros(&device, DType::F32, [batch, c, h, w])?;
        let cx = Pass::eval(&device);
        network.scores(&cx, &cx.input(images)?)?;
        let inference = device.memory().peak_bytes;

        // A step with momentum, and a second one, in which momentum exists from the start.
        let (device, network) = made()?;
        let config = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
        let mut sgd = Sgd::new(network.parameters(), config)?;
        for step in 0..2 {
            let images = Array::zeros(&device, DType::F32, [batch, c, h, w])?;
            let labels = Array::zeros(&device, DType::I64, [batch])?;
            let cx = Pass::train(&device, Rng::new(0).step(step));
            let outcome = network.loss(&cx, &cx.input(images)?, &labels)?;
            sgd.step(&outcome.loss.backward()?)?;
        }
        let training = device.memory().peak_bytes;
        Ok(Facts { parameters, multiply_adds, inference, training })
    }
}

/// Prints the models.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let batch = arguments.batch;
    if batch == 0 {
        return Err(Failure::Said("batch is 0; give 1 or more (--batch)".into()));
    }
    let mut out = stdout();
    if !arguments.json {
        writeln!(
            out,
            "{:<18} {:>12} {:>15} {:>11} {:>11} {:>7}  source",
            "model", "parameters", "multiply-adds", "inference", "training", "top-1"
        )?;
    }
    for model in ferrotape::zoo::models() {
        let facts = Facts::of(model, batch)?;
        if arguments.json {
            let line = json!({
                "name": model.name,
                "source": model.source,
                "input": model.input,
                "classes": model.classes,
                "parameters": facts.parameters,
                "multiply_adds": facts.multiply_adds,
                "batch": batch,
                "inference_bytes": facts.inference,
                "training_bytes": facts.training,
                "reference_accuracy": model.reference_accuracy,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let accuracy =
            model.reference_accuracy.map_or("-".into(), |percent| format!("{percent:.2}"));
        writeln!(
            out,
            "{:<18} {:>12} {:>15} {:>11} {:>11} {accuracy:>7}  {}",
            model.name,
            count(facts.parameters as u64),
            count(facts.multiply_adds),
            bytes(facts.inference as u64),
            bytes(facts.training as u64),
            model.source,
        )?;
    }
    if !arguments.json {
        writeln!(
            out,
            "\nmultiply-adds for one image; memory for {batch} in f32, in training with SGD and momentum;\n\
             top-1: percent, as published with the weights, where they are of this form"
        )?;
    }
    Ok(())
}
