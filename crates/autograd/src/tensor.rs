//! Data with a place on a tape.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ferrotape_backend::{Array, Context, Device, Error, ErrorKind, Result, describe};
use smallvec::SmallVec;

use crate::op::{Forward, Op, SavedList};
use crate::tape::{Link, NodeId, Tape};

/// An [`Array`] and, if gradients are wanted, its node on a [`Tape`]. Cheap to clone.
///
/// An untracked tensor costs nothing beyond its array: operations on untracked tensors record and
/// save nothing. Read-only methods of the array are there by dereferencing.
#[derive(Clone)]
pub struct Tensor {
    array: Array,
    place: Option<(Tape, NodeId)>,
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Tensor { array, place: None }
    }
}

impl Deref for Tensor {
    type Target = Array;

    fn deref(&self) -> &Array {
        &self.array
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} on {}", self.dtype(), self.shape(), self.device())?;
        match &self.place {
            Some((_, node)) => write!(f, ", node {})", node.index()),
            None => f.write_str(")"),
        }
    }
}

impl Tensor {
    pub(crate) fn placed(array: Array, tape: Tape, node: NodeId) -> Self {
        Tensor { array, place: Some((tape, node)) }
    }

    /// The data.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// The data, leaving the tape.
    pub fn into_array(self) -> Array {
        self.array
    }

    /// The tape this tensor is on, if it is tracked.
    pub fn tape(&self) -> Option<&Tape> {
        self.place.as_ref().map(|(tape, _)| tape)
    }

    /// The node of this tensor, if it is tracked.
    pub fn node(&self) -> Option<NodeId> {
        self.place.as_ref().map(|(_, node)| *node)
    }

    /// Whether a gradient can reach this tensor.
    pub fn is_tracked(&self) -> bool {
        self.place.is_some()
    }

    /// The same data, untracked: a constant to whatever uses it.
    #[must_use]
    pub fn detach(&self) -> Tensor {
        Tensor::from(self.array.clone())
    }

    /// Applies an operator, your own or one of the crate's, and records it if an input is tracked.
    ///
    /// # Errors
    /// What the op's forward rule says; operands on different devices or tapes; a float result of a
    /// tracked input by an op that has no gradient.
    pub fn apply(op: impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
        Ok(Self::apply_shared(Arc::new(op), inputs)?.0)
    }

    /// As [`Tensor::apply`], with what the op handed out through [`Forward::auxiliary`].
    ///
    /// # Errors
    /// As there.
    pub fn apply_with_auxiliary(
        op: impl Op,
        inputs: &[&Tensor],
    ) -> Result<(Tensor, SmallVec<[Array; 2]>)> {
        Self::apply_shared(Arc::new(op), inputs)
    }

    /// Records an op whose output is known already, such as a cast kept beside a parameter.
    ///
    /// # Errors
    /// Operands on different devices or tapes.
    pub fn apply_known(op: impl Op, inputs: &[&Tensor], output: Array) -> Result<Tensor> {
        let tape = common_tape(&op, inputs)?;
        Ok(finish(Arc::new(op), tape, inputs, SavedList::new(), output))
    }

    fn apply_shared(op: Arc<dyn Op>, inputs: &[&Tensor]) -> Result<(Tensor, SmallVec<[Array; 2]>)> {
        let tape = common_tape(&*op, inputs)?;
        let arrays: SmallVec<[&Array; 4]> = inputs.iter().map(|t| &t.array).collect();
        let needs = if tape.is_some() {
            inputs.iter().enumerate().fold(0, |n, (i, t)| n | u32::from(t.is_tracked()) << i)
        } else {
            0
        };
        let mut cx = Forward::new(&arrays, needs);
        let output = op.forward(&mut cx, &arrays).at(|| describe(op.name(), &arrays))?;
        if tape.is_some() && output.dtype().is_float() && !op.differentiable() {
            return Err(Error::gradient(format!(
                "{} has no gradient, but an input is tracked; detach() the input if that is meant",
                op.name()
            )));
        }
        let (saved, auxiliary) = cx.finish(&output);
        Ok((finish(op, tape, inputs, saved, output), auxiliary))
    }
}

/// The tape of the tracked inputs, after checking that they agree.
fn common_tape<'a>(op: &dyn Op, inputs: &[&'a Tensor]) -> Result<Option<&'a Tape>> {
    let mut tape: Option<&Tape> = None;
    let mut device: Option<&Device> = None;
    for input in inputs {
        if *device.get_or_insert(input.device()) != input.device() {
            let arrays: Vec<&Array> = inputs.iter().map(|t| &t.array).collect();
            let devices: Vec<String> = inputs.iter().map(|t| t.device().name()).collect();
            return Err(Error::new(
                ErrorKind::DeviceMismatch,
                format!("the operands are on {}; move them to one device", devices.join(", ")),
            )
            .at(describe(op.name(), &arrays)));
        }
        if let Some(other) = input.tape()
            && !tape.get_or_insert(other).is(other)
        {
            return Err(Error::gradient(format!(
                "{} mixes tensors of two tapes; detach() one of them or use one pass",
                op.name()
            )));
        }
    }
    Ok(tape)
}

fn finish(
    op: Arc<dyn Op>,
    tape: Option<&Tape>,
    inputs: &[&Tensor],
    saved: SavedList,
    output: Array,
) -> Tensor {
    match tape {
        Some(tape) if output.dtype().is_float() => {
            let links = inputs
                .iter()
                .map(|t| Link { node: t.node(), shape: *t.shape(), dtype: t.dtype() })
                .collect();
            let node = tape.push(op, links, saved, &output);
            Tensor::placed(output, tape.clone(), node)
        }
        _ => Tensor::from(output),
    }
}
