//! `ferrotape train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use ferrotape::backend::meta::Meta;
use ferrotape::prelude::*;
use ferrotape::train::progress::{Reporter, for_console};
use ferrotape::train::report::Environment;
use ferrotape::train::{
    FinalRecord, Precision, RateRange, Run, RunConfig, RunData, RunFolder, Stop, Trainer, format,
    recipe_source, train_loader, write_atomically,
};
use serde_json::json;

use crate::error::{Failure, Result, STOPPED};
use crate::say::say;
use crate::shown::stdout;
use crate::{choices, data, model, output, plan, summary};

/// Flags of `train`. Those that are not given are the model's recipe.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model, such as lenet5.
    #[arg(required_unless_present_any = ["config", "resume"], conflicts_with = "config")]
    model: Option<String>,
    /// A file with the configuration, such as that of a run, which is repeated so; flags go before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with the run of this folder where it was interrupted. All but --threads and --json is as it
    /// was then.
    #[arg(long, value_name = "RUN", conflicts_with_all = ALL)]
    resume: Option<PathBuf>,
    #[command(flatten)]
    source: data::Source,
    /// Folder to write to, missing or empty [default: runs/MODEL-N].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Passes over the training data.
    #[arg(long)]
    epochs: Option<usize>,
    /// Images a step.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Seed of weights, data order and augmentation.
    #[arg(long)]
    seed: Option<u64>,
    /// Train on the first so many images only; of class folders, on so many that the seed draws.
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    /// Write a checkpoint every so many batches too, not only after each epoch.
    #[arg(long, value_name = "BATCHES")]
    checkpoint_every: Option<usize>,
    /// Write event files for TensorBoard into the run's folder (tensorboard --logdir runs).
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    weights: model::Weights,
    /// Names that training leaves as they are, with `*` for any characters, such as "layer1.*";
    /// norms whose statistics fit stay in evaluation mode. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    #[command(flatten)]
    machine: model::Machine,
    /// Say what would be trained, on what, and what it takes, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Try learning rates from 1e-7 up to 10, one a batch, until the loss runs away, draw the loss over them into an
    /// SVG file, name a good one, and train nothing else.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "learning-rate.svg")]
    find_lr: Option<PathBuf>,
    /// Print one JSON object a line instead of progress.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choices: choices::Choices,
}

/// The flags that say what a run is.
const ALL: [&str; 52] = [
    "model",
    "config",
    "data",
    "format",
    "out",
    "epochs",
    "batch_size",
    "lr",
    "seed",
    "limit",
    "checkpoint_every",
    "tensorboard",
    "weights",
    "except",
    "freeze",
    "device",
    "dtype",
    "dry_run",
    "find_lr",
    "size",
    "skip_broken",
    "folds",
    "fold",
    "optimizer",
    "momentum",
    "nesterov",
    "weight_decay",
    "no_decay",
    "l1",
    "lr_factor",
    "schedule",
    "warmup_epochs",
    "gamma",
    "step_epochs",
    "patience",
    "clip_norm",
    "clip_value",
    "accumulate",
    "label_smoothing",
    "ema",
    "validation",
    "early_stop",
    "keep",
    "translate",
    "flip",
    "rotate",
    "zoom",
    "resized_crop",
    "jitter",
    "erase",
    "mixup",
    "cutmix",
];

impl Arguments {
    fn config(&self) -> Result<RunConfig> {
        let base = match (&self.config, &self.model) {
            (Some(file), _) => RunConfig::read(file)?,
            (None, model) => self.source.recipe(model.as_deref().unwrap_or_default()),
        };
        // The model's name is checked first: it is the likeliest thing to be mistyped.
        zoo::find(&base.model)?;
        let mut base = self.source.over(base);
        if self.source.data.is_some() {
            // What a run noted of its data is not true of other data.
            (base.mean, base.std, base.classes) = (Vec::new(), Vec::new(), Vec::new());
        }
        let given = |flags: &[String], base: Vec<String>| match flags {
            [] => base,
            flags => flags.to_vec(),
        };
        let weights = self.weights.named()?;
        let base = self.choices.over(base);
        let config = RunConfig {
            epochs: self.epochs.unwrap_or(base.epochs),
            batch_size: self.batch_size.unwrap_or(base.batch_size),
            learning_rate: self.lr.unwrap_or(base.learning_rate),
            seed: self.seed.unwrap_or(base.seed),
            limit: self.limit.or(base.limit),
            checkpoint_every: self.checkpoint_every.or(base.checkpoint_every),
            tensorboard: self.tensorboard || base.tensorboard,
            device: self.machine.device.clone().unwrap_or(base.device),
            dtype: self.machine.dtype.clone().unwrap_or(base.dtype),
            threads: self.machine.threads.or(base.threads),
            weights: weights.or(base.weights),
            except: given(&self.weights.except, base.except),
            freeze: given(&self.freeze, base.freeze),
            ..base
        };
        config.validate()?;
        Precision::of(&config)?;
        Ok(config)
    }
}

/// Trains, and writes the run folder.
pub(crate) fn run(arguments: &Arguments, started: Instant) -> Result<()> {
    match &arguments.resume {
        Some(folder) => resume(folder, arguments, started),
        None => begin(arguments, started).map_err(data::or_skip),
    }
}

fn begin(arguments: &Arguments, started: Instant) -> Result<()> {
    let mut config = arguments.config()?;
    if let Some(file) = &arguments.find_lr {
        output::check(file, "svg", "a curve in SVG")?;
    }
    let device = model::open(&config.device, config.threads)?;
    let normalise = config.normalise();
    let data = data::load(&mut config, normalise)?;
    data::check_classes(&config, &data)?;
    if let Some(file) = &arguments.find_lr {
        return find_rate(&config, &device, &data, file, arguments.json);
    }
    if arguments.choices.trains_all_folds(&config) && !arguments.dry_run {
        return folds(config, &device, &data, arguments, started);
    }
    if arguments.dry_run {
        model::check_images(&config, &data)?;
        check_weights(&config, &data)?;
        note_recipe(&config);
        return plan::show(&config, &data, arguments.json);
    }
    let network = model::build(&config, &device, &data)?;
    model::load_weights(&*network, &device, &config)?;
    data::check_test_pictures(&data, &config)?;
    let folder = RunFolder::create(arguments.out.as_deref(), &config.model)?;
    note_recipe(&config);
    let job = Job { network: &*network, device: &device, config: &config, data: &data, folder };
    job.run(arguments.json, started, Run::execute).map(|_| ())
}

/// Says of a recipe that it never ran on the data that it was made for. It is a recipe for training from the
/// first weights on.
fn note_recipe(config: &RunConfig) {
    if config.weights.is_none()
        && let Some(source) = recipe_source(&config.model)
    {
        say!("note: the recipe of {} {source}", config.model);
    }
}

/// Says what is wrong with the weights that a run would begin with, on the device that has shapes alone.
fn check_weights(config: &RunConfig, data: &RunData) -> Result<()> {
    let device = Device::new(Meta::new());
    let network = model::blank(config, &device, data.train.classes().len())?;
    model::load_weights(&*network, &device, config)
}

/// Draws the loss over the learning rate.
fn find_rate(
    config: &RunConfig,
    device: &Device,
    data: &RunData,
    file: &Path,
    as_json: bool,
) -> Result<()> {
    let network = model::build(config, device, data)?;
    model::load_weights(&*network, device, config)?;
    let loader = train_loader(data, config)?;
    let trainer = Trainer::new(&*network, device, config, loader.batches())?;
    let curve = trainer.find_rate(&loader, RateRange::default())?;
    write_atomically(file, curve.svg()?.as_bytes())?;
    let mut out = stdout();
    if as_json {
        let points: Vec<_> = curve.points.iter().map(|p| (p.rate, p.loss, p.smoothed)).collect();
        let line = json!({ "event": "rates", "suggestion": curve.suggestion(), "points": points });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    match curve.suggestion() {
        Some(rate) => writeln!(
            out,
            "The loss falls most steeply at a learning rate of {}: --lr {}",
            format::setting(rate),
            format::setting(rate)
        )?,
        None => writeln!(out, "The loss falls at no learning rate; look at the curve.")?,
    }
    writeln!(out, "Curve: {}", file.display())?;
    Ok(())
}

/// Cross-validation: a run for each fold, in folders of their own, and what they have in common.
fn folds(
    config: RunConfig,
    device: &Device,
    data: &RunData,
    arguments: &Arguments,
    started: Instant,
) -> Result<()> {
    data::check_test_pictures(data, &config)?;
    let whole = RunFolder::create(arguments.out.as_deref(), &format!("{}-folds", config.model))?;
    note_recipe(&config);
    let mut accuracies = Vec::new();
    for fold in 1..=config.folds {
        let config = RunConfig { fold, ..config.clone() };
        let network = model::build(&config, device, data)?;
        model::load_weights(&*network, device, &config)?;
        let path = whole.path().join(format!("fold-{fold}"));
        let folder = RunFolder::create(Some(&path), &config.model)?;
        let job = Job { network: &*network, device, config: &config, data, folder };
        let began = if fold == 1 { started } else { Instant::now() };
        let record = job.run(arguments.json, began, Run::execute)?;
        accuracies.extend(record.validation_accuracy);
    }
    let count = accuracies.len() as f64;
    let mean = accuracies.iter().sum::<f64>() / count;
    let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
    let mut out = stdout();
    if arguments.json {
        let line = json!({
            "event": "folds",
            "validation_accuracies": accuracies,
            "mean": mean,
            "deviation": deviation,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{} folds: validation accuracy {} on average, with a standard deviation of {}; the runs are in {}",
        config.folds,
        format::percent(mean),
        format::percent(deviation),
        whole.path().display()
    )?;
    Ok(())
}

fn resume(path: &Path, arguments: &Arguments, started: Instant) -> Result<()> {
    // One that is finished is looked at only.
    if let Ok(run) = RunFolder::open(path)
        && let Some(record) = run.finished()?
    {
        if arguments.json {
            let mut reporter = for_console(true);
            reporter.finished(&record, path);
            return reporter.failure().map_or(Ok(()), |cause| Err(cause.into()));
        }
        let [place, accuracy] = [path.display().to_string(), format::percent(record.test_accuracy)];
        writeln!(
            stdout(),
            "The run in {place} is finished, with {accuracy} test accuracy; there is nothing to go on with."
        )?;
        return Ok(());
    }
    if path.join("fold-1").is_dir() && !path.join("config.toml").exists() {
        return Err(Failure::Said(format!(
            "{} has the runs of a cross-validation, one in each of its folders fold-1, fold-2 and so on; resume \
             the one that did not end, and train those that are missing (--fold N)",
            path.display()
        )));
    }
    let folder = RunFolder::resume(path)?;
    let mut config = folder.read_config()?;
    config.threads = arguments.machine.threads.or(config.threads);
    let device = model::open(&config.device, config.threads)?;
    let normalise = config.normalise();
    let data = data::load(&mut config, normalise).map_err(data::of_resumed)?;
    data::check_classes(&config, &data)?;
    model::check_images(&config, &data)?;
    let network = model::blank(&config, &device, data.train.classes().len())?;
    let job = Job { network: &*network, device: &device, config: &config, data: &data, folder };
    job.run(arguments.json, started, Run::resume).map(|_| ())
}

/// All that a run is made of.
struct Job<'a> {
    network: &'a dyn Classifier,
    device: &'a Device,
    config: &'a RunConfig,
    data: &'a RunData,
    folder: RunFolder,
}

/// [`Run::execute`] or [`Run::resume`].
type Go<'a> = fn(
    Run<'a>,
    &RunData,
    &mut RunFolder,
    &mut dyn Reporter,
) -> ferrotape::train::Result<FinalRecord>;

impl<'a> Job<'a> {
    fn run(mut self, json: bool, started: Instant, go: Go<'a>) -> Result<FinalRecord> {
        let mut reporter = for_console(json);
        let run = Run {
            model: self.network,
            device: self.device,
            config: self.config,
            environment: environment(self.config),
            layers: summary::rows(
                &self.config.model,
                self.data.test.classes().len(),
                self.data.test.image_shape(),
            )?,
            started,
            stop: listen()?,
        };
        let record = match go(run, self.data, &mut self.folder, &mut *reporter) {
            Ok(record) => record,
            Err(stopped @ ferrotape::train::Error::Stopped { .. }) => {
                return Err(Failure::Stopped(stopped.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        match reporter.failure() {
            None => Ok(record),
            Some(cause) => Err(Failure::Said(format!(
                "the run is finished and in {}, but not all of its progress could be written to the \
                 standard output: {cause}; free some space, or let the output go elsewhere",
                self.folder.path().display()
            ))),
        }
    }
}

/// Ctrl-C, and the signal that ends a process, ask the run to stop after its step. The second time ends it
/// at once, with the last checkpoint.
fn listen() -> Result<Stop> {
    // The runs of a cross-validation share one handler.
    static STOP: OnceLock<Stop> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let stop = STOP.get_or_init(Stop::default).clone();
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.ask() {
            std::process::exit(STOPPED);
        }
        say!("\nstopping after this step; once more to end at once");
    })
    .map_err(|cause| Failure::Said(format!("Ctrl-C cannot be listened to: {cause}")))?;
    Ok(stop)
}

fn environment(config: &RunConfig) -> Environment {
    Environment {
        cpu: crate::doctor::cpu_model(),
        threads: config.threads.unwrap_or_else(crate::doctor::cores),
        device: config.device.clone(),
        dtype: config.dtype.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    #[test]
    fn what_a_run_is_cannot_be_changed_when_it_is_gone_on_with() {
        let command = Arguments::augment_args(clap::Command::new("train"));
        let ids = command.get_arguments().map(|argument| argument.get_id().as_str());
        let free = ["resume", "threads", "json", "help", "version"];
        let said: Vec<&str> = ids.filter(|id| !free.contains(id)).collect();
        let mut missing: Vec<&&str> = said.iter().filter(|id| !ALL.contains(id)).collect();
        missing.extend(ALL.iter().filter(|id| !said.contains(id)));
        assert!(missing.is_empty(), "{missing:?}");
    }
}
