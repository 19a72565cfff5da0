//! The effective configuration of a run: what is trained, after defaults and recipe, as flat TOML.
//!
//! The keys are the command's long flags with `_` for `-` (`--lr` is `learning_rate`), but for those that say where a
//! run is kept and what is told of it. The file saved
//! with a run says everything that the run depended on, defaults included.

mod names;
mod sentences;

use std::path::Path;

use ferrotape_data::{Form, Mixing, Normalise};
use serde::{Deserialize, Serialize};

use crate::reading::{MOST_OF_A_CONFIG, read_text};
use crate::recipe::recipe_for;
use crate::{Error, Result};
use sentences::{unknown_key, unreadable};

pub use names::{Keep, OptimizerName, ScheduleName};

/// The largest number that TOML has for sure, on every machine: its integers end at 2^63 - 1.
const MOST: usize = isize::MAX as usize;

/// What a run was told to do.
///
/// Two runs with equal configurations give equal figures, to the last digit, on any number of
/// `threads` of one kind of processor. A key that a file leaves out has the value of the model's [recipe](crate::recipe_for).
///
/// ```
/// use ferrotape_train::RunConfig;
///
/// let config = RunConfig::from_toml("model = 'lenet5'\nepochs = 3").unwrap();
/// assert_eq!(config.epochs, 3);
/// assert_eq!(config.batch_size, RunConfig::default().batch_size);
/// assert_eq!(RunConfig::from_toml(&config.to_toml()).unwrap(), config);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunConfig {
    /// Name of the model in the zoo.
    pub model: String,
    /// The data: `mnist` for the bundled digits, `synthetic` for made-up images, otherwise a folder.
    pub data: String,
    /// The form of the data in the folder, by the name of a [`Form`]; absent
    /// if it is to be told from the files, or there is no folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The device, by the name that opens it, such as `cpu`.
    pub device: String,
    /// The type that convolutions and matrix products compute in: `f32`, `bf16` and so on.
    pub dtype: String,
    /// Threads to compute on; absent for one a core. Changes the speed, never a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of the initial weights, the order of the data and all other random draws; below 2^63,
    /// which is TOML's limit.
    pub seed: u64,
    /// Passes over the training data.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// The rule that steps the weights.
    pub optimizer: OptimizerName,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Momentum of SGD, in `[0, 1)`; Adam has its own two, which stay at 0.9 and 0.999.
    pub momentum: f64,
    /// Whether SGD looks ahead (Nesterov 1983).
    pub nesterov: bool,
    /// Weight decay, which is an L2 penalty of half its size; decoupled with AdamW, added to the gradient
    /// otherwise.
    pub weight_decay: f64,
    /// Patterns of the names of parameters without weight decay and L1 penalty, such as `*.bias`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_decay: Vec<String>,
    /// The factor of the sum of the absolute values of the parameters, which is added to the loss.
    pub l1: f64,
    /// Factors of the learning rate for the parameters whose names fit: `PATTERN=FACTOR`. The last that fits
    /// counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lr_factor: Vec<String>,
    /// The largest norm of all gradients together; 0 for any.
    pub clip_norm: f64,
    /// The largest absolute value of an element of a gradient; 0 for any.
    pub clip_value: f64,
    /// Batches of which the gradients are averaged for a step.
    pub accumulate: usize,
    /// The share of probability that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// The decay of the moving average of the weights, such as 0.999, which is what is tested and written
    /// then; 0 for no average.
    pub ema: f64,
    /// How the learning rate changes over the run.
    pub schedule: ScheduleName,
    /// Epochs, or a part of one, over which the learning rate rises from 0 to its peak.
    pub warmup_epochs: f64,
    /// The factor of a drop, of the schedules that have drops.
    pub gamma: f64,
    /// Epochs from one drop to the next, of the schedule `step`.
    pub step_epochs: usize,
    /// Epochs without a lower validation loss before a drop, of the schedule `plateau`.
    pub patience: usize,
    /// The share of the training images, of each class alike, that is not trained on but looked at after each
    /// epoch; 0 for none.
    pub validation: f64,
    /// Epochs without a lower validation loss after which the run ends; 0 for never.
    pub early_stop: usize,
    /// Which epoch's weights the run ends with.
    pub keep: Keep,
    /// Pixels by which each training image is shifted at random, at most, in either direction.
    pub translate: usize,
    /// Whether each training image is mirrored from left to right in half of the epochs.
    pub flip: bool,
    /// The largest angle in degrees by which each training image is turned.
    pub rotate: f64,
    /// How much larger or smaller each training image is shown at most: 0.1 for 0.9 to 1.1 times its size.
    pub zoom: f64,
    /// The least share of its area that is cut out of each training image and shown in its place; 0 for none.
    pub resized_crop: f64,
    /// How much brightness, contrast and saturation of each training image change, at most: 0.4 for factors
    /// from 0.6 to 1.4.
    pub jitter: f64,
    /// The probability that a rectangle of a training image is erased.
    pub erase: f64,
    /// The alpha of mixup, which shows pairs of images mixed; 0 for none.
    pub mixup: f64,
    /// The alpha of CutMix, which shows a part of one image in another; 0 for none.
    pub cutmix: f64,
    /// The side in pixels of the images that the model gets to see, to which all are scaled; absent for the
    /// size that the model was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Whether pictures of a folder that cannot be read are left out and named, in place of ending the run.
    pub skip_broken: bool,
    /// Into how many folds the training images are cut, of which one is set aside for validation; 0 for none.
    pub folds: usize,
    /// Which of the folds that is, counted from 1.
    pub fold: usize,
    /// Train on the first so many images only; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Batches from one checkpoint to the next; absent for one at the end of each epoch alone. There always is
    /// one at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<usize>,
    /// Whether event files for TensorBoard are written: scalars, histograms of the weights, filters, the graph.
    pub tensorboard: bool,
    /// The file of the weights to begin with; absent for those that the seed gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Patterns of the names that keep what the seed gives although there are weights, such as
    /// `fc.*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Patterns of the names that training leaves as they are; norms under them stay in evaluation
    /// mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// The mean of each channel, in `[0, 1]`, by which the run's images are normalised. A
    /// [run](crate::Run) writes it down; a run of before it did so had MNIST's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// The standard deviation of each channel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// The names of the classes, in the order of the model's scores. A [run](crate::Run) writes them
    /// down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            data: "mnist".into(),
            format: None,
            device: "cpu".into(),
            dtype: "f32".into(),
            threads: None,
            seed: 42,
            epochs: 12,
            batch_size: 64,
            optimizer: OptimizerName::Adam,
            learning_rate: 1e-3,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            no_decay: Vec::new(),
            l1: 0.0,
            lr_factor: Vec::new(),
            clip_norm: 0.0,
            clip_value: 0.0,
            accumulate: 1,
            label_smoothing: 0.0,
            ema: 0.0,
            schedule: ScheduleName::Cosine,
            warmup_epochs: 0.0,
            gamma: 0.1,
            step_epochs: 30,
            patience: 5,
            validation: 0.0,
            early_stop: 0,
            keep: Keep::Last,
            translate: 0,
            flip: false,
            rotate: 0.0,
            zoom: 0.0,
            resized_crop: 0.0,
            jitter: 0.0,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            size: None,
            skip_broken: false,
            folds: 0,
            fold: 1,
            limit: None,
            checkpoint_every: None,
            tensorboard: false,
            weights: None,
            except: Vec::new(),
            freeze: Vec::new(),
            mean: Vec::new(),
            std: Vec::new(),
            classes: Vec::new(),
        }
    }
}

impl RunConfig {
    /// Reads a configuration and [validates](Self::validate) it.
    ///
    /// # Errors
    ///
    /// If the text is not TOML, has an unknown key (the nearest known one is named) or a value of
    /// the wrong kind, or does not validate.
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// let error = RunConfig::from_toml("model = 'lenet5'\nbatch-sise = 64").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "unknown key `batch-sise` in the configuration; did you mean `batch_size`?"
    /// );
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        // Unknown keys are looked for first: a mistyped key is a better answer than the complaint
        // about what it leaves undone.
        let unreadable = |error| wrong(unreadable(text, &error));
        let table: toml::Table = toml::from_str(text).map_err(unreadable)?;
        let known = Self::known_keys();
        if let Some(unknown) = table.keys().find(|key| !known.contains(key)) {
            return Err(wrong(unknown_key(unknown, &known)));
        }
        let given: Self = toml::from_str(text).map_err(unreadable)?;
        // What is left open is the model's recipe, as it is on the command line.
        let mut whole: toml::Table =
            toml::from_str(&recipe_for(&given.model, &given.data).to_toml()).map_err(unreadable)?;
        whole.extend(table);
        let config: Self = whole.try_into().map_err(unreadable)?;
        config.validate()?;
        Ok(config)
    }

    /// Reads a configuration file, as [`from_toml`](Self::from_toml) reads its text.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and as for the text; either names the file.
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// let error = RunConfig::read("no/such.toml".as_ref()).unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read no/such.toml: it does not exist"));
    /// ```
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, MOST_OF_A_CONFIG)?;
        Self::from_toml(&text).map_err(|error| match error {
            Error::Config { message, .. } => Error::Config { path: Some(path.into()), message },
            other => other,
        })
    }

    /// The configuration as TOML, one `key = value` a line, for [`from_toml`](Self::from_toml).
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// let config = RunConfig { model: "lenet5".into(), ..Default::default() };
    /// assert!(config.to_toml().starts_with("model = \"lenet5\"\n"));
    /// ```
    pub fn to_toml(&self) -> String {
        // A value that `validate` refuses must still print.
        let mut printable = Self { seed: self.seed.min(MOST as u64), ..self.clone() };
        printable.counts().into_iter().for_each(|(_, count)| *count = (*count).min(MOST));
        toml::to_string(&printable)
            .expect("the configuration is flat: text, numbers, names and lists of text")
    }

    /// Whether training images are set aside and looked at after each epoch.
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// assert!(!RunConfig::default().validates());
    /// assert!(RunConfig { folds: 5, ..RunConfig::default() }.validates());
    /// ```
    #[must_use]
    pub fn validates(&self) -> bool {
        self.validation > 0.0 || self.folds > 0
    }

    /// Checks what the types allow but no run can do.
    ///
    /// # Errors
    ///
    /// For no model, a number outside of what its key allows, `except` without weights, what looks at a
    /// validation loss without any validation, a form of data that there is not, means and deviations that
    /// nothing can be normalised by.
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// let config = RunConfig { model: "lenet5".into(), epochs: 0, ..Default::default() };
    /// let error = config.validate().unwrap_err();
    /// assert_eq!(error.to_string(), "epochs is 0, which trains nothing; give 1 or more");
    /// ```
    pub fn validate(&self) -> Result<()> {
        let name = |key: &str, value: &str, such_as: &str| match value.trim() {
            "" => Err(wrong(format!("{key} is missing; name one, such as \"{such_as}\""))),
            _ => Ok(()),
        };
        name("model", &self.model, "lenet5")?;
        name("data", &self.data, "mnist")?;
        name("device", &self.device, "cpu")?;
        name("dtype", &self.dtype, "f32")?;

        for (key, value, does) in [
            ("epochs", self.epochs, "trains nothing"),
            ("batch_size", self.batch_size, "trains nothing"),
            ("threads", self.threads.unwrap_or(1), "computes nothing"),
            ("limit", self.limit.unwrap_or(1), "trains nothing"),
            ("size", self.size.unwrap_or(1), "shows nothing"),
            ("fold", self.fold, "is none, as they are counted from 1"),
            ("checkpoint_every", self.checkpoint_every.unwrap_or(1), "never comes"),
            ("accumulate", self.accumulate, "never takes a step"),
            ("step_epochs", self.step_epochs, "drops without end"),
            ("patience", self.patience, "drops after every epoch"),
        ] {
            if value == 0 {
                return Err(wrong(format!("{key} is 0, which {does}; give 1 or more")));
            }
        }

        let seed = ("seed", self.seed);
        let counts =
            self.clone().counts().into_iter().map(|(key, &mut n)| (key, n as u64)).collect();
        for (key, value) in [vec![seed], counts].concat() {
            if value > MOST as u64 {
                return Err(wrong(format!("{key} is {value}; give a number below 2^63")));
            }
        }

        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("warmup_epochs", self.warmup_epochs),
            ("gamma", self.gamma),
            ("l1", self.l1),
            ("clip_norm", self.clip_norm),
            ("clip_value", self.clip_value),
            ("rotate", self.rotate),
            ("jitter", self.jitter),
            ("mixup", self.mixup),
            ("cutmix", self.cutmix),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(wrong(format!("{key} is {value}; give a number that is 0 or more")));
            }
        }
        for (key, value) in [
            ("momentum", self.momentum),
            ("label_smoothing", self.label_smoothing),
            ("ema", self.ema),
            ("validation", self.validation),
            ("zoom", self.zoom),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(wrong(format!(
                    "{key} is {value}; give a number from 0 up to, but not, 1"
                )));
            }
        }
        for (key, value) in [("resized_crop", self.resized_crop), ("erase", self.erase)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(wrong(format!("{key} is {value}; give a number from 0 to 1")));
            }
        }
        for (key, looks) in [
            ("early_stop", self.early_stop > 0),
            ("keep", self.keep == Keep::Best),
            ("schedule", self.schedule == ScheduleName::Plateau),
        ] {
            if looks && !self.validates() {
                return Err(wrong(format!(
                    "{key} looks at the validation loss, and nothing is set aside for validation; give a \
                     share of the training images, such as validation = 0.1"
                )));
            }
        }
        if self.folds == 1 || (self.folds > 1 && self.fold > self.folds) {
            return Err(wrong(format!(
                "fold is {} of {} folds; give at least 2 folds, and one of them",
                self.fold, self.folds
            )));
        }
        if self.folds > 0 && self.validation > 0.0 {
            return Err(wrong(format!(
                "folds and validation both set training images aside ({} folds, a share of {}); give one of \
                 them",
                self.folds, self.validation
            )));
        }
        if self.nesterov && (self.optimizer != OptimizerName::Sgd || self.momentum == 0.0) {
            return Err(wrong(
                "nesterov is a form of SGD's momentum; take SGD with momentum, or no nesterov"
                    .into(),
            ));
        }
        self.lr_factors()?;
        if self.weights.is_none() && !self.except.is_empty() {
            return Err(wrong(
                "except leaves out a part of the weights, and there are none; give weights, or \
                 leave except away"
                    .into(),
            ));
        }
        if let Some(format) = &self.format {
            format.parse::<Form>().map_err(|error| wrong(format!("format: {error}")))?;
        }
        let is_usable = |std: &f32| std.is_finite() && *std > 0.0;
        if self.mean.len() != self.std.len()
            || !self.mean.iter().all(|mean| mean.is_finite())
            || !self.std.iter().all(is_usable)
        {
            return Err(wrong(format!(
                "mean is {:?} and std is {:?}; give a number and a positive number for each \
                 channel, or leave both away",
                self.mean, self.std
            )));
        }
        Ok(())
    }

    /// How the images of a batch are mixed.
    ///
    /// ```
    /// let config = ferrotape_train::RunConfig { mixup: 0.2, ..Default::default() };
    /// assert!(config.mixing().is_any());
    /// ```
    #[must_use]
    pub fn mixing(&self) -> Mixing {
        Mixing { mixup: self.mixup, cutmix: self.cutmix }
    }

    /// The patterns and factors of [`lr_factor`](Self::lr_factor).
    pub(crate) fn lr_factors(&self) -> Result<Vec<(&str, f64)>> {
        let parsed = self.lr_factor.iter().map(|text| {
            let (pattern, factor) = text.rsplit_once('=')?;
            let factor: f64 = factor.trim().parse().ok()?;
            (factor >= 0.0 && factor.is_finite()).then_some((pattern.trim(), factor))
        });
        parsed
            .zip(&self.lr_factor)
            .map(|(parsed, text)| {
                parsed.ok_or_else(|| {
                    wrong(format!(
                        "lr_factor is '{text}'; give a pattern of names and a factor of at least 0, such as \
                         'layer1.*=0.1'"
                    ))
                })
            })
            .collect()
    }

    /// The mean and deviation that a run has written down, if it has.
    ///
    /// ```
    /// use ferrotape_data::Normalise;
    /// use ferrotape_train::RunConfig;
    ///
    /// let config = RunConfig::from_toml("model = 'lenet5'\nmean = [0.5]\nstd = [0.25]").unwrap();
    /// assert_eq!(config.normalise(), Some(Normalise { mean: vec![0.5], std: vec![0.25] }));
    /// assert_eq!(RunConfig::default().normalise(), None);
    /// ```
    pub fn normalise(&self) -> Option<Normalise> {
        let written = !self.mean.is_empty();
        written.then(|| Normalise { mean: self.mean.clone(), std: self.std.clone() })
    }

    /// The keys and values as text, in the order of the file, for a table of them.
    ///
    /// ```
    /// use ferrotape_train::RunConfig;
    ///
    /// let config = RunConfig { model: "lenet5".into(), ..Default::default() };
    /// assert_eq!(config.entries()[0], ("model".into(), "lenet5".into()));
    /// ```
    pub fn entries(&self) -> Vec<(String, String)> {
        let text = self.to_toml();
        let table: toml::Table = toml::from_str(&text).expect("we wrote this TOML ourselves");
        // The table is sorted by key; the text has the order in which the keys belong together.
        text.lines()
            .filter_map(|line| line.split_once(" = "))
            .filter_map(|(key, _)| table.get(key).map(|value| (key.to_owned(), plain(value))))
            .collect()
    }

    /// The keys that count something, with their values.
    fn counts(&mut self) -> Vec<(&'static str, &mut usize)> {
        let always = [
            ("epochs", &mut self.epochs),
            ("batch_size", &mut self.batch_size),
            ("accumulate", &mut self.accumulate),
            ("step_epochs", &mut self.step_epochs),
            ("patience", &mut self.patience),
            ("early_stop", &mut self.early_stop),
            ("translate", &mut self.translate),
            ("folds", &mut self.folds),
            ("fold", &mut self.fold),
        ];
        let if_given = [
            ("threads", &mut self.threads),
            ("size", &mut self.size),
            ("limit", &mut self.limit),
            ("checkpoint_every", &mut self.checkpoint_every),
        ];
        let given = if_given.into_iter().filter_map(|(key, count)| Some((key, count.as_mut()?)));
        always.into_iter().chain(given).collect()
    }

    /// Every key there is, including those that are left out of the file when absent.
    fn known_keys() -> Vec<String> {
        Self::with_all_keys().entries().into_iter().map(|(key, _)| key).collect()
    }

    /// A configuration that leaves no key out of its file.
    fn with_all_keys() -> Self {
        Self {
            threads: Some(1),
            size: Some(1),
            limit: Some(1),
            checkpoint_every: Some(1),
            weights: Some("w.pth".into()),
            except: vec!["fc.*".into()],
            freeze: vec!["conv1.*".into(), "bn1.*".into()],
            no_decay: vec!["*.bias".into()],
            lr_factor: vec!["fc.*=10".into()],
            format: Some("idx".into()),
            mean: vec![0.130_660_48, 0.1],
            std: vec![0.308_107_8, f32::MIN_POSITIVE],
            classes: vec!["a \"cat\" = [\n".into(), "dog".into()],
            ..Self::default()
        }
    }
}

/// A value without TOML's quotes.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn wrong(message: String) -> Error {
    Error::Config { path: None, message }
}

#[cfg(test)]
mod tests;
