//! What an operator is: attributes, a forward and a backward rule.

use std::fmt;

use ferrotape_backend::{Array, DType, Error, ErrorKind, Result, Shape};
use smallvec::SmallVec;

use crate::form::Form;
use crate::tape::{Link, NodeId, Tape};
use crate::tensor::Tensor;

/// The gradients of an op's inputs, in order; `None` where none was asked for.
pub type InputGrads = SmallVec<[Option<Tensor>; 3]>;

/// An operator as a value: its fields are its attributes.
///
/// [`Op::forward`] computes on arrays and says what the backward pass will need. [`Op::backward`] is
/// written with tensor operations, so that it can itself be recorded. An op returns gradients and
/// adds into nothing: the tape accumulates, sums over what was broadcast, and skips what needs no
/// gradient.
///
/// ```
/// use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tape, Tensor};
/// use ferrotape_backend::{Array, Device, Result, reference::Reference};
///
/// /// The identity whose gradient is reversed (Ganin and Lempitsky, 2015).
/// #[derive(Debug)]
/// struct ReverseGradient;
///
/// impl Op for ReverseGradient {
///     fn name(&self) -> &'static str {
///         "reverse_gradient"
///     }
///     fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
///         Ok(inputs[0].clone())
///     }
///     fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
///         Ok([Some(grad.neg()?)].into_iter().collect())
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
/// let y = Tensor::apply(ReverseGradient, &[&x])?;
/// assert_eq!(y.sum_all()?.backward()?.of(&x)?.to_vec::<f64>()?, [-1.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Op: fmt::Debug + Send + Sync + 'static {
    /// The name in messages, printed tapes and profiles.
    fn name(&self) -> &'static str;

    /// Computes the output and names, through `cx`, what the backward pass needs.
    ///
    /// # Errors
    /// Operands that do not fit.
    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array>;

    /// The gradients of the inputs for which [`Backward::needs`] holds, given the output's.
    ///
    /// A gradient may have the shape the input was broadcast to, and a wider float type. A `None`
    /// where a gradient is needed is reported as an error.
    ///
    /// # Errors
    /// A saved value was changed since.
    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads>;

    /// Whether there is a gradient at all. A float result of a tracked input without one is an
    /// error when the op is applied.
    fn differentiable(&self) -> bool {
        true
    }

    /// Whether [`Op::backward`] takes a gradient of a wider float type than its output as it is. Else
    /// the tape rounds it to the output's type first, so that an op never sees a mix.
    fn takes_wide_gradient(&self) -> bool {
        false
    }

    /// Whether [`Op::recompute`] can make the output again, and costs little beside the memory that the output
    /// takes. Such an output is not kept for the backward pass, by whomever it would be: the first who needs it
    /// there has it computed again, bit for bit.
    fn is_recomputed(&self) -> bool {
        false
    }

    /// The output again, from what the forward pass saved.
    ///
    /// # Errors
    /// A saved value was changed since; the op [keeps](Op::is_recomputed) its output.
    fn recompute(&self, cx: &Backward<'_>) -> Result<Array> {
        let _ = cx;
        Err(Error::gradient(format!("{} does not compute its output again", self.name())))
    }

    /// What it computes, for those who run it elsewhere. An op of your own that is made of nothing that
    /// [`Form`] knows keeps the default.
    fn form(&self) -> Form<'_> {
        Form::Own
    }

    /// Multiply-adds of the forward computation, for summaries and profiles; `u64::MAX` where they are more.
    fn multiply_adds(&self, _inputs: &[Shape], _output: &Shape) -> u64 {
        0
    }
}

/// Where a saved array came from, and with it what it is when the backward pass is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Input(u8),
    Output,
    Constant,
    Derived,
}

/// Something kept for the backward pass.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub(crate) origin: Origin,
    pub(crate) kept: Kept,
}

/// How it is kept.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// As the array, with the generation it was saved at.
    Array(Array, u64),
    /// As the node that computes it again.
    Node(NodeId),
}

impl Saved {
    fn new(array: &Array, origin: Origin) -> Self {
        Saved { origin, kept: Kept::Array(array.clone(), array.buffer().generation()) }
    }

    /// Bytes of memory that are kept.
    pub(crate) fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Array(array, _) => array.bytes(),
            Kept::Node(_) => 0,
        }
    }
}

pub(crate) type SavedList = SmallVec<[Saved; 3]>;

/// What an op tells the tape while it computes.
///
/// ```
/// use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tape, Tensor};
/// use ferrotape_backend::{Array, Device, Result, reference::Reference};
///
/// /// `x³`, with what the backward pass needs.
/// #[derive(Debug)]
/// struct Cube;
///
/// impl Op for Cube {
///     fn name(&self) -> &'static str {
///         "cube"
///     }
///     fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
///         if cx.tracked() {
///             cx.save_input(0);
///         }
///         let x = Tensor::from(inputs[0].clone());
///         Ok(x.square()?.mul(&x)?.into_array())
///     }
///     fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
///         let slope = cx.input(0)?.square()?.mul_scalar(3.0)?;
///         Ok([Some(grad.mul(&slope)?)].into_iter().collect())
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// let y = Tensor::apply(Cube, &[&tape.variable(Array::from_slice(&device, &[2.0f64], [])?)?])?;
/// assert_eq!((y.item()?, tape.nodes()[1].saved_bytes), (8.0, 8));
/// assert_eq!(y.backward()?.norm()?, 12.0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Forward<'a> {
    inputs: &'a [&'a Array],
    needs: u32,
    pub(crate) saved: SavedList,
    pub(crate) output: bool,
    pub(crate) auxiliary: SmallVec<[Array; 2]>,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(inputs: &'a [&'a Array], needs: u32) -> Self {
        let (saved, auxiliary) = (SavedList::new(), SmallVec::new());
        Forward { inputs, needs, saved, output: false, auxiliary }
    }

    /// Whether a backward pass can follow at all.
    pub fn tracked(&self) -> bool {
        self.needs != 0
    }

    /// Whether input `index` will need a gradient.
    pub fn needs(&self, index: usize) -> bool {
        index < 32 && self.needs & (1 << index) != 0
    }

    /// Keeps input `index` for the backward pass.
    pub fn save_input(&mut self, index: usize) {
        let origin = Origin::Input(index as u8);
        if self.tracked() && !self.saved.iter().any(|s| s.origin == origin) {
            self.saved.push(Saved::new(self.inputs[index], origin));
        }
    }

    /// Keeps the output for the backward pass.
    pub fn save_output(&mut self) {
        self.output = self.tracked();
    }

    /// Keeps an array that does not depend on any input in a differentiable way: indices, masks.
    ///
    /// ```
    /// use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tape, Tensor};
    /// use ferrotape_backend::{Array, Device, Result, reference::Reference};
    ///
    /// /// `max(x, 0)`; whether an element was above 0 is no function that has a gradient.
    /// #[derive(Debug)]
    /// struct Rectify;
    ///
    /// impl Op for Rectify {
    ///     fn name(&self) -> &'static str {
    ///         "rectify"
    ///     }
    ///     fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
    ///         let x = inputs[0].to_vec::<f64>()?;
    ///         let mask: Vec<f64> = x.iter().map(|&x| if x > 0.0 { 1.0 } else { 0.0 }).collect();
    ///         let mask = Array::from_slice(inputs[0].device(), &mask, inputs[0].shape())?;
    ///         cx.save_constant(&mask);
    ///         Ok(Tensor::from(inputs[0].clone()).mul(&mask.into())?.into_array())
    ///     }
    ///     fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
    ///         Ok([Some(grad.mul(&cx.constant(0)?)?)].into_iter().collect())
    ///     }
    /// }
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[-1.0f64, 2.0], [2])?)?;
    /// let y = Tensor::apply(Rectify, &[&x])?;
    /// assert_eq!(y.sum_all()?.backward()?.of(&x)?.to_vec::<f64>()?, [0.0, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn save_constant(&mut self, array: &Array) {
        if self.tracked() {
            self.saved.push(Saved::new(array, Origin::Constant));
        }
    }

    /// Keeps an array computed from the inputs. It is for the ordinary backward pass only: one that
    /// is recorded must compute it again from the inputs, else its gradient would miss a term.
    ///
    /// ```
    /// use ferrotape_autograd::{Backward, BackwardOptions, Forward, InputGrads, Op, Tape, Tensor};
    /// use ferrotape_backend::{Array, Device, Result, reference::Reference};
    ///
    /// /// `x²`, whose slope is known while the square is computed.
    /// #[derive(Debug)]
    /// struct Square;
    ///
    /// impl Op for Square {
    ///     fn name(&self) -> &'static str {
    ///         "square"
    ///     }
    ///     fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
    ///         let x = Tensor::from(inputs[0].clone());
    ///         cx.save_input(0);
    ///         cx.save_derived(x.add(&x)?.array());
    ///         Ok(x.mul(&x)?.into_array())
    ///     }
    ///     fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
    ///         let slope = match cx.recording() {
    ///             true => cx.input(0)?.mul_scalar(2.0)?,
    ///             false => cx.derived(0)?.into(),
    ///         };
    ///         Ok([Some(grad.mul(&slope)?)].into_iter().collect())
    ///     }
    /// }
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [])?)?;
    /// let options = BackwardOptions { create_graph: true, ..Default::default() };
    /// let gradients = Tensor::apply(Square, &[&x])?.backward_with(&options)?;
    /// assert_eq!(gradients.of(&x)?.item()?, 6.0);
    /// assert_eq!(gradients.of(&x)?.backward()?.of(&x)?.item()?, 2.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn save_derived(&mut self, array: &Array) {
        if self.tracked() {
            self.saved.push(Saved::new(array, Origin::Derived));
        }
    }

    /// Hands a further result, without gradient, to the caller of
    /// [`Tensor::apply_with_auxiliary`].
    pub fn auxiliary(&mut self, array: Array) {
        self.auxiliary.push(array);
    }

    pub(crate) fn finish(mut self, output: &Array) -> (SavedList, SmallVec<[Array; 2]>) {
        if self.output {
            self.saved.push(Saved::new(output, Origin::Output));
        }
        (self.saved, self.auxiliary)
    }
}

/// What an op's backward rule can ask for.
///
/// ```
/// use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tape, Tensor};
/// use ferrotape_backend::{Array, Device, Result, reference::Reference};
///
/// /// `a b` for scalars; a gradient that nobody asked for is not computed.
/// #[derive(Debug)]
/// struct Product;
///
/// impl Op for Product {
///     fn name(&self) -> &'static str {
///         "product"
///     }
///     fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
///         // The gradient in one factor is made of the other.
///         for i in (0..2).filter(|i| cx.needs(1 - i)).collect::<Vec<_>>() {
///             cx.save_input(i);
///         }
///         let [a, b] = [0, 1].map(|i| Tensor::from(inputs[i].clone()));
///         Ok(a.mul(&b)?.into_array())
///     }
///     fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
///         let of = |i: usize| cx.needs(i).then(|| grad.mul(&cx.input(1 - i)?)).transpose();
///         (0..cx.inputs()).map(of).collect()
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let a = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [])?)?;
/// let b = Tensor::from(Array::from_slice(&device, &[5.0f64], [])?);
/// assert_eq!(Tensor::apply(Product, &[&a, &b])?.backward()?.of(&a)?.item()?, 5.0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Backward<'a> {
    pub(crate) op: &'a dyn Op,
    pub(crate) node: NodeId,
    pub(crate) links: &'a [Link],
    pub(crate) saved: &'a [Saved],
    pub(crate) needs: u32,
    /// Where the backward pass is recorded, if it is.
    pub(crate) tape: Option<&'a Tape>,
    /// The tape that the backward pass walks.
    pub(crate) walked: &'a Tape,
    /// The output, where it was computed again.
    pub(crate) recomputed: Option<&'a Array>,
}

impl Backward<'_> {
    /// Whether input `index` needs a gradient.
    pub fn needs(&self, index: usize) -> bool {
        index < 32 && self.needs & (1 << index) != 0
    }

    /// Whether this backward pass is itself recorded, so that its gradients can have gradients.
    pub fn recording(&self) -> bool {
        self.tape.is_some()
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.links.len()
    }

    /// The shape of input `index`.
    pub fn input_shape(&self, index: usize) -> Shape {
        self.links[index].shape
    }

    /// The data type of input `index`.
    pub fn input_dtype(&self, index: usize) -> DType {
        self.links[index].dtype
    }

    /// Input `index`, tracked if this pass is recorded.
    ///
    /// # Errors
    /// It was not saved, or was changed since.
    pub fn input(&self, index: usize) -> Result<Tensor> {
        let origin = Origin::Input(index as u8);
        let array = self.find(origin, 0, || format!("input {index}"))?;
        Ok(self.place(array, self.links[index].node))
    }

    /// The op's output, tracked if this pass is recorded.
    ///
    /// # Errors
    /// It was not saved, or was changed since.
    pub fn output(&self) -> Result<Tensor> {
        let array = self.find(Origin::Output, 0, || "the output".into())?;
        Ok(self.place(array, Some(self.node)))
    }

    /// The `index`-th array kept with [`Forward::save_constant`], which has an example.
    ///
    /// # Errors
    /// It was not saved, or was changed since.
    pub fn constant(&self, index: usize) -> Result<Tensor> {
        self.find(Origin::Constant, index, || format!("constant {index}")).map(Tensor::from)
    }

    /// The `index`-th array kept with [`Forward::save_derived`], which has an example.
    ///
    /// # Errors
    /// This pass is recorded, so that the value must be computed from the inputs instead; or it was
    /// not saved, or was changed since.
    pub fn derived(&self, index: usize) -> Result<Array> {
        if self.recording() {
            return Err(Error::gradient(
                "a recorded backward pass must not use a derived value as a constant; compute it \
                 from the inputs",
            ));
        }
        self.find(Origin::Derived, index, || format!("derived value {index}"))
    }

    fn place(&self, array: Array, node: Option<NodeId>) -> Tensor {
        match (self.tape, node) {
            (Some(tape), Some(node)) => Tensor::placed(array, tape.clone(), node),
            _ => Tensor::from(array),
        }
    }

    fn find(&self, origin: Origin, nth: usize, what: impl Fn() -> String) -> Result<Array> {
        let saved = self.saved.iter().filter(|s| s.origin == origin).nth(nth).ok_or_else(|| {
            Error::gradient(format!("{} of {} was not saved for backward", what(), self.op.name()))
        })?;
        let (array, generation) = match &saved.kept {
            Kept::Array(array, generation) => (array, *generation),
            Kept::Node(node) if *node == self.node => return self.again(),
            Kept::Node(node) => return self.walked.again(*node),
        };
        let now = array.buffer().generation();
        if now != generation {
            return Err(Error::new(
                ErrorKind::Modified,
                format!(
                    "{} of {} ({} {}) was changed in place after the forward pass used it \
                     (generation {now}, saved at {generation}); run backward before the optimizer step, or \
                     run the forward pass again",
                    what(),
                    self.op.name(),
                    array.dtype(),
                    array.shape(),
                ),
            ));
        }
        Ok(array.clone())
    }

    /// This node's own output, computed again unless somebody had it computed before.
    pub(crate) fn again(&self) -> Result<Array> {
        match self.recomputed {
            Some(array) => Ok(array.clone()),
            None => self.op.recompute(&Backward { tape: None, ..*self }),
        }
    }
}
