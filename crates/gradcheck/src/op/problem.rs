//! An operator with inputs on a device: its value, its gradients, its second derivatives.

use ferrotape_autograd::{BackwardOptions, Gradients, Tape, Tensor};
use ferrotape_backend::random::Rng;
use ferrotape_backend::{Array, DType, Device, Error, Result, Shape};

use crate::input::{self, Input};
use crate::op::Options;

/// What is checked, with the random weights that projections use.
pub(crate) struct Problem<'a> {
    pub(crate) device: &'a Device,
    pub(crate) op: &'a dyn Fn(&[Tensor]) -> Result<Tensor>,
    pub(crate) inputs: &'a [Input],
    pub(crate) options: &'a Options,
}

/// A value and the gradients of the inputs; `None` where none was wanted or none came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// Of the value.
    pub(crate) shape: Shape,
    pub(crate) value: Vec<f64>,
    pub(crate) grads: Vec<Option<Vec<f64>>>,
}

/// The derivative of `S = sum_i <w_i, g_i(x, u)>` in the inputs and in what is fed in.
pub(crate) struct Second {
    pub(crate) first: Outcome,
    pub(crate) of_inputs: Vec<Option<Vec<f64>>>,
    pub(crate) of_cotangent: Option<Vec<f64>>,
}

impl Problem<'_> {
    pub(crate) fn rng(&self, purpose: &str, index: usize) -> Rng {
        Rng::new(self.options.seed).path(purpose).call(index as u64)
    }

    /// The value, with nothing tracked.
    pub(crate) fn value(&self, inputs: &[Input]) -> Result<(Array, Vec<f64>)> {
        let tensors = inputs
            .iter()
            .map(|input| input.on(self.device).map(Tensor::from))
            .collect::<Result<Vec<_>>>()?;
        let value = (self.op)(&tensors)?.into_array();
        if value.dtype() != DType::F64 {
            return Err(input::refused(value.dtype()));
        }
        let host = value.to_vec::<f64>()?;
        Ok((value, host))
    }

    pub(crate) fn tracked(&self) -> Vec<bool> {
        self.inputs.iter().map(Input::is_tracked).collect()
    }

    /// Value and gradients, given the gradient fed in.
    pub(crate) fn run(&self, inputs: &[Input], cotangent: &[f64]) -> Result<Outcome> {
        self.run_on(self.device, inputs, &self.tracked(), cotangent, |_| Ok(()))
    }

    /// The same with the gradient fed in laid out in memory in its own way.
    pub(crate) fn run_fed(&self, inputs: &[Input], seed: &Input) -> Result<Outcome> {
        let feed = |_: &Shape| seed.on(self.device);
        self.run_with(self.device, inputs, &self.tracked(), feed, |_| Ok(()))
    }

    /// The same on any device, with any inputs tracked; `between` sees the inputs' arrays after the
    /// forward pass.
    pub(crate) fn run_on(
        &self,
        device: &Device,
        inputs: &[Input],
        tracked: &[bool],
        cotangent: &[f64],
        between: impl FnOnce(&mut [Array]) -> Result<()>,
    ) -> Result<Outcome> {
        let feed = |shape: &Shape| Array::from_slice(device, cotangent, *shape);
        self.run_with(device, inputs, tracked, feed, between)
    }

    fn run_with(
        &self,
        device: &Device,
        inputs: &[Input],
        tracked: &[bool],
        feed: impl FnOnce(&Shape) -> Result<Array>,
        between: impl FnOnce(&mut [Array]) -> Result<()>,
    ) -> Result<Outcome> {
        let tape = Tape::new();
        let mut arrays =
            inputs.iter().map(|input| input.on(device)).collect::<Result<Vec<Array>>>()?;
        let tensors = place(&tape, &arrays, tracked)?;
        let y = (self.op)(&tensors)?;
        let value = y.to_vec::<f64>()?;
        between(&mut arrays)?;
        let shape = *y.shape();
        let seed = Tensor::from(feed(&shape)?);
        let options = BackwardOptions { seed: Some(&seed), ..BackwardOptions::default() };
        let gradients = y.backward_with(&options)?;
        Ok(Outcome { shape, value, grads: collect(&gradients, &tensors)? })
    }

    /// What a recorded backward pass gives, with any inputs tracked.
    pub(crate) fn recorded(&self, tracked: &[bool], cotangent: &[f64]) -> Result<Outcome> {
        let tape = Tape::new();
        let arrays =
            self.inputs.iter().map(|input| input.on(self.device)).collect::<Result<Vec<_>>>()?;
        let tensors = place(&tape, &arrays, tracked)?;
        let y = (self.op)(&tensors)?;
        let value = y.to_vec::<f64>()?;
        let seed = Tensor::from(Array::from_slice(self.device, cotangent, y.shape())?);
        let options =
            BackwardOptions { seed: Some(&seed), create_graph: true, ..BackwardOptions::default() };
        let gradients = y.backward_with(&options)?;
        Ok(Outcome { shape: *y.shape(), value, grads: collect(&gradients, &tensors)? })
    }

    /// Second derivatives by a recorded backward pass, whose gradient fed in is tracked or not.
    pub(crate) fn second(
        &self,
        cotangent: &[f64],
        weights: &[Vec<f64>],
        seed_tracked: bool,
    ) -> Result<Second> {
        let tape = Tape::new();
        let arrays =
            self.inputs.iter().map(|input| input.on(self.device)).collect::<Result<Vec<_>>>()?;
        let tensors = place(&tape, &arrays, &self.tracked())?;
        let y = (self.op)(&tensors)?;
        let value = y.to_vec::<f64>()?;
        let seed = Array::from_slice(self.device, cotangent, y.shape())?;
        let seed = if seed_tracked { tape.variable(seed)? } else { Tensor::from(seed) };
        let options =
            BackwardOptions { seed: Some(&seed), create_graph: true, ..BackwardOptions::default() };
        let gradients = y.backward_with(&options)?;
        let first = Outcome { shape: *y.shape(), value, grads: collect(&gradients, &tensors)? };
        let mut sum: Option<Tensor> = None;
        for (tensor, weights) in tensors.iter().zip(weights) {
            let Some(gradient) = gradients.get(tensor) else { continue };
            let weights = Array::from_slice(self.device, weights, tensor.shape())?;
            let term = gradient.mul(&weights.into())?.sum_all()?;
            sum = Some(match sum {
                Some(sum) => sum.add(&term)?,
                None => term,
            });
        }
        let sum = sum.ok_or_else(|| Error::gradient("no input has a gradient"))?;
        if !seed_tracked && !sum.is_tracked() {
            // The gradient of a linear operator depends on what is fed in alone.
            let of_inputs = vec![None; tensors.len()];
            return Ok(Second { first, of_inputs, of_cotangent: None });
        }
        let gradients = sum.backward()?;
        let of_cotangent = match seed_tracked {
            true => gradients.get(&seed).map(|g| g.to_vec::<f64>()).transpose()?,
            false => None,
        };
        Ok(Second { first, of_inputs: collect(&gradients, &tensors)?, of_cotangent })
    }

    /// The inputs moved by `t` along a direction in one of them, contiguous: a layout that repeats
    /// elements could not hold them.
    pub(crate) fn moved(&self, index: usize, direction: &[f64], t: f64) -> Vec<Input> {
        let plain = |input: &Input| input.clone().laid_out(Default::default());
        let mut inputs: Vec<Input> = self.inputs.iter().map(plain).collect();
        if let Some(values) = inputs[index].floats() {
            let moved = values.iter().zip(direction).map(|(x, v)| x + t * v).collect();
            inputs[index] = inputs[index].with_floats(moved);
        }
        inputs
    }
}

fn place(tape: &Tape, arrays: &[Array], tracked: &[bool]) -> Result<Vec<Tensor>> {
    let place = |(array, tracked): (&Array, &bool)| match tracked {
        true => tape.variable(array.clone()),
        false => Ok(Tensor::from(array.clone())),
    };
    arrays.iter().zip(tracked).map(place).collect()
}

fn collect(gradients: &Gradients, tensors: &[Tensor]) -> Result<Vec<Option<Vec<f64>>>> {
    tensors
        .iter()
        .map(|tensor| {
            let Some(gradient) = gradients.get(tensor) else { return Ok(None) };
            if gradient.shape() != tensor.shape() {
                return Err(Error::shape(format!(
                    "the gradient of an input of shape {} has shape {}",
                    tensor.shape(),
                    gradient.shape()
                )));
            }
            gradient.to_vec::<f64>().map(Some)
        })
        .collect()
}
