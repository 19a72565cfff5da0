//! The types that kernels compute in, and what arrays hold beside them.

use ferrotape_backend::Element;
use ferrotape_backend::pointwise::{BinaryOp, Compare, UnaryOp};
use half::{bf16, f16};
use num_traits::Float;

use super::math;

/// A type to compute in: f32, or f64.
pub(crate) trait Real: Element + Float + std::ops::AddAssign + std::iter::Sum {
    /// The nearest value.
    fn of(value: f64) -> Self;

    /// The elements themselves, if they are of this type.
    fn same<S: Stored>(data: &[S]) -> Option<&[Self]>;

    /// As [`Real::same`], to be written.
    fn same_mut<S: Stored>(data: &mut [S]) -> Option<&mut [Self]>;

    /// From what an array holds.
    fn load<S: Stored>(value: S) -> Self;

    /// To what an array holds, rounded to nearest, or truncated and saturated to an integer.
    fn store<S: Stored>(self) -> S;

    /// `a b + c`, fused if that is one instruction.
    fn fused<const FMA: bool>(a: Self, b: Self, c: Self) -> Self;

    /// The exponential.
    fn exponential<const FMA: bool>(self) -> Self;

    /// `dst[i] = op(a[i])`.
    fn unary<const FMA: bool>(op: UnaryOp, dst: &mut [Self], a: &[Self]);

    /// `c += a b` of matrices; see [`gemm`](super::gemm).
    ///
    /// # Safety
    /// As `matrixmultiply::sgemm`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn matrix_product(
        sizes: [usize; 3],
        a: (*const Self, [isize; 2]),
        b: (*const Self, [isize; 2]),
        beta: Self,
        c: (*mut Self, [isize; 2]),
    );
}

/// A type that arrays hold.
pub(crate) trait Stored: Element {
    /// As f32, rounded.
    fn to_single(self) -> f32;
    /// The nearest value; integers truncate towards zero and saturate.
    fn from_single(value: f32) -> Self;
}

macro_rules! stored {
    ($type:ty, $to:expr, $from:expr) => {
        impl Stored for $type {
            #[inline(always)]
            fn to_single(self) -> f32 {
                $to(self)
            }
            #[inline(always)]
            fn from_single(value: f32) -> Self {
                $from(value)
            }
        }
    };
}

stored!(f32, |v| v, |v| v);
stored!(f64, |v| v as f32, f64::from);
stored!(bf16, bf16::to_f32, bf16::from_f32);
stored!(f16, f16::to_f32, f16::from_f32);
stored!(i64, |v| v as f32, |v| v as i64);
stored!(u8, f32::from, |v| v as u8);

#[inline(always)]
fn map<R: Copy>(dst: &mut [R], a: &[R], f: impl Fn(R) -> R) {
    for (d, &x) in dst.iter_mut().zip(a) {
        *d = f(x);
    }
}

/// Computes again, in double precision, what is too large for [`math::sin`] and [`math::cos`].
#[inline(always)]
fn correct_large(op: UnaryOp, dst: &mut [f32], a: &[f32]) {
    if a.iter().any(|x| x.abs() > math::SIN_LIMIT) {
        for (d, &x) in dst.iter_mut().zip(a).filter(|(_, x)| x.abs() > math::SIN_LIMIT) {
            *d = op.eval(f64::from(x)) as f32;
        }
    }
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn same<S: Stored>(data: &[S]) -> Option<&[Self]> {
        if S::DTYPE == Self::DTYPE { bytemuck::try_cast_slice(data).ok() } else { None }
    }

    #[inline(always)]
    fn same_mut<S: Stored>(data: &mut [S]) -> Option<&mut [Self]> {
        if S::DTYPE == Self::DTYPE { bytemuck::try_cast_slice_mut(data).ok() } else { None }
    }

    #[inline(always)]
    fn load<S: Stored>(value: S) -> Self {
        value.to_single()
    }

    #[inline(always)]
    fn store<S: Stored>(self) -> S {
        S::from_single(self)
    }

    #[inline(always)]
    fn fused<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
        math::mul_add::<FMA>(a, b, c)
    }

    #[inline(always)]
    fn exponential<const FMA: bool>(self) -> Self {
        math::exp::<FMA>(self)
    }

    #[inline(always)]
    fn unary<const FMA: bool>(op: UnaryOp, dst: &mut [f32], a: &[f32]) {
        match op {
            UnaryOp::Neg => map(dst, a, |x| -x),
            UnaryOp::Abs => map(dst, a, f32::abs),
            UnaryOp::Exp => map(dst, a, math::exp::<FMA>),
            UnaryOp::Expm1 => map(dst, a, math::expm1::<FMA>),
            UnaryOp::Log => map(dst, a, math::log::<FMA>),
            UnaryOp::Log1p => map(dst, a, math::log1p::<FMA>),
            UnaryOp::Sin => {
                map(dst, a, math::sin::<FMA>);
                correct_large(op, dst, a);
            }
            UnaryOp::Cos => {
                map(dst, a, math::cos::<FMA>);
                correct_large(op, dst, a);
            }
            UnaryOp::Tanh => map(dst, a, math::tanh::<FMA>),
            UnaryOp::Erf => map(dst, a, math::erf::<FMA>),
            UnaryOp::Sqrt => map(dst, a, f32::sqrt),
            UnaryOp::Recip => map(dst, a, |x| 1.0 / x),
            UnaryOp::Sigmoid => map(dst, a, math::sigmoid::<FMA>),
            UnaryOp::Softplus => map(dst, a, math::softplus::<FMA>),
        }
    }

    unsafe fn matrix_product(
        [m, k, n]: [usize; 3],
        (a, [rsa, csa]): (*const f32, [isize; 2]),
        (b, [rsb, csb]): (*const f32, [isize; 2]),
        beta: f32,
        (c, [rsc, csc]): (*mut f32, [isize; 2]),
    ) {
        // SAFETY: the caller's.
        unsafe {
            matrixmultiply::sgemm(m, k, n, 1.0, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc);
        }
    }
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn same<S: Stored>(data: &[S]) -> Option<&[Self]> {
        if S::DTYPE == Self::DTYPE { bytemuck::try_cast_slice(data).ok() } else { None }
    }

    #[inline(always)]
    fn same_mut<S: Stored>(data: &mut [S]) -> Option<&mut [Self]> {
        if S::DTYPE == Self::DTYPE { bytemuck::try_cast_slice_mut(data).ok() } else { None }
    }

    #[inline(always)]
    fn load<S: Stored>(value: S) -> Self {
        value.to_f64()
    }

    #[inline(always)]
    fn store<S: Stored>(self) -> S {
        S::from_f64(self)
    }

    #[inline(always)]
    fn fused<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
        if FMA { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    fn exponential<const FMA: bool>(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn unary<const FMA: bool>(op: UnaryOp, dst: &mut [f64], a: &[f64]) {
        match op {
            UnaryOp::Neg => map(dst, a, |x| -x),
            UnaryOp::Abs => map(dst, a, f64::abs),
            UnaryOp::Sqrt => map(dst, a, f64::sqrt),
            UnaryOp::Recip => map(dst, a, |x| 1.0 / x),
            _ => map(dst, a, |x| op.eval(x)),
        }
    }

    unsafe fn matrix_product(
        [m, k, n]: [usize; 3],
        (a, [rsa, csa]): (*const f64, [isize; 2]),
        (b, [rsb, csb]): (*const f64, [isize; 2]),
        beta: f64,
        (c, [rsc, csc]): (*mut f64, [isize; 2]),
    ) {
        // SAFETY: the caller's.
        unsafe {
            matrixmultiply::dgemm(m, k, n, 1.0, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc);
        }
    }
}

/// `dst[i] = op(a[i], b[i])`.
#[inline(always)]
pub(crate) fn binary<R: Real>(op: BinaryOp, dst: &mut [R], a: &[R], b: &[R]) {
    match op {
        BinaryOp::Add => map2(dst, a, b, |x, y| x + y),
        BinaryOp::Sub => map2(dst, a, b, |x, y| x - y),
        BinaryOp::Mul => map2(dst, a, b, |x, y| x * y),
        BinaryOp::Div => map2(dst, a, b, |x, y| x / y),
        BinaryOp::Max => map2(dst, a, b, |x, y| if y > x || y.is_nan() { y } else { x }),
        BinaryOp::Min => map2(dst, a, b, |x, y| if y < x || y.is_nan() { y } else { x }),
        BinaryOp::Pow => map2(dst, a, b, R::powf),
    }
}

#[inline(always)]
fn map2<R: Copy>(dst: &mut [R], a: &[R], b: &[R], f: impl Fn(R, R) -> R) {
    for (d, (&x, &y)) in dst.iter_mut().zip(a.iter().zip(b)) {
        *d = f(x, y);
    }
}

/// `dst[i] = then[i]` where `a[i] op b[i]`, else `otherwise[i]`.
#[inline(always)]
pub(crate) fn select<R: Real>(
    op: Compare,
    dst: &mut [R],
    [a, b]: [&[R]; 2],
    [then, otherwise]: [&[R]; 2],
) {
    match op {
        Compare::Lt => choose(dst, [a, b, then, otherwise], |x, y| x < y),
        Compare::Le => choose(dst, [a, b, then, otherwise], |x, y| x <= y),
        Compare::Eq => choose(dst, [a, b, then, otherwise], |x, y| x == y),
        Compare::Ne => choose(dst, [a, b, then, otherwise], |x, y| x != y),
    }
}

#[inline(always)]
fn choose<R: Copy>(dst: &mut [R], [a, b, c, d]: [&[R]; 4], holds: impl Fn(R, R) -> bool) {
    let choices = c.iter().zip(d);
    for (out, ((&x, &y), (&then, &otherwise))) in dst.iter_mut().zip(a.iter().zip(b).zip(choices)) {
        *out = if holds(x, y) { then } else { otherwise };
    }
}
