//! The laws, one after the other.

use std::any::Any;

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, Device, Error, ErrorKind, Shape};

use super::problem::{Outcome, Problem, Second};
use super::smooth::{self, unravel};
use crate::failure::{Failure, Law, Place};
use crate::input::{Input, MemoryLayout, weights};
use crate::record;

pub(super) type Checked<T = ()> = Result<T, Failure>;

pub(super) fn on(law: Law, doing: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::error(law, doing, &error)
}

pub(super) fn check(problem: &Problem<'_>) -> Checked {
    let before = problem.device.memory().live_bytes;
    all_but_leaks(problem)?;
    let after = problem.device.memory().live_bytes;
    if after != before {
        return Err(Failure::new(
            Law::Leak,
            format!(
                "{before} bytes were live before the checks and {after} after everything was \
                 dropped; if another thread uses the device, give the check one of its own"
            ),
        ));
    }
    Ok(())
}

fn all_but_leaks(problem: &Problem<'_>) -> Checked {
    let (value, host) =
        problem.value(problem.inputs).map_err(on(Law::Value, "the forward pass"))?;
    if let Some(position) = host.iter().position(|y| !y.is_finite()) {
        let element = unravel(position, value.shape());
        return Err(Failure::new(
            Law::Value,
            format!("element {element:?} of the value is {}, choose other inputs", host[position]),
        ));
    }
    let cotangent = weights(problem.rng("cotangent", 0), host.len());
    let shape = *value.shape();
    drop(value);
    deterministic_value(problem, &host)?;
    if !problem.tracked().contains(&true) {
        return Ok(());
    }
    let outcome =
        problem.run(problem.inputs, &cotangent).map_err(on(Law::Gradient, "the backward pass"))?;
    let untracked = Outcome { shape, value: host, grads: outcome.grads.clone() };
    equal(problem, Law::Value, "with its inputs tracked", &outcome, &untracked)?;
    nothing_missing(problem, &outcome)?;
    deterministic(problem, &outcome, &cotangent)?;
    smooth::gradient(problem, &outcome, &cotangent)?;
    linear(problem, &outcome, &cotangent)?;
    partial(problem, &outcome, &cotangent)?;
    stale(problem, &outcome, &cotangent)?;
    if problem.options.layouts {
        layouts(problem, &cotangent)?;
        fed_layouts(problem, &outcome, &cotangent, shape)?;
    }
    reference(problem, &outcome, &cotangent)?;
    if problem.options.second_derivative {
        second(problem, &outcome, &cotangent)?;
    }
    Ok(())
}

/// Every tracked input has a gradient without gaps.
fn nothing_missing(problem: &Problem<'_>, outcome: &Outcome) -> Checked {
    for (index, input) in problem.inputs.iter().enumerate().filter(|(_, i)| i.is_tracked()) {
        let Some(grad) = &outcome.grads[index] else {
            return Err(Failure::new(
                Law::NothingMissing,
                format!(
                    "input {index} is tracked and gets no gradient; if the operator is not to be \
                     differentiated in it, make it a constant()"
                ),
            ));
        };
        if let Some(position) = grad.iter().position(|g| !g.is_finite()) {
            return Err(Failure::new(
                Law::NothingMissing,
                format!(
                    "element {:?} of the gradient of input {index} is {}",
                    unravel(position, input.shape()),
                    grad[position]
                ),
            ));
        }
    }
    Ok(())
}

fn deterministic_value(problem: &Problem<'_>, host: &[f64]) -> Checked {
    let (_, again) =
        problem.value(problem.inputs).map_err(on(Law::Determinism, "a second forward pass"))?;
    if same_bits(host, &again) {
        return Ok(());
    }
    Err(Failure::new(
        Law::Determinism,
        "two forward passes gave different bits; what is drawn at random, such as a mask, is to be an Input, and \
         nothing is to change between calls",
    ))
}

fn deterministic(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    let again = problem
        .run(problem.inputs, cotangent)
        .map_err(on(Law::Determinism, "a second backward pass"))?;
    same_run(problem, "computed a second time", &again, outcome)
}

fn same_run(problem: &Problem<'_>, how: &str, again: &Outcome, first: &Outcome) -> Checked {
    let grads = first.grads.iter().zip(&again.grads);
    let same = same_bits(&first.value, &again.value)
        && grads.flat_map(|(a, b)| a.iter().zip(b)).all(|(a, b)| same_bits(a, b));
    if same {
        return Ok(());
    }
    equal(problem, Law::Determinism, how, again, first)?;
    Err(Failure::new(Law::Determinism, format!("{how}, some numbers differ in their last bits")))
}

/// Value and gradients have the same bits on other devices: the same one with more threads.
pub(super) fn same_on(problem: &Problem<'_>, others: &[Device]) -> Checked {
    let failed = on(Law::Determinism, "the operator");
    let (_, host) = problem.value(problem.inputs).map_err(&failed)?;
    let cotangent = weights(problem.rng("cotangent", 0), host.len());
    let run = |device: &Device| {
        problem.run_on(device, problem.inputs, &problem.tracked(), &cotangent, |_| Ok(()))
    };
    let first = run(problem.device).map_err(&failed)?;
    for (index, other) in others.iter().enumerate() {
        let again = run(other).map_err(&failed)?;
        same_run(problem, &format!("on other device {index}"), &again, &first)?;
    }
    Ok(())
}

/// Whether two lists are the same to the bit.
pub(crate) fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// `g(2 u - 3 w) = 2 g(u) - 3 g(w)`.
fn linear(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    let doing = on(Law::Linear, "the backward pass with another cotangent");
    let other = weights(problem.rng("cotangent", 1), cotangent.len());
    let mixed: Vec<f64> = cotangent.iter().zip(&other).map(|(u, w)| 2.0 * u - 3.0 * w).collect();
    let other = problem.run(problem.inputs, &other).map_err(&doing)?;
    let mixed = problem.run(problem.inputs, &mixed).map_err(&doing)?;
    let mut expected = mixed.clone();
    for ((sum, u), w) in expected.grads.iter_mut().zip(&outcome.grads).zip(&other.grads) {
        if let (Some(sum), Some(u), Some(w)) = (sum, u, w) {
            for ((sum, u), w) in sum.iter_mut().zip(u).zip(w) {
                *sum = 2.0 * u - 3.0 * w;
            }
        }
    }
    equal(problem, Law::Linear, "with a combination of two cotangents fed in", &mixed, &expected)
}

/// With only one input tracked, its gradient is the same.
fn partial(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    let tracked = problem.tracked();
    if tracked.iter().filter(|t| **t).count() < 2 {
        return Ok(());
    }
    for index in (0..tracked.len()).filter(|&i| tracked[i]) {
        let mut only = vec![false; tracked.len()];
        only[index] = true;
        let run = problem
            .run_on(problem.device, problem.inputs, &only, cotangent, |_| Ok(()))
            .map_err(on(Law::Partial, "with only one input tracked, the backward pass"))?;
        let mut expected = Outcome { grads: vec![None; tracked.len()], ..run.clone() };
        expected.grads[index] = outcome.grads[index].clone();
        let how = format!("with only input {index} tracked");
        equal(problem, Law::Partial, &how, &run, &expected)?;
        if problem.options.second_derivative {
            let run = problem
                .recorded(&only, cotangent)
                .map_err(on(Law::Partial, "with only one input tracked, the recorded backward"))?;
            let how = format!("in a recorded backward pass with only input {index} tracked");
            equal(problem, Law::Partial, &how, &run, &expected)?;
        }
    }
    Ok(())
}

/// After an input was overwritten, backward gives the right gradients or says what happened.
fn stale(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    for changed in 0..problem.inputs.len() {
        let overwrite = |arrays: &mut [Array]| {
            let array = &mut arrays[changed];
            // Memory that a broadcast repeats cannot be written through it.
            if array.layout().is_overlapping() {
                return Ok(());
            }
            let device = array.device().clone();
            device.backend().fill(array, 0.0)
        };
        let tracked = problem.tracked();
        match problem.run_on(problem.device, problem.inputs, &tracked, cotangent, overwrite) {
            Err(error) if error.kind() == ErrorKind::Modified => {}
            Err(error) => {
                return Err(on(Law::Stale, "after an input was overwritten, backward()")(error));
            }
            Ok(run) => {
                let how = format!("with input {changed} overwritten between forward and backward");
                equal(problem, Law::Stale, &how, &run, outcome)?;
            }
        }
    }
    Ok(())
}

/// Each input in each layout, the others as given; and stretched values as a broadcast.
fn layouts(problem: &Problem<'_>, cotangent: &[f64]) -> Checked {
    let run = |inputs: &[Input]| {
        problem.run(inputs, cotangent).map_err(on(Law::Layout, "in another layout, the operator"))
    };
    let plain = |input: &Input| input.clone().laid_out(MemoryLayout::Contiguous);
    let inputs: Vec<Input> = problem.inputs.iter().map(plain).collect();
    let expected = run(&inputs)?;
    let compare = |index: usize, expected: &Outcome, of: &[Input], layout: MemoryLayout| {
        let mut inputs = of.to_vec();
        let how = format!("with input {index} laid out as {layout:?}");
        let name = layout.name();
        inputs[index] = inputs[index].clone().laid_out(layout);
        let run = run(&inputs)?;
        equal(problem, Law::Layout, &how, &run, expected)?;
        record::see(name, difference(&run, expected));
        Ok::<_, Failure>(())
    };
    equal(problem, Law::Layout, "in the given layouts", &run(problem.inputs)?, &expected)?;
    record::see(MemoryLayout::Contiguous.name(), 0.0);
    for index in 0..inputs.len() {
        for layout in MemoryLayout::all(inputs[index].shape()).into_iter().skip(1) {
            compare(index, &expected, &inputs, layout)?;
        }
        let shape = *inputs[index].shape();
        for dim in (0..shape.rank()).filter(|&dim| shape[dim] > 1) {
            let mut repeated = inputs.clone();
            repeated[index] = repeated[index].repeated(dim);
            let expected = run(&repeated)?;
            compare(index, &expected, &repeated, MemoryLayout::Broadcast(dim))?;
        }
    }
    Ok(())
}

/// What is fed in laid out in every way, and all inputs permuted at once.
fn fed_layouts(
    problem: &Problem<'_>,
    outcome: &Outcome,
    cotangent: &[f64],
    shape: Shape,
) -> Checked {
    let failed = on(Law::Layout, "with what is fed in laid out in another way, backward()");
    let seed = Input::new(shape, cotangent).map_err(&failed)?;
    let run = |seed: &Input| problem.run_fed(problem.inputs, seed).map_err(&failed);
    for layout in MemoryLayout::all(&shape).into_iter().skip(1) {
        let how = format!("with what is fed in laid out as {layout:?}");
        equal(problem, Law::Layout, &how, &run(&seed.clone().laid_out(layout))?, outcome)?;
    }
    for dim in (0..shape.rank()).filter(|&dim| shape[dim] > 1) {
        let repeated = seed.repeated(dim);
        let expected = run(&repeated)?;
        let broadcast = repeated.laid_out(MemoryLayout::Broadcast(dim));
        let how = format!("with what is fed in broadcast along dimension {dim}");
        equal(problem, Law::Layout, &how, &run(&broadcast)?, &expected)?;
    }
    let permuted = |input: &Input| match input.shape().rank() {
        0 | 1 => input.clone(),
        rank => input.clone().laid_out(MemoryLayout::Permuted((0..rank).rev().collect())),
    };
    let inputs: Vec<Input> = problem.inputs.iter().map(permuted).collect();
    let run = problem.run(&inputs, cotangent).map_err(&failed)?;
    equal(problem, Law::Layout, "with all inputs permuted in memory", &run, outcome)
}

fn reference(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    let backend: &dyn Any = problem.device.backend();
    if backend.is::<Reference>() {
        return Ok(());
    }
    let device = Device::new(Reference::new());
    let tracked = problem.tracked();
    let expected = problem
        .run_on(&device, problem.inputs, &tracked, cotangent, |_| Ok(()))
        .map_err(|error| {
            let captured = error.kind() == ErrorKind::DeviceMismatch;
            let failure = on(Law::Reference, "on the reference backend, the operator")(error);
            match captured {
                true => failure.hint(
                    "an array that the operator brings along is to be an Input, constant() if it has no gradient, \
                     or made on the device of the inputs",
                ),
                false => failure,
            }
        })?;
    equal(problem, Law::Reference, "beside the reference backend", outcome, &expected)?;
    record::see("value", difference(outcome, &expected));
    Ok(())
}

/// The recorded backward pass, and its derivatives in the inputs and in what is fed in.
fn second(problem: &Problem<'_>, outcome: &Outcome, cotangent: &[f64]) -> Checked {
    let sized = |(index, input): (usize, &Input)| {
        let rng = problem.rng("gradient weight", index);
        if input.is_tracked() { weights(rng, input.shape().numel()) } else { Vec::new() }
    };
    let grad_weights: Vec<Vec<f64>> = problem.inputs.iter().enumerate().map(sized).collect();
    let second = problem
        .second(cotangent, &grad_weights, true)
        .map_err(on(Law::SecondDerivative, "the recorded backward pass"))?;
    equal(problem, Law::Recorded, "in a recorded backward pass", &second.first, outcome)?;
    same_untracked(problem, &second, cotangent, &grad_weights)?;

    // The gradient is linear in the cotangent, so its derivative there is known exactly.
    let direction = weights(problem.rng("cotangent", 2), cotangent.len());
    let along = problem
        .run(problem.inputs, &direction)
        .map_err(on(Law::SecondDerivative, "the backward pass with another cotangent"))?;
    let terms = smooth::stacked(&along, &grad_weights);
    let flat = grad_weights.concat();
    let expected: f64 = terms.iter().zip(&flat).map(|(g, w)| g * w).sum();
    let scale: f64 = terms.iter().zip(&flat).map(|(g, w)| (g * w).abs()).sum();
    let of_cotangent = second.of_cotangent.unwrap_or_else(|| vec![0.0; cotangent.len()]);
    let found: f64 = of_cotangent.iter().zip(&direction).map(|(s, v)| s * v).sum();
    let tolerance = problem.options.rounding * scale.max(1.0);
    if (found - expected).abs() > tolerance || found.is_nan() {
        return Err(Failure::new(
            Law::SecondDerivative,
            format!(
                "the derivative of the weighted gradients in the cotangent, along a random \
                 direction, is {found:e} and should be {expected:e}: they differ by {:.1e} and the \
                 tolerance is {tolerance:.1e}",
                (found - expected).abs()
            ),
        ));
    }
    smooth::second(problem, cotangent, &grad_weights, &second.of_inputs)
}

/// Second derivatives are the same where what is fed in has no gradient of its own, as in a loss.
fn same_untracked(
    problem: &Problem<'_>,
    second: &Second,
    cotangent: &[f64],
    grad_weights: &[Vec<f64>],
) -> Checked {
    let untracked = problem.second(cotangent, grad_weights, false).map_err(on(
        Law::SecondDerivative,
        "with what is fed in untracked, the recorded backward pass",
    ))?;
    let outcome = |second: &Second| {
        let filled = |(grad, like): (&Option<Vec<f64>>, &Vec<f64>)| {
            Some(grad.clone().unwrap_or_else(|| vec![0.0; like.len()]))
        };
        let grads = second.of_inputs.iter().zip(grad_weights).map(filled).collect();
        Outcome { shape: second.first.shape, value: Vec::new(), grads }
    };
    let how = "for the second derivatives, with what is fed in untracked";
    equal(problem, Law::SecondDerivative, how, &outcome(&untracked), &outcome(second))
}

/// Two outcomes that may differ by rounding only.
pub(super) fn equal(
    problem: &Problem<'_>,
    law: Law,
    how: &str,
    found: &Outcome,
    expected: &Outcome,
) -> Checked {
    let shape = |index: usize| problem.inputs[index].shape().dims().to_vec();
    let tolerance = problem.options.rounding;
    if found.value.len() != expected.value.len() {
        return Err(Failure::new(
            law,
            format!(
                "{how}, the value has {} elements and should have {}",
                found.value.len(),
                expected.value.len()
            ),
        ));
    }
    if let Some((position, tolerance)) = differ(&found.value, &expected.value, tolerance) {
        let (analytic, numeric) = (found.value[position], expected.value[position]);
        let element = unravel(position, &expected.shape);
        let tensor = "value".to_owned();
        let place = Place { tensor, element, analytic, numeric, tolerance };
        return Err(Failure::placed(law, format!("{how}, the value differs"), place));
    }
    for (index, (found, expected)) in found.grads.iter().zip(&expected.grads).enumerate() {
        let (Some(found), Some(expected)) = (found, expected) else {
            if found.is_some() == expected.is_some() {
                continue;
            }
            let which = if found.is_some() { "appears" } else { "disappears" };
            let message = format!("{how}, the gradient of input {index} {which}");
            return Err(Failure::new(law, message));
        };
        if let Some((position, tolerance)) = differ(found, expected, tolerance) {
            let element = unravel(position, &shape(index));
            let (analytic, numeric) = (found[position], expected[position]);
            let tensor = format!("input {index}");
            let place = Place { tensor, element, analytic, numeric, tolerance };
            return Err(Failure::placed(law, format!("{how}, a gradient differs"), place));
        }
    }
    Ok(())
}

/// How far two outcomes that passed for equal are apart, relative to what their rounding is judged by.
fn difference(found: &Outcome, expected: &Outcome) -> f64 {
    let lists = |outcome: &Outcome| {
        let grads = outcome.grads.iter().flatten().cloned();
        std::iter::once(outcome.value.clone()).chain(grads).collect::<Vec<_>>()
    };
    let relative = |(found, expected): (Vec<f64>, Vec<f64>)| {
        let largest = expected.iter().fold(1.0f64, |m, e| m.max(e.abs()));
        let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs());
        off.fold(0.0, f64::max) / largest
    };
    lists(found).into_iter().zip(lists(expected)).map(relative).fold(0.0, f64::max)
}

/// The position where two lists of one length differ most, if by more than the tolerance, which it gives too.
pub(crate) fn differ(found: &[f64], expected: &[f64], relative: f64) -> Option<(usize, f64)> {
    let largest = expected.iter().fold(1.0f64, |m, e| m.max(e.abs()));
    let tolerance = relative * largest;
    let off = |i: usize| {
        let difference = (found[i] - expected[i]).abs();
        let same = found[i] == expected[i] || (found[i].is_nan() && expected[i].is_nan());
        match (same, difference.is_nan()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => difference,
        }
    };
    let worst = (0..found.len()).max_by(|&a, &b| off(a).total_cmp(&off(b)))?;
    (off(worst) > tolerance).then_some((worst, tolerance))
}
