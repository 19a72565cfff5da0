//! The floor of ferrotape: shapes, layouts, arrays, errors, and the [`Backend`] trait that a device
//! implements.
//!
//! An [`Array`] is a view of a [`Buffer`] on a [`Device`]. A device computes through about thirty
//! verbs of the [`Backend`] trait, which write into memory they are given; all element-wise
//! mathematics goes through one of them, [`Backend::pointwise`], as [programs](pointwise).
//!
//! ```
//! # #[cfg(feature = "reference")] {
//! use ferrotape_backend::{Array, Device, pointwise::{Expr, Program}, reference::Reference};
//!
//! let device = Device::new(Reference::new());
//! let x = Array::from_slice(&device, &[1.0f32, -2.0, 3.0], [3])?;
//! let mut y = Array::zeros(&device, x.dtype(), [3])?;
//! let square_plus = Program::new(&[Expr::input(0) * Expr::input(0) + Expr::scalar(0)]);
//! device.backend().pointwise(&square_plus, &[0.5], &[&x], &mut [&mut y])?;
//! assert_eq!(y.to_vec::<f32>()?, [1.5, 4.5, 9.5]);
//! # }
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```
//!
//! The feature `reference` has the reference backend, plain loops in f64 that every fast kernel is
//! held against; the feature `conformance` has the kit that does so for any backend; the feature `meta`
//! has the device that knows shapes only.

mod array;
mod attributes;
mod buffer;
pub mod check;
mod device;
mod display;
mod dtype;
mod error;
mod fused;
mod layout;
pub mod pointwise;
pub mod random;
mod resample;
mod shape;
mod verbs;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "meta")]
pub mod meta;
#[cfg(feature = "reference")]
pub mod reference;

pub use array::Array;
pub use attributes::{BatchNormGrads, Conv2d, CrossEntropy, Epilogue, Pool2d, Random, Reduce};
pub use buffer::{Buffer, Memory};
pub use device::Device;
pub use dtype::{DType, Element};
pub use error::{Context, Error, ErrorKind, Result, describe};
pub use layout::{Format, Layout, Positions};
pub use random::Rng;
pub use resample::Taps;
pub use shape::{IntoShape, MAX_RANK, Shape};
pub use verbs::{Backend, MemoryStats};
