//! `ferrotape predict`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::prelude::zoo;
use ferrotape::train::{RunFolder, format, predict};
use serde_json::json;

use crate::error::Result;
use crate::shown::stdout;
use crate::{data, model, picture};

/// Flags of `predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder, or with --weights a model, such as lenet5.
    run: PathBuf,
    /// Pictures of any size and colour: PNG, JPEG, WebP, BMP or GIF. They are normalised as those of
    /// the run were; with --weights by MNIST's mean and deviation for a grey model, by ImageNet's for
    /// one in colour.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    weights: model::Weights,
    /// Number of classes that the weights tell apart [default: the model's own].
    #[arg(long, requires = "weights")]
    classes: Option<usize>,
    #[command(flatten)]
    machine: model::Machine,
    /// Print one JSON object a line, with the names and probabilities of all classes.
    #[arg(long)]
    json: bool,
}

/// How many classes are shown of a model that tells more apart.
const SHOWN: usize = 10;

/// Prints the class probabilities of each picture.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (weights, machine) = (&arguments.weights, &arguments.machine);
    let saved = match weights.weights {
        Some(_) => model::of_others(&arguments.run.to_string_lossy()),
        None => RunFolder::open(&arguments.run)?.read_config()?,
    };
    let entry = zoo::find(&saved.model)?;
    let shape = model::image_shape(&saved)?;
    let [channels, ..] = shape;
    let known = if saved.classes.is_empty() { entry.classes } else { saved.classes.len() };
    let classes = arguments.classes.unwrap_or(known);
    let (config, device, network) = match weights.weights {
        Some(_) => model::with_weights(&saved.model, weights, machine, classes)?,
        None => model::restore(&arguments.run, machine, classes)?,
    };
    let normalise = config.normalise().unwrap_or_else(|| data::usual(channels));
    // What was trained on pictures sees them as it did then; models of digits expect digits.
    let digits = data::expects_digits(&config, channels);
    // All pictures are read before the first answer: a wrong path is then the only output.
    let images = arguments.images.iter().map(|path| match digits {
        true => picture::read_digit(path, shape),
        false => picture::read(path, shape),
    });
    let images = images.collect::<Result<Vec<_>>>()?;
    let name = |class: usize| config.classes.get(class).cloned().unwrap_or(class.to_string());
    let names: Vec<String> = (0..classes).map(name).collect();
    let mut out = stdout();
    for (path, image) in arguments.images.iter().zip(images) {
        let probabilities = predict(&*network, &device, &config, image, &normalise)?;
        let mut ranked: Vec<(&String, f32)> =
            names.iter().zip(probabilities.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        if arguments.json {
            let class = ranked.first().map(|(class, _)| class);
            let line = json!({
                "image": path.display().to_string(),
                "class": class,
                "classes": names,
                "probabilities": probabilities,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        writeln!(out, "{}:", path.display())?;
        ranked.truncate(SHOWN);
        let wide = ranked.iter().map(|(class, _)| class.chars().count()).max().unwrap_or(0);
        for (class, probability) in ranked {
            writeln!(out, "  {class:<wide$}  {:>8}", format::percent(f64::from(probability)))?;
        }
    }
    Ok(())
}
