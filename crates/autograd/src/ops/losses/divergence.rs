//! The divergence of distributions.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Compare, Expr};

use super::{Reduction, widened};
use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// # Divergence
impl Tensor {
    /// Kullback and Leibler's divergence of log-probabilities `x` from a target `t` of their shape,
    /// element by element: `t (log t - x)`, and 0 where t is 0; or `exp(t) (t - x)` if the target is
    /// given as logarithms too (`torch.nn.functional.kl_div`). The divergence itself is
    /// [`Reduction::BatchMean`]. Both get gradients, the target none where it is 0; the loss is in
    /// the accumulator's type.
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Reduction};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let scores = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [1, 2])?);
    /// let same = scores.softmax(1)?;
    /// let divergence = scores.log_softmax(1)?.kl_div(&same, false, Reduction::BatchMean)?;
    /// assert!(divergence.item()?.abs() < 1e-15);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that differ, or not floats.
    pub fn kl_div(
        &self,
        target: &Tensor,
        log_target: bool,
        reduction: Reduction,
    ) -> Result<Tensor> {
        static OF_PROBABILITIES: Function = LazyLock::new(|| {
            PointwiseFn::binary("kl_div", |x, t| {
                let zero = Expr::constant(0.0);
                t.select(Compare::Eq, &zero, &zero, &(t * (t.log() - x)))
            })
        });
        static OF_LOGARITHMS: Function =
            LazyLock::new(|| PointwiseFn::binary("kl_div", |x, t| t.exp() * (t - x)));
        let function = if log_target { &OF_LOGARITHMS } else { &OF_PROBABILITIES };
        let (input, target) = widened("kl_div", self, target)?;
        reduction.of(&function.apply(&[&input, &target], &[])?)
    }
}
