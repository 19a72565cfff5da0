//! NAdam.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`NAdam`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::NAdamConfig;
///
/// assert_eq!(NAdamConfig::default().momentum_decay, 0.004);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NAdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running means of gradient and squared gradient is kept.
    pub betas: [f64; 2],
    /// What is added to the root.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient, or that it shrinks by.
    pub weight_decay: f64,
    /// How fast the momentum rises to the first beta.
    pub momentum_decay: f64,
    /// Shrink the parameter itself, as AdamW does, in place of adding to its gradient.
    pub decoupled_weight_decay: bool,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for NAdamConfig {
    /// PyTorch's: a learning rate of 0.002.
    fn default() -> Self {
        NAdamConfig {
            lr: 2e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            momentum_decay: 4e-3,
            decoupled_weight_decay: false,
            maximize: false,
        }
    }
}

/// Adam with Nesterov's momentum (Dozat 2016): `torch.optim.NAdam`.
///
/// With gradient `g` (negated to maximize), at step `t` of each parameter `p`:
/// `g += weight_decay p` (or `p *= 1 - lr weight_decay`);
/// `μ_t = β1 (1 - 0.96^(t momentum_decay) / 2)`; `m = β1 m + (1 - β1) g`;
/// `v = β2 v + (1 - β2) g²`;
/// `p -= lr (μ_{t+1} m / (1 - μ_1 .. μ_{t+1}) + (1 - μ_t) g / (1 - μ_1 .. μ_t)) / (sqrt(v / (1 - β2^t)) + eps)`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{NAdam, NAdamConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = NAdamConfig { lr: 0.1, ..NAdamConfig::default() };
/// let mut optimizer = NAdam::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// assert!((x.value().item()? - 3.894355).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type NAdam = Stepper<NAdamConfig>;

impl NAdamConfig {
    /// `μ_t`.
    fn momentum(&self, step: f64) -> f64 {
        self.betas[0] * (1.0 - 0.5 * 0.96f64.powf(step * self.momentum_decay))
    }

    /// `μ_1 .. μ_t`. No factor is above β1, so that the product is soon too small to matter beside 1.
    fn product(&self, steps: u64) -> f64 {
        let mut product = 1.0;
        for step in 1..=steps {
            product *= self.momentum(step as f64);
            if product < f64::EPSILON / 4.0 {
                return 0.0;
            }
        }
        product
    }
}

impl Rule for NAdamConfig {
    fn check(&self) -> Result<()> {
        check("the first beta", self.betas[0], 0.0..1.0)?;
        check("the second beta", self.betas[1], 0.0..1.0)?;
        check("eps", self.eps, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        check("momentum_decay", self.momentum_decay, 0.0..f64::INFINITY)?;
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn program(&self) -> Program {
        let [sign, added, kept, beta1, rest1, beta2, rest2, of_mean, of_gradient, correction, eps] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * added;
        let mean = Expr::previous(1) * beta1 + &gradient * rest1;
        let square = Expr::previous(2) * beta2 + &gradient * &gradient * rest2;
        let denominator = (&square / correction).sqrt() + eps;
        let step = of_gradient * (gradient / &denominator) + of_mean * (&mean / &denominator);
        Program::new(&[value * kept - step, mean, square])
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        let [beta1, beta2] = self.betas;
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let (added, kept) = match self.decoupled_weight_decay {
            true => (0.0, 1.0 - lr * self.weight_decay),
            false => (self.weight_decay, 1.0),
        };
        let (at, product) = (step as f64, self.product(step));
        let (now, next) = (self.momentum(at), self.momentum(at + 1.0));
        let of_mean = lr * next / (1.0 - product * next);
        let of_gradient = lr * (1.0 - now) / (1.0 - product);
        let correction = 1.0 - beta2.powf(at);
        let betas = [beta1, 1.0 - beta1, beta2, 1.0 - beta2];
        [&[sign, added, kept][..], &betas, &[of_mean, of_gradient, correction, self.eps]].concat()
    }
}
