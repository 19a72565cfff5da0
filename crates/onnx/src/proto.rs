//! The messages of `onnx.proto`, as far as a model that is exported has them. The numbers of the fields are
//! those of the [standard](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

use prost::{Message, Oneof};

/// A model: the whole file.
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
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// Elements and sizes.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// Elements and sizes.
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
#[derive(Clone, PartialEq, Message)]
pub struct Sizes {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Size>,
}

/// A size.
#[derive(Clone, PartialEq, Message)]
pub struct Size {
    /// A number or a name; unknown where it is neither.
    #[prost(oneof = "SizeValue", tags = "1, 2")]
    pub value: Option<SizeValue>,
}

/// A size that is known, or is called something.
#[derive(Clone, PartialEq, Oneof)]
pub enum SizeValue {
    /// The number.
    #[prost(int64, tag = "1")]
    Number(i64),
    /// The name of a size that the caller chooses.
    #[prost(string, tag = "2")]
    Name(String),
}
