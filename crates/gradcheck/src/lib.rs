//! Property tests for operators: proptest strategies and the laws of a gradient.
//!
//! Whoever writes an operator checks it with one call. All laws are checked: the gradient and the
//! second derivative against difference quotients in f64 by random projection, linearity, memory
//! layouts, the reference backend, determinism, leaks, missing gradients.
//!
//! ```
//! use ferrotape_backend::{Device, reference::Reference};
//! use ferrotape_gradcheck::strategy::{conv2d, for_all, inputs, Values};
//! use ferrotape_gradcheck::check_op;
//! use proptest::strategy::{Just, Strategy};
//!
//! let device = Device::new(Reference::new());
//! let cases = conv2d().prop_flat_map(|case| (inputs(case.shapes(), Values::Any), Just(case.params)));
//! for_all(cases, |(inputs, params)| {
//!     Ok(check_op!(&device, &inputs, |x| x[0].conv2d(&x[1], x.get(2), &params), params)?)
//! });
//! ```
//!
//! Whoever writes a layer calls [`check_layer!`]; whoever fuses operators calls [`check_equal!`] with the
//! definition beside it. [`strategy`] generates shapes, values, layouts and attributes, [`Input`] is one of
//! them written out, [`fixtures`] reads numbers that another framework computed.
//!
//! A case that breaks a law is shrunk, and prints the element, both numbers, the tolerance, and code
//! that shows it again. With the variable `FERROTAPE_RECORD` set to a folder, checks that pass write
//! the largest errors that they saw there, as JSON lines.

mod failure;
pub mod fixtures;
mod input;
mod layer;
mod op;
mod record;
pub mod strategy;

pub use failure::{Failure, Law, Place};
pub use input::{Input, MemoryLayout};
pub use layer::{LayerOptions, check_layer};
pub use op::{Options, check_equal, check_op, check_same_bits};
