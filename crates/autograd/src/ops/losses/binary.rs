//! Cross entropy of probabilities, or logits, of two classes.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::Expr;
use ferrotape_backend::{Array, Error, Result};

use super::{Reduction, widened};
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// How [`Tensor::binary_cross_entropy_with_logits`] weighs its losses.
///
/// ```
/// use ferrotape_autograd::{Tensor, ops::BinaryCrossEntropy};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0], [2])?);
/// let target = Tensor::from(Array::from_slice(&device, &[1.0f64, 0.0], [2])?);
/// // A positive one counts three times: (3 ln 2 + ln 2) / 2.
/// let rare = Tensor::from(Array::from_slice(&device, &[3.0f64], [1])?);
/// let options = BinaryCrossEntropy { pos_weight: Some(&rare), ..Default::default() };
/// let loss = x.binary_cross_entropy_with_logits(&target, &options)?;
/// assert!((loss.item()? - 2.0 * 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct BinaryCrossEntropy<'a> {
    /// A factor of each loss, of a shape that broadcasts to the input's.
    pub weight: Option<&'a Tensor>,
    /// A factor of the losses of positive targets, likewise: one a class `[C]` for inputs `[N, C]`.
    pub pos_weight: Option<&'a Tensor>,
    /// How the losses become one number.
    pub reduction: Reduction,
}

/// `log x` and `log(1 - x)`, at least -100.
fn bounded_logs(x: &Expr) -> [Expr; 2] {
    let least = Expr::constant(-100.0);
    [x.log().maximum(&least), x.neg().log1p().maximum(&least)]
}

/// The loss of a probability. Its gradient is stated and not derived: where the logarithm is bounded
/// it would be 0, and a probability of 0 could never be unlearnt.
#[derive(Debug)]
struct OfProbability;

impl Op for OfProbability {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        static LOSS: Function = LazyLock::new(|| {
            PointwiseFn::binary("binary_cross_entropy", |x, t| {
                let [log, log_of_rest] = bounded_logs(x);
                (t * log + (1.0 - t) * log_of_rest).neg()
            })
        });
        cx.save_input(0);
        if cx.needs(0) {
            cx.save_input(1);
        }
        let [x, target] = [0, 1].map(|i| Tensor::from(inputs[i].clone()));
        Ok(LOSS.apply(&[&x, &target], &[])?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        static OF_INPUT: Function = LazyLock::new(|| {
            let (x, t, grad) = (Expr::input(0), Expr::input(1), Expr::input(2));
            let spread = (&x * (1.0 - &x)).maximum(&Expr::constant(1e-12));
            PointwiseFn::new("binary_cross_entropy", 3, grad * (x - t) / spread)
        });
        static OF_TARGET: Function = LazyLock::new(|| {
            PointwiseFn::binary("binary_cross_entropy", |x, grad| {
                let [log, log_of_rest] = bounded_logs(x);
                grad * (log_of_rest - log)
            })
        });
        let x = cx.input(0)?;
        let of_input = match cx.needs(0) {
            true => Some(OF_INPUT.apply(&[&x, &cx.input(1)?, grad], &[])?),
            false => None,
        };
        let of_target = match cx.needs(1) {
            true => Some(OF_TARGET.apply(&[&x, grad], &[])?),
            false => None,
        };
        Ok([of_input, of_target].into_iter().collect())
    }
}

/// # Losses of two classes
///
/// Input and target have one shape and both get gradients; the loss is in the accumulator's type.
impl Tensor {
    /// `-t log x - (1 - t) log(1 - x)` for probabilities `x`, its logarithms at least -100
    /// (`torch.nn.functional.binary_cross_entropy`). The gradient is
    /// `(x - t) / max(x (1 - x), 1e-12)`, at 0 and 1 too. A factor `weight` of each loss may be given,
    /// of a shape that broadcasts to the input's.
    ///
    /// An input outside 0 to 1 has the loss NaN. PyTorch refuses it on the CPU; to look for one here
    /// would make every step wait for its device.
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.5f64, 0.5], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// let loss = x.binary_cross_entropy(&target, None, Reduction::Mean)?;
    /// assert!((loss.item()? - 2f64.ln()).abs() < 1e-12);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A target of another shape, a weight that does not broadcast to it, or not floats.
    pub fn binary_cross_entropy(
        &self,
        target: &Tensor,
        weight: Option<&Tensor>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let (input, target) = widened("binary_cross_entropy", self, target)?;
        let losses = Tensor::apply(OfProbability, &[&input, &target])?;
        reduction.of(&match factor("weight", weight, &losses)? {
            Some(weight) => losses.mul(&weight)?,
            None => losses,
        })
    }

    /// [`Tensor::binary_cross_entropy`] of `sigmoid(x)`, without overflow:
    /// `weight (pos_weight t softplus(-x) + (1 - t) softplus(x))`
    /// (`torch.nn.functional.binary_cross_entropy_with_logits`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::BinaryCrossEntropy};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let logits = Tensor::from(Array::from_slice(&device, &[-1e4f64, 1e4], [2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[1.0f64, 1.0], [2])?);
    /// let options = BinaryCrossEntropy::default();
    /// let loss = logits.binary_cross_entropy_with_logits(&target, &options)?;
    /// assert_eq!(loss.item()?, 5e3);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A target of another shape, a weight that does not broadcast to it, or not floats.
    pub fn binary_cross_entropy_with_logits(
        &self,
        target: &Tensor,
        options: &BinaryCrossEntropy<'_>,
    ) -> Result<Tensor> {
        fn loss(x: &Expr, positive: &Expr, t: &Expr) -> Expr {
            positive * x.neg().softplus() + (1.0 - t) * x.softplus()
        }
        const NAME: &str = "binary_cross_entropy_with_logits";
        static PLAIN: Function = LazyLock::new(|| PointwiseFn::binary(NAME, |x, t| loss(x, t, t)));
        static POSITIVE: Function = LazyLock::new(|| {
            let (x, t, factor) = (Expr::input(0), Expr::input(1), Expr::input(2));
            PointwiseFn::new(NAME, 3, loss(&x, &(&t * factor), &t))
        });
        let (input, target) = widened(NAME, self, target)?;
        let losses = match factor("pos_weight", options.pos_weight, &input)? {
            Some(positive) => POSITIVE.apply(&[&input, &target, &positive], &[])?,
            None => PLAIN.apply(&[&input, &target], &[])?,
        };
        options.reduction.of(&match factor("weight", options.weight, &losses)? {
            Some(weight) => losses.mul(&weight)?,
            None => losses,
        })
    }
}

/// A factor in the accumulator's type, after checking that it makes nothing larger.
fn factor(name: &str, factor: Option<&Tensor>, losses: &Tensor) -> Result<Option<Tensor>> {
    let Some(factor) = factor else { return Ok(None) };
    if !factor.shape().broadcasts_to(losses.shape()) {
        return Err(Error::shape(format!(
            "{name} has shape {}, which does not broadcast to the losses' {}",
            factor.shape(),
            losses.shape()
        )));
    }
    factor.cast(factor.dtype().accumulator()).map(Some)
}
