//! Learning rates as functions of the step.

use std::f64::consts::PI;

use ferrotape_backend::{Error, Result};

/// The learning rate at each step, given the rate to begin with. A step is whatever the caller
/// counts, from 0: batches or epochs.
///
/// The formulas are those of `torch.optim.lr_scheduler`, in closed form.
///
/// ```
/// use ferrotape_nn::optim::Schedule;
///
/// let halves = Schedule::Step { step_size: 10, gamma: 0.5 };
/// assert_eq!(halves.lr(0.1, 9), 0.1);
/// assert_eq!(halves.lr(0.1, 20), 0.025);
/// let warm = Schedule::Cosine { steps: 100, min_lr: 0.0 }.after_warmup(5, 0.2);
/// assert!((warm.lr(1.0, 0) - 0.2).abs() < 1e-12);
/// assert_eq!(warm.lr(1.0, 5), 1.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// The rate stays.
    Constant,
    /// `base gamma^floor(step / step_size)`: `StepLR`.
    Step {
        /// Steps from one drop to the next.
        step_size: u64,
        /// The factor of a drop.
        gamma: f64,
    },
    /// `base gamma^(milestones that are not after the step)`: `MultiStepLR`.
    MultiStep {
        /// The steps at which the rate drops.
        milestones: Vec<u64>,
        /// The factor of a drop.
        gamma: f64,
    },
    /// `base gamma^step`: `ExponentialLR`.
    Exponential {
        /// The factor of a step.
        gamma: f64,
    },
    /// `base (1 - step / steps)^power`, then 0: `PolynomialLR`.
    Polynomial {
        /// The step at which the rate is 0.
        steps: u64,
        /// The exponent.
        power: f64,
    },
    /// From `start_factor base` in equal steps to `base`: `LinearLR`.
    Warmup {
        /// The step at which the rate is `base`.
        steps: u64,
        /// What the rate begins with, as a share of `base`.
        start_factor: f64,
    },
    /// `min_lr + (base - min_lr) (1 + cos(pi step / steps)) / 2`: `CosineAnnealingLR` (Loshchilov
    /// and Hutter 2017, equation 5). It goes up again after `steps`.
    Cosine {
        /// The step at which the rate is `min_lr`.
        steps: u64,
        /// The lowest rate.
        min_lr: f64,
    },
    /// Cosines one after the other, each `factor` times as long as the one before:
    /// `CosineAnnealingWarmRestarts`.
    CosineRestarts {
        /// The length of the first.
        steps: u64,
        /// How the length grows.
        factor: u64,
        /// The rate that each ends before.
        min_lr: f64,
    },
    /// From `max_lr / div_factor` up to `max_lr` and down to
    /// `max_lr / (div_factor final_div_factor)`, both in half cosines: `OneCycleLR` (Smith and Topin
    /// 2019). The base rate plays no part.
    OneCycle {
        /// The highest rate.
        max_lr: f64,
        /// How many steps it takes; after them the rate stays.
        steps: u64,
        /// The share of the steps that goes up.
        pct_start: f64,
        /// The highest rate over the first.
        div_factor: f64,
        /// The first rate over the last.
        final_div_factor: f64,
    },
    /// One schedule up to a step, then another that counts from there: `SequentialLR`.
    Then {
        /// What comes first.
        first: Box<Schedule>,
        /// How many steps it takes.
        steps: u64,
        /// What follows.
        next: Box<Schedule>,
    },
}

impl Schedule {
    /// The learning rate at a step.
    ///
    /// ```
    /// use ferrotape_nn::optim::Schedule;
    ///
    /// let drops = Schedule::MultiStep { milestones: vec![30, 60], gamma: 0.5 };
    /// assert_eq!([29, 30, 60].map(|epoch| drops.lr(0.4, epoch)), [0.4, 0.2, 0.1]);
    /// // Half way down a cosine the rate is in the middle.
    /// let cosine = Schedule::Cosine { steps: 10, min_lr: 0.0 };
    /// assert!((cosine.lr(0.4, 5) - 0.2).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn lr(&self, base: f64, step: u64) -> f64 {
        let at = step as f64;
        match *self {
            Schedule::Constant => base,
            Schedule::Step { step_size, gamma } => {
                base * gamma.powf((step / step_size.max(1)) as f64)
            }
            Schedule::MultiStep { ref milestones, gamma } => {
                let passed = milestones.iter().filter(|&&m| m <= step).count();
                base * gamma.powf(passed as f64)
            }
            Schedule::Exponential { gamma } => base * gamma.powf(at),
            Schedule::Polynomial { steps, power } => base * (1.0 - share(step, steps)).powf(power),
            Schedule::Warmup { steps, start_factor } => {
                base * (start_factor + (1.0 - start_factor) * share(step, steps))
            }
            Schedule::Cosine { steps, min_lr } => {
                half_cosine(base, min_lr, at / steps.max(1) as f64)
            }
            Schedule::CosineRestarts { steps, factor, min_lr } => {
                let (at, length) = within_restart(step, steps.max(1), factor.max(1));
                half_cosine(base, min_lr, at as f64 / length as f64)
            }
            Schedule::OneCycle { max_lr, steps, pct_start, div_factor, final_div_factor } => {
                let first = max_lr / div_factor;
                let up = pct_start * steps as f64 - 1.0;
                let down = steps as f64 - 1.0 - up;
                if at <= up {
                    half_cosine(first, max_lr, if up > 0.0 { at / up } else { 1.0 })
                } else {
                    half_cosine(max_lr, first / final_div_factor, ((at - up) / down).min(1.0))
                }
            }
            Schedule::Then { ref first, steps, ref next } => {
                if step < steps {
                    first.lr(base, step)
                } else {
                    next.lr(base, step - steps)
                }
            }
        }
    }

    /// This schedule after a linear warm-up of some steps.
    ///
    /// ```
    /// use ferrotape_nn::optim::Schedule;
    ///
    /// let warm = Schedule::Constant.after_warmup(4, 0.0);
    /// assert_eq!([0, 1, 2, 3, 4, 5].map(|step| warm.lr(1.0, step)), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    /// ```
    #[must_use]
    pub fn after_warmup(self, steps: u64, start_factor: f64) -> Self {
        let first = Box::new(Schedule::Warmup { steps, start_factor });
        Schedule::Then { first, steps, next: Box::new(self) }
    }
}

/// How much of `steps` is done, at most all.
fn share(step: u64, steps: u64) -> f64 {
    if step >= steps { 1.0 } else { step as f64 / steps as f64 }
}

/// From one number at 0 to another at 1, along half a cosine.
fn half_cosine(from: f64, to: f64, at: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * at).cos()) / 2.0
}

/// Where a step lies within the restart that it belongs to, and how long that is.
fn within_restart(step: u64, first: u64, factor: u64) -> (u64, u64) {
    let (mut at, mut length) = (step, first);
    if factor == 1 {
        return (at % length, length);
    }
    while at >= length {
        at -= length;
        length = length.saturating_mul(factor);
    }
    (at, length)
}

/// The options of [`ReduceOnPlateau`], with PyTorch's meaning.
///
/// ```
/// assert_eq!(ferrotape_nn::optim::ReduceOnPlateauConfig::default().patience, 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceOnPlateauConfig {
    /// The factor of a drop.
    pub factor: f64,
    /// How many epochs without improvement are borne.
    pub patience: u64,
    /// The relative improvement that counts as one.
    pub threshold: f64,
    /// How many epochs after a drop are not counted.
    pub cooldown: u64,
    /// The lowest rate.
    pub min_lr: f64,
    /// Whether a larger metric is a better one (`mode='max'`): an accuracy, not a loss.
    pub maximize: bool,
    /// Whether the threshold is a difference (`threshold_mode='abs'`), not a share of the best.
    pub absolute: bool,
    /// A smaller change of the rate is not made.
    pub eps: f64,
}

impl Default for ReduceOnPlateauConfig {
    fn default() -> Self {
        ReduceOnPlateauConfig {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
            maximize: false,
            absolute: false,
            eps: 1e-8,
        }
    }
}

impl ReduceOnPlateauConfig {
    fn improves(&self, metric: f64, best: f64) -> bool {
        match (self.maximize, self.absolute) {
            (false, false) => metric < best * (1.0 - self.threshold),
            (false, true) => metric < best - self.threshold,
            (true, false) => metric > best * (1.0 + self.threshold),
            (true, true) => metric > best + self.threshold,
        }
    }
}

/// Lowers the rate when a metric stops to get better: `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// ```
/// use ferrotape_nn::optim::{ReduceOnPlateau, ReduceOnPlateauConfig};
///
/// let config = ReduceOnPlateauConfig { patience: 1, ..ReduceOnPlateauConfig::default() };
/// let mut plateau = ReduceOnPlateau::new(config)?;
/// let rates: Vec<f64> = [1.0, 1.0, 1.0].iter().map(|&loss| plateau.lr(0.1, loss)).collect();
/// assert_eq!(rates[..2], [0.1, 0.1]);
/// assert!((rates[2] - 0.01).abs() < 1e-12);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ReduceOnPlateau {
    config: ReduceOnPlateauConfig,
    best: f64,
    bad: u64,
    cooling: u64,
}

impl ReduceOnPlateau {
    /// Nothing was seen yet.
    ///
    /// ```
    /// use ferrotape_nn::optim::{ReduceOnPlateau, ReduceOnPlateauConfig};
    ///
    /// let config = ReduceOnPlateauConfig { factor: 1.5, ..ReduceOnPlateauConfig::default() };
    /// assert_eq!(
    ///     ReduceOnPlateau::new(config).unwrap_err().to_string(),
    ///     "the factor of a drop is 1.5, it must be at least 0 and below 1"
    /// );
    /// ```
    ///
    /// # Errors
    /// A factor that is not below 1.
    pub fn new(config: ReduceOnPlateauConfig) -> Result<Self> {
        if !(0.0..1.0).contains(&config.factor) {
            return Err(Error::argument(format!(
                "the factor of a drop is {}, it must be at least 0 and below 1",
                config.factor
            )));
        }
        let best = if config.maximize { f64::NEG_INFINITY } else { f64::INFINITY };
        Ok(ReduceOnPlateau { config, best, bad: 0, cooling: 0 })
    }

    /// The next epoch's rate, given the last one's rate and metric.
    ///
    /// ```
    /// use ferrotape_nn::optim::{ReduceOnPlateau, ReduceOnPlateauConfig};
    ///
    /// // Accuracies: the larger, the better.
    /// let config = ReduceOnPlateauConfig { maximize: true, patience: 0, ..Default::default() };
    /// let mut plateau = ReduceOnPlateau::new(config)?;
    /// let rates = [0.8, 0.9, 0.9].map(|accuracy| plateau.lr(1.0, accuracy));
    /// assert_eq!(rates, [1.0, 1.0, 0.1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn lr(&mut self, lr: f64, metric: f64) -> f64 {
        if self.config.improves(metric, self.best) {
            (self.best, self.bad) = (metric, 0);
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            (self.cooling, self.bad) = (self.cooling - 1, 0);
        }
        if self.bad <= self.config.patience {
            return lr;
        }
        (self.cooling, self.bad) = (self.config.cooldown, 0);
        let lower = (lr * self.config.factor).max(self.config.min_lr);
        if lr - lower > self.config.eps { lower } else { lr }
    }
}
