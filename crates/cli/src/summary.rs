//! `ferrotape summary`.

use std::io::Write;

use ferrotape::backend::meta::Meta;
use ferrotape::nn::Summary;
use ferrotape::prelude::*;
use ferrotape::train::report::LayerRow;
use serde_json::json;

use crate::error::Result;
use crate::shown::stdout;

/// Flags of `summary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model, such as lenet5.
    model: String,
    /// Number of classes [default: the model's own].
    #[arg(long)]
    classes: Option<usize>,
    /// The sizes of the image, CxHxW or NxCxHxW [default: the model's own].
    #[arg(long, value_name = "SIZES", value_parser = sizes)]
    input: Option<[usize; 4]>,
    /// Print one JSON object a layer.
    #[arg(long)]
    json: bool,
}

/// The largest size of an image whose shapes are worth computing.
const LARGEST: usize = 1 << 20;

/// `3x224x224`, or with a batch before it.
fn sizes(text: &str) -> std::result::Result<[usize; 4], String> {
    let parts: Option<Vec<usize>> =
        text.split(['x', 'X', '*', ',']).map(|part| part.trim().parse().ok()).collect();
    match parts.as_deref() {
        Some(&[c, h, w]) => Ok([1, c, h, w]),
        Some(&[n, c, h, w]) => Ok([n, c, h, w]),
        _ => Err("give channels, height and width, such as 3x224x224".into()),
    }
    .and_then(|sizes: [usize; 4]| match sizes.iter().all(|&size| size <= LARGEST) {
        true => Ok(sizes),
        false => Err(format!("no size of an image is larger than {LARGEST}")),
    })
}

/// The layers of a model for one image, of the size it was made for if none is given.
fn of(model: &str, classes: Option<usize>, input: Option<[usize; 4]>) -> Result<Summary> {
    let entry = zoo::find(model)?;
    // Shapes are all that a summary needs, so that the largest model takes no memory.
    let device = Device::new(Meta::new());
    let init = Init::new(&device, Rng::new(0));
    let network = entry.build(&init, classes.unwrap_or(entry.classes))?;
    let [c, h, w] = entry.input;
    let input = input.unwrap_or([1, c, h, w]);
    Ok(Summary::of(&network, Array::zeros(&device, DType::F32, input)?)?)
}

/// The same as rows of a report.
pub(crate) fn rows(model: &str, classes: usize, [c, h, w]: [usize; 3]) -> Result<Vec<LayerRow>> {
    let row = |row: ferrotape::nn::Row| LayerRow {
        name: row.path.to_string(),
        kind: row.kind.into(),
        output: row.shape.to_vec(),
        parameters: row.parameters as u64,
        multiply_adds: row.multiply_adds,
        activation_bytes: row.activation_bytes as u64,
        receptive_field: row.receptive_field.map(|[height, _]| height),
    };
    Ok(of(model, Some(classes), Some([1, c, h, w]))?.rows.into_iter().map(row).collect())
}

/// Prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let summary = of(&arguments.model, arguments.classes, arguments.input)?;
    let mut out = stdout();
    if !arguments.json {
        writeln!(out, "{summary}")?;
        return Ok(());
    }
    for row in &summary.rows {
        let line = json!({
            "name": row.path.as_str(),
            "kind": row.kind,
            "output": row.shape.to_vec(),
            "parameters": row.parameters,
            "multiply_adds": row.multiply_adds,
            "activation_bytes": row.activation_bytes,
            "receptive_field": row.receptive_field,
            "input": row.input.map(|shape| shape.to_vec()),
            "window": row.window.map(|window| json!({
                "kernel": window.kernel,
                "stride": window.stride,
                "padding": window.padding,
                "dilation": window.dilation,
            })),
            "size": row.arithmetic(),
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
