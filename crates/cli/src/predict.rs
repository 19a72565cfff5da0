//! `ferrotape predict`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::prelude::zoo;
use ferrotape::train::{RunFolder, format, predict};
use serde_json::json;

use crate::error::Result;
use crate::{data, model, picture};

/// Flags of `predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder, or with --weights a model, such as lenet5.
    run: PathBuf,
    /// Pictures of any size and colour: PNG, JPEG, WebP, BMP or GIF.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    weights: model::Weights,
    /// Number of classes that the weights tell apart [default: the model's own].
    #[arg(long, requires = "weights")]
    classes: Option<usize>,
    #[command(flatten)]
    machine: model::Machine,
    /// Print one JSON object a line, with the probabilities of all classes.
    #[arg(long)]
    json: bool,
}

/// Prints the class probabilities of each picture.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (weights, machine) = (&arguments.weights, &arguments.machine);
    let name = match weights.weights {
        Some(_) => arguments.run.to_string_lossy().into_owned(),
        None => RunFolder::open(&arguments.run)?.read_config()?.model,
    };
    let entry = zoo::find(&name)?;
    let [_, height, width] = entry.input;
    let classes = arguments.classes.unwrap_or(entry.classes);
    let (config, device, network) = match weights.weights {
        Some(_) => model::with_weights(&name, weights, machine, classes)?,
        None => model::restore(&arguments.run, machine, classes)?,
    };
    // All pictures are read before the first answer: a wrong path is then the only output.
    let images = arguments.images.iter().map(|path| picture::read(path, height, width));
    let images = images.collect::<Result<Vec<_>>>()?;
    let mut out = std::io::stdout().lock();
    for (path, image) in arguments.images.iter().zip(images) {
        let probabilities = predict(&*network, &device, &config, image, &data::normalise())?;
        if arguments.json {
            let line = json!({ "image": path, "probabilities": probabilities });
            writeln!(out, "{line}")?;
            continue;
        }
        let mut ranked: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        writeln!(out, "{}:", path.display())?;
        for (class, probability) in ranked {
            writeln!(out, "  {class}  {:>8}", format::percent(f64::from(probability)))?;
        }
    }
    Ok(())
}
