//! The messages of `onnx.proto`, as far as a model that is exported has them. The numbers of the fields are
//! those of the [standard](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

use prost::{Message, Oneof};

/// A model: the whole file.
///
/// ```
/// use ferrotape_onnx::proto::{Model, OperatorSet};
/// use ferrotape_onnx::{OPSET, from_bytes, to_bytes};
///
/// let model = Model {
///     ir_version: 8,
///     opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
///     ..Model::default()
/// };
/// assert_eq!(from_bytes(&to_bytes(&model))?.opset_import[0].version, 17);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// The version of the file format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The program's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// What is computed.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Which operators there are.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    /// Anything else that a user should know.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Entry>,
}

/// A set of operators.
///
/// ```
/// use ferrotape_onnx::OPSET;
/// use ferrotape_onnx::proto::OperatorSet;
///
/// let standard = OperatorSet { version: OPSET, ..OperatorSet::default() };
/// assert_eq!((standard.domain.as_str(), standard.version), ("", 17));
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    /// Whose; the standard's where it is empty.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A key and its value.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
/// use ferrotape_onnx::Exporter;
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let network = Sequential::new(&init).add(LinearConfig::new(4, 2))?;
/// let exporter = Exporter::new(&device, [4]).metadata("classes", "cat,dog");
/// let model = exporter.export(&network, |cx, x| network.forward(cx, x))?;
/// assert_eq!(model.metadata_props[0].value, "cat,dog");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// What is computed.
///
/// ```
/// use ferrotape_onnx::proto::{Graph, Node};
///
/// let relu = Node {
///     op_type: "Relu".into(),
///     input: vec!["x".into()],
///     output: vec!["y".into()],
///     ..Node::default()
/// };
/// let graph = Graph { name: "activation".into(), node: vec![relu], ..Graph::default() };
/// assert_eq!(graph.node[0].output, ["y"]);
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The nodes, each after those that it reads.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// What the graph is called.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Weights and constants.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// What a caller gives.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<Value>,
    /// What a caller gets.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<Value>,
}

/// One operation.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Init, Layer, Sequential};
/// use ferrotape_onnx::Exporter;
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let network = Sequential::new(&init).named("conv", Conv2dConfig::new(1, 2, 3).stride(2))?;
/// let model = Exporter::new(&device, [1, 9, 9]).export(&network, |cx, x| network.forward(cx, x))?;
/// let node = &model.graph.unwrap_or_default().node[0];
/// assert_eq!((node.op_type.as_str(), node.input[1].as_str()), ("Conv", "conv.weight"));
/// let strides = node.attribute.iter().find(|attribute| attribute.name == "strides");
/// assert_eq!(strides.map(|strides| strides.ints.clone()), Some(vec![2, 2]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// The names of what it reads.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The names of what it computes.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// What the node is called.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// The operator's attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// An attribute of a node: one of the values, and which.
///
/// ```
/// use ferrotape_onnx::proto::Attribute;
///
/// let axis = Attribute { name: "axis".into(), i: Some(-1), kind: 2, ..Attribute::default() };
/// assert_eq!((axis.i, axis.f, axis.ints.len()), (Some(-1), None, 0));
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// What it is called.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number, where `kind` is 1.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer, where `kind` is 2.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Integers, where `kind` is 7.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of them it is.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// An array.
///
/// ```
/// use ferrotape_onnx::proto::Tensor;
///
/// let half = Tensor {
///     name: "half".into(),
///     dims: vec![1],
///     data_type: 1, // f32
///     raw_data: 0.5f32.to_le_bytes().to_vec(),
/// };
/// assert_eq!(half.raw_data, [0, 0, 0, 0x3f]);
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Its sizes.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// The code of its data type.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// What it is called.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The elements in row-major order, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// What an input or output is.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, LinearConfig, Sequential};
/// use ferrotape_onnx::Exporter;
/// use ferrotape_onnx::proto::SizeValue;
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let network = Sequential::new(&init).add(LinearConfig::new(4, 2))?;
/// let model = Exporter::new(&device, [4]).export(&network, |cx, x| network.forward(cx, x))?;
/// let input = model.graph.unwrap_or_default().input.remove(0);
/// let r#type = input.r#type.and_then(|r#type| r#type.tensor_type).unwrap_or_default();
/// let sizes: Vec<_> = r#type.shape.unwrap_or_default().dim.into_iter().map(|dim| dim.value).collect();
/// // The caller chooses the size of the batch.
/// assert!(matches!(&sizes[..], [Some(SizeValue::Name(_)), Some(SizeValue::Number(4))]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// What it is called.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// The type of a value.
///
/// ```
/// use ferrotape_onnx::proto::{TensorType, Type};
///
/// let floats = TensorType { elem_type: 1, shape: None };
/// let r#type = Type { tensor_type: Some(floats) };
/// assert_eq!(r#type.tensor_type.map(|tensor| tensor.elem_type), Some(1));
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// Elements and sizes.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// Elements and sizes.
///
/// ```
/// use ferrotape_onnx::proto::{Sizes, TensorType};
///
/// // i64, of any sizes.
/// let labels = TensorType { elem_type: 7, shape: None };
/// assert_eq!(labels.shape.unwrap_or_default(), Sizes { dim: Vec::new() });
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The code of the data type.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// The sizes.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Sizes>,
}

/// Sizes, of which some may have names.
///
/// ```
/// use ferrotape_onnx::proto::{Size, SizeValue, Sizes};
///
/// let number = |number| Size { value: Some(SizeValue::Number(number)) };
/// let image = Sizes { dim: [3, 224, 224].map(number).to_vec() };
/// assert_eq!(image.dim.len(), 3);
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Sizes {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Size>,
}

/// A size.
///
/// ```
/// use ferrotape_onnx::proto::{Size, SizeValue};
///
/// let batch = Size { value: Some(SizeValue::Name("batch".into())) };
/// assert_ne!(batch, Size::default(), "which says nothing");
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct Size {
    /// A number or a name; unknown where it is neither.
    #[prost(oneof = "SizeValue", tags = "1, 2")]
    pub value: Option<SizeValue>,
}

/// A size that is known, or is called something.
///
/// ```
/// use ferrotape_onnx::proto::{Size, SizeValue, Sizes};
///
/// let [batch, features] = [SizeValue::Name("batch".into()), SizeValue::Number(784)];
/// let shape = Sizes { dim: [batch, features].map(|value| Size { value: Some(value) }).to_vec() };
/// assert_eq!(shape.dim[1].value, Some(SizeValue::Number(784)));
/// ```
#[derive(Clone, PartialEq, Oneof)]
pub enum SizeValue {
    /// The number.
    #[prost(int64, tag = "1")]
    Number(i64),
    /// The name of a size that the caller chooses.
    #[prost(string, tag = "2")]
    Name(String),
}
