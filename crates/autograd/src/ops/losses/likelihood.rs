//! Losses of target classes by definition: the negative log-likelihood, and cross entropy with class
//! weights or with distributions as targets.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr};
use ferrotape_backend::{Array, CrossEntropy, DType, Error, Result, Shape};

use super::cross_entropy::check_smoothing;
use super::{Reduction, one_a_class};
use crate::ops::index::{differs_from, replaced};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

/// How [`Tensor::nll_loss`] weighs and reduces its losses.
///
/// ```
/// use ferrotape_autograd::{Tensor, ops::NllLoss};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let logs = Tensor::from(Array::from_slice(&device, &[-1.0f64, -2.0, -3.0, -4.0], [2, 2])?);
/// let targets = Array::from_slice(&device, &[0i64, 1], [2])?;
/// let weight = Array::from_slice(&device, &[3.0f64, 1.0], [2])?;
/// // (3 * 1 + 1 * 4) / (3 + 1)
/// let options = NllLoss { weight: Some(&weight), ..NllLoss::default() };
/// assert_eq!(logs.nll_loss(&targets, &options)?.item()?, 1.75);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NllLoss<'a> {
    /// A factor for each class, `[K]`.
    pub weight: Option<&'a Array>,
    /// Targets of this value have loss 0, gradient 0 and weight 0.
    pub ignore_index: i64,
    /// How the losses become one number: the mean divides by the sum of the targets' weights.
    pub reduction: Reduction,
}

impl Default for NllLoss<'_> {
    /// No weights, the mean; -100 is ignored, as in PyTorch.
    fn default() -> Self {
        let ignore_index = CrossEntropy::default().ignore_index;
        NllLoss { weight: None, ignore_index, reduction: Reduction::Mean }
    }
}

/// `x w`, and 0 where w is 0, whatever x is.
fn weighed(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    static F: LazyLock<Arc<PointwiseFn>> = LazyLock::new(|| {
        PointwiseFn::binary("weighed", |x, w| {
            let zero = Expr::constant(0.0);
            w.select(Compare::Eq, &zero, &zero, &(x * w))
        })
    });
    F.apply(&[x, weight], &[])
}

/// The dimension of the classes in `[K]` or `[N, K, ..]`, and the shape of the targets.
pub(super) fn class_dim(input: &Tensor) -> Result<(usize, Shape)> {
    let dim = match input.shape().rank() {
        0 => return Err(Error::shape("a loss of classes wants [K] or [N, K, ..], got a scalar")),
        1 => 0,
        _ => 1,
    };
    let mut sizes = input.shape().to_vec();
    if sizes.remove(dim) == 0 {
        return Err(Error::shape(format!(
            "a loss of classes wants at least one class in dimension {dim}, got {}",
            input.shape()
        )));
    }
    Ok((dim, Shape::new(&sizes)?))
}

/// Checks that there is a target class for each row of classes.
pub(super) fn check_targets(input: &Tensor, targets: &Array) -> Result<()> {
    let (_, wanted) = class_dim(input)?;
    if targets.dtype() == DType::I64 && *targets.shape() == wanted {
        return Ok(());
    }
    Err(Error::shape(format!(
        "input {} with its classes in dimension 1 wants target classes {wanted} of i64, got {} {}",
        input.shape(),
        targets.dtype(),
        targets.shape()
    )))
}

/// Target classes as what a definition needs of them.
struct Targets {
    dim: usize,
    /// The class of each target, 0 for ignored ones: `[N, 1, ..]`.
    index: Array,
    /// 0 for ignored targets, else 1, in f64: `[N, ..]`.
    counted: Tensor,
    /// The same times the weight of the class.
    weights: Tensor,
}

impl Targets {
    fn new(
        input: &Tensor,
        targets: &Array,
        weight: Option<&Array>,
        ignore_index: i64,
    ) -> Result<Self> {
        check_targets(input, targets)?;
        let (dim, shape) = class_dim(input)?;
        let classes = replaced(targets, ignore_index, 0)?;
        let counted = Tensor::from(differs_from(targets, ignore_index)?);
        let weights = match weight {
            None => counted.clone(),
            Some(weight) => {
                one_a_class(weight, input.shape()[dim])?;
                let weight = Tensor::from(weight.cast(DType::F64)?);
                let list = classes.reshape([shape.numel()])?;
                weight.index_select(0, &list)?.view(shape)?.mul(&counted)?
            }
        };
        let index = classes.reshape(input.shape().with(dim, 1)?)?;
        Ok(Targets { dim, index, counted, weights })
    }

    /// The elements at the targets times their weights times `share`: `[N, ..]`.
    fn pick(&self, input: &Tensor, share: f64) -> Result<Tensor> {
        let picked = input.gather(self.dim as isize, &self.index)?.view(*self.weights.shape())?;
        weighed(&picked, &self.weights.mul_scalar(share)?.cast(input.dtype())?)
    }

    /// The losses as one number: their mean is their sum divided by that of the targets' weights. Where
    /// no target counts it is NaN, with a gradient of 0, so that such a batch changes no parameter.
    fn reduce(&self, losses: &Tensor, reduction: Reduction) -> Result<Tensor> {
        static F: LazyLock<Arc<PointwiseFn>> = LazyLock::new(|| {
            PointwiseFn::binary("weighted_mean", |sum, total| {
                let (zero, none) = (Expr::constant(0.0), Expr::constant(f64::NAN));
                total.select(Compare::Eq, &zero, &none, &(sum / total))
            })
        });
        reduction.with_mean(losses, || {
            let total = self.weights.sum_all()?.cast(losses.dtype())?;
            F.apply(&[&losses.sum_all()?, &total], &[])
        })
    }
}

/// # Losses of classes
///
/// The classes lie in dimension 1, the targets have the shape without it; the loss is in the
/// accumulator's type.
impl Tensor {
    /// `-weight[t] x[t]` for log-probabilities `x`, `[N, K]`, `[N, K, d1, ..]` or `[K]`, and target
    /// classes `t` (i64), `[N]`, `[N, d1, ..]` or a scalar (`torch.nn.functional.nll_loss`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::NllLoss};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let scores = Array::from_slice(&device, &[-1.0f64, -2.0, -3.0, -4.0], [2, 2])?;
    /// let targets = Array::from_slice(&device, &[0i64, 1], [2])?;
    /// let weight = Array::from_slice(&device, &[3.0f64, 1.0], [2])?;
    /// let options = NllLoss { weight: Some(&weight), ..NllLoss::default() };
    /// let loss = Tensor::from(scores).nll_loss(&targets, &options)?;
    /// assert_eq!(loss.item()?, (3.0 * 1.0 + 1.0 * 4.0) / (3.0 + 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, a target that is no class, weights that are not one a class.
    pub fn nll_loss(&self, targets: &Array, options: &NllLoss<'_>) -> Result<Tensor> {
        let input = self.cast(self.dtype().accumulator())?;
        let targets = Targets::new(&input, targets, options.weight, options.ignore_index)?;
        let losses = targets.pick(&input, -1.0)?;
        targets.reduce(&losses, options.reduction)
    }

    /// As [`Tensor::cross_entropy_with`], with a weight for each class, `[K]`
    /// (`torch.nn.functional.cross_entropy` with `weight`). For log-probabilities `l` a loss is
    /// `-(1 - s) weight[t] l[t] - s / K sum_k weight[k] l[k]` with smoothing `s`, and the mean divides
    /// by the sum of the targets' weights.
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, CrossEntropy, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let logits = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0, 0.0, 0.0], [2, 2])?);
    /// let targets = Array::from_slice(&device, &[0i64, 1], [2])?;
    /// let weight = Array::from_slice(&device, &[3.0f64, 1.0], [2])?;
    /// let params = CrossEntropy::default();
    /// let losses = logits.cross_entropy_weighted(&targets, &weight, &params, Reduction::None)?;
    /// assert_eq!(losses.to_vec::<f64>()?, [3.0 * 2f64.ln(), 2f64.ln()]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there; weights that are not one a class.
    pub fn cross_entropy_weighted(
        &self,
        targets: &Array,
        weight: &Array,
        params: &CrossEntropy,
        reduction: Reduction,
    ) -> Result<Tensor> {
        check_smoothing(params.label_smoothing)?;
        let input = self.cast(self.dtype().accumulator())?;
        let targets = Targets::new(&input, targets, Some(weight), params.ignore_index)?;
        let dim = targets.dim as isize;
        let logs = input.log_softmax(dim)?;
        let smoothing = params.label_smoothing;
        let mut losses = targets.pick(&logs, smoothing - 1.0)?;
        if smoothing > 0.0 {
            let share = -smoothing / input.shape()[targets.dim] as f64;
            let spread = weighed(&logs, &class_weights(weight, &logs, targets.dim)?)?;
            let counted = targets.counted.mul_scalar(share)?.cast(logs.dtype())?;
            losses = losses.add(&weighed(&spread.sum(&[dim], false)?, &counted)?)?;
        }
        targets.reduce(&losses, reduction)
    }

    /// Cross entropy with distributions as targets: `-sum_k weight[k] q[k] log softmax(x)[k]`, where
    /// `q = (1 - s) target + s / K` with smoothing `s` (`torch.nn.functional.cross_entropy` with
    /// probabilities as the target). The target has the input's shape, `[N, K]`, `[N, K, d1, ..]` or
    /// `[K]`, and gets a gradient too. The mean is over all rows, whatever the weights.
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Reduction};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let logits = Tensor::from(Array::from_slice(&device, &[1.0f64, 1.0], [1, 2])?);
    /// let target = Tensor::from(Array::from_slice(&device, &[0.3f64, 0.7], [1, 2])?);
    /// let loss = logits.cross_entropy_soft(&target, None, 0.0, Reduction::Mean)?;
    /// assert!((loss.item()? - 2f64.ln()).abs() < 1e-15);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A target of another shape, weights that are not one a class, smoothing outside 0 to 1, or not
    /// floats.
    pub fn cross_entropy_soft(
        &self,
        target: &Tensor,
        weight: Option<&Array>,
        label_smoothing: f64,
        reduction: Reduction,
    ) -> Result<Tensor> {
        check_smoothing(label_smoothing)?;
        let (input, mut target) = super::widened("cross_entropy_soft", self, target)?;
        let (dim, _) = class_dim(&input)?;
        let mut logs = input.log_softmax(dim as isize)?;
        if label_smoothing > 0.0 {
            let even = label_smoothing / input.shape()[dim] as f64;
            target = target.mul_scalar(1.0 - label_smoothing)?.add_scalar(even)?;
        }
        if let Some(weight) = weight {
            one_a_class(weight, input.shape()[dim])?;
            logs = logs.mul(&class_weights(weight, &logs, dim)?)?;
        }
        reduction.of(&logs.mul(&target)?.sum(&[dim as isize], false)?.neg()?)
    }
}

/// Class weights laid along the dimension of the classes.
fn class_weights(weight: &Array, like: &Tensor, dim: usize) -> Result<Tensor> {
    let mut sizes = vec![1; like.shape().rank() - dim];
    sizes[0] = weight.shape().numel();
    Ok(weight.cast(like.dtype())?.reshape(&sizes)?.into())
}
