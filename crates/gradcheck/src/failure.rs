//! A broken law: which, where, by how much, and the code that shows it again.

use std::fmt;

use ferrotape_backend::Error;

/// What must hold of an operator.
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
    /// Twice the same gives twice the same bits.
    Determinism,
    /// Nothing stays in memory.
    Leak,
}

impl Law {
    /// The law as a sentence.
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
            Law::Determinism => "the same computation gives the same bits",
            Law::Leak => "memory is given back when tensors and tapes are dropped",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// The element where two numbers that should be equal differ most.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Which input's gradient, or `None` for the operator's value.
    pub input: Option<usize>,
    /// The index of the element.
    pub element: Vec<usize>,
    /// What the operator gives there.
    pub analytic: f64,
    /// What it should be.
    pub numeric: f64,
    /// The largest difference that would have passed.
    pub tolerance: f64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.input {
            Some(input) => write!(f, "input {input}, element {:?}: ", self.element)?,
            None => write!(f, "value, element {:?}: ", self.element)?,
        }
        write!(
            f,
            "the operator gives {:e}, expected is {:e}, they differ by {:.1e} and the tolerance is \
             {:.1e}",
            self.analytic,
            self.numeric,
            (self.analytic - self.numeric).abs(),
            self.tolerance
        )
    }
}

/// A law that does not hold. It prints as the law, what was seen, and code to paste into a test that
/// shows it again; inside `proptest!` the operator `?` turns it into a failed case.
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
