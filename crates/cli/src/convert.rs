//! `ferrotape convert`.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::nn::StateDict;
use ferrotape::prelude::*;
use serde_json::json;

use crate::error::{Failure, Result};
use crate::shown::stdout;

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
    let what = "a safetensors file, which is the one form that is written (PyTorch reads it with \
               safetensors.torch.load_file)";
    crate::output::check(output, "safetensors", what)?;
    let dtype = arguments.dtype.as_deref().map(float).transpose()?;
    let device = Device::open("cpu")?;
    let mut dict = StateDict::load(&device, input)?;
    if dict.is_empty() {
        return Err(Failure::Said(format!(
            "{} holds no arrays, so there is nothing to convert; is it the right file?",
            input.display()
        )));
    }
    if let Some(dtype) = dtype {
        let cast = |(name, array): (&str, &Array)| {
            let is_float = array.dtype().is_float();
            let array = if is_float { within(name, array, dtype)? } else { array.clone() };
            Ok((name.to_owned(), array))
        };
        dict = dict.iter().map(cast).collect::<Result<_>>()?;
    }
    dict.save(output)?;

    let values: usize = dict.iter().map(|(_, array)| array.shape().numel()).sum();
    let bytes: usize = dict.iter().map(|(_, array)| array.bytes()).sum();
    let mut out = stdout();
    if arguments.json {
        let line = json!({
            "event": "convert",
            "input": input.display().to_string(),
            "output": output.display().to_string(),
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

/// The array in another float type, if its finite values stay finite there.
fn within(name: &str, array: &Array, dtype: DType) -> Result<Array> {
    let cast = array.cast(dtype)?;
    let is_finite = |values: Vec<f32>| values.iter().all(|value| value.is_finite());
    if dtype == DType::F64 || is_finite(cast.cast(DType::F32)?.to_vec()?) {
        return Ok(cast);
    }
    let (before, after) = (array.to_f64_vec()?, cast.to_f64_vec()?);
    let is_lost = |(before, after): &(&f64, &f64)| before.is_finite() && !after.is_finite();
    match before.iter().zip(&after).filter(is_lost).count() {
        0 => Ok(cast),
        lost => Err(Failure::Said(format!(
            "{lost} of the {} values of {name} are too large for {dtype} and would become infinite; \
             convert to bf16, which reaches as far as f32, or to f32",
            before.len()
        ))),
    }
}

fn float(name: &str) -> Result<DType> {
    let known = name.parse::<DType>().ok().filter(|dtype| dtype.is_float());
    known.ok_or_else(|| {
        Failure::Said(format!("floats cannot be converted to '{name}'; use f32, f64, bf16 or f16"))
    })
}
