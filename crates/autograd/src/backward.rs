//! The walk from a result back to what it was made from.

use std::sync::Arc;

use ferrotape_backend::{Array, Context, Error, ErrorKind, Result};
use smallvec::SmallVec;

use crate::gradients::Gradients;
use crate::op::{Backward, Kept, Op, SavedList};
use crate::profile;
use crate::tape::{Link, NodeId, Tape, consumed};
use crate::tensor::Tensor;

/// How a backward pass runs; see [`Tensor::backward_with`].
///
/// ```
/// # use ferrotape_autograd::{BackwardOptions, Tape};
/// # use ferrotape_backend::{Array, Device, reference::Reference};
/// # let device = Device::new(Reference::new());
/// let x = Tape::new().variable(Array::from_slice(&device, &[2.0f64], [1])?)?;
/// let y = x.square()?;
/// let z = y.mul(&x)?.sum_all()?;
///
/// // The gradient of something on the way, and one that can be differentiated again.
/// let options = BackwardOptions { wrt: &[&y], create_graph: true, ..Default::default() };
/// let gradients = z.backward_with(&options)?;
/// assert_eq!(gradients.of(&y)?.item()?, 2.0);
/// let slope = gradients.of(&x)?.sum_all()?; // 3 x^2
/// assert_eq!(slope.backward()?.of(&x)?.item()?, 12.0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct BackwardOptions<'a> {
    /// Intermediate tensors whose gradients are wanted besides those of the leaves.
    pub wrt: &'a [&'a Tensor],
    /// Only the gradients of `wrt`: what leads to nothing named there is skipped.
    pub only: bool,
    /// The gradient that is fed in; 1 for a scalar if there is none.
    pub seed: Option<&'a Tensor>,
    /// Record the backward pass, so that gradients can be differentiated again. Frees nothing.
    pub create_graph: bool,
    /// Keep what was saved, so that another backward pass can follow.
    pub retain: bool,
}

struct Step {
    op: Arc<dyn Op>,
    links: SmallVec<[Link; 3]>,
    saved: SavedList,
    recomputed: Option<Array>,
    path: Option<Arc<str>>,
}

impl Tensor {
    /// Gradients of this scalar in every leaf it depends on. Frees what the tape saved.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64, 4.0], [2])?)?;
    /// let gradients = x.square()?.sum_all()?.backward()?;
    /// assert_eq!(gradients.of(&x)?.to_vec::<f64>()?, [6.0, 8.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not a scalar; untracked; a tape that was consumed; a saved value that was changed since.
    pub fn backward(&self) -> Result<Gradients> {
        self.backward_with(&BackwardOptions::default())
    }

    /// Gradients as the options say.
    ///
    /// ```
    /// use ferrotape_autograd::{BackwardOptions, Tape, Tensor};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[1.0f64, 2.0], [2])?)?;
    /// let y = x.square()?;
    /// // A row of the Jacobian times two: the tensor is no scalar.
    /// let seed = Tensor::from(Array::from_slice(&device, &[0.0f64, 2.0], [2])?);
    /// let options = BackwardOptions { seed: Some(&seed), ..Default::default() };
    /// assert_eq!(y.backward_with(&options)?.of(&x)?.to_vec::<f64>()?, [0.0, 8.0]);
    /// // What the tape saved is freed now.
    /// let error = y.backward_with(&options).unwrap_err().to_string();
    /// assert!(error.contains("freed by an earlier backward()"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::backward`]; a seed of another shape.
    pub fn backward_with(&self, options: &BackwardOptions<'_>) -> Result<Gradients> {
        let (Some(tape), Some(root)) = (self.tape(), self.node()) else {
            return Err(Error::gradient(
                "backward() needs a tracked tensor: none of its inputs was a parameter or variable \
                 of a pass with gradients",
            ));
        };
        let seed = match options.seed {
            Some(seed) if seed.shape() != self.shape() => {
                return Err(Error::shape(format!(
                    "the gradient fed in has shape {}, the tensor {}",
                    seed.shape(),
                    self.shape()
                )));
            }
            // A tracked seed would make an ordinary backward pass record some of its steps.
            Some(seed) if !options.create_graph => seed.detach().cast(self.dtype())?,
            Some(seed) => seed.cast(self.dtype())?,
            None if self.shape().numel() != 1 => {
                return Err(Error::gradient(format!(
                    "backward() starts from one number, this tensor has shape {}; reduce it or give \
                     a seed",
                    self.shape()
                )));
            }
            None => Array::full(self.device(), self.dtype(), self.shape(), 1.0)?.into(),
        };
        Walk::new(tape, root, options)?.run(seed)
    }
}

struct Walk<'a> {
    tape: &'a Tape,
    root: NodeId,
    options: &'a BackwardOptions<'a>,
    /// For each node up to the root: is its gradient a result, and does one lie behind it?
    wanted: Vec<bool>,
    leads: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn new(tape: &'a Tape, root: NodeId, options: &'a BackwardOptions<'a>) -> Result<Self> {
        let count = root.index() + 1;
        let mut wanted = vec![false; count];
        for tensor in options.wrt {
            match (tensor.tape(), tensor.node()) {
                (Some(other), Some(node)) if other.is(tape) => {
                    if let Some(slot) = wanted.get_mut(node.index()) {
                        *slot = true;
                    }
                }
                _ => {
                    return Err(Error::gradient(format!(
                        "{tensor:?} is not on the tape that backward() walks"
                    )));
                }
            }
        }
        let leads = tape.with_nodes(|nodes| {
            let mut leads = vec![false; count];
            for (index, node) in nodes[..count].iter().enumerate() {
                if node.wanted && !options.only {
                    wanted[index] = true;
                }
                leads[index] = wanted[index]
                    || node.links.iter().any(|l| l.node.is_some_and(|n| leads[n.index()]));
            }
            leads
        });
        if !leads[root.index()] && !options.only && options.wrt.is_empty() {
            return Err(Error::gradient(
                "nothing that this tensor was computed from wants a gradient: its parameters are \
                 frozen, or the pass records without tracking; use with_grad(), or name tensors in \
                 BackwardOptions::wrt",
            ));
        }
        Ok(Walk { tape, root, options, wanted, leads })
    }

    fn run(&self, seed: Tensor) -> Result<Gradients> {
        let mut pending: Vec<Option<Tensor>> = vec![None; self.root.index() + 1];
        pending[self.root.index()] = Some(seed);
        let mut result = Gradients::default();
        let outer = self.tape.set_path(None);
        let walked = self.walk(&mut pending, &mut result);
        self.tape.set_path(outer);
        walked?;
        self.tape.with_nodes(|nodes| {
            for (node, wanted) in nodes[..=self.root.index()].iter().zip(&self.wanted) {
                let leaf = node.leaf.filter(|_| *wanted);
                let absent = leaf.filter(|id| !result.leaves.contains_key(id));
                result.absent.extend(absent);
            }
        });
        Ok(result)
    }

    fn walk(&self, pending: &mut [Option<Tensor>], result: &mut Gradients) -> Result<()> {
        for index in (0..pending.len()).rev() {
            let node = NodeId(index as u32);
            let Some(grad) = pending[index].take().filter(|_| self.leads[index]) else {
                self.skip(node);
                continue;
            };
            let (leaf, dtype) = self.tape.with_nodes(|n| (n[index].leaf, n[index].dtype));
            if self.wanted[index] {
                let grad = grad.cast(dtype)?;
                match leaf {
                    Some(leaf) => result.leaves.insert(leaf, grad),
                    None => result.nodes.insert((self.tape.key(), node), grad),
                };
            }
            if leaf.is_some() {
                continue;
            }
            let step = self.take(node)?;
            let place = || match &step.path {
                Some(path) => format!("backward of {} in {path}", step.op.name()),
                None => format!("backward of {}", step.op.name()),
            };
            let about = || {
                let shapes: Vec<String> =
                    step.links.iter().map(|link| link.shape.to_string()).collect();
                (step.op.name().to_owned(), shapes.join(" "))
            };
            let done = profile::span("backward", about, || self.step(node, &step, grad, pending));
            done.at(place)?;
        }
        Ok(())
    }

    /// Frees what a node saved when the walk passes it without needing it.
    fn skip(&self, node: NodeId) {
        if !self.keeps() {
            let freed = self.tape.with_nodes(|nodes| {
                let node = &mut nodes[node.index()];
                node.consumed |= !node.saved.is_empty();
                (std::mem::take(&mut node.saved), node.recomputed.take())
            });
            drop(freed);
        }
    }

    fn keeps(&self) -> bool {
        self.options.create_graph || self.options.retain
    }

    /// The node's op and what it saved, moved out unless it is to be kept.
    fn take(&self, id: NodeId) -> Result<Step> {
        self.tape.with_nodes(|nodes| {
            let node = &mut nodes[id.index()];
            let op = node.op.clone().expect("only leaves have no op");
            if node.consumed {
                return Err(consumed(&*op));
            }
            let saved = if self.keeps() {
                node.saved.clone()
            } else {
                // What saved nothing, such as a cast, can be passed again.
                node.consumed = !node.saved.is_empty();
                std::mem::take(&mut node.saved)
            };
            let recomputed = node.recomputed.take();
            Ok(Step { op, links: node.links.clone(), saved, recomputed, path: node.path.clone() })
        })
    }

    fn step(
        &self,
        node: NodeId,
        step: &Step,
        grad: Tensor,
        pending: &mut [Option<Tensor>],
    ) -> Result<()> {
        let needs = step.links.iter().enumerate().fold(0, |needs, (i, link)| {
            needs | u32::from(link.node.is_some_and(|n| self.leads[n.index()])) << i
        });
        let recorder = self.options.create_graph.then_some(self.tape);
        let cx = Backward {
            op: &*step.op,
            node,
            links: &step.links,
            saved: &step.saved,
            needs,
            tape: recorder,
            walked: self.tape,
            recomputed: step.recomputed.as_ref(),
        };
        let dtype = self.tape.with_nodes(|nodes| nodes[node.index()].dtype);
        // A cast takes the wider gradient as it is, so that it reaches the parameter unrounded.
        let grad = if step.op.takes_wide_gradient() { grad } else { grad.cast(dtype)? };
        let before = generations(&grad, &step.saved);
        let grads = step.op.backward(&cx, &grad)?;
        if generations(&grad, &step.saved) != before {
            return Err(Error::new(
                ErrorKind::Modified,
                "the backward rule wrote into the gradient that it was given, or into what was saved for it; others \
                 read those too: write into an array of its own",
            ));
        }
        if let Some(index) = (step.links.len()..grads.len()).find(|&index| grads[index].is_some()) {
            return Err(Error::gradient(format!(
                "the backward rule gave a gradient for input {index}, and the last input is {}",
                step.links.len() - 1
            )));
        }
        for (index, link) in step.links.iter().enumerate() {
            let Some(input) = link.node.filter(|n| self.leads[n.index()]) else { continue };
            let Some(grad) = grads.get(index).cloned().flatten() else {
                return Err(Error::gradient(format!(
                    "the backward rule gave no gradient for input {index}, which needs one"
                )));
            };
            let grad = grad.sum_to(link.shape)?;
            let slot = &mut pending[input.index()];
            *slot = Some(match slot.take() {
                Some(sum) => accumulate(sum, grad)?,
                None => grad,
            });
        }
        Ok(())
    }
}

/// The generations of what a backward rule is given to read.
fn generations(grad: &Tensor, saved: &SavedList) -> SmallVec<[u64; 4]> {
    let kept = saved.iter().filter_map(|saved| match &saved.kept {
        Kept::Array(array, _) => Some(array),
        Kept::Node(_) => None,
    });
    std::iter::once(grad.array()).chain(kept).map(|array| array.buffer().generation()).collect()
}

/// The sum of two gradients of one tensor, in the wider of their types.
fn accumulate(sum: Tensor, grad: Tensor) -> Result<Tensor> {
    if sum.dtype().size() >= grad.dtype().size() {
        sum.add(&grad.cast(sum.dtype())?)
    } else {
        sum.cast(grad.dtype())?.add(&grad)
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{DType, Device, reference::Reference};

    use super::*;

    fn variable(tape: &Tape, device: &Device, values: &[f64]) -> Tensor {
        tape.variable(Array::from_slice(device, values, [values.len()]).unwrap()).unwrap()
    }

    #[test]
    fn a_tracked_seed_records_nothing_in_an_ordinary_backward_pass() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = variable(&tape, &device, &[1.0, 2.0]);
        let y = x.square().unwrap();
        let recorded = tape.len();
        let options = BackwardOptions { seed: Some(&x), ..Default::default() };
        let gradients = y.backward_with(&options).unwrap();
        assert_eq!(tape.len(), recorded);
        assert!(!gradients.of(&x).unwrap().is_tracked());
    }

    #[test]
    fn a_tape_that_another_backward_pass_freed_is_named_as_the_reason() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = variable(&tape, &device, &[1.0, 2.0]);
        let first = x.square().unwrap().sum_all().unwrap();
        let second = x.exp().unwrap().sum_all().unwrap();
        second.backward().unwrap();
        let error = first.backward().unwrap_err().to_string();
        assert!(error.contains("freed by an earlier backward()"), "{error}");
    }

    #[test]
    fn what_is_computed_again_is_kept_by_nobody_and_gives_the_same_gradients() {
        let device = Device::new(Reference::new());
        let array = |count: usize, shape: &[usize]| {
            let values: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7).sin()).collect();
            Array::from_slice(&device, &values, ferrotape_backend::Shape::new(shape).unwrap())
                .unwrap()
        };
        let run = |keeps: bool| {
            let tape = Tape::new();
            let x = array(36, &[2, 2, 3, 3]).channels_last().unwrap();
            let x = tape.variable(x).unwrap();
            let w = tape.variable(array(16, &[2, 2, 2, 2])).unwrap();
            let (weight, bias) = (array(2, &[2]), array(2, &[2]));
            let [weight, bias] = [weight, bias].map(|array| tape.variable(array).unwrap());
            let (y, ..) = x.batch_norm_act_train(Some([&weight, &bias]), 1e-5, None, true).unwrap();
            // A product keeps its operand, and so does what follows it.
            let y = if keeps { y.mul_scalar(1.0).unwrap() } else { y };
            let z = y.conv2d(&w, None, &ferrotape_backend::Conv2d::default()).unwrap();
            let saved: usize = tape.nodes().iter().map(|node| node.saved_bytes).sum();
            let gradients = z.square().unwrap().sum_all().unwrap().backward().unwrap();
            let of = |t: &Tensor| gradients.of(t).unwrap().to_vec::<f64>().unwrap();
            (saved, [of(&x), of(&w), of(&weight), of(&bias)])
        };
        let ((lean, gradients), (full, same)) = (run(false), run(true));
        assert_eq!(gradients, same);
        assert_eq!(full - lean, 36 * 8, "the convolution alone keeps the product");
    }

    #[test]
    fn asked_for_some_gradients_only_the_others_are_not_absent() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let (a, b) = (variable(&tape, &device, &[1.0]), variable(&tape, &device, &[2.0]));
        let loss = a.mul(&b).unwrap().sum_all().unwrap();
        let options = BackwardOptions { wrt: &[&a], only: true, ..Default::default() };
        let gradients = loss.backward_with(&options).unwrap();
        assert_eq!(gradients.of(&a).unwrap().item().unwrap(), 2.0);
        assert!(gradients.absent().is_empty());
    }

    #[test]
    fn a_variable_finds_its_gradient_after_adding_and_scaling() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = variable(&tape, &device, &[3.0]);
        let mut gradients = x.square().unwrap().sum_all().unwrap().backward().unwrap();
        gradients.scale(0.5).unwrap();
        assert_eq!(gradients.of(&x).unwrap().item().unwrap(), 3.0);
        gradients.add(&gradients.clone()).unwrap();
        assert_eq!(gradients.of(&x).unwrap().item().unwrap(), 6.0);
    }

    #[test]
    fn the_norm_of_half_precision_gradients_does_not_overflow() {
        let device = Device::new(Reference::new());
        let tape = Tape::new();
        let x = tape.variable(Array::full(&device, DType::F16, [4], 1.0).unwrap()).unwrap();
        let gradients = x.mul_scalar(1000.0).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.norm().unwrap(), 2000.0);
    }
}
