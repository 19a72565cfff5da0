//! Layers, parameters, passes, initialisation and optimizers for ferrotape.
//!
//! A model is a plain struct of layers; `#[derive(Module)]` names its parameters by their fields. A
//! [`Pass`] carries what one forward pass needs, and is handed to every layer.
//!
//! ```
//! use ferrotape_autograd::Tensor;
//! use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
//! use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
//! use ferrotape_nn::{
//!     Classifier, Init, LinearConfig, Module, Pass, Sequential, activation,
//! };
//!
//! let device = Device::new(Reference::new());
//! let rng = Rng::new(42);
//! let model = Sequential::new(&Init::new(&device, rng))
//!     .add(LinearConfig::new(2, 8))?
//!     .add(activation("tanh", Tensor::tanh))?
//!     .add(LinearConfig::new(8, 2))?;
//! let mut sgd = Sgd::new(model.parameters(), SgdConfig { lr: 0.5, ..SgdConfig::default() })?;
//!
//! // The exclusive or of two bits.
//! let x = Array::from_slice(&device, &[0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [4, 2])?;
//! let labels = Array::from_slice(&device, &[0i64, 1, 1, 0], [4])?;
//! let mut last = f64::INFINITY;
//! for step in 0..200 {
//!     let cx = Pass::train(&device, rng.step(step));
//!     let loss = model.loss(&cx, &cx.input(x.clone())?, &labels)?.loss;
//!     sgd.step(&loss.backward()?)?;
//!     last = loss.item()?;
//! }
//! assert!(last < 0.1);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```
//!
//! - Models: the traits [`Layer`] and [`Classifier`], [`Sequential`], `#[derive(Module)]`; names, clones,
//!   state dicts, tying and freezing by [`Module`].
//! - Layers, with PyTorch's meaning and defaults: [`Conv2d`], [`ConvTranspose2d`], [`Linear`], [`BatchNorm2d`],
//!   [`GroupNorm`], [`LayerNorm`], [`MaxPool2d`], [`Dropout`], [`Embedding`], [`Lstm`], [`Gru`] and more; a
//!   configuration such as [`Conv2dConfig`] is what a [`Sequential`] makes one from.
//! - What they hold: a [`Parameter`] is learned, a [`State`] is kept; [`Init`] says where and how they begin.
//! - A pass: [`Pass`] has mode, gradients, autocast, random keys and probes.
//! - Learning: [`optim`] has optimizers and schedules; losses are methods of
//!   [`Tensor`](ferrotape_autograd::Tensor).
//! - Files: [`StateDict`] reads and writes safetensors, and reads PyTorch's `.pth`.
//! - To look at: [`Summary`].

// The derive macro names this crate from outside.
extern crate self as ferrotape_nn;

mod cell;
mod init;
mod layer;
mod layers;
mod module;
pub mod optim;
mod parameter;
mod pass;
mod path;
mod state;
mod state_dict;
mod summary;

pub use ferrotape_nn_derive::Module;
pub use init::{Distribution, Init, Scaling};
pub use layer::{Classifier, CloneClassifier, CloneLayer, Layer, Outcome, class_loss};
pub use layers::*;
pub use module::{Frozen, Item, Loaded, Module, Ties, Visitor};
pub use parameter::Parameter;
pub use pass::{Call, Mode, Pass, Window};
pub use path::Path;
pub use state::State;
pub use state_dict::StateDict;
pub use summary::{Row, Summary, receptive_field};
