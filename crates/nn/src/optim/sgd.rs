//! Stochastic gradient descent.

use ferrotape_autograd::Gradients;
use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, Error, Result};

use super::Optimizer;
use super::slots::Slots;
use crate::{Parameter, Path};

/// Settings of [`Sgd`], with the defaults of `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last step's direction is kept; 0 for none.
    pub momentum: f64,
    /// How much of the gradient is held back from the direction.
    pub dampening: f64,
    /// Look ahead along the direction (Sutskever et al., 2013).
    pub nesterov: bool,
    /// Times the parameter, added to the gradient.
    pub weight_decay: f64,
    /// Ascend instead of descend.
    pub maximize: bool,
}

impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig {
            lr: 1e-3,
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            maximize: false,
        }
    }
}

/// `g = grad + weight_decay p`, `b = momentum b + (1 - dampening) g` (first `b = g`), and
/// `p -= lr b`, or with Nesterov `p -= lr (g + momentum b)` (`torch.optim.SGD`).
///
/// ```
/// use ferrotape_autograd::Tape;
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
/// use ferrotape_nn::{Parameter, Path};
///
/// let device = Device::new(Reference::new());
/// let p = Parameter::new(Path::new("p"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let mut sgd = Sgd::new(vec![p.clone()], SgdConfig { lr: 0.25, ..Default::default() })?;
/// let x = Tape::new().leaf(p.id(), p.value())?;
/// sgd.step(&x.square()?.sum_all()?.backward()?)?;
/// assert_eq!(p.value().to_vec::<f64>()?, [2.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    program: Program,
    slots: Slots,
}

impl Sgd {
    /// An optimizer of these parameters.
    ///
    /// # Errors
    /// Nesterov without momentum or with dampening, a negative rate, momentum or decay.
    pub fn new(parameters: Vec<Parameter>, config: SgdConfig) -> Result<Self> {
        super::adam::check("lr", config.lr)?;
        super::adam::check("momentum", config.momentum)?;
        super::adam::check("weight_decay", config.weight_decay)?;
        if config.nesterov && (config.momentum == 0.0 || config.dampening != 0.0) {
            return Err(Error::argument("Nesterov's SGD wants momentum and no dampening"));
        }
        let names: &[&str] = if config.momentum == 0.0 { &[] } else { &["momentum"] };
        Ok(Sgd { config, program: program(&config), slots: Slots::new(parameters, names) })
    }
}

fn program(config: &SgdConfig) -> Program {
    let (p, grad) = (Expr::previous(0), Expr::input(0));
    let [lr, momentum, keep, decay, sign] = [0, 1, 2, 3, 4].map(Expr::scalar);
    let mut g = grad * sign;
    if config.weight_decay != 0.0 {
        g = g + &p * decay;
    }
    if config.momentum == 0.0 {
        return Program::new(&[p - lr * g]);
    }
    let direction = &momentum * Expr::previous(1) + keep * &g;
    let step = if config.nesterov { g + momentum * &direction } else { direction.clone() };
    Program::new(&[p - lr * step, direction])
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &Gradients) -> Result<()> {
        let SgdConfig { lr, momentum, dampening, weight_decay, maximize, .. } = self.config;
        let sign = if maximize { -1.0 } else { 1.0 };
        self.slots.step(gradients, &self.program, |step| {
            let keep = if step == 1 { 1.0 } else { 1.0 - dampening };
            vec![lr, momentum, keep, weight_decay, sign]
        })
    }

    fn learning_rate(&self) -> f64 {
        self.config.lr
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.config.lr = rate;
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.slots.parameters()
    }

    fn missing(&self) -> &[Path] {
        self.slots.missing()
    }

    fn state(&self) -> Vec<(String, Array)> {
        self.slots.state()
    }
}
