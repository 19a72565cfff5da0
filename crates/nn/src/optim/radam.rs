//! RAdam.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Compare, Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`RAdam`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::RAdamConfig;
///
/// assert_eq!(RAdamConfig::default().lr, 0.001);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RAdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running means of gradient and squared gradient is kept.
    pub betas: [f64; 2],
    /// What is added to the root.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient, or that it shrinks by.
    pub weight_decay: f64,
    /// Shrink the parameter itself, as AdamW does, in place of adding to its gradient.
    pub decoupled_weight_decay: bool,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for RAdamConfig {
    /// PyTorch's: a learning rate of 0.001.
    fn default() -> Self {
        RAdamConfig {
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
            maximize: false,
        }
    }
}

/// Rectified Adam (Liu et al. 2020, algorithm 2): `torch.optim.RAdam`.
///
/// With gradient `g` (negated to maximize), at step `t` of each parameter `p`:
/// `g += weight_decay p` (or `p *= 1 - lr weight_decay`); `m = β1 m + (1 - β1) g`;
/// `v = β2 v + (1 - β2) g²`; `ρ∞ = 2 / (1 - β2) - 1`; `ρ = ρ∞ - 2 t β2^t / (1 - β2^t)`. Where
/// `ρ > 5`: `p -= lr m / (1 - β1^t) r sqrt(1 - β2^t) / (sqrt(v) + eps)` with
/// `r = sqrt((ρ - 4) (ρ - 2) ρ∞ / ((ρ∞ - 4) (ρ∞ - 2) ρ))`; else `p -= lr m / (1 - β1^t)`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{RAdam, RAdamConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = RAdamConfig { lr: 0.1, ..RAdamConfig::default() };
/// let mut optimizer = RAdam::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // The first steps are those of momentum: the rate times the gradient.
/// assert!((x.value().item()? - 3.2).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type RAdam = Stepper<RAdamConfig>;

impl Rule for RAdamConfig {
    fn check(&self) -> Result<()> {
        check("the first beta", self.betas[0], 0.0..1.0)?;
        check("the second beta", self.betas[1], 0.0..1.0)?;
        check("eps", self.eps, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn program(&self) -> Program {
        let [sign, added, kept, beta1, rest1, beta2, rest2, size, rectified, eps] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * added;
        let mean = Expr::previous(1) * beta1 + &gradient * rest1;
        let square = Expr::previous(2) * beta2 + &gradient * &gradient * rest2;
        let adaptive = &rectified / (square.sqrt() + eps);
        let factor = rectified.select(Compare::Le, &0.0.into(), &1.0.into(), &adaptive);
        Program::new(&[value * kept - size * &mean * factor, mean, square])
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        let [beta1, beta2] = self.betas;
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let (added, kept) = match self.decoupled_weight_decay {
            true => (0.0, 1.0 - lr * self.weight_decay),
            false => (self.weight_decay, 1.0),
        };
        let power = beta2.powf(step as f64);
        let limit = 2.0 / (1.0 - beta2) - 1.0;
        let length = limit - 2.0 * step as f64 * power / (1.0 - power);
        // Zero stands for a variance that is not known well enough yet to divide by.
        let rectified = if length > 5.0 {
            let share = (length - 4.0) * (length - 2.0) * limit;
            (share / ((limit - 4.0) * (limit - 2.0) * length)).sqrt() * (1.0 - power).sqrt()
        } else {
            0.0
        };
        let betas = [beta1, 1.0 - beta1, beta2, 1.0 - beta2];
        let size = lr / (1.0 - beta1.powf(step as f64));
        [&[sign, added, kept][..], &betas, &[size, rectified, self.eps]].concat()
    }
}
