//! `ferrotape export`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::onnx::{Exporter, OPSET, to_bytes};
use ferrotape::prelude::zoo;
use ferrotape::train::{RunFolder, format, write_atomically};
use serde_json::json;

use crate::error::Result;
use crate::shown::stdout;
use crate::{data, model};

/// Flags of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The run's folder, or with --weights a model, such as lenet5.
    run: PathBuf,
    /// The file to write, which must not exist: NAME.onnx.
    output: PathBuf,
    #[command(flatten)]
    weights: model::Weights,
    /// Number of classes that the weights tell apart [default: the model's own].
    #[arg(long, requires = "weights")]
    classes: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Writes the model as ONNX, in f32.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (weights, output) = (&arguments.weights, &arguments.output);
    crate::output::check(output, "onnx", "an ONNX file")?;
    let saved = match weights.weights {
        Some(_) => model::of_others(&arguments.run.to_string_lossy()),
        None => RunFolder::open(&arguments.run)?.read_config()?,
    };
    let entry = zoo::find(&saved.model)?;
    let known = if saved.classes.is_empty() { entry.classes } else { saved.classes.len() };
    let classes = arguments.classes.unwrap_or(known);
    let machine = model::Machine {
        device: Some("cpu".into()),
        dtype: Some("f32".into()),
        ..model::Machine::default()
    };
    let (config, device, network) = match weights.weights {
        Some(_) => model::with_weights(&saved.model, weights, &machine, classes)?,
        None => model::restore(&arguments.run, &machine, classes)?,
    };
    let shape = model::image_shape(&config)?;
    let normalise = config.normalise().unwrap_or_else(|| data::usual(shape[0]));
    let names = match config.classes.is_empty() {
        true => (0..classes).map(|class| class.to_string()).collect(),
        false => config.classes.clone(),
    };
    let exported = Exporter::new(&device, shape)
        .metadata("model", &config.model)
        .metadata("mean", json!(normalise.mean).to_string())
        .metadata("std", json!(normalise.std).to_string())
        .metadata("classes", json!(names).to_string())
        .export(&*network, |cx, x| network.scores(cx, x))?;
    let bytes = to_bytes(&exported);
    write_atomically(output, &bytes)?;

    let graph = exported.graph.unwrap_or_default();
    let (nodes, [c, h, w]) = (graph.node.len(), shape);
    let mut out = stdout();
    if arguments.json {
        let line = json!({
            "event": "export",
            "output": output.display().to_string(),
            "opset": OPSET,
            "nodes": nodes,
            "bytes": bytes.len(),
            "input": { "name": "input", "shape": ["batch", c, h, w] },
            "logits": { "name": "logits", "shape": ["batch", classes] },
            "mean": normalise.mean,
            "std": normalise.std,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let list = |values: &[f32]| {
        let texts: Vec<String> = values.iter().map(|&v| format::setting(f64::from(v))).collect();
        texts.join(", ")
    };
    writeln!(
        out,
        "{}: {nodes} nodes of operator set {OPSET}, {:.1} MB\n  input   f32 [batch, {c}, {h}, {w}]: pixels from 0 to \
         1, less {}, divided by {}\n  logits  f32 [batch, {classes}]",
        output.display(),
        bytes.len() as f64 / 1e6,
        list(&normalise.mean),
        list(&normalise.std),
    )?;
    Ok(())
}
