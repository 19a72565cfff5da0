//! Export of networks to [ONNX](https://onnx.ai), which other programs run: onnxruntime, OpenVINO, TensorRT.
//!
//! A pass in evaluation mode is recorded twice, with batches of two and of three images. Each operator of the
//! tape becomes nodes of the standard's operator set 17; a size that is 2 in one record and 3 in the other is the
//! batch, which the caller of the exported model chooses. Weights keep their names.
//!
//! ```
//! use ferrotape_backend::{Device, Rng, reference::Reference};
//! use ferrotape_nn::{Init, Layer};
//! use ferrotape_onnx::Exporter;
//!
//! let device = Device::new(Reference::new());
//! let network = ferrotape_zoo::lenet5(&Init::new(&device, Rng::new(42)), 10)?;
//! let model = Exporter::new(&device, [1, 28, 28])
//!     .metadata("mean", "0.1307")
//!     .export(&network, |cx, x| network.forward(cx, x))?;
//! let graph = model.graph.as_ref().expect("a model has a graph");
//! assert_eq!(graph.node[0].op_type, "Conv");
//! assert_eq!(graph.node[0].input, ["input", "conv1.weight", "conv1.bias"]);
//! assert!(ferrotape_onnx::to_bytes(&model).len() > 4 * 61_706);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```
//!
//! An operator that the standard has no form for is an error that names it and its layer: [`Form`] lists those
//! that have one.
//!
//! [`Form`]: ferrotape_autograd::Form

mod builder;
mod forms;
mod pointwise;
pub mod proto;
mod record;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Device, Error, Result};
use ferrotape_nn::{Module, Pass};
use prost::Message;

use crate::builder::Builder;
use crate::record::{Record, Records};

/// The set of operators that exported models use.
pub const OPSET: i64 = 17;

/// The version of the file format, the first that has [`OPSET`].
const IR_VERSION: i64 = 8;

/// Protocol buffers end here.
const LARGEST: usize = i32::MAX as usize;

/// How a network is exported.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Init, Layer, Sequential};
/// use ferrotape_onnx::Exporter;
///
/// let device = Device::new(Reference::new());
/// let network = Sequential::new(&Init::new(&device, Rng::new(1))).named("edges", Conv2dConfig::new(3, 8, 3))?;
/// let model = Exporter::new(&device, [3, 32, 32])
///     .names("picture", "maps")
///     .export(&network, |cx, x| network.forward(cx, x))?;
/// assert_eq!(model.graph.unwrap_or_default().output[0].name, "maps");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Exporter {
    device: Device,
    sample: Vec<usize>,
    input: String,
    output: String,
    metadata: Vec<(String, String)>,
}

impl Exporter {
    /// Of a network on a device, for inputs whose sizes, behind the batch, are `sample`.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
    /// use ferrotape_onnx::Exporter;
    ///
    /// let init = Init::new(&Device::new(Reference::new()), Rng::new(1));
    /// let network = Sequential::new(&init).add(LinearConfig::new(4, 2))?;
    /// let model = Exporter::new(init.device(), [4]).export(&network, |cx, x| network.forward(cx, x))?;
    /// let graph = model.graph.unwrap_or_default();
    /// assert_eq!((graph.input[0].name.as_str(), graph.output[0].name.as_str()), ("input", "logits"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn new(device: &Device, sample: impl Into<Vec<usize>>) -> Self {
        Self {
            device: device.clone(),
            sample: sample.into(),
            input: "input".into(),
            output: "logits".into(),
            metadata: Vec::new(),
        }
    }

    /// Calls input and output so, in place of `input` and `logits`.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
    /// use ferrotape_onnx::Exporter;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let network = Sequential::new(&init).add(LinearConfig::new(4, 2))?;
    /// let exporter = Exporter::new(&device, [4]).names("features", "scores");
    /// let model = exporter.export(&network, |cx, x| network.forward(cx, x))?;
    /// assert_eq!(model.graph.unwrap_or_default().input[0].name, "features");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn names(self, input: impl Into<String>, output: impl Into<String>) -> Self {
        Self { input: input.into(), output: output.into(), ..self }
    }

    /// Writes something beside the graph that a user should know, such as how inputs are normalised.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
    /// use ferrotape_onnx::Exporter;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let network = Sequential::new(&init).add(LinearConfig::new(4, 2))?;
    /// let exporter = Exporter::new(&device, [4]).metadata("mean", "0.1307").metadata("std", "0.3081");
    /// let model = exporter.export(&network, |cx, x| network.forward(cx, x))?;
    /// assert_eq!(model.metadata_props[1].key, "std");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// The model of a forward pass. Its weights are those of `module`; what `forward` reads besides becomes
    /// constants.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
    /// use ferrotape_onnx::Exporter;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let network = Sequential::new(&init).named("fc", LinearConfig::new(4, 2))?;
    /// let model = Exporter::new(&device, [4]).export(&network, |cx, x| {
    ///     // Probabilities, where the network gives scores.
    ///     network.forward(cx, x)?.softmax(-1)
    /// })?;
    /// let graph = model.graph.unwrap_or_default();
    /// assert_eq!(graph.node.last().map(|node| node.op_type.as_str()), Some("Softmax"));
    /// assert!(graph.initializer.iter().any(|weight| weight.name == "fc.weight"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What `forward` says; an operator that ONNX has no form for, with its layer; operations that depend on
    /// the size of the batch; weights of more than 2 GiB.
    pub fn export(
        &self,
        module: &dyn Module,
        forward: impl Fn(&Pass, &Tensor) -> Result<Tensor>,
    ) -> Result<proto::Model> {
        let record = |batch| Record::of(&self.device, batch, &self.sample, &forward);
        let records = Records::new(record(record::BATCHES[0])?, record(record::BATCHES[1])?)?;
        let graph = Builder::new(module, &self.input, &self.output).build(&records)?;
        let bytes: usize = graph.initializer.iter().map(|tensor| tensor.raw_data.len()).sum();
        if bytes > LARGEST {
            return Err(Error::unsupported(format!(
                "the weights take {bytes} bytes, and an ONNX file ends at {LARGEST}; export in a shorter float \
                 type"
            )));
        }
        let entry = |(key, value): &(String, String)| proto::Entry {
            key: key.clone(),
            value: value.clone(),
        };
        Ok(proto::Model {
            ir_version: IR_VERSION,
            producer_name: "ferrotape".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
            metadata_props: self.metadata.iter().map(entry).collect(),
        })
    }
}

/// The bytes of a `.onnx` file.
///
/// ```
/// use ferrotape_onnx::{from_bytes, proto::Model, to_bytes};
///
/// let model = Model { producer_name: "ferrotape".into(), ..Model::default() };
/// assert_eq!(from_bytes(&to_bytes(&model))?, model);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn to_bytes(model: &proto::Model) -> Vec<u8> {
    model.encode_to_vec()
}

/// The model in the bytes of a `.onnx` file, as far as this crate writes it.
///
/// ```
/// use ferrotape_onnx::from_bytes;
///
/// let error = from_bytes(b"<!DOCTYPE html>").unwrap_err().to_string();
/// assert!(error.starts_with("this is no ONNX model"), "{error}");
/// ```
///
/// # Errors
/// They are no model.
pub fn from_bytes(bytes: &[u8]) -> Result<proto::Model> {
    proto::Model::decode(bytes)
        .map_err(|error| Error::argument(format!("this is no ONNX model: {error}")))
}
