//! Networks: files of the form of `zoo.json`.
//!
//! `models[i]` has the `model`'s name in the [zoo], the names and shapes of its
//! `tensors` in order, `parameters`, `macs` for one image of `macs_input`, and what it computes of two
//! images with weights that a [rule](fill) gives, so that no file of weights is needed: `input`,
//! `labels`, `eval_logits` (the first of each image), `eval_norm`, `eval_argmax`, `train_logits`,
//! `train_loss`, `grads` (of each parameter the norm and a projection) and `running_after` (the norm of
//! each running statistic after the step). In training every dropout is off. `float32`, if it is there,
//! says how far PyTorch's own f32 runs are off: a very deep network amplifies rounding, and f32 is then
//! judged by that ([`Tolerances`]).

mod compare;
mod facts;
mod rule;

pub use compare::Tolerances;
pub use rule::{fill, numbers};

use ferrotape::autograd::Gradients;
use ferrotape::backend::meta::Meta;
use ferrotape::backend::{Array, DType, Device, Error, Result, Rng};
use ferrotape::nn::{Classifier, Init, Item, Mode, Module, Pass, Visitor};
use ferrotape::zoo;
use serde::Deserialize;
use serde_json::Value;

use crate::{Outcome, Verdict};
use compare::{SMALL, Worst};
use facts::Facts;

/// Every case, or nothing if there are no models.
pub(crate) fn check(json: &Value, device: &Device, dtype: DType) -> Option<Vec<Outcome>> {
    let cases = json.get("models").and_then(Value::as_array)?;
    let outcome = |(index, case): (usize, &Value)| {
        let name = case.get("model").and_then(Value::as_str).unwrap_or("?");
        let verdict = model(case, device, dtype).unwrap_or_else(Verdict::Impossible);
        Outcome { id: format!("models/{index}/{name}"), verdict }
    };
    Some(cases.iter().enumerate().map(outcome).collect())
}

/// One network, or why it cannot be compared.
fn model(case: &Value, device: &Device, dtype: DType) -> Result<Verdict, String> {
    let facts = Facts::deserialize(case).map_err(|error| error.to_string())?;
    let tolerances = Tolerances::of(dtype)
        .ok_or_else(|| format!("networks are held against f64 and f32, not {dtype}"))?;
    let tolerances = match &facts.float32 {
        Some(measured) if dtype == DType::F32 => tolerances.at_least(measured),
        _ => tolerances,
    };
    let text = |error: Error| error.to_string();
    facts.check().map_err(text)?;
    let (entry, classes) = (zoo::find(&facts.model).map_err(text)?, facts.classes().map_err(text)?);
    structure(entry, classes, &facts)?;

    let init = Init::new(device, Rng::new(0)).dtype(dtype);
    let network = entry.build(&init, classes).map_err(text)?;
    fill(&network, device).map_err(text)?;
    let mut worst = Worst::default();
    evaluate(&network, &facts, &init, &tolerances, &mut worst)?;
    train(&network, &facts, &init, &tolerances, &mut worst)?;
    Ok(worst.verdict())
}

/// Names, order, shapes, parameters and multiply-adds, on the device that has no elements: a network
/// of another form is refused before it takes memory.
fn structure(entry: &zoo::Model, classes: usize, facts: &Facts) -> Result<(), String> {
    let device = Device::new(Meta::new());
    let network = entry.build(&Init::new(&device, Rng::new(0)), classes);
    let network = network.map_err(|error| error.to_string())?;
    let mut tensors = Vec::new();
    let mut elsewhere = None;
    let mut each = |name: &str, item: Item<'_>| match item {
        Item::Parameter(parameter) => {
            tensors.push((name.to_owned(), parameter.shape().to_vec()));
            // Errors, probes and optimizers go by the path, state dicts by the name.
            if parameter.path().as_str() != name && elsewhere.is_none() {
                elsewhere = Some(format!("{name} was made under the path {}", parameter.path()));
            }
        }
        Item::State(state) if state.dtype().is_float() => {
            tensors.push((name.to_owned(), state.shape().to_vec()));
        }
        _ => {}
    };
    network.visit(&mut Visitor::new(&mut each));
    if let Some(why) = elsewhere {
        return Err(why);
    }
    let longest = tensors.len().max(facts.tensors.len());
    for index in 0..longest {
        let (found, expected) = (tensors.get(index), facts.tensors.get(index));
        if found != expected {
            let text = |tensor: Option<&(String, Vec<usize>)>| {
                tensor.map_or("none".to_owned(), |(name, shape)| format!("{name} {shape:?}"))
            };
            let (found, expected) = (text(found), text(expected));
            return Err(format!("tensor {index} is {found}, the fixture has {expected}"));
        }
    }
    let found = network.count_parameters();
    if found != facts.parameters {
        return Err(format!("it has {found} parameters, the fixture {}", facts.parameters));
    }
    let found = multiply_adds(&network, &device, facts.macs_input);
    let found = found.map_err(|error| error.to_string())?;
    if found != facts.macs {
        return Err(format!("it takes {found} multiply-adds, the fixture says {}", facts.macs));
    }
    Ok(())
}

fn multiply_adds(network: &dyn Classifier, device: &Device, image: [usize; 3]) -> Result<u64> {
    let [c, h, w] = image;
    let cx = Pass::eval(device).trace();
    network.scores(&cx, &cx.input(Array::zeros(device, DType::F32, [1, c, h, w])?)?)?;
    Ok(cx.tape().nodes().iter().map(|node| node.multiply_adds).sum())
}

fn images(facts: &Facts, init: &Init) -> Result<Array> {
    let count = facts.input.iter().product();
    let images: Vec<f64> = numbers("input").take(count).collect();
    Array::from_f64(init.device(), &images, init.data_type(), facts.input)
}

/// The rows of a matrix.
fn rows(scores: &Array, images: usize) -> Result<Vec<Vec<f64>>> {
    let scores = scores.to_f64_vec()?;
    let classes = (scores.len() / images.max(1)).max(1);
    Ok(scores.chunks(classes).map(<[f64]>::to_vec).collect())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

fn evaluate(
    network: &dyn Classifier,
    facts: &Facts,
    init: &Init,
    tolerances: &Tolerances,
    worst: &mut Worst,
) -> Result<(), String> {
    let scores = || {
        let cx = Pass::eval(init.device());
        let scores = network.scores(&cx, &cx.input(images(facts, init)?)?)?;
        rows(&scores, facts.input[0])
    };
    let scores = scores().map_err(|error| error.to_string())?;
    worst.hold_rows("eval_logits", &scores, &facts.eval_logits, tolerances.eval_logits)?;
    let found = norm(scores.iter().flatten().copied());
    worst.hold("eval_norm", found, facts.eval_norm, tolerances.eval_logits * facts.eval_norm);
    for (scores, expected) in scores.iter().zip(&facts.eval_argmax) {
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.map_or(f64::NAN, |(class, _)| class as f64);
        // Classes are whole numbers: another one is off by at least two of these.
        worst.hold("eval_argmax", best, *expected, 0.5);
    }
    Ok(())
}

/// A pass in training mode with every [`Dropout`](ferrotape::nn::Dropout) of the network in
/// evaluation mode, where it changes nothing, as it does with a probability of 0.
fn without_dropout(network: &dyn Classifier, device: &Device) -> Pass {
    let mut paths = Vec::new();
    let mut each = |path: &str, item: Item<'_>| {
        if matches!(item, Item::Child("Dropout")) {
            paths.push(path.to_owned());
        }
    };
    network.visit(&mut Visitor::new(&mut each));
    let cx = Pass::train(device, Rng::new(0));
    paths.into_iter().fold(cx, |cx, path| cx.mode_for(path, Mode::Eval))
}

fn train(
    network: &dyn Classifier,
    facts: &Facts,
    init: &Init,
    tolerances: &Tolerances,
    worst: &mut Worst,
) -> Result<(), String> {
    let step = || -> Result<(Vec<Vec<f64>>, f64, Gradients)> {
        let cx = without_dropout(network, init.device());
        let labels = Array::from_slice(init.device(), &facts.labels, [facts.labels.len()])?;
        let outcome = network.loss(&cx, &cx.input(images(facts, init)?)?, &labels)?;
        let (scores, loss) = (rows(&outcome.scores, facts.input[0])?, outcome.loss.item()?);
        Ok((scores, loss, outcome.loss.backward()?))
    };
    let (scores, loss, gradients) = step().map_err(|error| error.to_string())?;
    worst.hold_rows("train_logits", &scores, &facts.train_logits, tolerances.train_logits)?;
    worst.hold("train_loss", loss, facts.train_loss, tolerances.loss * facts.train_loss.abs());

    let parameters = network.named_parameters();
    let names = parameters.iter().map(|(name, _)| name);
    same_names("grads", names, facts.grads.keys())?;
    let largest = facts.grads.values().fold(0.0f64, |largest, [norm, _]| largest.max(*norm));
    for (name, parameter) in &parameters {
        let gradient = gradients.of(parameter).and_then(|gradient| gradient.to_f64_vec());
        let gradient = gradient.map_err(|error| error.to_string())?;
        let found = norm(gradient.iter().copied());
        let projection: f64 =
            gradient.iter().zip(numbers(&format!("proj/{name}"))).map(|(g, v)| g * v).sum();
        let [expected, expected_projection] = facts.grads[name];
        let what = format!("grads/{name}");
        if expected < SMALL * largest && !tolerances.judges_small && found.is_finite() {
            continue;
        }
        let scale = expected.max(SMALL * largest);
        worst.hold(&what, found, expected, tolerances.gradient_norm * scale);
        worst.hold(&what, projection, expected_projection, tolerances.projection * scale);
    }

    let mut states = network.named_states();
    states.retain(|(_, state)| state.dtype().is_float());
    same_names("running_after", states.iter().map(|(name, _)| name), facts.running_after.keys())?;
    for (name, state) in &states {
        let values = state.value().to_f64_vec().map_err(|error| error.to_string())?;
        let expected = facts.running_after[name];
        let what = format!("running_after/{name}");
        worst.hold(&what, norm(values.into_iter()), expected, tolerances.running * expected);
    }
    Ok(())
}

/// The network and the file name the same things.
fn same_names<'a>(
    what: &str,
    found: impl Iterator<Item = &'a String>,
    expected: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut found: Vec<_> = found.collect();
    found.sort();
    let expected: Vec<_> = expected.collect();
    if found == expected {
        return Ok(());
    }
    let missing = found.iter().find(|name| !expected.contains(name));
    let unknown = expected.iter().find(|name| !found.contains(name));
    Err(match (missing, unknown) {
        (Some(name), _) => format!("{what} of the fixture has no {name}"),
        (None, Some(name)) => format!("{what} of the fixture has {name}, the network has not"),
        (None, None) => format!("{what} of the network has a name twice"),
    })
}
