//! Adam and AdamW.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`Adam`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::AdamConfig;
///
/// assert_eq!(AdamConfig::default().betas, [0.9, 0.999]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running means of gradient and squared gradient is kept.
    pub betas: [f64; 2],
    /// What is added to the root.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Divide by the largest mean of squares so far (Reddi et al. 2018).
    pub amsgrad: bool,
    /// Go up instead of down.
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

/// The options of [`AdamW`], with PyTorch's meaning: those of [`AdamConfig`], with a weight decay
/// of 0.01.
///
/// ```
/// use ferrotape_nn::optim::{AdamConfig, AdamWConfig};
///
/// assert_eq!(AdamWConfig::default().0, AdamConfig { weight_decay: 0.01, ..AdamConfig::default() });
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig(
    /// The options; the weight decay shrinks the parameter itself.
    pub AdamConfig,
);

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig(AdamConfig { weight_decay: 0.01, ..AdamConfig::default() })
    }
}

/// Adam (Kingma and Ba 2015, algorithm 1): `torch.optim.Adam`.
///
/// With gradient `g` (negated to maximize), at step `t` of each parameter `p`:
/// `g += weight_decay p`; `m = β1 m + (1 - β1) g`; `v = β2 v + (1 - β2) g²`;
/// `p -= lr / (1 - β1^t) m / (sqrt(v) / sqrt(1 - β2^t) + eps)`. With AMSGrad, the largest `v` so
/// far is under the root.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Adam, AdamConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let mut adam = Adam::new(vec![x.clone()], AdamConfig { lr: 0.1, ..AdamConfig::default() })?;
/// let cx = Pass::eval(&device).with_grad();
/// adam.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // The first step is as long as the learning rate.
/// assert!((x.value().item()? - 3.9).abs() < 1e-8);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Adam = Stepper<AdamConfig>;

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2):
/// `torch.optim.AdamW`.
///
/// As [`Adam`], but the decay goes by the gradient's statistics: `p *= 1 - lr weight_decay` before
/// the step, and nothing is added to the gradient.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{AdamConfig, AdamW, AdamWConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = AdamConfig { lr: 0.1, weight_decay: 0.5, ..AdamConfig::default() };
/// let mut adam = AdamW::new(vec![x.clone()], AdamWConfig(config))?;
/// let cx = Pass::eval(&device).with_grad();
/// adam.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// assert!((x.value().item()? - (4.0 * 0.95 - 0.1)).abs() < 1e-8);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type AdamW = Stepper<AdamWConfig>;

impl Rule for AdamConfig {
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
        let names: &[&str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        if self.amsgrad { names } else { &names[..2] }
    }

    fn program(&self) -> Program {
        let [sign, added, kept, beta1, rest1, beta2, rest2, size, root, eps] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * added;
        let mean = Expr::previous(1) * beta1 + &gradient * rest1;
        let square = Expr::previous(2) * beta2 + &gradient * &gradient * rest2;
        let largest =
            if self.amsgrad { Expr::previous(3).maximum(&square) } else { square.clone() };
        let denominator = largest.sqrt() / root + eps;
        let value = value * kept - size * (&mean / denominator);
        let outputs = [value, mean, square, largest];
        Program::new(if self.amsgrad { &outputs } else { &outputs[..3] })
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        scalars(self, step, lr, self.weight_decay, 1.0)
    }
}

impl Rule for AdamWConfig {
    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn lr(&self) -> f64 {
        self.0.lr
    }

    fn state(&self) -> &'static [&'static str] {
        self.0.state()
    }

    fn program(&self) -> Program {
        self.0.program()
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        scalars(&self.0, step, lr, 0.0, 1.0 - lr * self.0.weight_decay)
    }
}

/// The program's scalars, given the share of the parameter that is added to its gradient and the
/// share that is kept of it.
fn scalars(config: &AdamConfig, step: u64, lr: f64, added: f64, kept: f64) -> Vec<f64> {
    let [beta1, beta2] = config.betas;
    let sign = if config.maximize { -1.0 } else { 1.0 };
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    let (size, root) = (lr / correction(beta1), correction(beta2).sqrt());
    vec![sign, added, kept, beta1, 1.0 - beta1, beta2, 1.0 - beta2, size, root, config.eps]
}
