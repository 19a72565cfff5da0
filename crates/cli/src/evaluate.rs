//! `ferrotape eval`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use ferrotape::prelude::zoo;
use ferrotape::train::{
    Member, RunConfig, RunData, RunFolder, evaluate, evaluate_together, format, test_loader,
};
use serde_json::json;

use crate::error::{Failure, Result};
use crate::shown::stdout;
use crate::{data, model};

/// Flags of `eval`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder, or with --weights a model, such as lenet5. Of several runs the probabilities are
    /// averaged: an ensemble.
    #[arg(required = true)]
    run: Vec<PathBuf>,
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
    let Some((first, others)) = arguments.run.split_first() else { return Ok(()) };
    let name = weights.weights.is_some().then(|| first.to_string_lossy());
    if name.is_some() && !others.is_empty() {
        return Err(Failure::Said(
            "an ensemble is made of runs, not of files of weights; name their folders, without --weights".into(),
        ));
    }
    let saved = match &name {
        Some(name) => model::of_others(name),
        None => RunFolder::open(first)?.read_config()?,
    };
    let channels = zoo::find(&saved.model)?.input[0];
    let normalise = saved.normalise().unwrap_or_else(|| data::usual(channels));
    let digits = data::expects_digits(&saved, channels);
    let mut source = arguments.source.over(RunConfig { limit: None, ..saved });
    let data =
        data::load_as(&mut source, Some(normalise), digits).map_err(|error| {
            match arguments.source.data {
                None if name.is_none() => data::of_run(error),
                _ => error,
            }
        })?;
    data::check_classes(&source, &data)?;
    if name.is_none() && arguments.source.data.is_none() {
        data::note_changes(first, &data)?;
    }
    model::check_images(&source, &data)?;
    let classes = data.train.classes().len();
    let (config, device, network) = match &name {
        Some(name) => model::with_weights(name, weights, machine, classes)?,
        None => model::restore(first, machine, classes)?,
    };
    let loader = test_loader(&data, &config)?;
    let result = match others {
        [] => evaluate(&*network, &device, &config, &loader)?,
        others => {
            let mut members = vec![(config.clone(), network, loader)];
            for run in others {
                let (config, _, network) = model::restore(run, machine, classes)?;
                data::check_classes(&config, &data)?;
                // Each sees the images in the size and normalised as its own were, in the batches of the first.
                let normalise = config.normalise().unwrap_or_else(|| data.normalise.clone());
                let shape = model::image_shape(&config)?;
                let [train, test] =
                    [&data.train, &data.test].map(|images| data::fitted(Arc::clone(images), shape));
                let own = RunData { train: train?, test: test?, normalise };
                let batch_size = members[0].0.batch_size;
                let loader = test_loader(&own, &RunConfig { batch_size, ..config.clone() })?;
                members.push((config, network, loader));
            }
            let members: Vec<Member<'_>> = members
                .iter()
                .map(|(config, model, loader)| Member { model: &**model, config, loader })
                .collect();
            evaluate_together(&members, &device)?
        }
    };
    let mut out = stdout();
    if arguments.json {
        let line = json!({
            "event": "eval",
            "model": config.model,
            "test_accuracy": result.accuracy(),
            "test_loss": result.loss,
            "test_images": result.confusion.total(),
            "test_top5": result.top5,
            "test_auc": result.auc,
            "test_macro_f1": result.confusion.macro_f1(),
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let what = match others.len() {
        0 => config.model.clone(),
        others => format!("{} and {others} more together", config.model),
    };
    writeln!(
        out,
        "{what}: {} of {} test images right, {}; loss {}",
        result.confusion.correct(),
        result.confusion.total(),
        format::percent(result.accuracy()),
        format::loss(result.loss)
    )?;
    for (what, figure) in
        [("right class among five", result.top5), ("macro F1", result.confusion.macro_f1())]
    {
        if let Some(figure) = figure {
            writeln!(out, "  {what}: {}", format::percent(figure))?;
        }
    }
    if let Some(area) = result.auc {
        writeln!(out, "  area under the ROC curve of {}: {area:.4}", data.test.classes()[1])?;
    }
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
