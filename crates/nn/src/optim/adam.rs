//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).

use ferrotape_autograd::Gradients;
use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, Error, Result};

use super::Optimizer;
use super::slots::Slots;
use crate::{Parameter, Path};

/// Settings of [`Adam`], with the defaults of `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the running mean of gradients, and of their squares.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f64,
    /// Divide by the largest mean square so far (Reddi et al., 2018).
    pub amsgrad: bool,
    /// Ascend instead of descend.
    pub maximize: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        AdamConfig {
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            maximize: false,
        }
    }
}

/// Settings of [`AdamW`], with the defaults of `torch.optim.AdamW`: those of Adam, but a decoupled
/// weight decay of 0.01.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the running mean of gradients, and of their squares.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// The share of the parameter, times the learning rate, that a step takes away.
    pub weight_decay: f64,
    /// Divide by the largest mean square so far (Reddi et al., 2018).
    pub amsgrad: bool,
    /// Ascend instead of descend.
    pub maximize: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        let AdamConfig { lr, betas, eps, amsgrad, maximize, .. } = AdamConfig::default();
        AdamWConfig { lr, betas, eps, weight_decay: 1e-2, amsgrad, maximize }
    }
}

/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `p -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)` with `g = grad + weight_decay p`
/// (`torch.optim.Adam`).
///
/// ```
/// use ferrotape_autograd::Tape;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Adam, AdamConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Path};
///
/// let device = Device::new(Reference::new());
/// let p = Parameter::new(Path::new("p"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let mut adam = Adam::new(vec![p.clone()], AdamConfig { lr: 0.5, ..Default::default() })?;
/// let x = Tape::new().leaf(p.id(), p.value())?;
/// adam.step(&x.square()?.sum_all()?.backward()?)?;
/// assert!((p.value().item()? - 3.5).abs() < 1e-8);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Adam(Core);

/// As [`Adam`], with the weight decay taken from the parameter itself and not from the gradient:
/// `p -= lr weight_decay p` before the step (`torch.optim.AdamW`).
#[derive(Debug)]
pub struct AdamW(Core);

#[derive(Debug)]
struct Core {
    config: AdamConfig,
    program: Program,
    slots: Slots,
}

pub(super) fn check(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(format!("{name} is {value}, it must be a number that is 0 or more")))
}

impl Core {
    fn new(parameters: Vec<Parameter>, config: AdamConfig, decoupled: bool) -> Result<Self> {
        check("lr", config.lr)?;
        check("eps", config.eps)?;
        check("weight_decay", config.weight_decay)?;
        if let Some(beta) = config.betas.iter().find(|b| !(0.0..1.0).contains(*b)) {
            return Err(Error::argument(format!(
                "a beta of Adam is {beta}, it must lie from 0 up to, but not, 1"
            )));
        }
        let names: &[&str] = if config.amsgrad {
            &["mean", "mean_square", "max_mean_square"]
        } else {
            &["mean", "mean_square"]
        };
        let program = program(&config, decoupled);
        Ok(Core { config, program, slots: Slots::new(parameters, names) })
    }

    fn step(&mut self, gradients: &Gradients) -> Result<()> {
        let AdamConfig { lr, betas: [b1, b2], eps, weight_decay, maximize, .. } = self.config;
        let sign = if maximize { -1.0 } else { 1.0 };
        self.slots.step(gradients, &self.program, |step| {
            let bias1 = 1.0 - b1.powf(step as f64);
            let bias2 = 1.0 - b2.powf(step as f64);
            vec![lr, lr / bias1, 1.0 / bias2.sqrt(), b1, b2, eps, weight_decay, sign]
        })
    }
}

fn program(config: &AdamConfig, decoupled: bool) -> Program {
    let (mut p, grad) = (Expr::previous(0), Expr::input(0));
    let [lr, rate, root, b1, b2, eps, decay, sign] = [0, 1, 2, 3, 4, 5, 6, 7].map(Expr::scalar);
    let mut g = grad * sign;
    if config.weight_decay != 0.0 && decoupled {
        p = &p * (1.0 - lr * decay);
    } else if config.weight_decay != 0.0 {
        g = g + &p * decay;
    }
    let mean = &b1 * Expr::previous(1) + (1.0 - &b1) * &g;
    let square = &b2 * Expr::previous(2) + (1.0 - &b2) * (&g * &g);
    let largest = Expr::previous(3).maximum(&square);
    let under = if config.amsgrad { &largest } else { &square };
    let stepped = p - rate * &mean / (under.sqrt() * root + eps);
    if config.amsgrad {
        Program::new(&[stepped, mean, square, largest])
    } else {
        Program::new(&[stepped, mean, square])
    }
}

impl Adam {
    /// An optimizer of these parameters.
    ///
    /// # Errors
    /// A negative rate, eps or decay, a beta outside `[0, 1)`.
    pub fn new(parameters: Vec<Parameter>, config: AdamConfig) -> Result<Self> {
        Ok(Adam(Core::new(parameters, config, false)?))
    }
}

impl AdamW {
    /// An optimizer of these parameters.
    ///
    /// # Errors
    /// A negative rate, eps or decay, a beta outside `[0, 1)`.
    pub fn new(parameters: Vec<Parameter>, config: AdamWConfig) -> Result<Self> {
        let AdamWConfig { lr, betas, eps, weight_decay, amsgrad, maximize } = config;
        let config = AdamConfig { lr, betas, eps, weight_decay, amsgrad, maximize };
        Ok(AdamW(Core::new(parameters, config, true)?))
    }
}

macro_rules! optimizer {
    ($type:ty) => {
        impl Optimizer for $type {
            fn step(&mut self, gradients: &Gradients) -> Result<()> {
                self.0.step(gradients)
            }

            fn learning_rate(&self) -> f64 {
                self.0.config.lr
            }

            fn set_learning_rate(&mut self, rate: f64) {
                self.0.config.lr = rate;
            }

            fn parameters(&self) -> Vec<Parameter> {
                self.0.slots.parameters()
            }

            fn missing(&self) -> &[Path] {
                self.0.slots.missing()
            }

            fn state(&self) -> Vec<(String, Array)> {
                self.0.slots.state()
            }
        }
    };
}

optimizer!(Adam);
optimizer!(AdamW);
