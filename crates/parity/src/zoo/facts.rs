//! What a file says of one network.

use std::collections::BTreeMap;

use ferrotape::backend::{Error, Result};
use serde::Deserialize;

/// The facts of one network, under the names of the file.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    pub(super) model: String,
    /// Names and shapes of parameters and statistics of floats, in order.
    pub(super) tensors: Vec<(String, Vec<usize>)>,
    pub(super) parameters: usize,
    /// Multiply-adds of convolutions and linear layers for one image of `macs_input`.
    pub(super) macs: u64,
    pub(super) macs_input: [usize; 3],
    pub(super) input: [usize; 4],
    pub(super) labels: Vec<i64>,
    /// The first logits of each image.
    pub(super) eval_logits: Vec<Vec<f64>>,
    /// The L2 norm of all logits.
    pub(super) eval_norm: f64,
    pub(super) eval_argmax: Vec<f64>,
    pub(super) train_logits: Vec<Vec<f64>>,
    pub(super) train_loss: f64,
    /// The gradient's L2 norm and its dot product with the numbers of `proj/` and its name.
    pub(super) grads: BTreeMap<String, [f64; 2]>,
    /// The L2 norm of each running statistic after one step.
    pub(super) running_after: BTreeMap<String, f64>,
    /// What f32 can hold of this network, where it was measured.
    pub(super) float32: Option<Float32>,
}

/// The largest relative differences of PyTorch's own f32 runs from its f64 run.
#[derive(Debug, Deserialize)]
pub(super) struct Float32 {
    pub(super) eval_logits: f64,
    pub(super) train_logits: f64,
    pub(super) train_loss: f64,
    pub(super) norm: f64,
    pub(super) projection: f64,
    pub(super) running: f64,
}

/// More numbers than an input has: what is beyond would only fill the memory.
const MOST_NUMBERS: usize = 1 << 28;

impl Facts {
    /// How many classes the network tells apart: the size of its last tensor.
    pub(super) fn classes(&self) -> Result<usize> {
        let last = self.tensors.last().and_then(|(_, shape)| shape.first());
        last.copied().ok_or_else(|| Error::argument("tensors does not end with the last bias"))
    }

    /// The sizes fit each other.
    pub(super) fn check(&self) -> Result<()> {
        let numbers = self.input.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        if numbers.is_none_or(|numbers| numbers == 0 || numbers > MOST_NUMBERS) {
            return Err(Error::argument(format!(
                "input is {:?}, it must have between 1 and {MOST_NUMBERS} numbers",
                self.input
            )));
        }
        let images = self.input[0];
        for (name, rows) in [
            ("labels", self.labels.len()),
            ("eval_argmax", self.eval_argmax.len()),
            ("eval_logits", self.eval_logits.len()),
            ("train_logits", self.train_logits.len()),
        ] {
            if rows != images {
                return Err(Error::argument(format!("{name} has {rows} rows for {images} images")));
            }
        }
        Ok(())
    }
}
