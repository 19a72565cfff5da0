//! The logarithm of a sum of exponentials.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr};
use ferrotape_backend::{Array, Result};
use smallvec::SmallVec;

use crate::op::{Backward, Forward, InputGrads, Op};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// `exp(x - shift)`, where an infinite shift counts as 0: infinite elements stay what they are
/// instead of becoming NaN.
static SHIFTED_EXP: Function = LazyLock::new(|| {
    PointwiseFn::binary("shifted_exp", |x, shift| (x - finite_or_zero(shift)).exp())
});

/// `log(sum) + shift`, with the same meaning of an infinite shift.
static SHIFTED_LOG: Function = LazyLock::new(|| {
    PointwiseFn::binary("shifted_log", |sum, shift| sum.log() + finite_or_zero(shift))
});

/// The gradient's weights `exp(x - y)`: 0 for all elements where all are minus infinity.
static WEIGHT: Function = LazyLock::new(|| {
    let (lowest, zero) = (Expr::constant(f64::NEG_INFINITY), Expr::constant(0.0));
    PointwiseFn::binary("logsumexp_weight", |x, y| {
        (x - y.select(Compare::Eq, &lowest, &zero, y)).exp()
    })
});

fn finite_or_zero(shift: &Expr) -> Expr {
    let (infinity, zero) = (Expr::constant(f64::INFINITY), Expr::constant(0.0));
    shift.abs().select(Compare::Eq, &infinity, &zero, shift)
}

#[derive(Debug)]
struct LogSumExp {
    dims: SmallVec<[usize; 8]>,
    keepdim: bool,
}

impl LogSumExp {
    fn signed_dims(&self) -> SmallVec<[isize; 8]> {
        self.dims.iter().map(|&d| d as isize).collect()
    }
}

impl Op for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let x = Tensor::from(inputs[0].clone()).cast(dtype.accumulator())?;
        let dims = self.signed_dims();
        let y = if dims.is_empty() {
            x
        } else if x.shape().numel() == 0 {
            // There is no largest element, and the sum of nothing is 0.
            x.exp()?.sum(&dims, self.keepdim)?.log()?
        } else {
            let shift = x.max(&dims, true)?;
            let sum = SHIFTED_EXP.apply(&[&x, &shift], &[])?.sum(&dims, true)?;
            let y = SHIFTED_LOG.apply(&[&sum, &shift], &[])?;
            if self.keepdim { y } else { y.view(super::reduce::reduced(x.shape(), &self.dims)?.1)? }
        };
        cx.save_input(0);
        cx.save_output();
        Ok(y.cast(dtype)?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let (kept, _) = super::reduce::reduced(&cx.input_shape(0), &self.dims)?;
        let weight = WEIGHT.apply(&[&cx.input(0)?, &cx.output()?.view(kept)?], &[])?;
        Ok(super::one(grad.view(kept)?.mul(&weight)?))
    }
}

/// # Logarithm of a sum of exponentials
impl Tensor {
    /// `log sum exp(x)` over `dims`, without overflow (`torch.logsumexp`); an empty list means all
    /// dimensions. Where all elements are minus infinity, so is the result, and the gradient is 0.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1000.0f64, 1000.0], [1, 2])?);
    /// assert_eq!(x.logsumexp(&[1], false)?.to_vec::<f64>()?, [1000.0 + 2f64.ln()]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension, or not a float.
    pub fn logsumexp(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dims = super::dims(self.shape(), dims)?;
        Tensor::apply(LogSumExp { dims, keepdim }, &[self])
    }
}
