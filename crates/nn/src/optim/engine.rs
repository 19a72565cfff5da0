//! What all optimizers share: parameters with their state, and one program run a step.

use std::collections::HashSet;
use std::fmt::Debug;
use std::iter;

use ferrotape_autograd::Gradients;
use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{Array, Context, DType, Device, Error, Layout, Result};

use crate::{Parameter, Path, StateDict};

/// Something that changes parameters by their gradients.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
/// use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
/// use ferrotape_nn::{Parameter, Pass, Path};
///
/// let device = Device::new(Reference::new());
/// let x = Parameter::new(Path::new("x"), Array::from_slice(&device, &[2.0f64], [1])?)?;
/// let mut sgd = Sgd::new(vec![x.clone()], SgdConfig { lr: 0.25, ..SgdConfig::default() })?;
/// let cx = Pass::eval(&device).with_grad();
/// let loss = cx.param(&x)?.square()?.sum_all()?;
/// sgd.step(&loss.backward()?)?;
/// assert_eq!(x.value().item()?, 1.0);
/// assert!(sgd.missing().is_empty());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Optimizer: Debug + Send {
    /// Changes every parameter that has a gradient, in place. Parameters without one are left as
    /// they are, their state too, as in PyTorch; [`Optimizer::missing`] lists them.
    ///
    /// # Errors
    /// A gradient of another shape or device than its parameter; no gradient for any of the
    /// parameters, of which some are trainable.
    fn step(&mut self, gradients: &Gradients) -> Result<()>;

    /// The learning rate of the next step.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the next steps.
    ///
    /// ```
    /// use ferrotape_nn::optim::{Optimizer, Schedule, Sgd, SgdConfig};
    ///
    /// let mut sgd = Sgd::new(Vec::new(), SgdConfig { lr: 0.4, ..SgdConfig::default() })?;
    /// let (base, schedule) = (sgd.lr(), Schedule::Step { step_size: 10, gamma: 0.5 });
    /// sgd.set_lr(schedule.lr(base, 10));
    /// assert_eq!(sgd.lr(), 0.2);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    fn set_lr(&mut self, lr: f64);

    /// The parameters, in order.
    fn parameters(&self) -> Vec<Parameter>;

    /// The trainable parameters that had no gradient in the last step.
    fn missing(&self) -> &[Path];

    /// A copy of everything a later run needs to go on: learning rate, step counts and moments,
    /// named by the parameters' paths.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init, Pass};
    /// use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let x = init.parameter("x", [1], Distribution::Ones)?;
    /// let config = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
    /// let mut sgd = Sgd::new(vec![x.clone()], config.clone())?;
    /// let loss = Pass::eval(&device).with_grad().param(&x)?.square()?.sum_all()?;
    /// sgd.step(&loss.backward()?)?;
    /// let saved = sgd.state_dict()?;
    /// assert!(saved.names().any(|name| name.contains('x')));
    /// // Another process goes on from there.
    /// Sgd::new(vec![x], config)?.load_state_dict(&saved)?;
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    fn state_dict(&self) -> Result<StateDict>;

    /// Goes on from what [`Optimizer::state_dict`] gave. Nothing changes unless everything fits.
    ///
    /// # Errors
    /// Entries that the parameters do not have, or of another shape.
    fn load_state_dict(&mut self, dict: &StateDict) -> Result<()>;
}

/// The formula of an optimizer whose steps are element by element: its options are this.
///
/// The program's input 0 is the gradient, output 0 the parameter, the other outputs its state, in
/// the order of [`Rule::state`]; all outputs are changed in place.
///
/// ```
/// use ferrotape_backend::pointwise::{Expr, Program};
/// use ferrotape_backend::Result;
/// use ferrotape_nn::optim::{Rule, Stepper};
///
/// /// Steps by the sign of the gradient (Bernstein et al. 2018).
/// #[derive(Debug, Clone)]
/// struct SignSgd {
///     lr: f64,
/// }
///
/// impl Rule for SignSgd {
///     fn lr(&self) -> f64 {
///         self.lr
///     }
///     fn program(&self) -> Program {
///         let (g, lr) = (Expr::input(0), Expr::scalar(0));
///         Program::new(&[Expr::previous(0) - lr * (&g / g.abs())])
///     }
///     fn scalars(&self, _step: u64, lr: f64) -> Vec<f64> {
///         vec![lr]
///     }
/// }
///
/// let optimizer = Stepper::new(Vec::new(), SignSgd { lr: 0.1 })?;
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait Rule: Debug + Clone + Send {
    /// Whether the options make sense.
    ///
    /// # Errors
    /// They do not.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The learning rate to begin with.
    fn lr(&self) -> f64;

    /// What the arrays that a parameter's steps build up are called; they begin as zeros.
    fn state(&self) -> &'static [&'static str] {
        &[]
    }

    /// One step.
    fn program(&self) -> Program;

    /// The program's scalars at a parameter's step, counted from 1.
    fn scalars(&self, step: u64, lr: f64) -> Vec<f64>;
}

/// A parameter, how many steps it took, and the arrays that its steps build up.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Parameter,
    steps: u64,
    /// Made at the first step.
    state: Vec<Array>,
}

/// The optimizer that goes by a [`Rule`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Distribution, Init};
/// use ferrotape_nn::optim::{Optimizer, SgdConfig, Stepper};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let weight = init.parameter("weight", [2], Distribution::Ones)?;
/// let sgd: Stepper<SgdConfig> = Stepper::new(vec![weight], SgdConfig::default())?;
/// assert_eq!(sgd.parameters()[0].path().as_str(), "weight");
/// assert_eq!(sgd.lr(), sgd.config().lr);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Stepper<R> {
    slots: Vec<Slot>,
    rule: R,
    program: Program,
    lr: f64,
    missing: Vec<Path>,
}

impl<R: Rule> Stepper<R> {
    /// An optimizer of these parameters with these options.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init};
    /// use ferrotape_nn::optim::{Sgd, SgdConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weight = init.parameter("weight", [2], Distribution::Ones)?;
    /// let twice = Sgd::new(vec![weight.clone(), weight], SgdConfig::default());
    /// assert_eq!(
    ///     twice.unwrap_err().to_string(),
    ///     "parameter weight is given to the optimizer twice; it would be stepped twice"
    /// );
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An option out of range, a parameter twice.
    pub fn new(parameters: Vec<Parameter>, rule: R) -> Result<Self> {
        rule.check()?;
        let (mut ids, mut taken, mut slots) = (HashSet::new(), HashSet::new(), Vec::new());
        for (index, parameter) in parameters.into_iter().enumerate() {
            if !ids.insert(parameter.id()) {
                return Err(Error::argument(format!(
                    "parameter {} is given to the optimizer twice; it would be stepped twice",
                    parameter.path()
                )));
            }
            // Two models may use one path; their positions tell them apart.
            let mut name = parameter.path().to_string();
            if name.is_empty() || !taken.insert(name.clone()) {
                name = format!("{name}#{index}");
            }
            slots.push(Slot { name, parameter, steps: 0, state: Vec::new() });
        }
        let lr = check("lr", rule.lr(), 0.0..f64::INFINITY)?;
        Ok(Stepper { slots, program: rule.program(), rule, lr, missing: Vec::new() })
    }

    /// The options; [`Optimizer::lr`] has the learning rate of now.
    ///
    /// ```
    /// use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
    ///
    /// let mut sgd = Sgd::new(Vec::new(), SgdConfig { lr: 0.1, ..SgdConfig::default() })?;
    /// sgd.set_lr(0.01);
    /// assert_eq!((sgd.config().lr, sgd.lr()), (0.1, 0.01));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn config(&self) -> &R {
        &self.rule
    }
}

impl<R: Rule> Optimizer for Stepper<R> {
    fn step(&mut self, gradients: &Gradients) -> Result<()> {
        self.missing.clear();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for slot in &mut self.slots {
            match gradients.get(&slot.parameter) {
                Some(gradient) => {
                    let names = self.rule.state();
                    let value = slot.begin(gradient, names).at(|| slot.name.as_str())?;
                    let (step, device) = (slot.steps + 1, value.device().clone());
                    let fits = |group: &Group<'_>| group.step == step && group.device == device;
                    let index = groups.iter().position(fits).unwrap_or(groups.len());
                    if index == groups.len() {
                        groups.push(Group { step, device, members: Vec::new() });
                    }
                    groups[index].members.push((gradient.array().clone(), value, slot));
                }
                None if slot.parameter.is_trainable() => {
                    self.missing.push(slot.parameter.path().clone());
                }
                None => {}
            }
        }
        if let (true, Some(first)) = (groups.is_empty(), self.missing.first()) {
            return Err(Error::gradient(format!(
                "none of the gradients are of this optimizer's parameters ({first} is the first of \
                 {}); is it the optimizer of another model, or of a clone?",
                self.slots.len()
            )));
        }
        for group in groups {
            let scalars = self.rule.scalars(group.step, self.lr);
            group.run(&self.program, &scalars)?;
        }
        Ok(())
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.slots.iter().map(|slot| slot.parameter.clone()).collect()
    }

    fn missing(&self) -> &[Path] {
        &self.missing
    }

    fn state_dict(&self) -> Result<StateDict> {
        let mut dict = StateDict::new();
        let Some(first) = self.slots.first() else { return Ok(dict) };
        dict.insert("lr", Array::from_slice(&first.parameter.device(), &[self.lr], [])?);
        for slot in self.slots.iter().filter(|slot| slot.steps > 0) {
            let device = slot.parameter.device();
            let steps = Array::from_slice(&device, &[slot.steps as i64], [])?;
            dict.insert(format!("{}.step", slot.name), steps);
            for (name, array) in self.rule.state().iter().zip(&slot.state) {
                dict.insert(format!("{}.{name}", slot.name), array.copy()?);
            }
        }
        Ok(dict)
    }

    fn load_state_dict(&mut self, dict: &StateDict) -> Result<()> {
        let lr = dict.get("lr").map(Array::item).transpose()?;
        let lr = check("lr", lr.unwrap_or(self.lr), 0.0..f64::INFINITY)?;
        let mut used = usize::from(dict.get("lr").is_some());
        let mut ready = Vec::new();
        for slot in &self.slots {
            let saved = slot.saved(dict, self.rule.state()).at(|| slot.name.as_str())?;
            used += saved.as_ref().map_or(0, |(_, state)| 1 + state.len());
            ready.push(saved.unwrap_or_default());
        }
        if used != dict.len() {
            return Err(Error::state(format!(
                "the optimizer's state has {} entries, of which its parameters use {used}; is it \
                 that of another model or optimizer?",
                dict.len()
            )));
        }
        self.lr = lr;
        for (slot, (steps, state)) in self.slots.iter_mut().zip(ready) {
            (slot.steps, slot.state) = (steps, state);
        }
        Ok(())
    }
}

/// Parameters at the same step on the same device, each with its gradient and its value.
struct Group<'a> {
    step: u64,
    device: Device,
    members: Vec<(Array, Array, &'a mut Slot)>,
}

impl Group<'_> {
    /// Runs the program on all of them at once.
    fn run(mut self, program: &Program, scalars: &[f64]) -> Result<()> {
        // The gradient of a product is the other factor: a parameter that this step changes.
        let values: HashSet<u64> = self.members.iter().map(|(_, v, _)| v.buffer().id()).collect();
        for (gradient, ..) in &mut self.members {
            if values.contains(&gradient.buffer().id()) {
                *gradient = gradient.copy()?;
            }
        }
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let mut slots = Vec::new();
        for (gradient, value, slot) in &mut self.members {
            let Slot { state, steps, .. } = &mut **slot;
            inputs.push([&*gradient]);
            outputs.push(iter::once(value).chain(state).collect::<Vec<&mut Array>>());
            slots.push(steps);
        }
        let inputs: Vec<&[&Array]> = inputs.iter().map(|list| &list[..]).collect();
        let mut outputs: Vec<&mut [&mut Array]> =
            outputs.iter_mut().map(|list| &mut list[..]).collect();
        self.device.backend().pointwise_each(program, scalars, &inputs, &mut outputs)?;
        slots.into_iter().for_each(|steps| *steps = self.step);
        Ok(())
    }
}

impl Slot {
    /// The parameter's memory, for a step that this gradient fits. The state is there afterwards.
    fn begin(&mut self, gradient: &Array, names: &[&str]) -> Result<Array> {
        let value = self.parameter.exclusive()?;
        if gradient.shape() != value.shape() {
            return Err(Error::shape(format!(
                "the gradient has shape {}, the parameter {}",
                gradient.shape(),
                value.shape()
            )));
        }
        if self.state.len() != names.len() {
            self.state = names.iter().map(|_| zeros_like(&value)).collect::<Result<_>>()?;
        }
        Ok(value)
    }

    /// Steps and state as they were saved, if they were.
    fn saved(&self, dict: &StateDict, names: &[&str]) -> Result<Option<(u64, Vec<Array>)>> {
        let Some(steps) = dict.get(&format!("{}.step", self.name)) else { return Ok(None) };
        let steps = steps.item()?;
        if !(steps >= 0.0 && steps.fract() == 0.0) {
            return Err(Error::state(format!("its number of steps is saved as {steps}")));
        }
        let mut state = Vec::new();
        for name in names {
            let array = dict.get(&format!("{}.{name}", self.name)).ok_or_else(|| {
                Error::state(format!("the optimizer's state has its step, but no {name}"))
            })?;
            state.push(placed_like(&self.parameter.value(), array).at(|| *name)?);
        }
        Ok(Some((steps as u64, state)))
    }
}

/// Zeros in the parameter's layout, at least as precise as f32.
fn zeros_like(value: &Array) -> Result<Array> {
    let mut zeros = empty_like(value)?;
    value.device().backend().fill(&mut zeros, 0.0)?;
    Ok(zeros)
}

fn empty_like(value: &Array) -> Result<Array> {
    let layout: Layout = value.layout().like(*value.shape());
    let dtype: DType = value.dtype().accumulator();
    Array::empty(value.device(), dtype, layout)
}

fn placed_like(value: &Array, array: &Array) -> Result<Array> {
    if array.shape() != value.shape() {
        return Err(Error::state(format!(
            "it has shape {}, its parameter {}",
            array.shape(),
            value.shape()
        )));
    }
    let mut placed = empty_like(value)?;
    let array = array.to_device(value.device())?;
    value.device().backend().copy(&array, &mut placed)?;
    Ok(placed)
}

/// A number of the configuration within its range, and of a size that all parameters can be multiplied by.
pub(super) fn check(name: &str, value: f64, range: std::ops::Range<f64>) -> Result<f64> {
    const LARGEST: f64 = f32::MAX as f64;
    if range.contains(&value) && value <= LARGEST {
        return Ok(value);
    }
    Err(Error::argument(if range.end.is_finite() {
        format!("{name} is {value}, it must be at least {} and below {}", range.start, range.end)
    } else if value > LARGEST {
        format!("{name} is {value:e}, it must be at most {LARGEST:e}, the largest number of f32")
    } else {
        format!("{name} is {value}, it must be a number of at least {}", range.start)
    }))
}
