//! `ferrotape eval`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::prelude::zoo;
use ferrotape::train::{RunConfig, RunFolder, evaluate, format, recipe, test_loader};
use serde_json::json;

use crate::error::Result;
use crate::{data, model};

/// Flags of `eval`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder, or with --weights a model, such as lenet5.
    run: PathBuf,
    #[command(flatten)]
    weights: model::Weights,
    #[command(flatten)]
    source: data::Source,
    #[command(flatten)]
    machine: model::Machine,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Tests the model of a run or of a file of weights, and prints its figures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (weights, machine) = (&arguments.weights, &arguments.machine);
    let name = weights.weights.is_some().then(|| arguments.run.to_string_lossy());
    let saved = match &name {
        Some(name) => recipe(name),
        None => RunFolder::open(&arguments.run)?.read_config()?,
    };
    let channels = zoo::find(&saved.model)?.input[0];
    let normalise = saved.normalise().unwrap_or_else(|| data::usual(channels));
    let mut source = arguments.source.over(RunConfig { limit: None, ..saved });
    let data =
        data::load(&mut source, Some(normalise)).map_err(|error| match arguments.source.data {
            None if name.is_none() => data::of_run(error),
            _ => error,
        })?;
    data::check_classes(&source, &data)?;
    if name.is_none() && arguments.source.data.is_none() {
        data::note_changes(&arguments.run, &data)?;
    }
    model::check_images(&source, &data)?;
    let classes = data.train.classes().len();
    let (config, device, network) = match &name {
        Some(name) => model::with_weights(name, weights, machine, classes)?,
        None => model::restore(&arguments.run, machine, classes)?,
    };
    let result = evaluate(&*network, &device, &config, &test_loader(&data, &config)?)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let line = json!({
            "event": "eval",
            "model": config.model,
            "test_accuracy": result.accuracy(),
            "test_loss": result.loss,
            "test_images": result.confusion.total(),
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: {} of {} test images right, {}; loss {}",
        config.model,
        result.confusion.correct(),
        result.confusion.total(),
        format::percent(result.accuracy()),
        format::loss(result.loss)
    )?;
    for mistake in result.confusion.top_mistakes(5) {
        let name = |class: usize| data.test.classes()[class].clone();
        writeln!(
            out,
            "  {} taken for {}: {} times",
            name(mistake.truth),
            name(mistake.predicted),
            mistake.count
        )?;
    }
    Ok(())
}
