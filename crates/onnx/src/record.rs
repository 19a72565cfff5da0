//! A recorded pass, and two of them side by side.

use ferrotape_autograd::{GraphNode, Operand, Tensor};
use ferrotape_backend::{Array, DType, Device, Error, Result, Shape};
use ferrotape_nn::Pass;

/// The batches that are recorded. No size of a network is told from a batch by one alone.
pub(crate) const BATCHES: [usize; 2] = [2, 3];

/// What a pass over one batch recorded.
#[derive(Debug)]
pub(crate) struct Record {
    nodes: Vec<GraphNode>,
    input: usize,
    output: usize,
}

impl Record {
    pub(crate) fn of(
        device: &Device,
        batch: usize,
        sample: &[usize],
        forward: impl Fn(&Pass, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let cx = Pass::eval(device).trace();
        let shape = [&[batch], sample].concat();
        // Another input for each record, so that what is computed from it beside the tape shows.
        let value = 1.0 / batch as f64;
        let x = cx.input(Array::full(device, DType::F32, Shape::new(&shape)?, value)?)?;
        let y = forward(&cx, &x)?;
        let [Some(input), Some(output)] = [x.node(), y.node()] else {
            return Err(Error::argument(
                "the result was not computed from the input by operators of the pass's tape, so there is nothing \
                 to export",
            ));
        };
        Ok(Self { nodes: cx.tape().graph()?, input: input.index(), output: output.index() })
    }
}

/// Whether two operands are arrays of one shape with different numbers.
fn is_other_constant(a: &Operand, b: &Operand) -> bool {
    let (Operand::Constant(a), Operand::Constant(b)) = (a, b) else { return false };
    let same = a.buffer().id() == b.buffer().id() && a.layout() == b.layout();
    !same
        && a.shape() == b.shape()
        && a.dtype().is_float()
        && a.to_f64_vec().ok() != b.to_f64_vec().ok()
}

/// A size, as a function of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Size {
    Fixed(usize),
    /// So many times the batch.
    Batch(usize),
}

/// Two records of the same operations.
#[derive(Debug)]
pub(crate) struct Records {
    pair: [Record; 2],
}

impl Records {
    pub(crate) fn new(first: Record, second: Record) -> Result<Self> {
        let same = |(a, b): (&GraphNode, &GraphNode)| {
            a.name() == b.name() && a.operands.len() == b.operands.len()
        };
        let is_same = first.nodes.len() == second.nodes.len()
            && (first.input, first.output) == (second.input, second.output)
            && first.nodes.iter().zip(&second.nodes).all(same);
        let nodes = first.nodes.iter().zip(&second.nodes);
        for (a, b) in nodes {
            if a.operands.iter().zip(&b.operands).any(|(a, b)| is_other_constant(a, b)) {
                return Err(at(
                    Error::unsupported(
                        "it reads an array that was computed from the input beside the tape, which a graph cannot \
                         say; compute it with operators on tensors, not on their arrays",
                    ),
                    a,
                ));
            }
        }
        if !is_same {
            return Err(Error::unsupported(
                "the network does other operations for another size of the batch, which a graph cannot say",
            ));
        }
        Ok(Self { pair: [first, second] })
    }

    pub(crate) fn input(&self) -> usize {
        self.pair[0].input
    }

    pub(crate) fn output(&self) -> usize {
        self.pair[0].output
    }

    /// A node, as the first record has it.
    pub(crate) fn node(&self, index: usize) -> &GraphNode {
        &self.pair[0].nodes[index]
    }

    /// A node in both records.
    pub(crate) fn both(&self, index: usize) -> [&GraphNode; 2] {
        [0, 1].map(|record: usize| &self.pair[record].nodes[index])
    }

    /// The sizes of a node's output.
    pub(crate) fn shape(&self, index: usize) -> Result<Vec<Size>> {
        let [a, b] = self.both(index);
        sizes(&a.shape, &b.shape).map_err(|error| at(error, a))
    }

    /// The sizes of an operand of a node.
    pub(crate) fn operand_shape(&self, index: usize, operand: usize) -> Result<Vec<Size>> {
        let [a, b] = self.both(index);
        match (&a.operands[operand], &b.operands[operand]) {
            (Operand::Node(node), _) => self.shape(node.index()),
            (Operand::Constant(one), Operand::Constant(other)) => {
                sizes(one.shape(), other.shape()).map_err(|error| at(error, a))
            }
            _ => Err(at(Error::unsupported("its operands depend on the size of the batch"), a)),
        }
    }

    /// The nodes that the output is computed from, in order.
    pub(crate) fn needed(&self) -> Vec<usize> {
        let mut is_needed = vec![false; self.output() + 1];
        is_needed[self.output()] = true;
        for index in (0..is_needed.len()).rev() {
            if is_needed[index] {
                for operand in &self.node(index).operands {
                    if let Operand::Node(node) = operand {
                        is_needed[node.index()] = true;
                    }
                }
            }
        }
        (0..is_needed.len()).filter(|&index| is_needed[index]).collect()
    }
}

/// Sizes as functions of the batch, by what they are in both records.
pub(crate) fn sizes(a: &[usize], b: &[usize]) -> Result<Vec<Size>> {
    let size = |(&a, &b): (&usize, &usize)| {
        let [x, y] = BATCHES;
        match (a == b, a % x == 0 && a / x * y == b) {
            (true, _) => Ok(Size::Fixed(a)),
            (_, true) => Ok(Size::Batch(a / x)),
            _ => Err(Error::unsupported(format!(
                "a size is {a} for a batch of {x} and {b} for {y}, which is no multiple of the batch"
            ))),
        }
    };
    if a.len() != b.len() {
        return Err(Error::unsupported("its rank depends on the size of the batch"));
    }
    a.iter().zip(b).map(size).collect()
}

/// The error with the operator and the layer that it is about.
pub(crate) fn at(error: Error, node: &GraphNode) -> Error {
    match &node.path {
        Some(path) if !path.is_empty() => error.at(format!("{} in {path}", node.name())),
        _ => error.at(node.name()),
    }
}
