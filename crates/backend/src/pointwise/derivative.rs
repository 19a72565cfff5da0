//! Symbolic derivatives of expressions.

use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::Arc;

use super::expr::{BinaryOp, Compare, Expr, Node, UnaryOp};

impl Expr {
    /// The derivative in `variable`, an input, scalar or previous output.
    ///
    /// At kinks it is PyTorch's choice: `|x|` has derivative 0 at 0, a tie of maximum or minimum
    /// gives each side half, a selection has the derivative of the side it takes, `a^0` has
    /// derivative 0 in `a`, and `0^b` in `b` for b of at least 0.
    ///
    /// ```
    /// use ferrotape_backend::pointwise::Expr;
    ///
    /// let x = Expr::input(0);
    /// let slope = x.tanh().derivative(&x);
    /// assert_eq!(slope.eval(&[0.0], &[], &[]), 1.0);
    /// ```
    #[must_use]
    pub fn derivative(&self, variable: &Expr) -> Expr {
        Derivative { variable, known: HashMap::new() }.of(self)
    }
}

/// Shared subexpressions are differentiated once: expressions are graphs, not trees.
struct Derivative<'a> {
    variable: &'a Expr,
    known: HashMap<*const Node, Expr>,
}

impl Derivative<'_> {
    fn of(&mut self, expr: &Expr) -> Expr {
        let key = Arc::as_ptr(&expr.0);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let result = self.compute(expr);
        self.known.insert(key, result.clone());
        result
    }

    fn compute(&mut self, expr: &Expr) -> Expr {
        match &*expr.0 {
            Node::Const(_) => Expr::constant(0.0),
            Node::Input(_) | Node::Previous(_) | Node::Scalar(_) => {
                Expr::constant(if expr == self.variable { 1.0 } else { 0.0 })
            }
            Node::Unary(op, a) => {
                let da = self.of(a);
                if da.as_constant() == Some(0.0) { da } else { da * unary(*op, a, expr) }
            }
            Node::Binary(op, a, b) => {
                let (da, db) = (self.of(a), self.of(b));
                binary(*op, a, b, &da, &db, expr)
            }
            Node::Select(op, a, b, then, otherwise) => {
                let (then, otherwise) = (self.of(then), self.of(otherwise));
                a.select(*op, b, &then, &otherwise)
            }
        }
    }
}

/// `op'(a)`, where `y = op(a)`.
fn unary(op: UnaryOp, a: &Expr, y: &Expr) -> Expr {
    match op {
        UnaryOp::Neg => Expr::constant(-1.0),
        UnaryOp::Abs => {
            let zero = Expr::constant(0.0);
            let positive = zero.select(Compare::Lt, a, &Expr::constant(1.0), &zero);
            a.select(Compare::Lt, &zero, &Expr::constant(-1.0), &positive)
        }
        UnaryOp::Exp => y.clone(),
        UnaryOp::Expm1 => a.exp(),
        UnaryOp::Log => a.recip(),
        UnaryOp::Log1p => (1.0 + a).recip(),
        UnaryOp::Sin => a.cos(),
        UnaryOp::Cos => a.sin().neg(),
        UnaryOp::Tanh => 1.0 - y * y,
        UnaryOp::Erf => (a * a).neg().exp() * (2.0 / PI.sqrt()),
        UnaryOp::Sqrt => 0.5 * y.recip(),
        UnaryOp::Recip => (y * y).neg(),
        UnaryOp::Sigmoid => y * (1.0 - y),
        UnaryOp::Softplus => a.sigmoid(),
    }
}

fn binary(op: BinaryOp, a: &Expr, b: &Expr, da: &Expr, db: &Expr, y: &Expr) -> Expr {
    match op {
        BinaryOp::Add => da + db,
        BinaryOp::Sub => da - db,
        BinaryOp::Mul => da * b + a * db,
        BinaryOp::Div => da / b - db * (y / b),
        BinaryOp::Max => share(a, b, Compare::Lt, da, db),
        BinaryOp::Min => share(b, a, Compare::Lt, da, db),
        BinaryOp::Pow => {
            // Where a factor is 0 the other may be infinite: 0^-1 and log 0. The limits are 0.
            let zero = Expr::constant(0.0);
            let in_base = if is_zero(da) {
                da.clone()
            } else {
                b.select(Compare::Eq, &zero, &zero, &(da * b * a.pow(&(b - 1.0))))
            };
            let in_exponent = if is_zero(db) {
                db.clone()
            } else {
                let slope = db * y * a.log();
                let at_zero = zero.select(Compare::Le, b, &zero, &slope);
                a.select(Compare::Eq, &zero, &at_zero, &slope)
            };
            in_base + in_exponent
        }
    }
}

fn is_zero(e: &Expr) -> bool {
    e.as_constant() == Some(0.0)
}

/// `db` where `low op high`, half of both at a tie, else `da`.
fn share(low: &Expr, high: &Expr, op: Compare, da: &Expr, db: &Expr) -> Expr {
    let half = (da + db) * 0.5;
    let tie = low.select(Compare::Eq, high, &half, da);
    low.select(op, high, db, &tie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(f: impl Fn(&Expr) -> Expr, points: &[f64]) {
        let x = Expr::input(0);
        let f = f(&x);
        let first = f.derivative(&x);
        for &p in points {
            let h = 1e-6;
            let numeric = (f.eval(&[p + h], &[], &[]) - f.eval(&[p - h], &[], &[])) / (2.0 * h);
            let exact = first.eval(&[p], &[], &[]);
            assert!((numeric - exact).abs() < 1e-7 * (1.0 + exact.abs()), "{f:?} at {p}");
        }
    }

    #[test]
    fn every_function_has_the_derivative_that_differences_show() {
        for op in UnaryOp::ALL {
            check(|x| x.unary(op), &[0.3, 0.8, 1.9]);
        }
        for op in BinaryOp::ALL {
            check(|x| Expr::binary(op, x, &Expr::constant(1.3)), &[0.3, 0.8, 1.9]);
            check(|x| Expr::binary(op, &Expr::constant(1.3), x), &[0.3, 0.8, 1.9]);
            check(|x| Expr::binary(op, &x.sin(), &x.exp()), &[0.3, 0.8, 1.9]);
        }
    }

    #[test]
    fn ties_share_the_gradient_in_halves() {
        let (x, y) = (Expr::input(0), Expr::input(1));
        let values = [2.0, 2.0];
        assert_eq!(x.maximum(&y).derivative(&x).eval(&values, &[], &[]), 0.5);
        assert_eq!(x.minimum(&y).derivative(&y).eval(&values, &[], &[]), 0.5);
        assert_eq!(x.minimum(&y).derivative(&y).eval(&[3.0, 2.0], &[], &[]), 1.0);
        assert_eq!(x.maximum(&y).derivative(&y).eval(&[3.0, 2.0], &[], &[]), 0.0);
    }

    #[test]
    fn shared_subexpressions_do_not_explode() {
        let x = Expr::input(0);
        let mut y = x.clone();
        for _ in 0..20 {
            y = (&y * &y).sin();
        }
        let program = crate::pointwise::Program::new(&[y.derivative(&x)]);
        assert!(program.instrs().len() < 500);
    }
}
