//! The scalar expression language.

use std::ops;
use std::sync::Arc;

/// A function of one number.
///
/// ```
/// use ferrotape_backend::pointwise::UnaryOp;
///
/// assert_eq!(UnaryOp::ALL.len(), 14);
/// assert_eq!(UnaryOp::Recip.eval(4.0), 0.25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Abs,
    Exp,
    /// `exp(x) - 1`, exact near 0.
    Expm1,
    Log,
    /// `log(1 + x)`, exact near 0.
    Log1p,
    Sin,
    Cos,
    Tanh,
    Erf,
    Sqrt,
    /// `1 / x`.
    Recip,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `log(1 + exp(x))`, without overflow.
    Softplus,
}

impl UnaryOp {
    /// Every function.
    pub const ALL: [UnaryOp; 14] = [
        UnaryOp::Neg,
        UnaryOp::Abs,
        UnaryOp::Exp,
        UnaryOp::Expm1,
        UnaryOp::Log,
        UnaryOp::Log1p,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Tanh,
        UnaryOp::Erf,
        UnaryOp::Sqrt,
        UnaryOp::Recip,
        UnaryOp::Sigmoid,
        UnaryOp::Softplus,
    ];

    /// The value in double precision: what every backend's version is held against.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::UnaryOp;
    ///
    /// assert_eq!(UnaryOp::Softplus.eval(1000.0), 1000.0, "without overflow");
    /// assert_eq!(UnaryOp::Sigmoid.eval(0.0), 0.5);
    /// ```
    pub fn eval(self, x: f64) -> f64 {
        match self {
            UnaryOp::Neg => -x,
            UnaryOp::Abs => x.abs(),
            UnaryOp::Exp => x.exp(),
            UnaryOp::Expm1 => x.exp_m1(),
            UnaryOp::Log => x.ln(),
            UnaryOp::Log1p => x.ln_1p(),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            UnaryOp::Tanh => x.tanh(),
            UnaryOp::Erf => libm::erf(x),
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Recip => 1.0 / x,
            UnaryOp::Sigmoid => {
                // exp of a negative number only, so that neither branch overflows.
                let e = (-x.abs()).exp();
                if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
            }
            UnaryOp::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        }
    }
}

/// A function of two numbers.
///
/// ```
/// use ferrotape_backend::pointwise::BinaryOp;
///
/// assert_eq!(BinaryOp::Pow.eval(2.0, 10.0), 1024.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    Pow,
}

impl BinaryOp {
    /// Every function.
    pub const ALL: [BinaryOp; 7] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Max,
        BinaryOp::Min,
        BinaryOp::Pow,
    ];

    /// The value in double precision: what every backend's version is held against.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::BinaryOp;
    ///
    /// assert_eq!(BinaryOp::Max.eval(1.0, 2.0), 2.0);
    /// assert!(BinaryOp::Max.eval(1.0, f64::NAN).is_nan());
    /// ```
    pub fn eval(self, a: f64, b: f64) -> f64 {
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Max if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Max => a.max(b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Pow => a.powf(b),
        }
    }
}

/// A comparison; false if either side is NaN, except `Ne`.
///
/// ```
/// use ferrotape_backend::pointwise::Compare;
///
/// assert!(Compare::Ne.eval(f64::NAN, f64::NAN) && !Compare::Eq.eval(f64::NAN, f64::NAN));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Compare {
    Lt,
    Le,
    Eq,
    Ne,
}

impl Compare {
    /// Every comparison.
    pub const ALL: [Compare; 4] = [Compare::Lt, Compare::Le, Compare::Eq, Compare::Ne];

    /// Whether it holds.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Compare;
    ///
    /// assert!(Compare::Le.eval(1, 1) && !Compare::Lt.eval(1, 1));
    /// ```
    pub fn eval<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Compare::Lt => a < b,
            Compare::Le => a <= b,
            Compare::Eq => a == b,
            Compare::Ne => a != b,
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Node {
    Input(usize),
    Previous(usize),
    Scalar(usize),
    Const(f64),
    Unary(UnaryOp, Expr),
    Binary(BinaryOp, Expr, Expr),
    Select(Compare, Expr, Expr, Expr, Expr),
}

/// A scalar expression over inputs, run-time scalars and constants. Cheap to clone.
///
/// ```
/// use ferrotape_backend::pointwise::Expr;
///
/// let x = Expr::input(0);
/// let silu = &x * x.sigmoid();
/// assert_eq!(silu.eval(&[0.0], &[], &[]), 0.0);
/// assert_eq!(silu.derivative(&x).eval(&[0.0], &[], &[]), 0.5);
/// // Each function of the language is a method.
/// let y = (&x * x.neg()).exp() + x.abs().sqrt().log1p() - x.tanh().expm1() + x.erf().recip();
/// let z = x.sin().maximum(&x.cos()).softplus().log();
/// assert!(y.eval(&[1.0], &[], &[]).is_finite() && z.eval(&[1.0], &[], &[]).is_finite());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Expr(pub(super) Arc<Node>);

impl Expr {
    fn new(node: Node) -> Self {
        Expr(Arc::new(node))
    }

    /// Input `index` of the program.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let distance = Expr::input(0) - Expr::input(1);
    /// assert_eq!(distance.eval(&[5.0, 3.0], &[], &[]), 2.0);
    /// ```
    pub fn input(index: usize) -> Self {
        Self::new(Node::Input(index))
    }

    /// What output `index` of the program held before it runs.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// // A running mean of two outputs.
    /// let mean = (Expr::previous(0) + Expr::input(0)) * 0.5;
    /// assert_eq!(mean.eval(&[4.0], &[], &[2.0]), 3.0);
    /// ```
    pub fn previous(index: usize) -> Self {
        Self::new(Node::Previous(index))
    }

    /// Scalar `index` of the call: whatever changes from call to call (a learning rate, a slope) is
    /// a scalar and not a constant, so that the program stays the same.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// // A step of gradient descent; the learning rate changes from call to call.
    /// let step = Expr::previous(0) - Expr::scalar(0) * Expr::input(0);
    /// assert_eq!(step.eval(&[2.0], &[0.5], &[10.0]), 9.0);
    /// ```
    pub fn scalar(index: usize) -> Self {
        Self::new(Node::Scalar(index))
    }

    /// A number that belongs to the mathematics.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let half = Expr::constant(0.5);
    /// assert_eq!((&half + 1.0).as_constant(), Some(1.5));
    /// ```
    pub fn constant(value: f64) -> Self {
        Self::new(Node::Const(value))
    }

    /// A function applied to this. Functions of constants are computed at once.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::UnaryOp};
    ///
    /// assert_eq!(Expr::constant(4.0).unary(UnaryOp::Sqrt).as_constant(), Some(2.0));
    /// let x = Expr::input(0);
    /// assert_eq!(x.neg().neg(), x);
    /// ```
    pub fn unary(&self, op: UnaryOp) -> Self {
        match (op, &*self.0) {
            (_, Node::Const(c)) => Self::constant(op.eval(*c)),
            (UnaryOp::Neg, Node::Unary(UnaryOp::Neg, inner)) => inner.clone(),
            _ => Self::new(Node::Unary(op, self.clone())),
        }
    }

    /// A function of two expressions, simplified where one side is 0 or 1.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::BinaryOp, pointwise::Expr};
    ///
    /// let (x, zero) = (Expr::input(0), Expr::constant(0.0));
    /// assert_eq!(Expr::binary(BinaryOp::Add, &x, &zero), x);
    /// assert_eq!(Expr::binary(BinaryOp::Mul, &x, &zero), zero);
    /// ```
    pub fn binary(op: BinaryOp, a: &Expr, b: &Expr) -> Self {
        match (op, a.as_constant(), b.as_constant()) {
            (_, Some(x), Some(y)) => Self::constant(op.eval(x, y)),
            (BinaryOp::Add, Some(0.0), _) => b.clone(),
            (BinaryOp::Add | BinaryOp::Sub, _, Some(0.0)) => a.clone(),
            (BinaryOp::Sub, Some(0.0), _) => b.neg(),
            (BinaryOp::Mul, Some(1.0), _) => b.clone(),
            (BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow, _, Some(1.0)) => a.clone(),
            (BinaryOp::Mul, Some(-1.0), _) => b.neg(),
            (BinaryOp::Mul, _, Some(-1.0)) => a.neg(),
            // A derivative that is zero by its form stays zero wherever its factor is infinite.
            (BinaryOp::Mul, Some(0.0), _) | (BinaryOp::Mul, _, Some(0.0)) => Self::constant(0.0),
            _ => Self::new(Node::Binary(op, a.clone(), b.clone())),
        }
    }

    /// `then` where `self op other`, else `otherwise`.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Compare, pointwise::Expr};
    ///
    /// // The leaky ReLU.
    /// let (x, zero) = (Expr::input(0), Expr::constant(0.0));
    /// let leaky = x.select(Compare::Lt, &zero, &(&x * 0.1), &x);
    /// assert_eq!([-2.0, 3.0].map(|at| leaky.eval(&[at], &[], &[])), [-0.2, 3.0]);
    /// ```
    pub fn select(&self, op: Compare, other: &Expr, then: &Expr, otherwise: &Expr) -> Self {
        let same = Arc::ptr_eq(&then.0, &otherwise.0)
            || then.as_constant().is_some_and(|c| otherwise.as_constant() == Some(c));
        if same {
            return then.clone();
        }
        Self::new(Node::Select(op, self.clone(), other.clone(), then.clone(), otherwise.clone()))
    }

    /// The value if this is a constant.
    pub fn as_constant(&self) -> Option<f64> {
        match &*self.0 {
            Node::Const(value) => Some(*value),
            _ => None,
        }
    }

    /// `-self`.
    #[allow(clippy::should_implement_trait)]
    pub fn neg(&self) -> Self {
        self.unary(UnaryOp::Neg)
    }

    /// The absolute value.
    pub fn abs(&self) -> Self {
        self.unary(UnaryOp::Abs)
    }

    /// The exponential.
    pub fn exp(&self) -> Self {
        self.unary(UnaryOp::Exp)
    }

    /// `exp(self) - 1`.
    pub fn expm1(&self) -> Self {
        self.unary(UnaryOp::Expm1)
    }

    /// The natural logarithm.
    pub fn log(&self) -> Self {
        self.unary(UnaryOp::Log)
    }

    /// `log(1 + self)`.
    pub fn log1p(&self) -> Self {
        self.unary(UnaryOp::Log1p)
    }

    /// The sine.
    pub fn sin(&self) -> Self {
        self.unary(UnaryOp::Sin)
    }

    /// The cosine.
    pub fn cos(&self) -> Self {
        self.unary(UnaryOp::Cos)
    }

    /// The hyperbolic tangent.
    pub fn tanh(&self) -> Self {
        self.unary(UnaryOp::Tanh)
    }

    /// The error function.
    pub fn erf(&self) -> Self {
        self.unary(UnaryOp::Erf)
    }

    /// The square root.
    pub fn sqrt(&self) -> Self {
        self.unary(UnaryOp::Sqrt)
    }

    /// `1 / self`.
    pub fn recip(&self) -> Self {
        self.unary(UnaryOp::Recip)
    }

    /// The logistic function.
    pub fn sigmoid(&self) -> Self {
        self.unary(UnaryOp::Sigmoid)
    }

    /// `log(1 + exp(self))`.
    pub fn softplus(&self) -> Self {
        self.unary(UnaryOp::Softplus)
    }

    /// `self` to the power of `exponent`.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let cube = Expr::input(0).pow(&Expr::constant(3.0));
    /// assert_eq!(cube.eval(&[2.0], &[], &[]), 8.0);
    /// ```
    pub fn pow(&self, exponent: &Expr) -> Self {
        Self::binary(BinaryOp::Pow, self, exponent)
    }

    /// The larger of both. At a tie the gradient is shared in halves, as in PyTorch.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let relu = Expr::input(0).maximum(&Expr::constant(0.0));
    /// assert_eq!(relu.derivative(&Expr::input(0)).eval(&[0.0], &[], &[]), 0.5);
    /// ```
    pub fn maximum(&self, other: &Expr) -> Self {
        Self::binary(BinaryOp::Max, self, other)
    }

    /// The smaller of both. At a tie the gradient is shared in halves, as in PyTorch.
    pub fn minimum(&self, other: &Expr) -> Self {
        Self::binary(BinaryOp::Min, self, other)
    }

    /// The value in double precision, given inputs, scalars and previous outputs.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let line = Expr::scalar(0) * Expr::input(0) + Expr::previous(0);
    /// assert_eq!(line.eval(&[2.0], &[3.0], &[1.0]), 7.0);
    /// ```
    pub fn eval(&self, inputs: &[f64], scalars: &[f64], previous: &[f64]) -> f64 {
        let value = |e: &Expr| e.eval(inputs, scalars, previous);
        match &*self.0 {
            Node::Input(i) => inputs[*i],
            Node::Previous(i) => previous[*i],
            Node::Scalar(i) => scalars[*i],
            Node::Const(c) => *c,
            Node::Unary(op, a) => op.eval(value(a)),
            Node::Binary(op, a, b) => op.eval(value(a), value(b)),
            Node::Select(op, a, b, then, otherwise) => {
                if op.eval(value(a), value(b)) {
                    value(then)
                } else {
                    value(otherwise)
                }
            }
        }
    }

    /// The same expression with inputs replaced: input `i` becomes `inputs[i]`.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let square = Expr::input(0) * Expr::input(0);
    /// let square_of_sum = square.substitute(&[Expr::input(0) + Expr::input(1)]);
    /// assert_eq!(square_of_sum.eval(&[1.0, 2.0], &[], &[]), 9.0);
    /// ```
    pub fn substitute(&self, inputs: &[Expr]) -> Self {
        match &*self.0 {
            Node::Input(i) => inputs[*i].clone(),
            Node::Previous(_) | Node::Scalar(_) | Node::Const(_) => self.clone(),
            Node::Unary(op, a) => a.substitute(inputs).unary(*op),
            Node::Binary(op, a, b) => {
                Self::binary(*op, &a.substitute(inputs), &b.substitute(inputs))
            }
            Node::Select(op, a, b, then, otherwise) => a.substitute(inputs).select(
                *op,
                &b.substitute(inputs),
                &then.substitute(inputs),
                &otherwise.substitute(inputs),
            ),
        }
    }
}

impl From<f64> for Expr {
    fn from(value: f64) -> Self {
        Expr::constant(value)
    }
}

impl From<&Expr> for Expr {
    fn from(value: &Expr) -> Self {
        value.clone()
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl<R: Into<Expr>> ops::$trait<R> for &Expr {
            type Output = Expr;
            fn $method(self, rhs: R) -> Expr {
                Expr::binary($op, self, &rhs.into())
            }
        }
        impl<R: Into<Expr>> ops::$trait<R> for Expr {
            type Output = Expr;
            fn $method(self, rhs: R) -> Expr {
                Expr::binary($op, &self, &rhs.into())
            }
        }
        impl ops::$trait<&Expr> for f64 {
            type Output = Expr;
            fn $method(self, rhs: &Expr) -> Expr {
                Expr::binary($op, &Expr::constant(self), rhs)
            }
        }
        impl ops::$trait<Expr> for f64 {
            type Output = Expr;
            fn $method(self, rhs: Expr) -> Expr {
                Expr::binary($op, &Expr::constant(self), &rhs)
            }
        }
    };
}

operator!(Add, add, BinaryOp::Add);
operator!(Sub, sub, BinaryOp::Sub);
operator!(Mul, mul, BinaryOp::Mul);
operator!(Div, div, BinaryOp::Div);
