//! Arithmetic, elementary functions and comparison by selection.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::Result;
use ferrotape_backend::pointwise::{Compare, Expr};

use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

type Function = LazyLock<Arc<PointwiseFn>>;

macro_rules! binary {
    ($(#[$doc:meta])* $name:ident, $f:expr) => {
        $(#[$doc])*
        ///
        /// Shapes broadcast by NumPy's rule.
        ///
        /// # Errors
        /// Shapes that do not broadcast, a mix of data types.
        pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
            static F: Function = LazyLock::new(|| PointwiseFn::binary(stringify!($name), $f));
            F.apply(&[self, other], &[])
        }
    };
}

macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, $f:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Not a float.
        pub fn $name(&self) -> Result<Tensor> {
            static F: Function = LazyLock::new(|| PointwiseFn::unary(stringify!($name), $f));
            F.apply(&[self], &[])
        }
    };
    ($(#[$doc:meta])* $name:ident, $f:expr, by_output $slope:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Not a float.
        pub fn $name(&self) -> Result<Tensor> {
            static F: Function =
                LazyLock::new(|| PointwiseFn::unary_by_output(stringify!($name), $f, $slope));
            F.apply(&[self], &[])
        }
    };
}

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $f:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Not a float.
        pub fn $name(&self, scalar: f64) -> Result<Tensor> {
            static F: Function = LazyLock::new(|| {
                let f: fn(&Expr, &Expr) -> Expr = $f;
                PointwiseFn::unary(stringify!($name), |x| f(x, &Expr::scalar(0)))
            });
            F.apply(&[self], &[scalar])
        }
    };
}

/// # Arithmetic and elementary functions
impl Tensor {
    binary!(/// `self + other`, element by element.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// let b = Tensor::from(Array::from_slice(&device, &[10.0f64, 20.0], [2])?);
        /// assert_eq!(a.add(&b)?.to_vec::<f64>()?, [11.0, 22.0]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        add, |a, b| a + b);
    binary!(/// `self - other`, element by element.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// let b = Tensor::from(Array::from_slice(&device, &[10.0f64, 20.0], [2])?);
        /// assert_eq!(a.sub(&b)?.to_vec::<f64>()?, [-9.0, -18.0]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        sub, |a, b| a - b);
    binary!(/// `self * other`, element by element.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// let b = Tensor::from(Array::from_slice(&device, &[10.0f64, 20.0], [2])?);
        /// assert_eq!(a.mul(&b)?.to_vec::<f64>()?, [10.0, 40.0]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        mul, |a, b| a * b);
    binary!(/// `self / other`, element by element.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// let b = Tensor::from(Array::from_slice(&device, &[10.0f64, 20.0], [2])?);
        /// assert_eq!(a.div(&b)?.to_vec::<f64>()?, [0.1, 0.1]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        div, |a, b| a / b);
    binary!(/// The larger of both; NaN if either is. At a tie each side has half of the gradient
        /// (`torch.maximum`).
        maximum, |a, b| a.maximum(b));
    binary!(/// The smaller of both; NaN if either is. At a tie each side has half of the gradient
        /// (`torch.minimum`).
        minimum, |a, b| a.minimum(b));
    binary!(/// `self` to the power of `other`.
        pow, |a, b| a.pow(b));

    scalar!(/// `self + scalar`.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// assert_eq!(a.add_scalar(0.5)?.to_vec::<f64>()?, [1.5, 2.5]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        add_scalar, |x, s| x + s);
    scalar!(/// `self * scalar`.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// assert_eq!(a.mul_scalar(0.5)?.to_vec::<f64>()?, [0.5, 1.0]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        mul_scalar, |x, s| x * s);
    scalar!(/// `self` to the power of `scalar`.
        pow_scalar, |x, s| x.pow(s));

    unary!(/// `-self`.
        neg, |x| x.neg());
    unary!(/// `|self|`; the gradient at 0 is 0.
        abs, |x| x.abs());
    unary!(/// `exp(self)`.
        exp, |x| x.exp(), by_output |y| y.clone());
    unary!(/// The natural logarithm.
        log, |x| x.log());
    unary!(/// `log(1 + self)`, exact near 0.
        log1p, |x| x.log1p());
    unary!(/// `exp(self) - 1`, exact near 0.
        expm1, |x| x.expm1(), by_output |y| y + 1.0);
    unary!(/// The sine.
        sin, |x| x.sin());
    unary!(/// The cosine.
        cos, |x| x.cos());
    unary!(/// The error function.
        erf, |x| x.erf());
    unary!(/// The square root.
        sqrt, |x| x.sqrt(), by_output |y| 0.5 * y.recip());
    unary!(/// `1 / sqrt(self)`.
        rsqrt, |x| x.sqrt().recip(), by_output |y| (y * y * y) * -0.5);
    unary!(/// `1 / self`.
        reciprocal, |x| x.recip(), by_output |y| (y * y).neg());
    unary!(/// `self * self`.
        ///
        /// ```
        /// # use ferrotape_autograd::Tensor;
        /// # use ferrotape_backend::{Array, Device, reference::Reference};
        /// # let device = Device::new(Reference::new());
        /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
        /// assert_eq!(a.square()?.to_vec::<f64>()?, [1.0, 4.0]);
        /// # Ok::<(), ferrotape_backend::Error>(())
        /// ```
        square, |x| x * x);

    /// `self` clamped to `min..=max`; the gradient is 1 between them and 0 elsewhere, at the bounds
    /// too. Everything becomes `max` if that is below `min` (`torch.clamp` with both bounds).
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[-2.0f64, 0.5, 9.0], [3])?);
    /// assert_eq!(x.clamp(0.0, 1.0)?.to_vec::<f64>()?, [0.0, 0.5, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a float.
    pub fn clamp(&self, min: f64, max: f64) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            PointwiseFn::unary("clamp", |x| {
                let (min, max) = (Expr::scalar(0), Expr::scalar(1));
                let low = x.select(Compare::Le, &min, &min, x);
                max.select(Compare::Le, &low, &max, &low)
            })
        });
        F.apply(&[self], &[min, max])
    }

    /// `self` where `mask` is not 0, else `other` (`torch.where`). The mask may be of integers.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let mask = Tensor::from(Array::from_slice(&device, &[1i64, 0], [2])?);
    /// let a = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
    /// let b = Tensor::from(Array::from_slice(&device, &[-1.0f64, -2.0], [2])?);
    /// assert_eq!(a.select(&mask, &b)?.to_vec::<f64>()?, [1.0, -2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not broadcast, a mix of float types.
    pub fn select(&self, mask: &Tensor, other: &Tensor) -> Result<Tensor> {
        static F: Function = LazyLock::new(|| {
            let (mask, a, b) = (Expr::input(0), Expr::input(1), Expr::input(2));
            PointwiseFn::new("select", 3, mask.select(Compare::Ne, &0.0.into(), &a, &b))
        });
        F.apply(&[&mask.detach(), self, other], &[])
    }
}
