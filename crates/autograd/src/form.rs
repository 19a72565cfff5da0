//! What a tape holds, as data that can be run elsewhere.

use std::fmt;
use std::sync::Arc;

use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{Array, Conv2d, DType, Pool2d, Reduce, Shape, Taps};

use crate::op::Op;
use crate::tape::{LeafId, NodeId};

/// What an operator computes, for exporters; [`Op::form`] gives it. The inputs are those of the op, in order,
/// and the meanings are those of the methods of [`Tensor`](crate::Tensor) that have the names.
///
/// ```
/// use ferrotape_autograd::{Form, Tape};
/// use ferrotape_backend::{Array, Device, Shape, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// tape.keep_constants();
/// let x = tape.variable(Array::from_slice(&device, &[1.0f64, 2.0], [2])?)?;
/// x.view(Shape::new(&[1, 2])?)?.exp()?;
/// let nodes = tape.graph()?;
/// assert!(matches!(nodes[1].form(), Form::Reshape(shape) if shape.dims() == [1, 2]));
/// assert!(matches!(nodes[2].form(), Form::Pointwise { .. }));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Form<'a> {
    /// What the op's own code says, and nothing else does.
    Own,
    /// The input, perhaps in another order in memory.
    Identity,
    /// The input in another float type.
    Cast(DType),
    /// One expression, element by element, over inputs that are broadcast to one shape.
    Pointwise {
        /// The expression.
        program: &'a Program,
        /// Its run-time scalars.
        scalars: &'a [f64],
    },
    /// Of `x, w[, bias][, residual]`.
    Conv2d {
        /// Stride, padding, dilation, groups.
        params: Conv2d,
        /// Whether there is a bias.
        bias: bool,
        /// Whether there is a residual.
        residual: bool,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// The largest of each window.
    MaxPool2d(Pool2d),
    /// The mean of each window.
    AvgPool2d(Pool2d),
    /// `relu(norm(x) * weight + bias + residual)` by given statistics, of `x, mean, var[, weight, bias][,
    /// residual]`.
    BatchNorm {
        /// What is added to the variance.
        eps: f64,
        /// Whether there are weight and bias.
        affine: bool,
        /// Whether there is a residual.
        residual: bool,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// `x w^T + bias`, of `x, w[, bias]`.
    Linear,
    /// The product of two matrices, or of a batch of them; a batch of 1 serves all.
    MatMul,
    /// Another shape of the same elements in order.
    Reshape(Shape),
    /// Output dimension `i` is this input dimension.
    Permute(&'a [usize]),
    /// A range of one dimension.
    Narrow {
        /// The dimension.
        dim: usize,
        /// The first position.
        start: usize,
        /// How many.
        length: usize,
    },
    /// Repeated to this shape.
    BroadcastTo(Shape),
    /// One dimension backwards.
    Flip(usize),
    /// The inputs, one behind the other along this dimension.
    Cat(usize),
    /// A number around the input.
    Pad {
        /// For some dimensions: which, how many before, how many behind.
        margins: Vec<(usize, usize, usize)>,
        /// The number.
        value: f64,
    },
    /// A sum or an extreme over dimensions.
    Reduce {
        /// Which.
        kind: Reduce,
        /// The dimensions.
        dims: &'a [usize],
        /// Whether they stay, with the size 1.
        keepdim: bool,
    },
    /// `exp(x) / sum exp(x)` along a dimension, or its logarithm.
    Softmax {
        /// The dimension.
        dim: usize,
        /// Whether it is the logarithm.
        log: bool,
    },
    /// `y[i][j] = x[i][index[i][j]]` along `dim`, of `x, index`.
    Gather {
        /// The dimension.
        dim: usize,
    },
    /// Each plane times a matrix from either side: `rows x columns^T`.
    Resample {
        /// The matrix from the left.
        rows: &'a Taps,
        /// The matrix from the right, transposed.
        columns: &'a Taps,
    },
}

/// An input of a [`GraphNode`].
///
/// ```
/// use ferrotape_autograd::{Operand, Tape};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// tape.keep_constants();
/// let x = tape.variable(Array::from_slice(&device, &[3.0f64], [])?)?;
/// x.mul(&Array::from_slice(&device, &[2.0f64], [])?.into())?;
/// let Operand::Node(first) = &tape.graph()?[1].operands[0] else { unreachable!("x is on the tape") };
/// let Operand::Constant(second) = &tape.graph()?[1].operands[1] else { unreachable!("2 is not") };
/// assert_eq!((first.index(), second.item()?), (0, 2.0));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum Operand {
    /// What another node computed.
    Node(NodeId),
    /// An array that is not on the tape.
    Constant(Array),
}

/// A node with all that it takes to run it elsewhere; see [`Tape::graph`](crate::Tape::graph).
///
/// ```
/// use ferrotape_autograd::{Form, GraphNode, Tape};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// let x = tape.variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
/// x.sqrt()?;
/// let nodes: Vec<GraphNode> = tape.graph()?;
/// let (leaf, root) = (&nodes[0], &nodes[1]);
/// assert!(leaf.leaf.is_some() && matches!(leaf.form(), Form::Own));
/// assert_eq!((leaf.name(), root.name(), root.shape.dims()), ("leaf", "sqrt", &[1][..]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct GraphNode {
    /// Its position.
    pub id: NodeId,
    /// Whose leaf it is, if it is one.
    pub leaf: Option<LeafId>,
    /// What it reads.
    pub operands: Vec<Operand>,
    /// The sizes of its output.
    pub shape: Shape,
    /// The data type of its output.
    pub dtype: DType,
    /// The path of the layer that recorded it.
    pub path: Option<Arc<str>>,
    pub(crate) op: Option<Arc<dyn Op>>,
}

impl GraphNode {
    /// The operator's name, or `leaf`.
    pub fn name(&self) -> &'static str {
        self.op.as_ref().map_or("leaf", |op| op.name())
    }

    /// What it computes; [`Form::Own`] for a leaf.
    pub fn form(&self) -> Form<'_> {
        self.op.as_ref().map_or(Form::Own, |op| op.form())
    }
}

impl fmt::Debug for GraphNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} {:?} {}", self.id.index(), self.name(), self.form(), self.shape)
    }
}
