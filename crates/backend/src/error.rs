//! One error for everything below the file readers: what went wrong, and where.
//!
//! An [`Error`] is a kind, a sentence, and the chain of places it passed through on its way up
//! (operator with its operands, layer path). It prints as one sentence a user can act on.

use std::fmt;

use crate::Array;

/// The result of everything in this workspace that can fail on a user's input.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of mistake an [`Error`] reports, for code that reacts to it.
///
/// ```
/// use ferrotape_backend::{DType, ErrorKind, Shape};
///
/// let error = Shape::new(&[usize::MAX, 2]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// let found = "f33".parse::<DType>().map_err(|error| error.kind());
/// assert_eq!(found, Err(ErrorKind::DType));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes that do not fit each other or the operation.
    Shape,
    /// A data type that the operation does not take, or a mix of float types.
    DType,
    /// Operands that live on different devices, or an array of another backend.
    DeviceMismatch,
    /// An attribute out of its range: stride 0, a dimension that does not exist.
    Argument,
    /// An output that shares memory with another operand.
    Overlap,
    /// A value saved for the backward pass was changed before it ran.
    Modified,
    /// A gradient that cannot be had: no rule, no tape, or a tape that was consumed.
    Gradient,
    /// The backend does not implement this.
    Unsupported,
    /// The device has no room for the request.
    OutOfMemory,
    /// Missing, unexpected or mis-shaped entries of a state dict, or a malformed one.
    State,
    /// The device or its driver failed.
    Device,
}

/// What went wrong, where, and on which operands.
///
/// ```
/// use ferrotape_backend::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Argument, "stride is 0, it must be at least 1").at("conv2d");
/// assert_eq!(error.kind(), ErrorKind::Argument);
/// assert_eq!(error.to_string(), "conv2d: stride is 0, it must be at least 1");
/// assert_eq!(error.message(), "stride is 0, it must be at least 1");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    /// Innermost first.
    places: Vec<String>,
}

impl Error {
    /// An error of this kind with a sentence that says what was wrong and what was expected.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::OutOfMemory, "8 GiB were asked for, 2 GiB are free");
    /// assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), places: Vec::new() }))
    }

    /// The shapes do not fit.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// let error = Error::shape("expected [N, C, H, W], got [3]");
    /// assert_eq!((error.kind(), error.message()), (ErrorKind::Shape, "expected [N, C, H, W], got [3]"));
    /// ```
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, message)
    }

    /// The data type does not fit.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::dtype("targets are i64, not f32").kind(), ErrorKind::DType);
    /// ```
    pub fn dtype(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DType, message)
    }

    /// An attribute is out of its range.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::argument("stride is 0").kind(), ErrorKind::Argument);
    /// ```
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Argument, message)
    }

    /// The backend cannot do this.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::unsupported("there is no f64 here").kind(), ErrorKind::Unsupported);
    /// ```
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// No gradient can be had.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::gradient("argmax has none").kind(), ErrorKind::Gradient);
    /// ```
    pub fn gradient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Gradient, message)
    }

    /// A state dict does not fit the model.
    ///
    /// ```
    /// use ferrotape_backend::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::state("fc.bias is missing").kind(), ErrorKind::State);
    /// ```
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::State, message)
    }

    /// What kind of mistake this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence without the places.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The same error seen from one level further out.
    ///
    /// ```
    /// use ferrotape_backend::Error;
    ///
    /// let error = Error::shape("sizes differ").at("add").at("layer1.0").at("");
    /// assert_eq!(error.to_string(), "layer1.0: add: sizes differ");
    /// ```
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        if !place.is_empty() {
            self.0.places.push(place);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.0.places.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

/// Adds the place to an error on its way up.
///
/// ```
/// use ferrotape_backend::{Context, DType};
///
/// let row = |text: &str| text.parse::<DType>().at(|| format!("the dtype of '{text}'"));
/// assert_eq!(row("f32")?, DType::F32);
/// assert!(row("f33").unwrap_err().to_string().starts_with("the dtype of 'f33': "));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Context<T> {
    /// Names the place; the closure runs only on failure.
    ///
    /// # Errors
    /// The same error, one place longer.
    fn at<S: Into<String>>(self, place: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn at<S: Into<String>>(self, place: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.at(place()))
    }
}

/// Describes an operation's operands for an error's place: `conv2d(f32 [1, 2, 5, 5], f32 [4, 3])`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, describe, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [x, w] = [[1, 2, 5, 5], [4, 2, 3, 3]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// assert_eq!(describe("conv2d", &[&x?, &w?]), "conv2d(f32 [1, 2, 5, 5], f32 [4, 2, 3, 3])");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn describe(op: &str, operands: &[&Array]) -> String {
    let list: Vec<String> =
        operands.iter().map(|a| format!("{} {}", a.dtype(), a.shape())).collect();
    format!("{op}({})", list.join(", "))
}
