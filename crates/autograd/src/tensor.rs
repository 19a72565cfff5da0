//! Data with a place on a tape.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ferrotape_backend::{Array, Context, Device, Error, ErrorKind, Result, describe};
use smallvec::SmallVec;

use crate::op::{Forward, Op, SavedList};
use crate::profile;
use crate::tape::{NodeId, Tape};

/// An [`Array`] and, if gradients are wanted, its node on a [`Tape`]. Cheap to clone.
///
/// An untracked tensor costs nothing beyond its array: operations on untracked tensors record and
/// save nothing. Read-only methods of the array are there by dereferencing.
///
/// ```
/// use ferrotape_autograd::{Tape, Tensor};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let array = Array::from_slice(&device, &[1.0f32, 2.0], [2])?;
/// let constant = Tensor::from(array.clone());
/// assert!(!constant.is_tracked() && constant.tape().is_none() && constant.node().is_none());
///
/// let tape = Tape::new();
/// let x = tape.variable(array)?;
/// assert!(x.is_tracked() && x.tape().is_some_and(|own| own.is(&tape)));
/// assert_eq!(x.mul(&constant)?.node().map(|node| node.index()), Some(1));
/// // Methods of the array, and the array itself.
/// assert_eq!((x.shape().dims(), x.array().to_vec::<f32>()?), (&[2][..], vec![1.0, 2.0]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    array: Array,
    place: Option<(Tape, NodeId)>,
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Tensor { array, place: None }
    }
}

impl Deref for Tensor {
    type Target = Array;

    fn deref(&self) -> &Array {
        &self.array
    }
}

/// The values, as those of its [`Array`] print.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[1.0f32, 2.5], [2])?);
/// assert!(x.to_string().starts_with("[1.0000, 2.5000]"));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.array, f)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} on {}", self.dtype(), self.shape(), self.device())?;
        match &self.place {
            Some((_, node)) => write!(f, ", node {})", node.index()),
            None => f.write_str(")"),
        }
    }
}

impl Tensor {
    pub(crate) fn placed(array: Array, tape: Tape, node: NodeId) -> Self {
        Tensor { array, place: Some((tape, node)) }
    }

    /// The data.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// The data, leaving the tape.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
    /// let values: Array = x.square()?.into_array();
    /// assert_eq!(values.to_vec::<f64>()?, [9.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn into_array(self) -> Array {
        self.array
    }

    /// The tape this tensor is on, if it is tracked.
    pub fn tape(&self) -> Option<&Tape> {
        self.place.as_ref().map(|(tape, _)| tape)
    }

    /// The node of this tensor, if it is tracked.
    pub fn node(&self) -> Option<NodeId> {
        self.place.as_ref().map(|(_, node)| *node)
    }

    /// Whether a gradient can reach this tensor.
    ///
    /// ```
    /// use ferrotape_autograd::{Tape, Tensor};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
    /// let constant = Tensor::from(Array::from_slice(&device, &[2.0f64], [1])?);
    /// assert!(x.mul(&constant)?.is_tracked());
    /// assert!(!constant.exp()?.is_tracked() && !x.detach().is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_tracked(&self) -> bool {
        self.place.is_some()
    }

    /// The same data, untracked: a constant to whatever uses it.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64, 4.0], [2])?)?;
    /// let y = x.mul(&x.detach())?.sum_all()?;
    /// assert_eq!(y.backward()?.of(&x)?.to_vec::<f64>()?, [3.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn detach(&self) -> Tensor {
        Tensor::from(self.array.clone())
    }

    /// Applies an operator, your own or one of the crate's, and records it if an input is tracked.
    ///
    /// ```
    /// use ferrotape_autograd::{Tape, Tensor, ops::Cast};
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[1.5f64], [1])?)?;
    /// let y = Tensor::apply(Cast { to: DType::F32 }, &[&x])?;
    /// assert_eq!(y.tape().map(|tape| tape.nodes()[1].op), Some("cast"));
    /// assert_eq!(y.to_vec::<f32>()?, [1.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the op's forward rule says; operands on different devices or tapes; a float result of a
    /// tracked input by an op that has no gradient.
    pub fn apply(op: impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
        Ok(Self::apply_shared(Arc::new(op), inputs)?.0)
    }

    /// As [`Tensor::apply`], with what the op handed out through [`Forward::auxiliary`].
    ///
    /// ```
    /// use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tensor};
    /// use ferrotape_backend::{Array, Device, Result, reference::Reference};
    ///
    /// /// The identity, which also hands out how many elements there are.
    /// #[derive(Debug)]
    /// struct Counted;
    ///
    /// impl Op for Counted {
    ///     fn name(&self) -> &'static str {
    ///         "counted"
    ///     }
    ///     fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
    ///         let count = inputs[0].shape().numel() as i64;
    ///         cx.auxiliary(Array::from_slice(inputs[0].device(), &[count], [])?);
    ///         Ok(inputs[0].clone())
    ///     }
    ///     fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
    ///         Ok([Some(grad.clone())].into_iter().collect())
    ///     }
    /// }
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
    /// let (_, auxiliary) = Tensor::apply_with_auxiliary(Counted, &[&x])?;
    /// assert_eq!(auxiliary[0].item()?, 2.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn apply_with_auxiliary(
        op: impl Op,
        inputs: &[&Tensor],
    ) -> Result<(Tensor, SmallVec<[Array; 2]>)> {
        Self::apply_shared(Arc::new(op), inputs)
    }

    /// Records an op whose output is known already, such as a cast kept beside a parameter.
    ///
    /// ```
    /// use ferrotape_autograd::{Tape, Tensor, ops::Cast};
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[1.5f64], [])?)?;
    /// let kept = x.array().cast(DType::F32)?;
    /// let y = Tensor::apply_known(Cast { to: DType::F32 }, &[&x], kept)?;
    /// assert_eq!(y.backward()?.of(&x)?.item()?, 1.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Operands on different devices or tapes.
    pub fn apply_known(op: impl Op, inputs: &[&Tensor], output: Array) -> Result<Tensor> {
        let tape = common_tape(&op, inputs)?;
        Ok(finish(Arc::new(op), tape, inputs, SavedList::new(), output))
    }

    fn apply_shared(op: Arc<dyn Op>, inputs: &[&Tensor]) -> Result<(Tensor, SmallVec<[Array; 2]>)> {
        let name = op.name();
        let about = || {
            let shapes: Vec<String> = inputs.iter().map(|x| x.shape().to_string()).collect();
            (name.to_owned(), shapes.join(" "))
        };
        profile::span("forward", about, || Self::apply_timed(op, inputs))
    }

    fn apply_timed(op: Arc<dyn Op>, inputs: &[&Tensor]) -> Result<(Tensor, SmallVec<[Array; 2]>)> {
        let tape = common_tape(&*op, inputs)?;
        let arrays: SmallVec<[&Array; 4]> = inputs.iter().map(|t| &t.array).collect();
        let needs = if tape.is_some() {
            inputs.iter().enumerate().fold(0, |n, (i, t)| n | u32::from(t.is_tracked()) << i)
        } else {
            0
        };
        let mut cx = Forward::new(&arrays, needs);
        let output = op.forward(&mut cx, &arrays).at(|| describe(op.name(), &arrays))?;
        if tape.is_some() && output.dtype().is_float() && !op.differentiable() {
            return Err(Error::gradient(format!(
                "{} has no gradient, but an input is tracked; detach() the input if that is meant",
                op.name()
            )));
        }
        let (saved, auxiliary) = cx.finish(&output);
        Ok((finish(op, tape, inputs, saved, output), auxiliary))
    }
}

/// Which inputs need a gradient is kept in the bits of a `u32`.
const MAX_INPUTS: usize = u32::BITS as usize;

/// The tape of the tracked inputs, after checking that they agree.
fn common_tape<'a>(op: &dyn Op, inputs: &[&'a Tensor]) -> Result<Option<&'a Tape>> {
    if inputs.len() > MAX_INPUTS {
        return Err(Error::argument(format!(
            "{} is given {} inputs, an op takes at most {MAX_INPUTS}; combine some first",
            op.name(),
            inputs.len()
        )));
    }
    let mut tape: Option<&Tape> = None;
    let mut device: Option<&Device> = None;
    for input in inputs {
        if *device.get_or_insert(input.device()) != input.device() {
            let arrays: Vec<&Array> = inputs.iter().map(|t| &t.array).collect();
            let devices: Vec<String> = inputs.iter().map(|t| t.device().name()).collect();
            return Err(Error::new(
                ErrorKind::DeviceMismatch,
                format!("the operands are on {}; move them to one device", devices.join(", ")),
            )
            .at(describe(op.name(), &arrays)));
        }
        if let Some(other) = input.tape()
            && !tape.get_or_insert(other).is(other)
        {
            return Err(Error::gradient(format!(
                "{} mixes tensors of two tapes; detach() one of them or use one pass",
                op.name()
            )));
        }
    }
    Ok(tape)
}

fn finish(
    op: Arc<dyn Op>,
    tape: Option<&Tape>,
    inputs: &[&Tensor],
    saved: SavedList,
    output: Array,
) -> Tensor {
    match tape {
        Some(tape) if output.dtype().is_float() => {
            let node = tape.push(op, inputs, saved, &output);
            Tensor::placed(output, tape.clone(), node)
        }
        _ => Tensor::from(output),
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::pointwise::Expr;
    use ferrotape_backend::{DType, Shape, reference::Reference};

    use super::*;
    use crate::{Backward, InputGrads, PointwiseFn, Tape};

    fn tensor(device: &Device, values: &[f64]) -> Tensor {
        Array::from_slice(device, values, [values.len()]).unwrap().into()
    }

    #[derive(Debug)]
    struct First;

    impl Op for First {
        fn name(&self) -> &'static str {
            "first"
        }

        fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
            Ok(inputs[0].clone())
        }

        fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
            Ok((0..cx.inputs()).map(|i| cx.needs(i).then(|| grad.clone())).collect())
        }
    }

    #[test]
    fn more_inputs_than_an_op_can_have_are_an_error() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = tape.variable(tensor(&device, &[1.0]).into_array()).unwrap();
        assert!(Tensor::apply(First, &[&x; 32]).is_ok());
        assert_eq!(Tensor::apply(First, &[&x; 33]).unwrap_err().kind(), ErrorKind::Argument);
        let known = Tensor::apply_known(First, &[&x; 33], x.array().clone());
        assert_eq!(known.unwrap_err().kind(), ErrorKind::Argument);
    }

    #[test]
    fn functions_without_inputs_or_with_more_than_declared_are_errors() {
        let device = Device::new(Reference::new());
        let none = PointwiseFn::new("none", 0, Expr::constant(1.0));
        assert_eq!(none.apply(&[], &[]).unwrap_err().kind(), ErrorKind::Argument);
        let beyond = PointwiseFn::unary("beyond", |x| x + Expr::input(1));
        let x = tensor(&device, &[1.0]);
        assert_eq!(beyond.apply(&[&x], &[]).unwrap_err().kind(), ErrorKind::Argument);
    }

    #[test]
    fn vectors_of_different_lengths_have_no_product() {
        let device = Device::new(Reference::new());
        let (long, short) = (tensor(&device, &[1.0, 2.0, 3.0]), tensor(&device, &[2.0]));
        assert_eq!(long.matmul(&short).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(long.matmul(&long).unwrap().item().unwrap(), 14.0);
    }

    #[test]
    fn clamping_between_bounds_in_the_wrong_order_gives_the_upper_one() {
        let device = Device::new(Reference::new());
        let y = tensor(&device, &[0.0, 2.0, 5.0]).clamp(3.0, 1.0).unwrap();
        assert_eq!(y.to_vec::<f64>().unwrap(), [1.0; 3]);
    }

    #[test]
    fn a_mean_of_half_precision_exists_where_its_sum_overflows() {
        let device = Device::new(Reference::new());
        let x = Tensor::from(Array::full(&device, DType::F16, [100], 1000.0).unwrap());
        assert_eq!(x.mean_all().unwrap().item().unwrap(), 1000.0);
        assert_eq!(x.mean_all().unwrap().dtype(), DType::F16);
        assert_eq!(x.var(&[], 1, false).unwrap().item().unwrap(), 0.0);
    }

    #[test]
    fn powers_have_finite_gradients_at_zero() {
        let device = Device::new(Reference::new());
        for exponent in [0.0, 1.0, 2.0, 3.0] {
            let tape = Tape::new();
            let x = tape.variable(tensor(&device, &[0.0]).into_array()).unwrap();
            let mut y = x.pow_scalar(exponent).unwrap().sum_all().unwrap();
            for order in 1..4 {
                let options = crate::BackwardOptions { create_graph: true, ..Default::default() };
                let gradient = y.backward_with(&options).unwrap().of(&x).unwrap().clone();
                let expected = match (exponent as i32, order) {
                    (1, 1) => 1.0,
                    (2, 2) => 2.0,
                    (3, 3) => 6.0,
                    _ => 0.0,
                };
                let found = gradient.to_vec::<f64>().unwrap();
                assert_eq!(found, [expected], "derivative {order} of x^{exponent}");
                y = gradient.sum_all().unwrap();
                if !y.is_tracked() {
                    break;
                }
            }
        }
        let tape = Tape::new();
        let base = tape.variable(tensor(&device, &[0.0, 2.0]).into_array()).unwrap();
        let power = tape.variable(tensor(&device, &[2.0, 3.0]).into_array()).unwrap();
        let gradients = base.pow(&power).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.of(&base).unwrap().to_vec::<f64>().unwrap(), [0.0, 12.0]);
        let slope = gradients.of(&power).unwrap().to_vec::<f64>().unwrap();
        assert_eq!(slope, [0.0, 8.0 * 2f64.ln()]);
    }

    #[test]
    fn the_gradient_of_a_bias_is_not_rounded_to_the_compute_type() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let bias = tape.variable(Array::zeros(&device, DType::F32, [1]).unwrap()).unwrap();
        let low = |shape: &[usize]| {
            Tensor::from(
                Array::full(&device, DType::BF16, Shape::new(shape).unwrap(), 1.0).unwrap(),
            )
        };
        let short = bias.cast(DType::BF16).unwrap();
        let y = low(&[257, 1]).linear(&low(&[1, 1]), Some(&short)).unwrap();
        let gradients = y.cast(DType::F32).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.of(&bias).unwrap().item().unwrap(), 257.0);
        let params = ferrotape_backend::Conv2d::default();
        let y = low(&[257, 1, 1, 1]).conv2d(&low(&[1, 1, 1, 1]), Some(&short), &params).unwrap();
        let gradients = y.cast(DType::F32).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.of(&bias).unwrap().item().unwrap(), 257.0);
    }
}
