//! What most programs use: `use ferrotape::prelude::*;`.

pub use crate::{DeviceOptions, OpenDevice};
pub use ferrotape_autograd::{BackwardOptions, Gradients, Tape, Tensor};
pub use ferrotape_backend::{Array, DType, Device, Rng, Shape};
pub use ferrotape_data::{Dataset, Loader, LoaderOptions};
pub use ferrotape_nn::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
pub use ferrotape_nn::{Classifier, Init, Layer, Module, Parameter, Pass, Sequential};
pub use ferrotape_zoo as zoo;
