//! Cross entropy of logits and target classes.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr, Program};
use ferrotape_backend::{Array, CrossEntropy, DType, Error, Result, Shape};

use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// How the losses of a batch become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean over the rows that are not ignored.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They stay as they are, one a row.
    None,
}

/// One loss a row: `-sum_k q_k log softmax(logits)_k`. Inputs: logits `[N, K]`, targets `[N]`.
#[derive(Debug)]
struct Loss(CrossEntropy);

impl Op for Loss {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (logits, targets) = (inputs[0], inputs[1]);
        super::common_float(&[logits])?;
        if targets.dtype() != DType::I64 || logits.shape().rank() != 2 {
            return Err(Error::shape(
                "cross entropy wants logits [N, K] and target classes [N] of i64",
            ));
        }
        let wide = logits.dtype().accumulator();
        let mut loss = super::output(logits, wide, &[logits.shape()[0]])?;
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
            let mut gx = super::output_like(&logits, logits.dtype(), *logits.shape())?;
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

/// 1 where a target counts, 0 where it is ignored.
fn counted(targets: &Array, ignore_index: i64, dtype: DType) -> Result<Array> {
    static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
        let counted = Expr::input(0).select(
            Compare::Eq,
            &Expr::scalar(0),
            &Expr::constant(0.0),
            &Expr::constant(1.0),
        );
        Arc::new(Program::new(&[counted]))
    });
    let mut mask = super::output(targets, dtype, targets.shape())?;
    let backend = targets.device().backend();
    backend.pointwise(&PROGRAM, &[ignore_index as f64], &[targets], &mut [&mut mask])?;
    Ok(mask)
}

/// # Losses
impl Tensor {
    /// The mean cross entropy of these logits `[N, K]` and target classes `[N]` (i64), in the
    /// accumulator type (`torch.nn.functional.cross_entropy`).
    ///
    /// # Errors
    /// Shapes that do not fit, or a target that is not a class.
    pub fn cross_entropy(&self, targets: &Array) -> Result<Tensor> {
        self.cross_entropy_with(targets, &CrossEntropy::default(), Reduction::Mean)
    }

    /// As [`Tensor::cross_entropy`], with label smoothing, an ignored target, another reduction.
    ///
    /// # Errors
    /// As there; smoothing outside 0 to 1.
    pub fn cross_entropy_with(
        &self,
        targets: &Array,
        params: &CrossEntropy,
        reduction: Reduction,
    ) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&params.label_smoothing) {
            return Err(Error::argument(format!(
                "label smoothing is {}, it must lie between 0 and 1",
                params.label_smoothing
            )));
        }
        let targets = Tensor::from(targets.clone());
        let loss = Tensor::apply(Loss(*params), &[self, &targets])?;
        match reduction {
            Reduction::None => Ok(loss),
            Reduction::Sum => loss.sum_all(),
            Reduction::Mean => {
                let rows = counted(&targets, params.ignore_index, loss.dtype())?;
                loss.sum_all()?.div(&Tensor::from(rows).sum_all()?)
            }
        }
    }
}
