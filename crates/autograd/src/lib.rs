//! A tape-based autodiff tensor.
//!
//! A [`Tensor`] is an [`Array`](ferrotape_backend::Array) with, if it is tracked, a place on a
//! [`Tape`]. The tape is a list of [`Op`] values with what they saved: data that can be printed,
//! measured and walked backwards. Every gradient has a rule in tensor operations, so gradients have
//! gradients.
//!
//! ```
//! use ferrotape_autograd::{Tape, Tensor};
//! use ferrotape_backend::{Array, Device, reference::Reference};
//!
//! let device = Device::new(Reference::new());
//! let tape = Tape::new();
//! let x = tape.variable(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [3])?)?;
//! let y = (x.square()?).sum_all()?;
//! let gradients = y.backward()?;
//! assert_eq!(gradients.of(&x)?.to_vec::<f64>()?, [2.0, 4.0, 6.0]);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```

mod backward;
mod form;
mod gradients;
mod op;
pub mod ops;
pub mod profile;
mod tape;
mod tensor;

pub use backward::BackwardOptions;
pub use form::{Form, GraphNode, Operand};
pub use gradients::{GradientKey, Gradients, Key};
pub use op::{Backward, Forward, InputGrads, Op};
pub use ops::pointwise::PointwiseFn;
pub use tape::{Effect, LeafId, NodeId, NodeInfo, Tape};
pub use tensor::Tensor;
