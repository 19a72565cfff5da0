//! Cross entropy of logits and target classes, softmax and loss in one pass.

use ferrotape_backend::{Array, CrossEntropy, DType, Error, Result, Shape};
use smallvec::SmallVec;

use super::Reduction;
use super::likelihood::{check_targets, class_dim};
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::ops;
use crate::ops::index::differs_from;
use crate::tensor::Tensor;

/// One loss a row: `-sum_k q_k log softmax(logits)_k`. Inputs: logits `[N, K]`, targets `[N]`.
#[derive(Debug)]
struct Loss(CrossEntropy);

impl Op for Loss {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (logits, targets) = (inputs[0], inputs[1]);
        ops::common_float(&[logits])?;
        if targets.dtype() != DType::I64 || logits.shape().rank() != 2 {
            return Err(Error::shape(
                "cross entropy wants logits [N, K] and target classes [N] of i64",
            ));
        }
        let wide = logits.dtype().accumulator();
        let mut loss = ops::output(logits, wide, &[logits.shape()[0]])?;
        logits.device().backend().cross_entropy(logits, targets, &mut loss, &self.0)?;
        cx.save_input(0);
        cx.save_constant(targets);
        Ok(loss)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let (logits, targets) = (cx.input(0)?, cx.constant(0)?);
        let gx = if cx.recording() {
            self.backward_by_definition(&logits, &targets, grad)?
        } else {
            let mut gx = ops::output_like(&logits, logits.dtype(), *logits.shape())?;
            let backend = logits.device().backend();
            backend.cross_entropy_grad(grad, &logits, &targets, &mut gx, &self.0)?;
            gx.into()
        };
        Ok([Some(gx), None].into_iter().collect())
    }
}

impl Loss {
    /// `gloss (softmax(logits) - q)` as differentiable operations.
    fn backward_by_definition(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor> {
        let wide = logits.dtype().accumulator();
        let (n, k) = (logits.shape()[0], logits.shape()[1]);
        let mut wanted = vec![0.0; n * k];
        let mut counted = vec![0.0; n];
        for (row, &target) in targets.to_vec::<i64>()?.iter().enumerate() {
            if target != self.0.ignore_index {
                let smoothing = self.0.label_smoothing;
                wanted[row * k..(row + 1) * k].fill(smoothing / k as f64);
                wanted[row * k + target as usize] += 1.0 - smoothing;
                counted[row] = 1.0;
            }
        }
        let device = logits.device();
        let wanted = Tensor::from(Array::from_f64(device, &wanted, wide, [n, k])?);
        let counted = Tensor::from(Array::from_f64(device, &counted, wide, [n, 1])?);
        let excess = logits.cast(wide)?.softmax(1)?.sub(&wanted)?;
        excess.mul(&grad.view(Shape::new(&[n, 1])?)?.mul(&counted)?)
    }
}

pub(super) fn check_smoothing(label_smoothing: f64) -> Result<()> {
    if (0.0..=1.0).contains(&label_smoothing) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "label smoothing is {label_smoothing}, it must lie between 0 and 1"
    )))
}

/// # Cross entropy
impl Tensor {
    /// The mean cross entropy of these logits, `[N, K]`, `[N, K, d1, ..]` or `[K]`, and target
    /// classes (i64), `[N]`, `[N, d1, ..]` or a scalar, in the accumulator's type
    /// (`torch.nn.functional.cross_entropy`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let logits = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0], [1, 2])?);
    /// let targets = Array::from_slice(&device, &[1i64], [1])?;
    /// assert!((logits.cross_entropy(&targets)?.item()? - 2f64.ln()).abs() < 1e-15);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or a target that is not a class.
    pub fn cross_entropy(&self, targets: &Array) -> Result<Tensor> {
        self.cross_entropy_with(targets, &CrossEntropy::default(), Reduction::Mean)
    }

    /// As [`Tensor::cross_entropy`], with label smoothing, an ignored target, another reduction.
    ///
    /// ```
    /// # use ferrotape_autograd::{Tensor, ops::Reduction};
    /// # use ferrotape_backend::{Array, CrossEntropy, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let logits = Tensor::from(Array::from_slice(&device, &[0.0f64, 0.0, 5.0, 1.0], [2, 2])?);
    /// let targets = Array::from_slice(&device, &[1i64, -100], [2])?;
    /// let params = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
    /// let loss = logits.cross_entropy_with(&targets, &params, Reduction::Mean)?;
    /// assert!((loss.item()? - 2f64.ln()).abs() < 1e-12, "the second row is ignored");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there; smoothing outside 0 to 1.
    pub fn cross_entropy_with(
        &self,
        targets: &Array,
        params: &CrossEntropy,
        reduction: Reduction,
    ) -> Result<Tensor> {
        check_smoothing(params.label_smoothing)?;
        check_targets(self, targets)?;
        let (dim, shape) = class_dim(self)?;
        let rows = Shape::new(&[shape.numel(), self.shape()[dim]])?;
        let logits = if self.shape().rank() > 2 {
            // In channels-last memory the classes of a pixel are adjacent already.
            let mut order: SmallVec<[usize; 8]> = (0..self.shape().rank()).collect();
            order.remove(dim);
            order.push(dim);
            self.permute(&order)?.view(rows)?
        } else {
            self.view(rows)?
        };
        let list = Tensor::from(targets.reshape([shape.numel()])?);
        let losses = Tensor::apply(Loss(*params), &[&logits, &list])?.view(shape)?;
        reduction.with_mean(&losses, || {
            // They are counted in f64: f32 cannot tell 2^24 from one more.
            let counted = Tensor::from(differs_from(targets, params.ignore_index)?).sum_all()?;
            losses.sum_all()?.div(&counted.cast(losses.dtype())?)
        })
    }
}
