//! What the optimizers share: parameters with their state.

use ferrotape_autograd::Gradients;
use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{Array, Error, Result};

use crate::{Parameter, Path};

/// A parameter, how often it was stepped, and the arrays that its rule keeps.
#[derive(Debug)]
struct Slot {
    parameter: Parameter,
    steps: u64,
    /// Zeros from the first step on; made then, in the parameter's layout.
    state: Vec<Array>,
}

#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    names: &'static [&'static str],
    missing: Vec<Path>,
}

impl Slots {
    /// Slots for these parameters; a tied parameter has one however often it is given.
    pub(super) fn new(parameters: Vec<Parameter>, names: &'static [&'static str]) -> Self {
        let mut slots: Vec<Slot> = Vec::new();
        for parameter in parameters {
            if slots.iter().all(|s| s.parameter.id() != parameter.id()) {
                slots.push(Slot { parameter, steps: 0, state: Vec::new() });
            }
        }
        Slots { slots, names, missing: Vec::new() }
    }

    /// Runs the program in place on every parameter that has a gradient: output 0 is the parameter,
    /// the others its state, input 0 the gradient. `scalars` are asked for with the number of the
    /// step, counted from 1.
    pub(super) fn step(
        &mut self,
        gradients: &Gradients,
        program: &Program,
        scalars: impl Fn(u64) -> Vec<f64>,
    ) -> Result<()> {
        self.missing.clear();
        for slot in &mut self.slots {
            if !slot.parameter.is_trainable() {
                continue;
            }
            let Some(gradient) = gradients.get(&slot.parameter) else {
                self.missing.push(slot.parameter.path().clone());
                continue;
            };
            if *gradient.shape() != slot.parameter.shape() {
                return Err(Error::shape(format!(
                    "the gradient of {} has shape {}, the parameter {}",
                    slot.parameter.path(),
                    gradient.shape(),
                    slot.parameter.shape()
                )));
            }
            let state = &mut slot.state;
            let scalars = scalars(slot.steps + 1);
            slot.parameter.update(|value| {
                while state.len() + 1 < program.outputs() {
                    let mut zeros = Array::empty(value.device(), value.dtype(), *value.layout())?;
                    value.device().backend().fill(&mut zeros, 0.0)?;
                    state.push(zeros);
                }
                let device = value.device().clone();
                let mut outputs: Vec<&mut Array> =
                    std::iter::once(value).chain(state.iter_mut()).collect();
                device.backend().pointwise(program, &scalars, &[gradient.array()], &mut outputs)
            })?;
            slot.steps += 1;
        }
        Ok(())
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        self.slots.iter().map(|slot| slot.parameter.clone()).collect()
    }

    pub(super) fn missing(&self) -> &[Path] {
        &self.missing
    }

    pub(super) fn state(&self) -> Vec<(String, Array)> {
        let of_slot = |slot: &Slot| {
            let path = slot.parameter.path().clone();
            let named = self.names.iter().zip(slot.state.clone());
            named.map(move |(name, array)| (format!("{path}.{name}"), array)).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(of_slot).collect()
    }
}
