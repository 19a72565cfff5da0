//! Devices and models by the names that flags and configurations give.

use std::path::Path;

use ferrotape::prelude::*;
use ferrotape::train::{RunConfig, RunData, RunFolder, load_model};

use crate::error::{Failure, Result};

/// Flags that say where and in what to compute.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Machine {
    /// Threads to compute on [default: one a core]. Changes the speed, never a figure.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// The device, such as cpu.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// The type to compute in: f32, f64 or bf16.
    #[arg(long)]
    pub(crate) dtype: Option<String>,
}

/// Opens a device.
pub(crate) fn open(name: &str, threads: Option<usize>) -> Result<Device> {
    Ok(Device::open_with(name, DeviceOptions { threads })?)
}

/// A freshly initialised model for the data.
pub(crate) fn build(
    config: &RunConfig,
    device: &Device,
    data: &RunData,
) -> Result<Box<dyn Classifier>> {
    let entry = zoo::find(&config.model)?;
    let (wants, has) = (entry.input, data.train.image_shape());
    if wants != has {
        return Err(Failure::Said(format!(
            "{} takes images of {wants:?} (channels, height, width), the data have {has:?}",
            config.model
        )));
    }
    blank(config, device, data.train.classes().len())
}

/// A model of a number of classes, with the weights that the seed gives.
pub(crate) fn blank(
    config: &RunConfig,
    device: &Device,
    classes: usize,
) -> Result<Box<dyn Classifier>> {
    let dtype = match config.dtype.parse::<DType>()? {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let init = Init::new(device, Rng::new(config.seed)).dtype(dtype);
    Ok(zoo::build(&config.model, &init, classes)?)
}

/// The run in a folder: its configuration, with this call's machine, and its model on the device.
pub(crate) fn restore(
    path: &Path,
    machine: &Machine,
    classes: usize,
) -> Result<(RunConfig, Device, Box<dyn Classifier>)> {
    let folder = RunFolder::open(path)?;
    let saved = folder.read_config()?;
    let config = RunConfig {
        threads: machine.threads,
        device: machine.device.clone().unwrap_or(saved.device),
        dtype: machine.dtype.clone().unwrap_or(saved.dtype),
        ..saved
    };
    config.validate()?;
    let device = open(&config.device, config.threads)?;
    let model = blank(&config, &device, classes)?;
    load_model(&*model, &device, &folder)?;
    Ok((config, device, model))
}
