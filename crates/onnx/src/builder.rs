//! The graph that grows node by node: names, weights and constants.

use std::collections::{HashMap, HashSet};

use ferrotape_autograd::{GraphNode, LeafId, Operand};
use ferrotape_backend::{Array, DType, Element, Error, Result};
use ferrotape_nn::Module;

use crate::proto;
use crate::record::{Records, Size, at};

/// The codes of `AttributeProto.AttributeType`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const INTS: i32 = 7;

/// A graph in the making.
pub(crate) struct Builder<'a> {
    input: &'a str,
    output: &'a str,
    parameters: HashMap<LeafId, (String, Array)>,
    /// States by the buffer they are in.
    states: HashMap<u64, String>,
    graph: proto::Graph,
    /// What each node of the tape is called here.
    names: HashMap<usize, String>,
    taken: HashSet<String>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(module: &dyn Module, input: &'a str, output: &'a str) -> Self {
        let parameters = module.named_parameters().into_iter();
        let states = module.named_states().into_iter();
        Self {
            input,
            output,
            parameters: parameters.map(|(name, p)| (p.id(), (name, p.value()))).collect(),
            states: states.map(|(name, state)| (state.value().buffer().id(), name)).collect(),
            graph: proto::Graph { name: module.kind().into(), ..proto::Graph::default() },
            names: HashMap::new(),
            taken: [input, output].map(str::to_owned).into(),
        }
    }

    pub(crate) fn build(mut self, records: &Records) -> Result<proto::Graph> {
        for index in records.needed() {
            let node = records.node(index);
            let name = match node.leaf {
                _ if index == records.input() => self.input.to_owned(),
                Some(leaf) => self.leaf(leaf, node)?,
                None => self.form(records, index).map_err(|error| at(error, node))?,
            };
            self.names.insert(index, name);
        }
        let result = self.names[&records.output()].clone();
        let last = self.graph.node.last_mut().filter(|node| node.output[0] == result);
        match last {
            Some(last) => last.output = vec![self.output.to_owned()],
            None => {
                let output = self.output.to_owned();
                self.push("Identity", output, &[&result], Vec::new());
            }
        }
        for (at_input, index, name) in
            [(true, records.input(), self.input), (false, records.output(), self.output)]
        {
            let value = proto::Value {
                name: name.into(),
                r#type: Some(proto::Type {
                    tensor_type: Some(proto::TensorType {
                        elem_type: code(records.node(index).dtype)?,
                        shape: Some(described(&records.shape(index)?)),
                    }),
                }),
            };
            if at_input { &mut self.graph.input } else { &mut self.graph.output }.push(value);
        }
        Ok(self.graph)
    }

    /// The name of a parameter, whose values become an initializer.
    fn leaf(&mut self, leaf: LeafId, node: &GraphNode) -> Result<String> {
        let Some((name, value)) = self.parameters.get(&leaf).cloned() else {
            return Err(at(
                Error::argument(
                    "the forward pass reads a variable that is no parameter of the module; give the module that \
                     has it",
                ),
                node,
            ));
        };
        let name = self.unused(&name);
        self.initializer(name.clone(), &value)?;
        Ok(name)
    }

    /// What an operand of a node is called.
    pub(crate) fn operand(&mut self, node: &GraphNode, operand: usize) -> Result<String> {
        match &node.operands[operand] {
            Operand::Node(id) => Ok(self.names[&id.index()].clone()),
            Operand::Constant(array) => self.constant(array),
        }
    }

    /// An array as an initializer: under its own name where it is a state of the module.
    pub(crate) fn constant(&mut self, array: &Array) -> Result<String> {
        let state = self.states.get(&array.buffer().id()).cloned();
        let name = self.unused(state.as_deref().unwrap_or("constant"));
        self.initializer(name.clone(), array)?;
        Ok(name)
    }

    fn initializer(&mut self, name: String, array: &Array) -> Result<()> {
        let raw_data = match array.dtype() {
            DType::F32 => bytes(&array.to_vec::<f32>()?),
            DType::F64 => bytes(&array.to_vec::<f64>()?),
            DType::I64 => bytes(&array.to_vec::<i64>()?),
            other => {
                return Err(Error::unsupported(format!(
                    "{name} is of {other}, and weights are exported in f32 and f64; cast the module (to_dtype)"
                )));
            }
        };
        let dims = array.shape().iter().map(|&size| size as i64).collect();
        let data_type = code(array.dtype())?;
        self.graph.initializer.push(proto::Tensor { dims, data_type, name, raw_data });
        Ok(())
    }

    /// A list of integers as an initializer: shapes and the like.
    pub(crate) fn integers(&mut self, what: &str, values: &[i64]) -> String {
        let name = self.unused(what);
        self.graph.initializer.push(proto::Tensor {
            dims: vec![values.len() as i64],
            data_type: 7,
            name: name.clone(),
            raw_data: bytes(values),
        });
        name
    }

    /// Numbers of a float type as an initializer.
    pub(crate) fn numbers(
        &mut self,
        dtype: DType,
        dims: &[usize],
        values: &[f64],
    ) -> Result<String> {
        let name = self.unused("constant");
        let raw_data = match dtype {
            DType::F64 => bytes(values),
            DType::F32 => bytes(&values.iter().map(|&value| value as f32).collect::<Vec<_>>()),
            other => {
                return Err(Error::unsupported(format!("{other} cannot be exported; use f32")));
            }
        };
        self.graph.initializer.push(proto::Tensor {
            dims: dims.iter().map(|&size| size as i64).collect(),
            data_type: code(dtype)?,
            name: name.clone(),
            raw_data,
        });
        Ok(name)
    }

    /// Adds a node of one output for a node of the tape, and gives the output's name.
    pub(crate) fn node(
        &mut self,
        of: &GraphNode,
        op: &str,
        inputs: &[&str],
        attributes: Vec<proto::Attribute>,
    ) -> String {
        let path = of.path.as_deref().unwrap_or("");
        let stem =
            if path.is_empty() { of.name().to_owned() } else { format!("{path}/{}", of.name()) };
        let name = self.unused(&stem);
        self.push(op, name.clone(), inputs, attributes);
        name
    }

    fn push(&mut self, op: &str, name: String, inputs: &[&str], attribute: Vec<proto::Attribute>) {
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name,
            op_type: op.into(),
            attribute,
        });
    }

    /// A name that nothing else has.
    fn unused(&mut self, stem: &str) -> String {
        let mut name = stem.to_owned();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{stem}_{count}");
        }
        name
    }
}

/// An attribute of integers.
pub(crate) fn ints(name: &str, values: &[usize]) -> proto::Attribute {
    let ints = values.iter().map(|&value| value as i64).collect();
    proto::Attribute { name: name.into(), ints, kind: INTS, ..proto::Attribute::default() }
}

/// An attribute of one integer.
pub(crate) fn int(name: &str, value: usize) -> proto::Attribute {
    let i = Some(value as i64);
    proto::Attribute { name: name.into(), i, kind: INT, ..proto::Attribute::default() }
}

/// An attribute of one number.
pub(crate) fn float(name: &str, value: f64) -> proto::Attribute {
    let f = Some(value as f32);
    proto::Attribute { name: name.into(), f, kind: FLOAT, ..proto::Attribute::default() }
}

/// The code of `TensorProto.DataType`.
pub(crate) fn code(dtype: DType) -> Result<i32> {
    match dtype {
        DType::F32 => Ok(1),
        DType::I64 => Ok(7),
        DType::F64 => Ok(11),
        other => Err(Error::unsupported(format!("{other} cannot be exported; use f32"))),
    }
}

fn described(sizes: &[Size]) -> proto::Sizes {
    let size = |size: &Size| proto::Size {
        value: match *size {
            Size::Fixed(number) => Some(proto::SizeValue::Number(number as i64)),
            Size::Batch(1) => Some(proto::SizeValue::Name("batch".into())),
            Size::Batch(_) => None,
        },
    };
    proto::Sizes { dim: sizes.iter().map(size).collect() }
}

/// The elements, little-endian.
fn bytes<T: Element + Little>(values: &[T]) -> Vec<u8> {
    values.iter().flat_map(|value| value.little()).collect()
}

/// A number as its little-endian bytes.
trait Little {
    fn little(&self) -> impl IntoIterator<Item = u8>;
}

macro_rules! little {
    ($($type:ty),*) => {$(
        impl Little for $type {
            fn little(&self) -> impl IntoIterator<Item = u8> {
                self.to_le_bytes()
            }
        }
    )*};
}

little!(f32, f64, i64);
