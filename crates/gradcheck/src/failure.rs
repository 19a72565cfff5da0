//! A broken law of an operator or of a layer: which, where, by how much, and the code that shows it again.

use std::fmt;

use ferrotape_backend::Error;

/// What must hold of an operator or of a layer.
///
/// ```
/// use ferrotape_gradcheck::Law;
///
/// assert_eq!(Law::NothingMissing.to_string(), "every tracked input gets a gradient or an error");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// It computes a value of f64 from these inputs.
    Value,
    /// Its gradient is the limit of difference quotients.
    Gradient,
    /// The gradient of its gradient is the limit of difference quotients of the gradient.
    SecondDerivative,
    /// Every tracked input has a gradient; none is missing in silence.
    NothingMissing,
    /// The gradient is linear in what is fed in.
    Linear,
    /// A backward pass that is recorded gives the same gradients as one that is not.
    Recorded,
    /// The gradient of an input is the same whichever other inputs are tracked.
    Partial,
    /// An input changed after the forward pass is not needed, or the backward pass says so.
    Stale,
    /// The memory layout of an input changes neither value nor gradients.
    Layout,
    /// The reference backend gives the same value and gradients.
    Reference,
    /// It equals its definition in value, gradient and second gradient.
    Definition,
    /// Twice the same gives twice the same bits.
    Determinism,
    /// Nothing stays in memory.
    Leak,
    /// Layers, parameters and states know the path that their name in the state dict says.
    Paths,
    /// A layer that loads the state dict of another computes the same.
    StateDict,
    /// A clone of a layer computes the same and shares nothing.
    Clone,
    /// A pass in evaluation mode changes no parameter and no state.
    EvalKeeps,
    /// A training pass without effects changes no parameter and no state.
    Effects,
    /// In evaluation mode a sample's output does not depend on the rest of its batch.
    BatchIndependence,
}

impl Law {
    /// The law as a sentence.
    ///
    /// ```
    /// use ferrotape_gradcheck::Law;
    ///
    /// assert_eq!(Law::Determinism.sentence(), "the same computation gives the same bits");
    /// ```
    pub fn sentence(self) -> &'static str {
        match self {
            Law::Value => "the operator computes a value of f64 from its inputs",
            Law::Gradient => "the gradient is the limit of difference quotients",
            Law::SecondDerivative => {
                "the second derivative is the limit of difference quotients of the gradient"
            }
            Law::NothingMissing => "every tracked input gets a gradient or an error",
            Law::Linear => "the gradient is linear in what is fed into backward()",
            Law::Recorded => "a recorded backward pass gives the gradients of an ordinary one",
            Law::Partial => "the gradient of an input does not depend on which others are tracked",
            Law::Stale => "an input changed after forward is not needed, or backward() says so",
            Law::Layout => "the memory layout changes neither value nor gradients",
            Law::Reference => "value and gradients equal the reference backend's",
            Law::Definition => "the operator equals its definition in value and gradients",
            Law::Determinism => "the same computation gives the same bits",
            Law::Leak => "memory is given back when tensors and tapes are dropped",
            Law::Paths => "layers, parameters and states know their path",
            Law::StateDict => "a layer that loads a state dict computes what its source does",
            Law::Clone => "a clone computes the same and shares nothing",
            Law::Effects => "states change by effects of the pass alone",
            Law::EvalKeeps => "evaluation mode leaves parameters and states alone",
            Law::BatchIndependence => "in evaluation mode samples do not depend on each other",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// The element where two numbers that should be equal differ most; see [`Failure::place`].
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Law, Place, check_op};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([2], [0.5, 1.0])?];
/// // A gradient that is half of what it should be: x² with one factor held constant.
/// let failure = check_op!(&device, &inputs, |x| x[0].mul(&x[0].detach())).unwrap_err();
/// let place: &Place = failure.place().expect("a gradient is wrong at an element");
/// assert_eq!((failure.law(), place.tensor.as_str()), (Law::Gradient, "input 0"));
/// assert!((place.numeric - 2.0 * place.analytic).abs() < 1e-5);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// What differs: `value`, or what it is the gradient of: `input 1`, `parameter conv1.weight`.
    pub tensor: String,
    /// The index of the element.
    pub element: Vec<usize>,
    /// What was computed there, for a gradient by backward().
    pub analytic: f64,
    /// What it should be, for a gradient the difference quotient.
    pub numeric: f64,
    /// The largest difference that would have passed.
    pub tolerance: f64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, element {:?}: found {:e}, expected {:e}; they differ by {:.1e} and the tolerance is \
             {:.1e}",
            self.tensor,
            self.element,
            self.analytic,
            self.numeric,
            (self.analytic - self.numeric).abs(),
            self.tolerance
        )
    }
}

/// A law that does not hold. It prints as the law, what was seen, and code to paste into a test that
/// shows it again; inside `proptest!` the operator `?` turns it into a failed case.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Law, check_op};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([1], [0.5])?, Input::new([1], [2.0])?];
/// let failure = check_op!(&device, &inputs, |x| x[0].mul(&x[1].detach())).unwrap_err();
/// assert_eq!(failure.law(), Law::NothingMissing);
/// assert!(failure.message().starts_with("input 1 is tracked and gets no gradient"));
/// assert!(failure.place().is_none());
/// assert!(failure.reproduction().contains("Input::new([1], [2.0])?"));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct Failure(Box<Inner>);

#[derive(Clone)]
struct Inner {
    law: Law,
    message: String,
    place: Option<Place>,
    reproduction: String,
}

impl Failure {
    pub(crate) fn new(law: Law, message: impl Into<String>) -> Self {
        let (message, reproduction) = (message.into(), String::new());
        Failure(Box::new(Inner { law, message, place: None, reproduction }))
    }

    pub(crate) fn error(law: Law, doing: &str, error: &Error) -> Self {
        Failure::new(law, format!("{doing} fails with: {error}"))
    }

    pub(crate) fn placed(law: Law, message: impl Into<String>, place: Place) -> Self {
        let mut failure = Failure::new(law, message);
        failure.0.place = Some(place);
        failure
    }

    /// With what may help, at the end of what was seen.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.0.message.push_str("; ");
        self.0.message.push_str(hint);
        self
    }

    pub(crate) fn reproduced_by(mut self, code: String) -> Self {
        self.0.reproduction = code;
        self
    }

    /// The law that is broken.
    pub fn law(&self) -> Law {
        self.0.law
    }

    /// What was seen, without the code.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The element that is most wrong, if there is one.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Code that shows the failure again.
    pub fn reproduction(&self) -> &str {
        &self.0.reproduction
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "broken law: {}\n{}", inner.law, inner.message)?;
        if let Some(place) = &inner.place {
            write!(f, "\n{place}")?;
        }
        write!(f, "\nto see it again:\n\n{}", inner.reproduction)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
