//! Adamax.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`Adamax`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::AdamaxConfig;
///
/// assert_eq!(AdamaxConfig::default().lr, 0.002);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamaxConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running mean of the gradient and of its running maximum is kept.
    pub betas: [f64; 2],
    /// What is added to the gradient's magnitude.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for AdamaxConfig {
    /// PyTorch's: a learning rate of 0.002.
    fn default() -> Self {
        let (betas, eps) = ([0.9, 0.999], 1e-8);
        AdamaxConfig { lr: 2e-3, betas, eps, weight_decay: 0.0, maximize: false }
    }
}

/// Adamax (Kingma and Ba 2015, algorithm 2): `torch.optim.Adamax`.
///
/// With gradient `g` (negated to maximize), at step `t` of each parameter `p`:
/// `g += weight_decay p`; `m = β1 m + (1 - β1) g`; `u = max(β2 u, |g| + eps)`;
/// `p -= lr / (1 - β1^t) m / u`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Adamax, AdamaxConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = AdamaxConfig { lr: 0.1, ..AdamaxConfig::default() };
/// let mut optimizer = Adamax::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // The first step is as long as the learning rate.
/// assert!((x.value().item()? - 3.9).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type Adamax = Stepper<AdamaxConfig>;

impl Rule for AdamaxConfig {
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
        &["exp_avg", "exp_inf"]
    }

    fn program(&self) -> Program {
        let [sign, decay, size, beta1, rest1, beta2, eps] = [0, 1, 2, 3, 4, 5, 6].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * decay;
        let mean = Expr::previous(1) * beta1 + &gradient * rest1;
        let largest = (Expr::previous(2) * beta2).maximum(&(gradient.abs() + eps));
        Program::new(&[value - size * (&mean / &largest), mean, largest])
    }

    fn scalars(&self, step: u64, lr: f64) -> Vec<f64> {
        let [beta1, beta2] = self.betas;
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let size = lr / (1.0 - beta1.powf(step as f64));
        vec![sign, self.weight_decay, size, beta1, 1.0 - beta1, beta2, self.eps]
    }
}
