//! `ferrotape convert`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::nn::StateDict;
use ferrotape::prelude::*;
use serde_json::json;

use crate::error::{Failure, Result};

/// Flags of `convert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The weights: safetensors, or a state dict that torch.save wrote (.pth, .pt).
    input: PathBuf,
    /// The file to write, which must not exist: NAME.safetensors.
    output: PathBuf,
    /// The type to convert floats to: f32, f64, bf16 or f16 [default: that of the input].
    /// Integers stay.
    #[arg(long)]
    dtype: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads one file and writes the other.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (input, output) = (&arguments.input, &arguments.output);
    if output.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::Said(format!(
            "{} is to be a safetensors file, which is the one form that is written (PyTorch reads \
             it with safetensors.torch.load_file); name it so: {}",
            output.display(),
            output.with_extension("safetensors").display()
        )));
    }
    if output.exists() {
        return Err(Failure::Said(format!(
            "{} exists and would be overwritten; choose another name, or remove it first",
            output.display()
        )));
    }
    let dtype = arguments.dtype.as_deref().map(float).transpose()?;
    let device = Device::open("cpu")?;
    let mut dict = StateDict::load(&device, input)?;
    if let Some(dtype) = dtype {
        let cast = |(name, array): (&str, &Array)| {
            let is_float = array.dtype().is_float();
            let array = if is_float { array.cast(dtype)? } else { array.clone() };
            Ok((name.to_owned(), array))
        };
        dict = dict.iter().map(cast).collect::<ferrotape::Result<_>>()?;
    }
    dict.save(output)?;

    let values: usize = dict.iter().map(|(_, array)| array.shape().numel()).sum();
    let bytes: usize = dict.iter().map(|(_, array)| array.bytes()).sum();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let line = json!({
            "event": "convert",
            "input": input,
            "output": output,
            "arrays": dict.len(),
            "values": values,
            "bytes": bytes,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{}: {} arrays, {values} values, {:.1} MB",
            output.display(),
            dict.len(),
            bytes as f64 / 1e6
        )?;
    }
    Ok(())
}

fn float(name: &str) -> Result<DType> {
    let known = name.parse::<DType>().ok().filter(|dtype| dtype.is_float());
    known.ok_or_else(|| {
        Failure::Said(format!("floats cannot be converted to '{name}'; use f32, f64, bf16 or f16"))
    })
}
