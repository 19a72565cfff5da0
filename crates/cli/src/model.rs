//! Devices and models by the names that flags and configurations give.

use std::path::{Path, PathBuf};

use ferrotape::backend::meta::Meta;
use ferrotape::prelude::*;
use ferrotape::train::{Precision, RunConfig, RunData, RunFolder, load_model, recipe};

use crate::error::{Failure, Result};
use crate::say::say;

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

/// More threads than this are a slip of the finger, and starting them takes minutes.
const MOST_THREADS: usize = 512;

/// Refuses a number of threads that no machine computes faster with.
pub(crate) fn check_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(count) if count > MOST_THREADS => Err(Failure::Said(format!(
            "threads is {count}; give at most {MOST_THREADS}, best one a core (--threads)"
        ))),
        _ => Ok(()),
    }
}

/// Opens a device.
pub(crate) fn open(name: &str, threads: Option<usize>) -> Result<Device> {
    check_threads(threads)?;
    // A run can be repeated to the bit, on a GPU too.
    let options = DeviceOptions { threads, deterministic: true, ..DeviceOptions::default() };
    Ok(Device::open_with(name, options)?)
}

/// The shape `[C, H, W]` of the images that a configuration shows its model: of the size that it was made for,
/// unless another is named, which not every model takes.
pub(crate) fn image_shape(config: &RunConfig) -> Result<[usize; 3]> {
    let entry = zoo::find(&config.model)?;
    let Some(size) = config.size else { return Ok(entry.input) };
    let [channels, ..] = entry.input;
    let shape = [channels, size, size];
    let device = Device::new(Meta::new());
    let network = entry.build(&Init::new(&device, Rng::new(0)), entry.classes)?;
    let cx = Pass::eval(&device);
    let images = Array::zeros(&device, DType::F32, [1, channels, size, size])?;
    match network.scores(&cx, &cx.input(images)?) {
        Ok(_) => Ok(shape),
        Err(error) => {
            let [_, height, width] = entry.input;
            Err(Failure::Said(format!(
                "{} cannot be shown images of {size} x {size} pixels ({error}); it was made for {height} x \
                 {width}: leave --size away, or give a larger one",
                config.model
            )))
        }
    }
}

/// Refuses images of another size than the model takes.
pub(crate) fn check_images(config: &RunConfig, data: &RunData) -> Result<()> {
    let wants = image_shape(config)?;
    for (which, images) in [("training", &data.train), ("test", &data.test)] {
        let has = images.image_shape();
        if wants != has {
            return Err(Failure::Said(format!(
                "{} takes images of {wants:?} (channels, height, width), but the {which} data \
                 are of {has:?}; give data of that size (--data)",
                config.model
            )));
        }
    }
    Ok(())
}

/// A freshly initialised model for the data.
pub(crate) fn build(
    config: &RunConfig,
    device: &Device,
    data: &RunData,
) -> Result<Box<dyn Classifier>> {
    check_images(config, data)?;
    blank(config, device, data.train.classes().len())
}

/// A model of a number of classes, with the weights that the seed gives; if others are to follow from
/// a file, as torchvision's constructor makes it for them.
pub(crate) fn blank(
    config: &RunConfig,
    device: &Device,
    classes: usize,
) -> Result<Box<dyn Classifier>> {
    let dtype = Precision::of(config)?.parameters;
    let init = Init::new(device, Rng::new(config.seed)).dtype(dtype);
    let entry = zoo::find(&config.model)?;
    Ok(match config.weights {
        Some(_) => entry.build_for_weights(&init, classes)?,
        None => entry.build(&init, classes)?,
    })
}

/// Flags that say which weights a model begins with.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Weights {
    /// A file of weights: safetensors, or a state dict that torch.save wrote (.pth, .pt).
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Names that the weights are not taken for, with `*` for any characters, such as "fc.*" when
    /// the classes are others. May be given several times.
    #[arg(long, value_name = "PATTERN", requires = "weights")]
    pub(crate) except: Vec<String>,
}

impl Weights {
    /// The file that was given, as a configuration names it: in text.
    pub(crate) fn named(&self) -> Result<Option<String>> {
        let Some(file) = &self.weights else { return Ok(None) };
        let name = file.to_str().ok_or_else(|| {
            Failure::Said(format!(
                "the name {} is no text in UTF-8, and a configuration could not hold it; rename the file",
                file.display()
            ))
        })?;
        Ok(Some(name.to_owned()))
    }
}

/// Gives a model the weights of the configuration, if it names any, and says what it left out.
pub(crate) fn load_weights(
    network: &dyn Classifier,
    device: &Device,
    config: &RunConfig,
) -> Result<()> {
    let Some(file) = &config.weights else { return Ok(()) };
    let loaded = ferrotape::train::load_weights(network, device, file.as_ref(), &config.except);
    let loaded = loaded.map_err(|error| advised(error, network))?;
    for (names, said) in [
        (&loaded.missing, "keep the values that the seed gives"),
        (&loaded.unexpected, "of the file are not used"),
    ] {
        if !names.is_empty() {
            say!("note: {} {said}", few(names));
        }
    }
    Ok(())
}

/// The first names, and how many more there are.
fn few(names: &[String]) -> String {
    let shown = names[..names.len().min(4)].join(", ");
    match names.len().saturating_sub(4) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Weights for other classes are the commonest misfit, and the answer to it is a flag.
fn advised(error: ferrotape::train::Error, network: &dyn Classifier) -> Failure {
    let last = network.named_parameters().pop().map(|(name, _)| name).unwrap_or_default();
    let layer = last.rsplit_once('.').map_or("", |(layer, _)| layer);
    let text = error.to_string();
    let misfit = format!("{last} is [");
    if layer.is_empty() || !text.contains(&misfit) {
        return error.into();
    }
    Failure::Said(format!(
        "{text}; for weights of other classes leave the last layer out with --except \"{layer}.*\", or, with \
         predict, give their number with --classes"
    ))
}

/// Says so if the weights are those of a run, whose folder tells more than its weights alone do.
fn note_run(weights: &Weights) {
    let folder = weights.weights.as_deref().and_then(Path::parent);
    if let Some(folder) = folder
        && RunFolder::open(folder).and_then(|run| run.read_config()).is_ok()
    {
        say!(
            "note: these are the weights of a run; name its folder, {}, instead of a model to have \
             its classes and its normalisation too",
            folder.display()
        );
    }
}

/// What a model with weights of others is used with: images of the size that it was made for.
pub(crate) fn of_others(name: &str) -> RunConfig {
    RunConfig { size: None, ..recipe(name) }
}

/// A model of the zoo with the weights of a file, on this call's machine.
pub(crate) fn with_weights(
    name: &str,
    weights: &Weights,
    machine: &Machine,
    classes: usize,
) -> Result<(RunConfig, Device, Box<dyn Classifier>)> {
    zoo::find(name)?;
    note_run(weights);
    let recipe = of_others(name);
    let config = RunConfig {
        threads: machine.threads,
        device: machine.device.clone().unwrap_or(recipe.device),
        dtype: machine.dtype.clone().unwrap_or(recipe.dtype),
        weights: weights.named()?,
        except: weights.except.clone(),
        ..recipe
    };
    config.validate()?;
    let device = open(&config.device, config.threads)?;
    let model = blank(&config, &device, classes)?;
    load_weights(&*model, &device, &config)?;
    Ok((config, device, model))
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
