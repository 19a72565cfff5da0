//! Adadelta.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`Adadelta`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::AdadeltaConfig;
///
/// assert_eq!(AdadeltaConfig::default().lr, 1.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdadeltaConfig {
    /// The learning rate: a factor of steps that have the parameter's own unit.
    pub lr: f64,
    /// How much of the running means of squares is kept.
    pub rho: f64,
    /// What is added under both roots.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for AdadeltaConfig {
    /// PyTorch's: a learning rate of 1.
    fn default() -> Self {
        AdadeltaConfig { lr: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0, maximize: false }
    }
}

/// Adadelta (Zeiler 2012, algorithm 1): `torch.optim.Adadelta`.
///
/// With gradient `g` (negated to maximize), for each parameter `p`: `g += weight_decay p`;
/// `v = ρ v + (1 - ρ) g²`; `d = sqrt(u + eps) / sqrt(v + eps) g`; `u = ρ u + (1 - ρ) d²`;
/// `p -= lr d`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Adadelta, AdadeltaConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = AdadeltaConfig { rho: 0.75, eps: 0.01, ..AdadeltaConfig::default() };
/// let mut optimizer = Adadelta::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // sqrt(0.01) / sqrt(0.25 8² + 0.01) 8
/// assert!((x.value().item()? - 3.800062).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Adadelta = Stepper<AdadeltaConfig>;

impl Rule for AdadeltaConfig {
    fn check(&self) -> Result<()> {
        check("rho", self.rho, 0.0..1.0)?;
        check("eps", self.eps, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        &["square_avg", "acc_delta"]
    }

    fn program(&self) -> Program {
        let [sign, decay, lr, rho, rest, eps] = [0, 1, 2, 3, 4, 5].map(Expr::scalar);
        let (value, steps) = (Expr::previous(0), Expr::previous(2));
        let gradient = Expr::input(0) * sign + &value * decay;
        let square = Expr::previous(1) * &rho + &gradient * &gradient * &rest;
        let step = (&steps + &eps).sqrt() / (&square + &eps).sqrt() * gradient;
        let steps = steps * rho + &step * &step * rest;
        Program::new(&[value - lr * step, square, steps])
    }

    fn scalars(&self, _step: u64, lr: f64) -> Vec<f64> {
        let sign = if self.maximize { -1.0 } else { 1.0 };
        vec![sign, self.weight_decay, lr, self.rho, 1.0 - self.rho, self.eps]
    }
}
