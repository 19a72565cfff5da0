//! The names that a configuration can give: optimizers, schedules, and which weights are kept.

use serde::{Deserialize, Serialize};

/// The optimizers a configuration can name.
///
/// ```
/// use ferrotape_train::config::{OptimizerName, RunConfig};
///
/// let config = RunConfig::from_toml("model = 'lenet5'\noptimizer = 'adamw'").unwrap();
/// assert_eq!(config.optimizer, OptimizerName::AdamW);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum, `torch.optim.SGD`.
    Sgd,
    /// Adam (Kingma and Ba 2015), `torch.optim.Adam`.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), `torch.optim.AdamW`.
    AdamW,
    /// Gradients over a running root mean square (Hinton 2012), `torch.optim.RMSprop`.
    RmsProp,
    /// Gradients over the root of the sum of their squares (Duchi et al. 2011), `torch.optim.Adagrad`.
    Adagrad,
    /// Steps in the unit of the parameters (Zeiler 2012), `torch.optim.Adadelta`.
    Adadelta,
    /// Adam with the largest gradient in place of the mean square, `torch.optim.Adamax`.
    Adamax,
    /// Adam with Nesterov's momentum (Dozat 2016), `torch.optim.NAdam`.
    NAdam,
    /// Adam whose first steps are rectified (Liu et al. 2020), `torch.optim.RAdam`.
    RAdam,
}

impl OptimizerName {
    /// All of them, by the name that flags and files have.
    pub const ALL: [(&'static str, OptimizerName); 9] = [
        ("sgd", OptimizerName::Sgd),
        ("adam", OptimizerName::Adam),
        ("adamw", OptimizerName::AdamW),
        ("rmsprop", OptimizerName::RmsProp),
        ("adagrad", OptimizerName::Adagrad),
        ("adadelta", OptimizerName::Adadelta),
        ("adamax", OptimizerName::Adamax),
        ("nadam", OptimizerName::NAdam),
        ("radam", OptimizerName::RAdam),
    ];
}

/// The learning-rate schedules a configuration can name. What is said holds after the warm-up; `t` runs from
/// 0 there to 1 at the end of the run.
///
/// ```
/// use ferrotape_train::config::{RunConfig, ScheduleName};
///
/// let config = RunConfig::from_toml("model = 'lenet5'\nschedule = 'constant'").unwrap();
/// assert_eq!(config.schedule, ScheduleName::Constant);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScheduleName {
    /// The peak from the end of the warm-up to the end of the run.
    Constant,
    /// Half a cosine from the peak to 0 (Loshchilov and Hutter 2017).
    Cosine,
    /// `peak (1 - t)`.
    Linear,
    /// `peak (1 - t)^0.9` (Chen et al. 2018).
    Polynomial,
    /// `peak gamma^n` after `n` times `step_epochs` epochs of the run.
    Step,
    /// `peak gamma^e` after `e` epochs of the run, which may be a part of one.
    Exponential,
    /// Up from a 25th of the peak over the first 30 % of the run, and down to a 250,000th, in half cosines
    /// (Smith and Topin 2019); there is no other warm-up.
    OneCycle,
    /// `peak gamma^n` after `n` times `patience` epochs without a lower validation loss.
    Plateau,
}

impl ScheduleName {
    /// All of them, by the name that flags and files have.
    pub const ALL: [(&'static str, ScheduleName); 8] = [
        ("constant", ScheduleName::Constant),
        ("cosine", ScheduleName::Cosine),
        ("linear", ScheduleName::Linear),
        ("polynomial", ScheduleName::Polynomial),
        ("step", ScheduleName::Step),
        ("exponential", ScheduleName::Exponential),
        ("onecycle", ScheduleName::OneCycle),
        ("plateau", ScheduleName::Plateau),
    ];
}

/// Which epoch's weights a run ends with.
///
/// ```
/// use ferrotape_train::config::{Keep, RunConfig};
///
/// let text = "model = 'lenet5'\nkeep = 'best'\nvalidation = 0.1";
/// assert_eq!(RunConfig::from_toml(text).unwrap().keep, Keep::Best);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Keep {
    /// Those of the last epoch.
    Last,
    /// Those of the epoch with the lowest validation loss.
    Best,
}

impl Keep {
    /// Both, by the name that flags and files have.
    pub const ALL: [(&'static str, Keep); 2] = [("last", Keep::Last), ("best", Keep::Best)];
}
