//! The laws of a layer, one after the other.

use ferrotape_autograd::{BackwardOptions, Tensor};
use ferrotape_backend::{Array, DType, Device, Error, Result, Rng};
use ferrotape_nn::{Init, Layer, Mode, Parameter, Pass, Ties};

use super::LayerOptions;
use crate::failure::{Failure, Law, Place};
use crate::input::{self, Input, MemoryLayout, weights};
use crate::op::{Comparison, Subject, compare, differ, same_bits, unravel};

type Checked<T = ()> = Result<T, Failure>;
type Make<'a, L> = &'a dyn Fn(&Init) -> Result<L>;

/// The scope that layers are made in: not the root, so that a path without it is noticed.
const SCOPE: [&str; 2] = ["outer", "0"];

fn on(law: Law, doing: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::error(law, doing, &error)
}

pub(super) fn check<L: Layer>(
    device: &Device,
    input: &Input,
    options: &LayerOptions,
    make: Make<'_, L>,
) -> Checked {
    let before = device.memory().live_bytes;
    let check = Check { device, input, options, make };
    check.all_but_leaks()?;
    let after = device.memory().live_bytes;
    if after == before {
        return Ok(());
    }
    Err(Failure::new(
        Law::Leak,
        format!(
            "{before} bytes were live before the checks and {after} after everything was dropped; \
             if another thread uses the device, give the check one of its own"
        ),
    ))
}

struct Check<'a, L> {
    device: &'a Device,
    input: &'a Input,
    options: &'a LayerOptions,
    make: Make<'a, L>,
}

impl<L: Layer> Check<'_, L> {
    fn all_but_leaks(&self) -> Checked {
        let layer = self.layer(self.options.seed)?;
        self.paths(&layer)?;
        self.effects(&layer)?;
        for mode in [Mode::Train, Mode::Eval] {
            self.gradients(&layer, mode).map_err(|failure| match failure.law() {
                Law::Gradient => failure.hint(&format!("the layer is in {mode:?} mode")),
                _ => failure,
            })?;
            self.layouts(&layer, mode)?;
        }
        self.eval_keeps(&layer)?;
        self.state_dict(&layer)?;
        self.clones(&layer)?;
        if self.options.batch_independent {
            self.batch(&layer)?;
        }
        Ok(())
    }

    fn init(&self, seed: u64) -> Init {
        let init = Init::new(self.device, Rng::new(seed)).dtype(DType::F64);
        SCOPE.iter().fold(init, |init, name| init.at(name))
    }

    /// A layer whose parameters all differ from what they begin as: a bias of 0 hides mistakes.
    fn layer(&self, seed: u64) -> Checked<L> {
        let failed = on(Law::Value, "making the layer");
        let layer = (self.make)(&self.init(seed)).map_err(&failed)?;
        for (index, parameter) in layer.parameters().iter().enumerate() {
            let rng = Rng::new(seed).path("parameter").call(index as u64);
            let moves = weights(rng, parameter.shape().numel());
            let moved = |array: Array| -> Result<()> {
                let values = array.to_f64_vec()?;
                let values: Vec<f64> =
                    values.iter().zip(&moves).map(|(v, m)| v + 0.2 * m).collect();
                parameter.set(Array::from_slice(self.device, &values, array.shape())?)
            };
            if parameter.dtype() != DType::F64 {
                return Err(failed(input::refused(parameter.dtype())));
            }
            moved(parameter.value()).map_err(&failed)?;
        }
        Ok(layer)
    }

    /// A pass of its own, with the same random keys each time.
    fn pass(&self, mode: Mode) -> Pass {
        let pass = match mode {
            Mode::Train => Pass::train(self.device, Rng::new(self.options.seed).step(0)),
            Mode::Eval => Pass::eval(self.device).with_grad(),
        };
        pass.without_effects()
    }

    fn value(&self, layer: &L, mode: Mode, input: &Input) -> Result<(Tensor, Vec<f64>)> {
        let cx = self.pass(mode).without_grad();
        let y = layer.forward(&cx, &cx.input(input.on(self.device)?)?)?;
        if y.dtype() != DType::F64 {
            return Err(input::refused(y.dtype()));
        }
        let host = y.to_vec::<f64>()?;
        Ok((y, host))
    }

    fn gradients(&self, layer: &L, mode: Mode) -> Checked {
        let running = on(Law::Gradient, "a pass with gradients");
        let names = layer.named_parameters();
        let (_, host) = self
            .value(layer, mode, self.input)
            .map_err(on(Law::Value, "a pass without gradients"))?;
        let rng = Rng::new(self.options.seed).path("cotangent");
        let cotangent = weights(rng, host.len());
        let grads = self.analytic(layer, mode, &names, &host, &cotangent).map_err(running)??;
        let mut subjects = Vec::new();
        let parameters = names.iter().map(|(name, p)| (format!("parameter {name}"), p.shape()));
        let input = ("the input".to_owned(), *self.input.shape());
        for ((name, shape), grad) in std::iter::once(input).chain(parameters).zip(&grads) {
            subjects.push(grad.as_deref().map(|grad| Subject { name, shape, grad: Some(grad) }));
        }
        let line = |index: usize, direction: &[f64], t: f64| {
            let moved = |values: &[f64]| -> Vec<f64> {
                values.iter().zip(direction).map(|(x, v)| x + t * v).collect()
            };
            if index == 0 {
                let values = self.input.floats().map(moved).unwrap_or_default();
                let input = self.input.with_floats(values).laid_out(Default::default());
                return Ok(self.value(layer, mode, &input)?.1);
            }
            let parameter = &names[index - 1].1;
            let before = parameter.value().copy()?;
            let after = moved(&before.to_vec::<f64>()?);
            parameter.set(Array::from_slice(self.device, &after, before.shape())?)?;
            let value = self.value(layer, mode, self.input);
            parameter.set(before)?;
            Ok(value?.1)
        };
        let how = Comparison {
            law: Law::Gradient,
            rng: Rng::new(self.options.seed).path("direction"),
            tolerance: self.options.tolerance,
            weights: &cotangent,
        };
        compare(&how, &subjects, &line)
    }

    /// The gradients of the input and of every parameter that is trainable.
    fn analytic(
        &self,
        layer: &L,
        mode: Mode,
        names: &[(String, Parameter)],
        host: &[f64],
        cotangent: &[f64],
    ) -> Result<Checked<Vec<Option<Vec<f64>>>>> {
        let cx = self.pass(mode);
        let array = self.input.on(self.device)?;
        let x = if self.input.is_tracked() { cx.variable(array)? } else { cx.input(array)? };
        let y = layer.forward(&cx, &x)?;
        let value = y.to_vec::<f64>()?;
        if let Err(failure) = self.equal(Law::Determinism, "value", &y, &value, host) {
            return Ok(Err(failure));
        }
        let seed = Tensor::from(Array::from_slice(self.device, cotangent, y.shape())?);
        let options = BackwardOptions { seed: Some(&seed), ..BackwardOptions::default() };
        let gradients = y.backward_with(&options)?;
        let unknown = gradients.leaves().filter(|(id, _)| names.iter().all(|(_, p)| p.id() != *id));
        if unknown.count() > usize::from(self.input.is_tracked()) {
            let message = "a parameter gets a gradient that the module does not visit: optimizers \
                           and state dicts would not know of it; show it to the visitor";
            return Ok(Err(Failure::new(Law::NothingMissing, message)));
        }
        let mut grads = vec![gradients.get(&x).map(|g| g.to_vec::<f64>()).transpose()?];
        if grads[0].is_none() && self.input.is_tracked() {
            return Ok(Err(missing(mode, "the input")));
        }
        for (name, parameter) in names {
            let grad = gradients.get(parameter).map(|g| g.to_vec::<f64>()).transpose()?;
            if grad.is_none() && parameter.is_trainable() {
                return Ok(Err(missing(mode, &format!("parameter {name}"))));
            }
            grads.push(grad);
        }
        Ok(Ok(grads))
    }

    /// Names in the state dict are the ends of paths.
    fn paths(&self, layer: &L) -> Checked {
        let scope = self.init(0).path().clone();
        let wrong = |what: String, found: &str, expected: &str| {
            let message = format!("the path of {what} is '{found}' and should be '{expected}'");
            Err(Failure::new(Law::Paths, message))
        };
        if *layer.path() != scope {
            return wrong("the layer".to_owned(), layer.path().as_str(), scope.as_str());
        }
        let parameters = layer.named_parameters();
        let parameters = parameters.iter().map(|(n, p)| ("parameter", n, p.path().clone()));
        let states = layer.named_states();
        let states = states.iter().map(|(n, s)| ("state", n, s.path().clone()));
        for (kind, name, path) in parameters.chain(states) {
            let expected = scope.join(name);
            if path != expected {
                return wrong(format!("{kind} {name}"), path.as_str(), expected.as_str());
            }
        }
        let cx = self.pass(Mode::Eval).without_grad().trace();
        let run = || layer.forward(&cx, &cx.input(self.input.on(self.device)?)?);
        run().map_err(on(Law::Value, "a pass that is traced"))?;
        if cx.calls().iter().any(|call| call.path == scope) {
            return Ok(());
        }
        let message = "the pass was not told of the layer, so that probes, summaries and errors do not know where they \
                       are; have forward() do its work in cx.within(self, || ...)";
        Err(Failure::new(Law::Paths, message))
    }

    /// A training pass without effects leaves parameters and states alone.
    fn effects(&self, layer: &L) -> Checked {
        let before = self.saved(layer, Law::Effects)?;
        self.value(layer, Mode::Train, self.input).map_err(on(Law::Value, "a training pass"))?;
        let hint = "what a training pass changes is to be an effect (cx.effect), which the pass may leave out";
        self.kept(layer, Law::Effects, &before).map_err(|failure| failure.hint(hint))
    }

    /// Parameters and states are what they were.
    fn kept(&self, layer: &L, law: Law, before: &[(String, Vec<f64>)]) -> Checked {
        for ((name, before), (_, after)) in before.iter().zip(&self.saved(layer, law)?) {
            if !same_bits(before, after) {
                let message = format!("{name} was {before:?} before the pass and is {after:?}");
                return Err(Failure::new(law, message));
            }
        }
        Ok(())
    }

    /// The input in each layout.
    fn layouts(&self, layer: &L, mode: Mode) -> Checked {
        let failed = on(Law::Layout, "in another layout, the layer");
        let plain = self.input.clone().laid_out(MemoryLayout::Contiguous);
        let (y, expected) = self.value(layer, mode, &plain).map_err(&failed)?;
        for layout in MemoryLayout::all(self.input.shape()).into_iter().skip(1) {
            let name = format!("value with the input laid out as {layout:?}");
            let laid_out = plain.clone().laid_out(layout);
            let (_, found) = self.value(layer, mode, &laid_out).map_err(&failed)?;
            self.equal(Law::Layout, &name, &y, &found, &expected)?;
        }
        Ok(())
    }

    /// What is saved, as bits.
    fn saved(&self, layer: &L, law: Law) -> Checked<Vec<(String, Vec<f64>)>> {
        let failed = on(law, "the state dict");
        let dict = layer.state_dict().map_err(&failed)?;
        let entry = |(name, array): (&str, &Array)| Ok((name.to_owned(), array.to_f64_vec()?));
        dict.iter().map(entry).collect::<Result<_>>().map_err(failed)
    }

    fn eval_keeps(&self, layer: &L) -> Checked {
        let failed = on(Law::EvalKeeps, "a pass in evaluation mode");
        let before = self.saved(layer, Law::EvalKeeps)?;
        let run = || -> Result<()> {
            // Effects are not suppressed here: there must be none, tracked or not.
            for cx in [Pass::eval(self.device), Pass::eval(self.device).with_grad()] {
                layer.forward(&cx, &cx.input(self.input.on(self.device)?)?)?;
            }
            Ok(())
        };
        run().map_err(failed)?;
        self.kept(layer, Law::EvalKeeps, &before)
    }

    fn state_dict(&self, layer: &L) -> Checked {
        let failed = on(Law::StateDict, "loading the state dict into another layer");
        let other = self.layer(self.options.seed.wrapping_add(1))?;
        let dict = layer.state_dict().map_err(&failed)?;
        other.load_state_dict(&dict, true).map_err(&failed)?;
        self.same(layer, &other, Law::StateDict)
    }

    fn clones(&self, layer: &L) -> Checked {
        let clone = layer.clone_with(&mut Ties::new());
        for ((name, own), other) in layer.named_parameters().iter().zip(clone.parameters()) {
            if own.id() == other.id() {
                let message = format!("the clone shares parameter {name} with its original");
                return Err(Failure::new(Law::Clone, message));
            }
        }
        self.same(layer, &clone, Law::Clone)
    }

    /// Two layers compute the same in evaluation mode.
    fn same(&self, layer: &L, other: &L, law: Law) -> Checked {
        let failed = on(law, "a pass in evaluation mode");
        let (y, host) = self.value(layer, Mode::Eval, self.input).map_err(&failed)?;
        let (_, found) = self.value(other, Mode::Eval, self.input).map_err(&failed)?;
        self.equal(law, "value", &y, &found, &host)
    }

    /// Each sample alone gives what it gives within the batch.
    fn batch(&self, layer: &L) -> Checked {
        let failed = on(Law::BatchIndependence, "a pass over one sample");
        let Some(&samples) = self.input.shape().first() else { return Ok(()) };
        let run = |array: Array| -> Result<Tensor> {
            let cx = self.pass(Mode::Eval).without_grad();
            layer.forward(&cx, &cx.input(array)?)
        };
        let all = self.input.on(self.device).map_err(&failed)?;
        let together = run(all.clone()).map_err(&failed)?;
        if together.shape().first() != Some(&samples) {
            let message = format!(
                "{samples} samples give an output of shape {}, whose first size is another; set \
                 batch_independent to false if the layer has no batch",
                together.shape()
            );
            return Err(Failure::new(Law::BatchIndependence, message));
        }
        for sample in 0..samples {
            let pair = || -> Result<(Tensor, Tensor)> {
                let alone = run(all.narrow(0, sample, 1)?)?;
                Ok((alone, together.array().narrow(0, sample, 1)?.into()))
            };
            let (alone, within) = pair().map_err(&failed)?;
            let values = || Ok((alone.to_vec::<f64>()?, within.to_vec::<f64>()?));
            let (alone, expected) = values().map_err(&failed)?;
            let name = format!("value of sample {sample} alone");
            self.equal(Law::BatchIndependence, &name, &within, &alone, &expected).map_err(|failure| {
                failure.hint(
                    "dimension 0 is taken for the batch; set batch_independent to false if it is none, or if samples \
                     are meant to depend on each other",
                )
            })?;
        }
        Ok(())
    }

    fn equal(
        &self,
        law: Law,
        name: &str,
        shaped: &Tensor,
        found: &[f64],
        expected: &[f64],
    ) -> Checked {
        if found.len() != expected.len() {
            let message = format!(
                "the {name} has {} elements and should have {}",
                found.len(),
                expected.len()
            );
            return Err(Failure::new(law, message));
        }
        let Some((at, tolerance)) = differ(found, expected, self.options.rounding) else {
            return Ok(());
        };
        let place = Place {
            tensor: name.to_owned(),
            element: unravel(at, shaped.shape()),
            analytic: found[at],
            numeric: expected[at],
            tolerance,
        };
        Err(Failure::placed(law, format!("the {name} differs"), place))
    }
}

fn missing(mode: Mode, what: &str) -> Failure {
    let message = format!(
        "in {mode:?} mode {what} gets no gradient (a parameter is read by cx.param(), not value()); if that is meant, \
         freeze the parameter or make the input a constant()"
    );
    Failure::new(Law::NothingMissing, message)
}
