//! RMSprop.

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Expr, Program};

use super::engine::{Rule, Stepper, check};

/// The options of [`RmsProp`], with PyTorch's meaning.
///
/// ```
/// use ferrotape_nn::optim::RmsPropConfig;
///
/// assert_eq!(RmsPropConfig::default().alpha, 0.99);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropConfig {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running mean of squares is kept.
    pub alpha: f64,
    /// What is added to the root.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// How much of the last step goes into the next.
    pub momentum: f64,
    /// Divide by the deviation from the running mean in place of the root mean square (Graves 2013).
    pub centered: bool,
    /// Go up instead of down.
    pub maximize: bool,
}

impl Default for RmsPropConfig {
    /// PyTorch's: a learning rate of 0.01.
    fn default() -> Self {
        RmsPropConfig {
            lr: 0.01,
            alpha: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            centered: false,
            maximize: false,
        }
    }
}

/// RMSprop (Hinton, lecture 6e of "Neural networks for machine learning", 2012):
/// `torch.optim.RMSprop`.
///
/// With gradient `g` (negated to maximize), for each parameter `p`: `g += weight_decay p`;
/// `v = α v + (1 - α) g²`; `s = sqrt(v) + eps`, or centered `s = sqrt(v - m²) + eps` with
/// `m = α m + (1 - α) g`; `b = momentum b + g / s`; `p -= lr b`.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{RmsProp, RmsPropConfig, Optimizer};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[4.0f64], [1])?)?;
/// let config = RmsPropConfig { lr: 0.1, alpha: 0.75, ..RmsPropConfig::default() };
/// let mut optimizer = RmsProp::new(vec![x.clone()], config)?;
/// let cx = Pass::eval(&device).with_grad();
/// optimizer.step(&cx.param(&x)?.square()?.sum_all()?.backward()?)?;
/// // The mean of squares is a quarter of the first square, so the first step is twice the rate.
/// assert!((x.value().item()? - 3.8).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub type RmsProp = Stepper<RmsPropConfig>;

impl Rule for RmsPropConfig {
    fn check(&self) -> Result<()> {
        check("alpha", self.alpha, 0.0..1.0)?;
        check("eps", self.eps, 0.0..f64::INFINITY)?;
        check("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        check("momentum", self.momentum, 0.0..f64::INFINITY)?;
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn state(&self) -> &'static [&'static str] {
        match (self.centered, self.momentum != 0.0) {
            (false, false) => &["square_avg"],
            (true, false) => &["square_avg", "grad_avg"],
            (false, true) => &["square_avg", "momentum_buffer"],
            (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
        }
    }

    fn program(&self) -> Program {
        let [sign, decay, lr, alpha, rest, eps, momentum] = [0, 1, 2, 3, 4, 5, 6].map(Expr::scalar);
        let value = Expr::previous(0);
        let gradient = Expr::input(0) * sign + &value * decay;
        let square = Expr::previous(1) * alpha + &gradient * &gradient * &rest;
        let mut state = vec![square.clone()];
        let size = if self.centered {
            let before = Expr::previous(2);
            let mean = &before + (&gradient - &before) * rest;
            state.push(mean.clone());
            (square - &mean * &mean).sqrt() + eps
        } else {
            square.sqrt() + eps
        };
        let mut direction = gradient / size;
        if self.momentum != 0.0 {
            direction = Expr::previous(state.len() + 1) * momentum + direction;
            state.push(direction.clone());
        }
        state.insert(0, value - lr * direction);
        Program::new(&state)
    }

    fn scalars(&self, _step: u64, lr: f64) -> Vec<f64> {
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let mut scalars = vec![sign, self.weight_decay, lr, self.alpha, 1.0 - self.alpha, self.eps];
        if self.momentum != 0.0 {
            scalars.push(self.momentum);
        }
        scalars
    }
}
