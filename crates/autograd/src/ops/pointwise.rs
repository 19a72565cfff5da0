//! Element-wise mathematics: one op that runs an expression, whose gradients are expressions too.

use std::sync::{Arc, OnceLock};

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, DType, Error, Result, Shape};
use smallvec::SmallVec;

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// A named element-wise function: an expression over inputs and run-time scalars. Its derivatives of
/// any order follow by symbolic differentiation, compiled when first needed.
///
/// ```
/// use std::sync::{Arc, LazyLock};
/// use ferrotape_autograd::{PointwiseFn, Tensor};
/// use ferrotape_backend::{Array, Device, Result, reference::Reference};
///
/// /// `x tanh(x)`, element by element.
/// fn tanhshrink(x: &Tensor) -> Result<Tensor> {
///     static TANHSHRINK: LazyLock<Arc<PointwiseFn>> =
///         LazyLock::new(|| PointwiseFn::unary("tanhshrink", |x| x - x.tanh()));
///     TANHSHRINK.apply(&[x], &[])
/// }
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [2])?);
/// assert_eq!(tanhshrink(&x)?.to_vec::<f64>()?, [0.0, 1.0 - 1f64.tanh()]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct PointwiseFn {
    name: &'static str,
    arity: usize,
    program: Program,
    slope: Slope,
    gradients: OnceLock<Vec<Gradient>>,
}

#[derive(Debug)]
enum Slope {
    /// Differentiate the expression.
    Symbolic,
    /// The derivative of a function of one input, as an expression of the output.
    OfOutput(Expr),
    /// The same, as an expression of the input.
    OfInput(Expr),
}

/// The gradient in one input: a function of some of the forward operands, and last the incoming
/// gradient.
#[derive(Debug)]
struct Gradient {
    function: Arc<PointwiseFn>,
    operands: SmallVec<[Operand; 4]>,
    /// The incoming gradient as it is.
    identity: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operand {
    Input(usize),
    Output,
}

impl PointwiseFn {
    /// A function of `arity` inputs.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tensor};
    /// use ferrotape_backend::{Array, Device, pointwise::Expr, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// // The first run-time scalar times the product of three.
    /// let product = Expr::input(0) * Expr::input(1) * Expr::input(2) * Expr::scalar(0);
    /// let product = PointwiseFn::new("scaled_product", 3, product);
    /// let x = Tensor::from(Array::from_slice(&device, &[2.0f64], [1])?);
    /// assert_eq!(product.apply(&[&x, &x, &x], &[0.5])?.to_vec::<f64>()?, [4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn new(name: &'static str, arity: usize, expr: Expr) -> Arc<Self> {
        Self::with_slope(name, arity, expr, Slope::Symbolic)
    }

    /// A function of one input.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tape};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let square_plus_one = PointwiseFn::unary("square_plus_one", |x| x * x + 1.0);
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [])?)?;
    /// let y = square_plus_one.apply(&[&x], &[])?;
    /// assert_eq!((y.item()?, y.backward()?.of(&x)?.item()?), (10.0, 6.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn unary(name: &'static str, f: impl FnOnce(&Expr) -> Expr) -> Arc<Self> {
        Self::new(name, 1, f(&Expr::input(0)))
    }

    /// A function of one input whose derivative is stated as an expression of the output, which is
    /// then what is kept for the backward pass: for activations the next layer keeps it anyway.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tape};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// // tanh' = 1 - tanh²
    /// let tanh = PointwiseFn::unary_by_output("tanh", |x| x.tanh(), |y| 1.0 - y * y);
    /// let x = Tape::new().variable(Array::from_slice(&device, &[0.0f64], [])?)?;
    /// assert_eq!(tanh.apply(&[&x], &[])?.backward()?.of(&x)?.item()?, 1.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn unary_by_output(
        name: &'static str,
        f: impl FnOnce(&Expr) -> Expr,
        slope: impl FnOnce(&Expr) -> Expr,
    ) -> Arc<Self> {
        let slope = Slope::OfOutput(slope(&Expr::input(0)));
        Self::with_slope(name, 1, f(&Expr::input(0)), slope)
    }

    /// A function of one input whose derivative is stated as an expression of the input: where the
    /// symbolic one loses digits, or is not the one that is wanted.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tape};
    /// use ferrotape_backend::{Array, Device, pointwise::Expr, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// // Rounds up to 0 or more, but lets every gradient through.
    /// let straight = PointwiseFn::unary_by_input(
    ///     "straight_through",
    ///     |x| x.maximum(&Expr::constant(0.0)),
    ///     |_| Expr::constant(1.0),
    /// );
    /// let x = Tape::new().variable(Array::from_slice(&device, &[-3.0f64], [])?)?;
    /// let y = straight.apply(&[&x], &[])?;
    /// assert_eq!((y.item()?, y.backward()?.of(&x)?.item()?), (0.0, 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn unary_by_input(
        name: &'static str,
        f: impl FnOnce(&Expr) -> Expr,
        slope: impl FnOnce(&Expr) -> Expr,
    ) -> Arc<Self> {
        let slope = Slope::OfInput(slope(&Expr::input(0)));
        Self::with_slope(name, 1, f(&Expr::input(0)), slope)
    }

    /// A function of two inputs.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tensor};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let squared_distance = PointwiseFn::binary("squared_distance", |x, y| (x - y) * (x - y));
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 5.0], [2])?);
    /// let y = Tensor::from(Array::from_slice(&device, &[3.0f64], [1])?);
    /// assert_eq!(squared_distance.apply(&[&x, &y], &[])?.to_vec::<f64>()?, [4.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn binary(name: &'static str, f: impl FnOnce(&Expr, &Expr) -> Expr) -> Arc<Self> {
        Self::new(name, 2, f(&Expr::input(0), &Expr::input(1)))
    }

    fn with_slope(name: &'static str, arity: usize, expr: Expr, slope: Slope) -> Arc<Self> {
        let program = Program::new(&[expr]);
        Arc::new(PointwiseFn { name, arity, program, slope, gradients: OnceLock::new() })
    }

    /// The name in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The expression.
    ///
    /// ```
    /// use ferrotape_autograd::PointwiseFn;
    ///
    /// let double = PointwiseFn::unary("double", |x| x * 2.0);
    /// assert_eq!(double.name(), "double");
    /// assert_eq!(double.expr().eval(&[4.0], &[], &[]), 8.0);
    /// ```
    pub fn expr(&self) -> &Expr {
        &self.program.exprs()[0]
    }

    /// The values at the inputs, broadcast to one shape.
    ///
    /// ```
    /// use ferrotape_autograd::{PointwiseFn, Tensor};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let product = PointwiseFn::binary("product", |x, y| x * y);
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
    /// let column = Tensor::from(Array::from_slice(&device, &[3.0f64, 4.0], [2, 1])?);
    /// assert_eq!(product.apply(&[&x, &column], &[])?.to_vec::<f64>()?, [3.0, 6.0, 4.0, 8.0]);
    /// assert_eq!(
    ///     product.apply(&[&x], &[]).unwrap_err().to_string(),
    ///     "product wants 2 inputs and 0 scalars, got 1 and 0"
    /// );
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A number of inputs or scalars that the function does not have; shapes that do not broadcast;
    /// a mix of float types.
    pub fn apply(self: &Arc<Self>, inputs: &[&Tensor], scalars: &[f64]) -> Result<Tensor> {
        if self.arity == 0 || self.program.inputs() > self.arity {
            return Err(Error::argument(format!(
                "{} is declared with {} inputs, but a function needs at least one, and its expression \
                 reads {}",
                self.name,
                self.arity,
                self.program.inputs()
            )));
        }
        if inputs.len() != self.arity || scalars.len() < self.program.scalars() {
            return Err(Error::argument(format!(
                "{} wants {} inputs and {} scalars, got {} and {}",
                self.name,
                self.arity,
                self.program.scalars(),
                inputs.len(),
                scalars.len()
            )));
        }
        let op = Pointwise { function: Arc::clone(self), scalars: scalars.into() };
        Tensor::apply(op, inputs)
    }

    fn gradients(&self) -> &[Gradient] {
        self.gradients.get_or_init(|| (0..self.arity).map(|i| self.gradient(i)).collect())
    }

    fn gradient(&self, index: usize) -> Gradient {
        let (derivative, sources): (Expr, Vec<Operand>) = match &self.slope {
            Slope::OfOutput(slope) => (slope.clone(), vec![Operand::Output]),
            Slope::OfInput(slope) => (slope.clone(), vec![Operand::Input(0)]),
            Slope::Symbolic => (
                self.expr().derivative(&Expr::input(index)),
                (0..self.arity).map(Operand::Input).collect(),
            ),
        };
        // Only the operands that the derivative reads are kept, renumbered without gaps.
        let used = input_use(&derivative, sources.len());
        let mut renumbered = Vec::new();
        let mut operands = SmallVec::new();
        for (&source, used) in sources.iter().zip(used) {
            renumbered.push(Expr::input(operands.len()));
            if used {
                operands.push(source);
            }
        }
        let incoming = Expr::input(operands.len());
        let identity = derivative.as_constant() == Some(1.0);
        let expr = incoming * derivative.substitute(&renumbered);
        let function = PointwiseFn::new(self.name, operands.len() + 1, expr);
        Gradient { function, operands, identity }
    }
}

/// Which of the first `count` inputs an expression reads.
fn input_use(expr: &Expr, count: usize) -> Vec<bool> {
    use ferrotape_backend::pointwise::Instr;
    let mut used = vec![false; count];
    for instr in Program::new(std::slice::from_ref(expr)).instrs() {
        if let Instr::Input { index, .. } = instr {
            used[*index] = true;
        }
    }
    used
}

/// The op that runs a [`PointwiseFn`].
struct Pointwise {
    function: Arc<PointwiseFn>,
    scalars: SmallVec<[f64; 2]>,
}

impl std::fmt::Debug for Pointwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.function.name)?;
        if self.scalars.is_empty() { Ok(()) } else { write!(f, "{:?}", self.scalars.as_slice()) }
    }
}

impl Op for Pointwise {
    fn name(&self) -> &'static str {
        self.function.name
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let (dtype, shape) = result_type(inputs)?;
        let like = inputs.iter().find(|a| *a.shape() == shape).unwrap_or(&inputs[0]);
        let mut y = super::output_like(like, dtype, shape)?;
        let backend = inputs[0].device().backend();
        // A derivative may read fewer inputs than its shape depends on, or none.
        let program = &self.function.program;
        let scalars = &self.scalars[..program.scalars()];
        backend.pointwise(program, scalars, &inputs[..program.inputs()], &mut [&mut y])?;
        if cx.tracked() {
            for (index, gradient) in self.function.gradients().iter().enumerate() {
                if !cx.needs(index) {
                    continue;
                }
                for operand in &gradient.operands {
                    match operand {
                        Operand::Input(i) => cx.save_input(*i),
                        Operand::Output => cx.save_output(),
                    }
                }
            }
        }
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        let program = &self.function.program;
        Form::Pointwise { program, scalars: &self.scalars[..program.scalars()] }
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let gradients = self.function.gradients().iter().enumerate();
        gradients
            .map(|(index, gradient)| {
                if !cx.needs(index) {
                    return Ok(None);
                }
                if gradient.identity {
                    return Ok(Some(grad.clone()));
                }
                let mut operands: SmallVec<[Tensor; 4]> = SmallVec::new();
                for operand in &gradient.operands {
                    operands.push(match operand {
                        Operand::Input(i) => cx.input(*i)?,
                        Operand::Output => cx.output()?,
                    });
                }
                operands.push(grad.clone());
                let operands: SmallVec<[&Tensor; 4]> = operands.iter().collect();
                gradient.function.apply(&operands, &self.scalars).map(Some)
            })
            .collect()
    }
}

/// The one float type and the broadcast shape of the inputs. Integers (masks) take any float's side.
fn result_type(inputs: &[&Array]) -> Result<(DType, Shape)> {
    let floats: SmallVec<[&Array; 4]> =
        inputs.iter().copied().filter(|a| a.dtype().is_float()).collect();
    if floats.is_empty() {
        return Err(Error::dtype(format!(
            "wants floats, got {}; cast() it first",
            inputs[0].dtype()
        )));
    }
    let dtype = super::common_float(&floats)?;
    let mut shape = *inputs[0].shape();
    for input in &inputs[1..] {
        shape = shape.broadcast(input.shape())?;
    }
    Ok((dtype, shape))
}
