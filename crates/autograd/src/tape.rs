//! The record of a forward pass.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrotape_backend::{Array, DType, Error, Result, Shape};
use smallvec::SmallVec;

use crate::form::{GraphNode, Operand};
use crate::gradients::Key;
use crate::op::{Backward, Kept, Op, Origin, Saved, SavedList};
use crate::tensor::Tensor;

/// The identity of something that gradients are asked for: a parameter or an input. It outlives
/// tapes, so gradients of several passes can be added. See [`Tape::leaf`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafId(u64);

impl LeafId {
    /// An id that nothing else in this process has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        LeafId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The position of a node on its tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The position, counted from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An input of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) node: Option<NodeId>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
}

#[derive(Debug)]
pub(crate) struct Node {
    /// `None` for a leaf.
    pub(crate) op: Option<Arc<dyn Op>>,
    pub(crate) leaf: Option<LeafId>,
    /// Whether a leaf's gradient is a result without being named.
    pub(crate) wanted: bool,
    pub(crate) links: SmallVec<[Link; 3]>,
    /// By input, the arrays that are not on the tape, where these are kept.
    pub(crate) constants: Vec<Option<Array>>,
    pub(crate) saved: SavedList,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    pub(crate) path: Option<Arc<str>>,
    /// The output, where a backward pass that comes towards the node had it computed again.
    pub(crate) recomputed: Option<Array>,
    /// A backward pass went by and freed what was saved.
    pub(crate) consumed: bool,
}

/// What can be told of a node; see [`Tape::nodes`].
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Its position.
    pub id: NodeId,
    /// The operator's name, or `leaf`.
    pub op: &'static str,
    /// The operator with its attributes.
    pub attributes: String,
    /// The nodes it reads; `None` for an untracked input.
    pub inputs: Vec<Option<NodeId>>,
    /// The sizes of its output.
    pub shape: Shape,
    /// The data type of its output.
    pub dtype: DType,
    /// The path of the layer that recorded it.
    pub path: Option<Arc<str>>,
    /// Bytes it keeps for the backward pass; what several nodes keep is counted at each.
    pub saved_bytes: usize,
    /// Multiply-adds of its forward computation.
    pub multiply_adds: u64,
}

/// Something a forward pass did besides computing its result, such as moving running statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The path of what changed.
    pub path: Arc<str>,
    /// The buffer that changed.
    pub buffer: u64,
    /// Its generation afterwards.
    pub generation: u64,
}

#[derive(Debug)]
struct State {
    /// A number that no other tape of this process has or had.
    key: u64,
    nodes: Vec<Node>,
    leaves: HashMap<LeafId, NodeId>,
    effects: Vec<Effect>,
    path: Option<Arc<str>>,
    keeps_constants: bool,
}

/// A list of what was computed, in order. Cheap to clone: clones are the same tape.
///
/// Tensors hold their tape, and the tape holds arrays but never tensors, so dropping the last
/// tensor and handle frees everything it saved.
///
/// ```
/// use ferrotape_autograd::Tape;
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// let x = tape.variable(Array::from_slice(&device, &[1.0f64, 2.0], [2])?)?;
/// let y = x.exp()?.sum_all()?;
/// println!("{tape}");
/// assert!(tape.len() == 3 && !tape.is_empty() && tape.effects().is_empty());
/// assert!(tape.is(&tape.clone()) && !tape.is(&Tape::new()));
/// drop((x, y, tape));
/// assert_eq!(device.memory().live_bytes, 0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<State>>);

impl Default for Tape {
    fn default() -> Self {
        Self::new()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Tape(Arc::new(Mutex::new(State {
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            nodes: Vec::new(),
            leaves: HashMap::new(),
            effects: Vec::new(),
            path: None,
            keeps_constants: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are handles on one tape.
    pub fn is(&self, other: &Tape) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number for this tape, which no later tape has either: gradients outlive tapes.
    pub(crate) fn key(&self) -> u64 {
        self.state().key
    }

    /// What the gradient of a node is kept under.
    pub(crate) fn gradient_key(&self, node: NodeId) -> Key {
        let state = self.state();
        match state.nodes[node.index()].leaf {
            Some(id) => Key::Leaf(id),
            None => Key::Node(state.key, node),
        }
    }

    /// Puts an array on the tape as something to differentiate by.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let x = tape.variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
    /// assert!(x.is_tracked() && tape.variable(Array::from_slice(&device, &[3i64], [1])?).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Integers have no gradient.
    pub fn variable(&self, array: Array) -> Result<Tensor> {
        self.leaf(LeafId::fresh(), array)
    }

    /// As [`Tape::variable`], for an identity that outlives the tape. The same id put on a tape
    /// twice is one leaf with one gradient: that is weight tying.
    ///
    /// ```
    /// # use ferrotape_autograd::{LeafId, Tape};
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// let (id, tape) = (LeafId::fresh(), Tape::new());
    /// let three = Array::from_slice(&Device::new(Reference::new()), &[3.0f64], [])?;
    /// let product = tape.leaf(id, three.clone())?.mul(&tape.leaf(id, three)?)?;
    /// assert_eq!(product.backward()?.leaves().count(), 1);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Integers have no gradient; the id stands for an array of another shape or data type already.
    pub fn leaf(&self, id: LeafId, array: Array) -> Result<Tensor> {
        self.place(id, array, true)
    }

    /// Puts an array on the tape so that what is computed from it is recorded, but not as something
    /// to differentiate by: a backward pass goes no further than it must and leaves it out of its
    /// result. So a tracing pass sees inputs and frozen parameters.
    ///
    /// ```
    /// use ferrotape_autograd::{LeafId, Tape};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let array = |value| Array::from_slice(&device, &[value], []);
    /// let tape = Tape::new();
    /// let (x, w) = (tape.recorded(LeafId::fresh(), array(3.0f64)?)?, tape.variable(array(2.0)?)?);
    /// let gradients = x.mul(&w)?.backward()?;
    /// assert_eq!(gradients.of(&w)?.item()?, 3.0);
    /// assert!(gradients.get(&x).is_none());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tape::leaf`].
    pub fn recorded(&self, id: LeafId, array: Array) -> Result<Tensor> {
        self.place(id, array, false)
    }

    fn place(&self, id: LeafId, array: Array, wanted: bool) -> Result<Tensor> {
        if !array.dtype().is_float() {
            return Err(Error::dtype(format!(
                "a tensor of {} cannot have a gradient, only floats can",
                array.dtype()
            )));
        }
        let mut state = self.state();
        let node = match state.leaves.get(&id) {
            Some(&node) => {
                let known = &mut state.nodes[node.index()];
                if (known.shape, known.dtype) != (*array.shape(), array.dtype()) {
                    return Err(Error::gradient(format!(
                        "a leaf of {} {} is on this tape as {} {} already; start a new pass after \
                         changing its shape or data type",
                        array.dtype(),
                        array.shape(),
                        known.dtype,
                        known.shape
                    )));
                }
                known.wanted |= wanted;
                node
            }
            None => {
                let node = NodeId(state.nodes.len() as u32);
                let path = state.path.clone();
                state.nodes.push(Node {
                    op: None,
                    leaf: Some(id),
                    wanted,
                    links: SmallVec::new(),
                    constants: Vec::new(),
                    saved: SavedList::new(),
                    shape: *array.shape(),
                    dtype: array.dtype(),
                    path,
                    recomputed: None,
                    consumed: false,
                });
                state.leaves.insert(id, node);
                node
            }
        };
        drop(state);
        Ok(Tensor::placed(array, self.clone(), node))
    }

    pub(crate) fn push(
        &self,
        op: Arc<dyn Op>,
        inputs: &[&Tensor],
        mut saved: SavedList,
        output: &Array,
    ) -> NodeId {
        let link = |t: &&Tensor| Link { node: t.node(), shape: *t.shape(), dtype: t.dtype() };
        let constant = |t: &&Tensor| (!t.is_tracked()).then(|| t.array().clone());
        let mut state = self.state();
        let constants = match state.keeps_constants {
            true => inputs.iter().map(constant).collect(),
            false => Vec::new(),
        };
        let node = NodeId(state.nodes.len() as u32);
        for saved in &mut saved {
            let from = match saved.origin {
                Origin::Input(at) => inputs[usize::from(at)].node(),
                Origin::Output => Some(node),
                _ => None,
            };
            let is_recomputed = |from: NodeId| {
                let own = (from == node).then_some(&op);
                let of = own.or_else(|| state.nodes.get(from.index())?.op.as_ref());
                of.is_some_and(|op| op.is_recomputed())
            };
            if let Some(from) = from.filter(|from| is_recomputed(*from)) {
                saved.kept = Kept::Node(from);
            }
        }
        let path = state.path.clone();
        state.nodes.push(Node {
            op: Some(op),
            leaf: None,
            wanted: false,
            links: inputs.iter().map(link).collect(),
            constants,
            saved,
            shape: *output.shape(),
            dtype: output.dtype(),
            path,
            recomputed: None,
            consumed: false,
        });
        node
    }

    /// The output of a node that keeps none, computed again once in a backward pass.
    pub(crate) fn again(&self, id: NodeId) -> Result<Array> {
        let (op, links, saved, recomputed) = self.with_nodes(|nodes| {
            let node = &nodes[id.index()];
            let op = node.op.clone().expect("only leaves have no op");
            if node.consumed {
                return Err(consumed(&*op));
            }
            Ok((op, node.links.clone(), node.saved.clone(), node.recomputed.clone()))
        })?;
        if let Some(array) = recomputed {
            return Ok(array);
        }
        let array = Backward {
            op: &*op,
            node: id,
            links: &links,
            saved: &saved,
            needs: 0,
            tape: None,
            walked: self,
            recomputed: None,
        }
        .again()?;
        self.with_nodes(|nodes| nodes[id.index()].recomputed = Some(array.clone()));
        Ok(array)
    }

    pub(crate) fn with_nodes<R>(&self, f: impl FnOnce(&mut Vec<Node>) -> R) -> R {
        f(&mut self.state().nodes)
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.state().nodes.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the layer path that nodes are recorded under, and gives back the one before.
    pub fn set_path(&self, path: Option<Arc<str>>) -> Option<Arc<str>> {
        std::mem::replace(&mut self.state().path, path)
    }

    /// Records that a pass changed something.
    pub fn record_effect(&self, effect: Effect) {
        self.state().effects.push(effect);
    }

    /// What the pass changed, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    /// What was recorded, in order.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let x = tape.variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
    /// x.square()?;
    /// let names: Vec<&str> = tape.nodes().iter().map(|node| node.op).collect();
    /// assert_eq!(names, ["leaf", "square"]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let state = self.state();
        let info = |(index, node): (usize, &Node)| {
            let shapes: Vec<Shape> = node.links.iter().map(|l| l.shape).collect();
            NodeInfo {
                id: NodeId(index as u32),
                op: node.op.as_ref().map_or("leaf", |op| op.name()),
                attributes: node.op.as_ref().map_or("leaf".into(), |op| format!("{op:?}")),
                inputs: node.links.iter().map(|l| l.node).collect(),
                shape: node.shape,
                dtype: node.dtype,
                path: node.path.clone(),
                saved_bytes: node.saved.iter().map(Saved::bytes).sum(),
                multiply_adds: node
                    .op
                    .as_ref()
                    .map_or(0, |op| op.multiply_adds(&shapes, &node.shape)),
            }
        };
        state.nodes.iter().enumerate().map(info).collect()
    }

    /// Keeps what nodes read from now on besides other nodes, so that [`Tape::graph`] is whole. It may be
    /// large, and a backward pass does not need it.
    pub fn keep_constants(&self) {
        self.state().keeps_constants = true;
    }

    /// What was recorded, as data that can be run elsewhere.
    ///
    /// ```
    /// use ferrotape_autograd::{Form, Operand, Tape, Tensor};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let array = |value| Array::from_slice(&device, &[value], [1]);
    /// let tape = Tape::new();
    /// tape.keep_constants();
    /// let x = tape.variable(array(3.0f64)?)?;
    /// x.mul(&Tensor::from(array(2.0)?))?;
    /// let graph = tape.graph()?;
    /// assert!(matches!(graph[1].form(), Form::Pointwise { .. }));
    /// let [Operand::Node(node), Operand::Constant(two)] = &graph[1].operands[..] else { panic!() };
    /// assert_eq!((node.index(), two.item()?), (0, 2.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A node reads an array that was not kept: [`Tape::keep_constants`] was not called before.
    pub fn graph(&self) -> Result<Vec<GraphNode>> {
        let state = self.state();
        let nodes = state.nodes.iter().enumerate().map(|(index, node)| {
            let operand = |(at, link): (usize, &Link)| match link.node {
                Some(node) => Ok(Operand::Node(node)),
                None => {
                    let kept = node.constants.get(at).cloned().flatten();
                    kept.map(Operand::Constant).ok_or_else(|| {
                        let name = node.op.as_ref().map_or("leaf", |op| op.name());
                        Error::gradient(format!(
                            "input {at} of {name} was not kept; call keep_constants() on the tape before the \
                             forward pass, or trace() on the pass"
                        ))
                    })
                }
            };
            Ok(GraphNode {
                id: NodeId(index as u32),
                leaf: node.leaf,
                operands: node.links.iter().enumerate().map(operand).collect::<Result<_>>()?,
                shape: node.shape,
                dtype: node.dtype,
                path: node.path.clone(),
                op: node.op.clone(),
            })
        });
        nodes.collect()
    }

    /// The tape as a graph in the DOT language, for Graphviz.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// tape.variable(Array::from_slice(&device, &[3.0f64], [1])?)?.square()?;
    /// assert!(tape.to_dot().starts_with("digraph tape {"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph tape {\n  rankdir=TB;\n  node [shape=box];\n");
        for node in self.nodes() {
            let path = node.path.as_deref().unwrap_or("");
            // Writing to a String cannot fail.
            let _ = writeln!(
                dot,
                "  n{} [label=\"{}\\n{} {}\\n{}\"];",
                node.id.0,
                node.op,
                node.dtype,
                node.shape,
                path.escape_default()
            );
            for input in node.inputs.iter().flatten() {
                let _ = writeln!(dot, "  n{} -> n{};", input.0, node.id.0);
            }
        }
        dot.push_str("}\n");
        dot
    }
}

/// A line a node: `%3 = conv2d(%0, %1) f32 [1, 6, 28, 28] conv1`.
impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in self.nodes() {
            let inputs: Vec<String> =
                node.inputs.iter().map(|i| i.map_or("_".into(), |n| format!("%{}", n.0))).collect();
            writeln!(
                f,
                "%{} = {}({}) {} {} {}",
                node.id.0,
                node.op,
                inputs.join(", "),
                node.dtype,
                node.shape,
                node.path.as_deref().unwrap_or("")
            )?;
        }
        Ok(())
    }
}

/// What is said of a node that a backward pass has freed.
pub(crate) fn consumed(op: &dyn Op) -> Error {
    Error::gradient(format!(
        "what {} saved was freed by an earlier backward(); set retain or create_graph in its options, or run \
         the forward pass again",
        op.name()
    ))
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Device, ErrorKind, reference::Reference};

    use super::*;
    use crate::BackwardOptions;

    fn array(device: &Device, values: &[f64]) -> Array {
        Array::from_slice(device, values, [values.len()]).unwrap()
    }

    #[test]
    fn one_leaf_does_not_stand_for_two_shapes() {
        let device = Device::new(Reference::new());
        let (tape, id) = (Tape::new(), LeafId::fresh());
        tape.leaf(id, array(&device, &[1.0, 2.0, 3.0])).unwrap();
        let error = tape.leaf(id, array(&device, &[1.0])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Gradient);
    }

    #[test]
    fn a_later_tape_does_not_find_the_gradients_of_one_that_is_gone() {
        let device = Device::new(Reference::new());
        let run = || {
            let tape = Tape::new();
            let x = tape.variable(array(&device, &[3.0])).unwrap();
            let y = x.square().unwrap();
            let loss = y.sum_all().unwrap();
            (y.clone(), loss)
        };
        let (y, loss) = run();
        let options = BackwardOptions { wrt: &[&y], ..Default::default() };
        let gradients = loss.backward_with(&options).unwrap();
        drop((y, loss));
        // The allocator may give a new tape the place of the old one.
        for _ in 0..100 {
            assert!(gradients.get(&run().0).is_none());
        }
    }

    #[test]
    fn what_is_only_recorded_has_a_gradient_when_it_is_named() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = tape.recorded(LeafId::fresh(), array(&device, &[3.0])).unwrap();
        let loss = x.square().unwrap().sum_all().unwrap();
        let retain = BackwardOptions { retain: true, ..Default::default() };
        assert_eq!(loss.backward_with(&retain).unwrap_err().kind(), ErrorKind::Gradient);
        let named = BackwardOptions { wrt: &[&x], ..Default::default() };
        assert_eq!(loss.backward_with(&named).unwrap().of(&x).unwrap().item().unwrap(), 6.0);
    }
}
