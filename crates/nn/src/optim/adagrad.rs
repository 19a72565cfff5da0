//! Adagrad.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`Adagrad`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::AdagradConfig;
///
/// assert_eq!(AdagradConfig::default().lr, 0.01);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdagradConfig {
    /// The learning rate.
    pub lr: f64,
    /// How fast the learning rate falls: it is divided by `1 + lr_decay (t - 1)`.
    pub lr_decay: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// What the sum of squares begins with.
    pub initial_accumulator_value: f64,
    /// What is added to the root.
    pub eps: f64,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for AdagradConfig {
    /// PyTorch's: a learning rate of 0.01.
    fn default() -> Self {
        AdagradConfig {
            lr: 0.01,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: 1e-10,
            maximize: false,
        }
    }
}

/// Adagrad (Duchi, Hazan and Singer 2011): `torch.optim.Adagrad`.
///
/// With gradient `g` (negated to maximize), at step `t` of each parameter `p`:
/// `g += weight_decay p`; `v = v + g²`; `p -= lr / (1 + lr_decay (t - 1)) g / (sqrt(v) + eps)`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Adagrad, AdagradConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = AdagradConfig { lr: 0.1, ..AdagradConfig::default() };
/// let mut optimizer = Adagrad::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // The first step is as long as the learning rate.
/// assert!((x.value().item()? - 3.9).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Adagrad = Stepper<AdagradConfig>;

impl Rule for AdagradConfig {
    fn check(&self) -> Result<()> {
        check("lr_decay", self.lr_decay, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        let initial = self.initial_accumulator_value;
        check("initial_accumulator_value", initial, 0.0..f64::INFINITY)?;
        check("eps", self.eps, 0.0..f64::INFINITY)?;
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        &["sum"]
    }

    fn program(&self) -> Program {
        let [sign, decay, lr, start, eps] = [0, 1, 2, 3, 4].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * decay;
        let sum = Expr::previous(1) + start + &gradient * &gradient;
        let step = lr * (gradient / (sum.sqrt() + eps));
        Program::new(&[value - step, sum])
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let lr = lr / (1.0 + (step - 1) as f64 * self.lr_decay);
        // The state begins as zeros, so that what it is to begin with is added at the first step.
        let start = if step == 1 { self.initial_accumulator_value } else { 0.0 };
        vec![sign, self.weight_decay, lr, start, self.eps]
    }
}
