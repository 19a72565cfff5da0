//! Flags of `train` that say how a model learns: optimizer, schedule, penalties, validation, augmentation.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ferrotape::train::RunConfig;
use ferrotape::train::config::{Keep, OptimizerName, ScheduleName};

/// A parser of the names in a list.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|(name, _)| *name)).map(move |given: String| {
        let found = all.iter().find(|(name, _)| *name == given);
        found.map(|(_, value)| *value).expect("the parser lets no other name through")
    })
}

/// What is not given is as the recipe, or the configuration, has it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Choices {
    /// The rule that steps the weights.
    #[arg(long, value_parser = named(&OptimizerName::ALL), help_heading = OPTIMIZATION)]
    optimizer: Option<OptimizerName>,
    /// Momentum of SGD and RMSprop, from 0 up to, but not, 1.
    #[arg(long, help_heading = OPTIMIZATION)]
    momentum: Option<f64>,
    /// Let SGD look ahead.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help_heading = OPTIMIZATION)]
    nesterov: Option<bool>,
    /// Weight decay: decoupled with AdamW, an L2 penalty otherwise.
    #[arg(long, help_heading = OPTIMIZATION)]
    weight_decay: Option<f64>,
    /// Parameters without weight decay and L1 penalty, such as "*.bias". May be given several times.
    #[arg(long, value_name = "PATTERN", help_heading = OPTIMIZATION)]
    no_decay: Vec<String>,
    /// The factor of the sum of the absolute values of the parameters, added to the loss.
    #[arg(long, help_heading = OPTIMIZATION)]
    l1: Option<f64>,
    /// A factor of the learning rate for some parameters, such as "fc.*=10". May be given several times.
    #[arg(long, value_name = "PATTERN=FACTOR", help_heading = OPTIMIZATION)]
    lr_factor: Vec<String>,
    /// How the learning rate changes over the run.
    #[arg(long, value_parser = named(&ScheduleName::ALL), help_heading = OPTIMIZATION)]
    schedule: Option<ScheduleName>,
    /// Epochs, or a part of one, over which the learning rate rises to its peak.
    #[arg(long, value_name = "EPOCHS", help_heading = OPTIMIZATION)]
    warmup_epochs: Option<f64>,
    /// The factor of a drop of the learning rate.
    #[arg(long, help_heading = OPTIMIZATION)]
    gamma: Option<f64>,
    /// Epochs from one drop to the next (schedule step).
    #[arg(long, value_name = "EPOCHS", help_heading = OPTIMIZATION)]
    step_epochs: Option<usize>,
    /// Epochs without a lower validation loss before a drop (schedule plateau).
    #[arg(long, value_name = "EPOCHS", help_heading = OPTIMIZATION)]
    patience: Option<usize>,
    /// The largest norm of all gradients together; 0 for any.
    #[arg(long, help_heading = OPTIMIZATION)]
    clip_norm: Option<f64>,
    /// The largest absolute value of an element of a gradient; 0 for any.
    #[arg(long, help_heading = OPTIMIZATION)]
    clip_value: Option<f64>,
    /// Batches of which the gradients are averaged for a step.
    #[arg(long, value_name = "BATCHES", help_heading = OPTIMIZATION)]
    accumulate: Option<usize>,
    /// The share of probability that is spread evenly over all classes.
    #[arg(long, help_heading = OPTIMIZATION)]
    label_smoothing: Option<f64>,
    /// Test and write a moving average of the weights with this decay, such as 0.999.
    #[arg(long, value_name = "DECAY", help_heading = OPTIMIZATION)]
    ema: Option<f64>,

    /// Set this share of the training images aside and look at them after each epoch.
    #[arg(long, value_name = "SHARE", help_heading = VALIDATION)]
    validation: Option<f64>,
    /// End after so many epochs without a lower validation loss.
    #[arg(long, value_name = "EPOCHS", help_heading = VALIDATION)]
    early_stop: Option<usize>,
    /// Cut the training images into so many folds and train as often, each time with another fold set aside:
    /// cross-validation.
    #[arg(long, value_name = "COUNT", help_heading = VALIDATION)]
    folds: Option<usize>,
    /// Train with this fold set aside alone, counted from 1.
    #[arg(long, value_name = "NUMBER", requires = "folds", help_heading = VALIDATION)]
    fold: Option<usize>,
    /// Which epoch's weights the run ends with.
    #[arg(long, value_parser = named(&Keep::ALL), help_heading = VALIDATION)]
    keep: Option<Keep>,

    /// Show the model images of so many pixels a side [default: the recipe's, or those that it was made for].
    #[arg(long, value_name = "PIXELS", help_heading = IMAGES)]
    size: Option<usize>,
    /// Leave out pictures of a folder that cannot be read, and name them.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help_heading = IMAGES)]
    skip_broken: Option<bool>,

    #[command(flatten)]
    augmentation: Augmentation,
}

/// What is done to training images, of which what is not given is as the recipe has it too.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Augmentation {
    /// Shift each image by up to so many pixels in each direction.
    #[arg(long, value_name = "PIXELS", help_heading = AUGMENTATION)]
    translate: Option<usize>,
    /// Mirror half of the images from left to right.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", help_heading = AUGMENTATION)]
    flip: Option<bool>,
    /// Turn each image by up to so many degrees.
    #[arg(long, value_name = "DEGREES", help_heading = AUGMENTATION)]
    rotate: Option<f64>,
    /// Show each image larger or smaller by up to this share.
    #[arg(long, value_name = "SHARE", help_heading = AUGMENTATION)]
    zoom: Option<f64>,
    /// Show a part of each image in its place, of at least this share of its area.
    #[arg(long, value_name = "SHARE", help_heading = AUGMENTATION)]
    resized_crop: Option<f64>,
    /// Change brightness, contrast and saturation by up to this share.
    #[arg(long, value_name = "STRENGTH", help_heading = AUGMENTATION)]
    jitter: Option<f64>,
    /// Erase a rectangle with this probability.
    #[arg(long, value_name = "PROBABILITY", help_heading = AUGMENTATION)]
    erase: Option<f64>,
    /// Mix pairs of images, with this alpha (mixup).
    #[arg(long, value_name = "ALPHA", help_heading = AUGMENTATION)]
    mixup: Option<f64>,
    /// Show a part of one image in another, with this alpha (CutMix).
    #[arg(long, value_name = "ALPHA", help_heading = AUGMENTATION)]
    cutmix: Option<f64>,
}

const OPTIMIZATION: &str = "Optimization";
const VALIDATION: &str = "Validation";
const IMAGES: &str = "Images";
const AUGMENTATION: &str = "Augmentation";

impl Choices {
    /// Whether a run is to be made for each fold, and not for one of them.
    pub(crate) fn trains_all_folds(&self, config: &RunConfig) -> bool {
        self.folds.is_some() && self.fold.is_none() && config.folds > 0
    }

    /// The configuration with what was chosen.
    pub(crate) fn over(&self, base: RunConfig) -> RunConfig {
        let base = self.augmentation.over(base);
        let list = |given: &Vec<String>, base: Vec<String>| match given.as_slice() {
            [] => base,
            given => given.to_vec(),
        };
        let optimizer = self.optimizer.unwrap_or(base.optimizer);
        let momentum = self.momentum.unwrap_or(base.momentum);
        // What goes with the recipe's optimizer is not meant of another.
        let is_sgd = optimizer == OptimizerName::Sgd && momentum != 0.0;
        let is_other = self.optimizer.is_some() || self.momentum.is_some();
        let nesterov = base.nesterov && (is_sgd || !is_other);
        RunConfig {
            optimizer,
            momentum,
            nesterov: self.nesterov.unwrap_or(nesterov),
            weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            no_decay: list(&self.no_decay, base.no_decay),
            l1: self.l1.unwrap_or(base.l1),
            lr_factor: list(&self.lr_factor, base.lr_factor),
            schedule: self.schedule.unwrap_or(base.schedule),
            warmup_epochs: self.warmup_epochs.unwrap_or(base.warmup_epochs),
            gamma: self.gamma.unwrap_or(base.gamma),
            step_epochs: self.step_epochs.unwrap_or(base.step_epochs),
            patience: self.patience.unwrap_or(base.patience),
            clip_norm: self.clip_norm.unwrap_or(base.clip_norm),
            clip_value: self.clip_value.unwrap_or(base.clip_value),
            accumulate: self.accumulate.unwrap_or(base.accumulate),
            label_smoothing: self.label_smoothing.unwrap_or(base.label_smoothing),
            ema: self.ema.unwrap_or(base.ema),
            validation: self.validation.unwrap_or(base.validation),
            early_stop: self.early_stop.unwrap_or(base.early_stop),
            keep: self.keep.unwrap_or(base.keep),
            folds: self.folds.unwrap_or(base.folds),
            fold: self.fold.unwrap_or(base.fold),
            size: self.size.or(base.size),
            skip_broken: self.skip_broken.unwrap_or(base.skip_broken),
            ..base
        }
    }
}

impl Augmentation {
    /// The configuration with what was chosen.
    pub(crate) fn over(&self, base: RunConfig) -> RunConfig {
        RunConfig {
            translate: self.translate.unwrap_or(base.translate),
            flip: self.flip.unwrap_or(base.flip),
            rotate: self.rotate.unwrap_or(base.rotate),
            zoom: self.zoom.unwrap_or(base.zoom),
            resized_crop: self.resized_crop.unwrap_or(base.resized_crop),
            jitter: self.jitter.unwrap_or(base.jitter),
            erase: self.erase.unwrap_or(base.erase),
            mixup: self.mixup.unwrap_or(base.mixup),
            cutmix: self.cutmix.unwrap_or(base.cutmix),
            ..base
        }
    }
}
