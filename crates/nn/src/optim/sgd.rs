//! Stochastic gradient descent.

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Error, Result};

use super::engine::{Rule, Stepper, check};

/// The options of [`Sgd`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::SgdConfig;
///
/// let config = SgdConfig { lr: 0.1, momentum: 0.9, ..SgdConfig::default() };
/// assert!(!config.nesterov);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last step goes into the next.
    pub momentum: f64,
    /// How much of the gradient the momentum leaves out.
    pub dampening: f64,
    /// Look ahead by the momentum (Sutskever et al. 2013).
    pub nesterov: bool,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for SgdConfig {
    /// PyTorch's: a learning rate of 0.001 and nothing else.
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

/// Stochastic gradient descent with momentum: `torch.optim.SGD`.
///
/// With gradient `g` (negated to maximize), for each parameter `p`:
/// `g += weight_decay p`; `b = momentum b + (1 - dampening) g` (`b = g` at its first step);
/// `d = g + momentum b` with Nesterov, else `b`; `p -= lr d`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = SgdConfig { lr: 0.1, momentum: 0.5, ..SgdConfig::default() };
/// let mut sgd = Sgd::new(vec![x.clone()], config)?;
/// for expected in [3.2, 2.16] {
///     let cx = Pass::eval(&device).with_grad();
///     sgd.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
///     assert!((x.value().item()? - expected).abs() < 1e-12);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Sgd = Stepper<SgdConfig>;

impl Rule for SgdConfig {
    fn check(&self) -> Result<()> {
        check("momentum", self.momentum, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(Error::argument("nesterov needs a momentum above 0 and a dampening of 0"));
        }
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn program(&self) -> Program {
        let mut scalars = 0;
        let mut times = |factor: Expr| {
            scalars += 1;
            factor * Expr::scalar(scalars - 1)
        };
        // What a setting leaves out costs a step nothing; the factors are those of `scalars`, in its order.
        let value = Expr::previous(0);
        let mut gradient = Expr::input(0);
        if self.maximize {
            gradient = gradient.neg();
        }
        if self.weight_decay != 0.0 {
            gradient = gradient + times(value.clone());
        }
        if self.momentum == 0.0 {
            return Program::new(&[value - times(gradient)]);
        }
        let added = if self.dampening == 0.0 { gradient.clone() } else { times(gradient.clone()) };
        let buffer = times(Expr::previous(1)) + added;
        let direction =
            if self.nesterov { gradient + times(buffer.clone()) } else { buffer.clone() };
        Program::new(&[value - times(direction), buffer])
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        let mut scalars = Vec::new();
        if self.weight_decay != 0.0 {
            scalars.push(self.weight_decay);
        }
        if self.momentum != 0.0 {
            if self.dampening != 0.0 {
                scalars.push(if step == 1 { 1.0 } else { 1.0 - self.dampening });
            }
            scalars.push(self.momentum);
            if self.nesterov {
                scalars.push(self.momentum);
            }
        }
        scalars.push(lr);
        scalars
    }
}
