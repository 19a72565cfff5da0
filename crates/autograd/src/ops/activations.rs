//! Activations: one expression each. Adding one touches this file only.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::{Compare, Expr};
use ferrotape_backend::{Error, Result, Shape};

use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

/// `then` where x > 0, else `otherwise`. A NaN goes the way of positive numbers, so it propagates.
fn where_positive(x: &Expr, then: impl Into<Expr>, otherwise: impl Into<Expr>) -> Expr {
    x.select(Compare::Le, &Expr::constant(0.0), &otherwise.into(), &then.into())
}

/// `grad` where the output of a ReLU is positive (or NaN), else 0.
pub(super) fn relu_grad(y: &Tensor, grad: &Tensor) -> Result<Tensor> {
    static F: Function =
        LazyLock::new(|| PointwiseFn::binary("relu_grad", |y, grad| where_positive(y, grad, 0.0)));
    F.apply(&[y, grad], &[])
}

/// `below` where x <= low, `above` where x >= high, else `middle`. A NaN goes the way of what lies
/// between, so it propagates.
fn between(x: &Expr, [low, below]: [&Expr; 2], middle: &Expr, [high, above]: [&Expr; 2]) -> Expr {
    x.select(Compare::Le, low, below, &high.select(Compare::Le, x, above, middle))
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 3.0], [2])?);
    /// assert_eq!(x.leaky_relu(0.1)?.to_vec::<f64>()?, [-0.2, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-1.0f64, 2.0], [2])?);
    /// let y = x.elu(1.0)?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([-0.632_121, 2.0]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 2.0], [2])?);
    /// let y = x.sigmoid()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.5, 0.880_797]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// let y = x.tanh()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 0.761_594]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 2.0], [2])?);
    /// let y = x.silu()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 1.761_594]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn silu(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| PointwiseFn::unary("silu", |x| x * x.sigmoid()));
        F.apply(&[self], &[])
    }

    /// `x (1 + erf(x / sqrt 2)) / 2` (Hendrycks and Gimpel, 2016; `torch.nn.functional.gelu`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 2.0], [2])?);
    /// let y = x.gelu()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 1.954_500]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 2.0], [2])?);
    /// let y = x.gelu_tanh()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 1.954_598]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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

    /// `log(1 + exp(x))`, and `x` where that is above 20, less than 3e-9 from it
    /// (`torch.nn.functional.softplus`, whose threshold that is).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 1000.0], [2])?);
    /// let y = x.softplus()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.693_147, 1000.0]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn softplus(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("softplus", |x| {
                x.select(Compare::Le, &Expr::constant(20.0), &x.softplus(), x)
            })
        });
        F.apply(&[self], &[])
    }

    /// `log(sigmoid(x)) = -softplus(-x)`, without overflow (`torch.nn.functional.logsigmoid`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, -1000.0], [2])?);
    /// let y = x.log_sigmoid()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([-0.693_147, -1000.0]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn log_sigmoid(&self) -> Result<Tensor> {
        static F: Function =
            LazyLock::new(|| PointwiseFn::unary("log_sigmoid", |x| x.neg().softplus().neg()));
        F.apply(&[self], &[])
    }

    /// `min(max(x, 0), 6)`; the gradient at 0 and at 6 is 0 (`torch.nn.functional.relu6`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-1.0f64, 3.0, 9.0], [3])?);
    /// assert_eq!(x.relu6()?.to_vec::<f64>()?, [0.0, 3.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn relu6(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("relu6", |x| {
                let (zero, six) = (Expr::constant(0.0), Expr::constant(6.0));
                between(x, [&zero, &zero], x, [&six, &six])
            })
        });
        F.apply(&[self], &[])
    }

    /// `x` bounded to `min..=max`; unlike that of [`Tensor::clamp`], the gradient at the bounds is 0
    /// (`torch.nn.functional.hardtanh`, whose bounds are -1 and 1 if none are given).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 0.5, 2.0], [3])?);
    /// assert_eq!(x.hardtanh(-1.0, 1.0)?.to_vec::<f64>()?, [-1.0, 0.5, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float; `min` that is not below or equal to `max`.
    pub fn hardtanh(&self, min: f64, max: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("hardtanh", |x| {
                let (min, max) = (Expr::scalar(0), Expr::scalar(1));
                between(x, [&min, &min], x, [&max, &max])
            })
        });
        if min.is_nan() || max.is_nan() || min > max {
            return Err(Error::argument(format!(
                "hardtanh wants a lower bound that is not above the upper one, got {min} and {max}"
            )));
        }
        F.apply(&[self], &[min, max])
    }

    /// `scale x` where x > 0, else `scale alpha (exp(x) - 1)`, with the constants that keep mean and
    /// variance (Klambauer et al., 2017; `torch.nn.functional.selu`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-1.0f64, 1.0], [2])?);
    /// let y = x.selu()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([-1.111_331, 1.050_701]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn selu(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            const ALPHA: f64 = 1.673_263_242_354_377_2;
            const SCALE: f64 = 1.050_700_987_355_480_5;
            PointwiseFn::unary("selu", |x| {
                where_positive(x, x * SCALE, x.expm1() * (SCALE * ALPHA))
            })
        });
        F.apply(&[self], &[])
    }

    /// `x` where x > 0, else `alpha (exp(x / alpha) - 1)`, whose slope is continuous (Barron, 2017;
    /// `torch.nn.functional.celu`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 1.0], [2])?);
    /// let y = x.celu(2.0)?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([-1.264_241, 1.0]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float; `alpha` of 0.
    pub fn celu(&self, alpha: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("celu", |x| {
                let alpha = Expr::scalar(0);
                where_positive(x, x, (x / &alpha).expm1() * &alpha)
            })
        });
        if alpha == 0.0 {
            return Err(Error::argument("celu divides by alpha, which must not be 0"));
        }
        F.apply(&[self], &[alpha])
    }

    /// `x tanh(log(1 + exp(x)))`, without overflow (Misra, 2019; `torch.nn.functional.mish`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// let y = x.mish()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 0.865_098]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn mish(&self) -> Result<Tensor> {
        static F: Function =
            LazyLock::new(|| PointwiseFn::unary("mish", |x| x * x.softplus().tanh()));
        F.apply(&[self], &[])
    }

    /// `x min(max(x + 3, 0), 6) / 6` (Howard et al., 2019; `torch.nn.functional.hardswish`). The
    /// gradient is 0 at -3 and 1 at 3.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-4.0f64, 0.0, 4.0], [3])?);
    /// assert_eq!(x.hardswish()?.to_vec::<f64>()?, [0.0, 0.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn hardswish(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("hardswish", |x| {
                let (low, high) = (Expr::constant(-3.0), Expr::constant(3.0));
                let middle = x * (x + 3.0) * (1.0 / 6.0);
                between(x, [&low, &Expr::constant(0.0)], &middle, [&high, x])
            })
        });
        F.apply(&[self], &[])
    }

    /// `min(max(x + 3, 0), 6) / 6` (`torch.nn.functional.hardsigmoid`). The gradient at -3 and at 3
    /// is 0; between them it is 1/6 rounded to f32 in every type, as PyTorch has it.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-4.0f64, 0.0, 4.0], [3])?);
    /// assert_eq!(x.hardsigmoid()?.to_vec::<f64>()?, [0.0, 0.5, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn hardsigmoid(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            let bounded = |x: &Expr, [below, above]: [f64; 2], middle: &Expr| {
                let (low, high) = (Expr::constant(-3.0), Expr::constant(3.0));
                between(x, [&low, &below.into()], middle, [&high, &above.into()])
            };
            PointwiseFn::unary_by_input(
                "hardsigmoid",
                |x| bounded(x, [0.0, 1.0], &(x * (1.0 / 6.0) + 0.5)),
                |x| bounded(x, [0.0, 0.0], &f64::from(1.0f32 / 6.0).into()),
            )
        });
        F.apply(&[self], &[])
    }

    /// `x / (1 + |x|)` (`torch.nn.functional.softsign`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-1.0f64, 3.0], [2])?);
    /// assert_eq!(x.softsign()?.to_vec::<f64>()?, [-0.5, 0.75]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn softsign(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            // The rule of quotients would subtract numbers that are nearly equal far from 0.
            let shrink = |x: &Expr| (1.0 + x.abs()).recip();
            PointwiseFn::unary_by_input("softsign", |x| x * shrink(x), |x| shrink(x) * shrink(x))
        });
        F.apply(&[self], &[])
    }

    /// `x` moved towards 0 by `lambda`, and 0 where |x| <= lambda
    /// (`torch.nn.functional.softshrink`, whose lambda is 0.5 if none is given).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 0.25, 2.0], [3])?);
    /// assert_eq!(x.softshrink(0.5)?.to_vec::<f64>()?, [-1.5, 0.0, 1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float; a negative `lambda`.
    pub fn softshrink(&self, lambda: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("softshrink", |x| {
                let lambda = Expr::scalar(0);
                let shrunk = where_positive(x, x - &lambda, x + &lambda);
                x.abs().select(Compare::Le, &lambda, &Expr::constant(0.0), &shrunk)
            })
        });
        if lambda.is_nan() || lambda < 0.0 {
            return Err(Error::argument(format!(
                "softshrink wants a lambda that is not negative, got {lambda}"
            )));
        }
        F.apply(&[self], &[lambda])
    }

    /// `x`, and 0 where |x| <= lambda (`torch.nn.functional.hardshrink`, whose lambda is 0.5 if none
    /// is given).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 0.25, 2.0], [3])?);
    /// assert_eq!(x.hardshrink(0.5)?.to_vec::<f64>()?, [-2.0, 0.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn hardshrink(&self, lambda: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("hardshrink", |x| {
                x.abs().select(Compare::Le, &Expr::scalar(0), &Expr::constant(0.0), x)
            })
        });
        F.apply(&[self], &[lambda])
    }

    /// `x - tanh(x)` (`torch.nn.functional.tanhshrink`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
    /// let y = x.tanhshrink()?.to_vec::<f64>()?;
    /// assert!(y.iter().zip([0.0, 0.238_406]).all(|(y, want)| (y - want).abs() < 1e-6), "{y:?}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn tanhshrink(&self) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| PointwiseFn::unary("tanhshrink", |x| x - x.tanh()));
        F.apply(&[self], &[])
    }

    /// `x` where x > 0, else `weight x` with a slope that is learned: one number, or one a channel,
    /// `[C]` over dimension 1 (He et al., 2015; `torch.nn.functional.prelu`).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 3.0], [2])?);
    /// let slope = Tensor::from(Array::from_slice(&device, &[0.25f64], [1])?);
    /// assert_eq!(x.prelu(&slope)?.to_vec::<f64>()?, [-0.5, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not floats of one type; a weight that is neither one number nor one a channel.
    pub fn prelu(&self, weight: &Tensor) -> Result<Tensor> {
        static F: Function =
            LazyLock::new(|| PointwiseFn::binary("prelu", |x, w| where_positive(x, x, w * x)));
        let shape = if weight.shape().rank() <= 1 && weight.shape().numel() == 1 {
            Shape::new(&[])?
        } else if weight.shape().rank() == 1 && self.shape().get(1) == Some(&weight.shape()[0]) {
            let mut sizes = vec![1; self.shape().rank() - 1];
            sizes[0] = weight.shape()[0];
            Shape::new(&sizes)?
        } else {
            return Err(Error::shape(format!(
                "prelu of {} wants one slope [1] or one for each index of dimension 1, got {}",
                self.shape(),
                weight.shape()
            )));
        };
        F.apply(&[self, &weight.view(shape)?], &[])
    }
}
