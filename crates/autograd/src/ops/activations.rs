//! Activations: one expression each. Adding one touches this file only.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Compare, Expr};

use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// `then` where x > 0, else `otherwise`. A NaN goes the way of positive numbers, so it propagates.
fn where_positive(x: &Expr, then: impl Into<Expr>, otherwise: impl Into<Expr>) -> Expr {
    x.select(Compare::Le, &Expr::constant(0.0), &otherwise.into(), &then.into())
}

/// # Activations
///
/// Each maps element by element, has PyTorch's meaning, and fails only on integers.
impl Tensor {
    /// `max(x, 0)`; the gradient at 0 is 0 and a NaN stays one (`torch.relu`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-1.0f64, 2.0], [2])?);
    /// assert_eq!(x.relu()?.to_vec::<f64>()?, [0.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn relu(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary_by_output(
                "relu",
                |x| where_positive(x, x, 0.0),
                |y| where_positive(y, 1.0, 0.0),
            )
        });
        F.apply(&[self], &[])
    }

    /// `x` where x > 0, else `slope x` (`torch.nn.functional.leaky_relu`).
    ///
    /// # Errors
    /// Not a float.
    pub fn leaky_relu(&self, slope: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("leaky_relu", |x| where_positive(x, x, x * Expr::scalar(0)))
        });
        F.apply(&[self], &[slope])
    }

    /// `x` where x > 0, else `alpha (exp(x) - 1)` (Clevert et al., 2016; `torch.nn.functional.elu`).
    ///
    /// # Errors
    /// Not a float.
    pub fn elu(&self, alpha: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("elu", |x| where_positive(x, x, Expr::scalar(0) * x.expm1()))
        });
        F.apply(&[self], &[alpha])
    }

    /// `1 / (1 + exp(-x))`.
    ///
    /// # Errors
    /// Not a float.
    pub fn sigmoid(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary_by_output("sigmoid", |x| x.sigmoid(), |y| y * (1.0 - y))
        });
        F.apply(&[self], &[])
    }

    /// The hyperbolic tangent.
    ///
    /// # Errors
    /// Not a float.
    pub fn tanh(&self) -> Result<Tensor> {
        static F: Function =
            LazyLock::new(|| PointwiseFn::unary_by_output("tanh", |x| x.tanh(), |y| 1.0 - y * y));
        F.apply(&[self], &[])
    }

    /// `x sigmoid(x)`, also called swish (`torch.nn.functional.silu`).
    ///
    /// # Errors
    /// Not a float.
    pub fn silu(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| PointwiseFn::unary("silu", |x| x * x.sigmoid()));
        F.apply(&[self], &[])
    }

    /// `x (1 + erf(x / sqrt 2)) / 2` (Hendrycks and Gimpel, 2016; `torch.nn.functional.gelu`).
    ///
    /// # Errors
    /// Not a float.
    pub fn gelu(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("gelu", |x| {
                x * 0.5 * (1.0 + (x * std::f64::consts::FRAC_1_SQRT_2).erf())
            })
        });
        F.apply(&[self], &[])
    }

    /// [`Tensor::gelu`] with the error function approximated:
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`
    /// (`torch.nn.functional.gelu` with `approximate="tanh"`).
    ///
    /// # Errors
    /// Not a float.
    pub fn gelu_tanh(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("gelu_tanh", |x| {
                let scale = (2.0 / std::f64::consts::PI).sqrt();
                x * 0.5 * (1.0 + ((x + x * x * x * 0.044715) * scale).tanh())
            })
        });
        F.apply(&[self], &[])
    }

    /// `log(1 + exp(x))`, without overflow (`torch.nn.functional.softplus`).
    ///
    /// # Errors
    /// Not a float.
    pub fn softplus(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| PointwiseFn::unary("softplus", |x| x.softplus()));
        F.apply(&[self], &[])
    }

    /// `log(sigmoid(x)) = -softplus(-x)`, without overflow (`torch.nn.functional.logsigmoid`).
    ///
    /// # Errors
    /// Not a float.
    pub fn log_sigmoid(&self) -> Result<Tensor> {
        static F: Function =
            LazyLock::new(|| PointwiseFn::unary("log_sigmoid", |x| x.neg().softplus().neg()));
        F.apply(&[self], &[])
    }
}
