//! Convolutional networks in Rust: tensors, autodiff, layers, the classic architectures.
//!
//! This crate gathers the others under one name. [`Device`] gets its constructor from here:
//! `Device::open("cpu")`, through the trait [`OpenDevice`] of the [`prelude`].
//!
//! ```
//! use ferrotape::prelude::*;
//!
//! let device = Device::open("cpu")?;
//! let tape = Tape::new();
//! let x = tape.variable(Array::from_slice(&device, &[1.0f32, 2.0, 3.0], [3])?)?;
//! let gradients = x.square()?.sum_all()?.backward()?;
//! assert_eq!(gradients.of(&x)?.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
//! # Ok::<(), ferrotape::Error>(())
//! ```
//!
//! - [`backend`]: devices, arrays, errors; [`cpu`]: the CPU.
//! - [`autograd`]: tensors, the tape, operators of your own.
//! - [`nn`]: layers, parameters, passes, optimizers; [`zoo`]: networks by name.
//! - [`data`]: datasets and the loader; [`train`]: training runs with metrics and a report.
//! - [`onnx`]: export for other programs.

mod open;
pub mod prelude;

pub use ferrotape_autograd as autograd;
pub use ferrotape_backend as backend;
pub use ferrotape_cpu as cpu;
#[cfg(feature = "cuda")]
pub use ferrotape_cuda as cuda;
pub use ferrotape_data as data;
pub use ferrotape_nn as nn;
pub use ferrotape_onnx as onnx;
pub use ferrotape_train as train;
pub use ferrotape_zoo as zoo;

pub use ferrotape_backend::{Device, Error, Result};
pub use open::{DeviceOptions, OpenDevice, device_names};

// The README and the pages of the book that have listings: each is compiled and run with the other
// examples.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/own-images.md")]
    struct OwnImages;
    #[doc = include_str!("../../../docs/training.md")]
    struct Training;
    #[doc = include_str!("../../../docs/tour.md")]
    struct Tour;
    #[doc = include_str!("../../../docs/see-what-it-sees.md")]
    struct SeeWhatItSees;
    #[doc = include_str!("../../../docs/onnx.md")]
    struct Onnx;
    #[doc = include_str!("../../../docs/weights.md")]
    struct Weights;
    #[doc = include_str!("../../../docs/fine-tune.md")]
    struct FineTune;
    #[doc = include_str!("../../../docs/reproduce-a-classic.md")]
    struct ReproduceAClassic;
    #[doc = include_str!("../../../docs/read-a-benchmark.md")]
    struct ReadABenchmark;
    #[doc = include_str!("../../../docs/cuda.md")]
    struct Cuda;
    #[doc = include_str!("../../../docs/write-an-activation.md")]
    struct WriteAnActivation;
    #[doc = include_str!("../../../docs/write-a-layer.md")]
    struct WriteALayer;
    #[doc = include_str!("../../../docs/write-an-op.md")]
    struct WriteAnOp;
    #[doc = include_str!("../../../docs/write-a-backend.md")]
    struct WriteABackend;
    #[doc = include_str!("../../../docs/check-a-gradient.md")]
    struct CheckAGradient;
    #[doc = include_str!("../../../docs/use-one-crate.md")]
    struct UseOneCrate;
    #[doc = include_str!("../../../docs/file-formats.md")]
    struct FileFormats;
    #[doc = include_str!("../../../docs/migrate/pytorch.md")]
    struct MigratePytorch;
    #[doc = include_str!("../../../docs/migrate/keras.md")]
    struct MigrateKeras;
    #[doc = include_str!("../../../docs/migrate/candle.md")]
    struct MigrateCandle;
    #[doc = include_str!("../../../docs/migrate/burn.md")]
    struct MigrateBurn;
}

// The fifteen questions of the book.
#[cfg(doctest)]
mod questions {
    #[doc = include_str!("../../../docs/questions/what-is-a-cnn.md")]
    struct WhatIsACnn;
    #[doc = include_str!("../../../docs/questions/typical-architecture.md")]
    struct TypicalArchitecture;
    #[doc = include_str!("../../../docs/questions/how-convolution-works.md")]
    struct HowConvolutionWorks;
    #[doc = include_str!("../../../docs/questions/pooling.md")]
    struct Pooling;
    #[doc = include_str!("../../../docs/questions/activations.md")]
    struct Activations;
    #[doc = include_str!("../../../docs/questions/depth-of-a-layer.md")]
    struct DepthOfALayer;
    #[doc = include_str!("../../../docs/questions/overfitting.md")]
    struct Overfitting;
    #[doc = include_str!("../../../docs/questions/dense-or-convolutional.md")]
    struct DenseOrConvolutional;
    #[doc = include_str!("../../../docs/questions/feature-maps.md")]
    struct FeatureMaps;
    #[doc = include_str!("../../../docs/questions/parameter-sharing.md")]
    struct ParameterSharing;
    #[doc = include_str!("../../../docs/questions/why-images.md")]
    struct WhyImages;
    #[doc = include_str!("../../../docs/questions/receptive-fields.md")]
    struct ReceptiveFields;
    #[doc = include_str!("../../../docs/questions/local-response-normalization.md")]
    struct LocalResponseNormalization;
    #[doc = include_str!("../../../docs/questions/stride-and-output-size.md")]
    struct StrideAndOutputSize;
    #[doc = include_str!("../../../docs/questions/dilated-convolution.md")]
    struct DilatedConvolution;
}
