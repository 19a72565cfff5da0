//! The laws that compare with difference quotients: gradient and second derivative.

use ferrotape_backend::Result;

use super::difference::{self, disagreement};
use super::problem::{Outcome, Problem};
use crate::failure::{Failure, Law, Place};
use crate::input::weights;

/// Compares the gradient of each input, along a random direction in it, with a difference quotient
/// of the value; a mismatch is searched for its element.
pub(super) fn gradient(
    problem: &Problem<'_>,
    outcome: &Outcome,
    cotangent: &[f64],
) -> Result<(), Failure> {
    let value = |index: usize, direction: &[f64], t: f64| {
        Ok(problem.value(&problem.moved(index, direction, t))?.1)
    };
    compare(problem, Law::Gradient, &outcome.grads, cotangent, &value)
}

/// The same one order higher, for the sum of all gradients with random weights.
pub(super) fn second(
    problem: &Problem<'_>,
    cotangent: &[f64],
    grad_weights: &[Vec<f64>],
    of_inputs: &[Option<Vec<f64>>],
) -> Result<(), Failure> {
    let flat = grad_weights.concat();
    let value = |index: usize, direction: &[f64], t: f64| {
        let outcome = problem.run(&problem.moved(index, direction, t), cotangent)?;
        Ok(stacked(&outcome, grad_weights))
    };
    compare(problem, Law::SecondDerivative, of_inputs, &flat, &value)
}

/// All gradients one after the other, zeros for those that are not there.
pub(super) fn stacked(outcome: &Outcome, sizes: &[Vec<f64>]) -> Vec<f64> {
    let mut all = Vec::new();
    for (grad, like) in outcome.grads.iter().zip(sizes) {
        match grad {
            Some(grad) => all.extend_from_slice(grad),
            None => all.extend(std::iter::repeat_n(0.0, like.len())),
        }
    }
    all
}

type Line<'a> = dyn Fn(usize, &[f64], f64) -> Result<Vec<f64>> + 'a;

fn compare(
    problem: &Problem<'_>,
    law: Law,
    grads: &[Option<Vec<f64>>],
    out_weights: &[f64],
    line: &Line<'_>,
) -> Result<(), Failure> {
    let relative = problem.options.tolerance;
    for (index, input) in problem.inputs.iter().enumerate().filter(|(_, i)| i.is_tracked()) {
        let count = input.shape().numel();
        let direction = weights(problem.rng("direction", index), count);
        let zeros = vec![0.0; count];
        let grad = grads[index].as_ref().unwrap_or(&zeros);
        let analytic: f64 = grad.iter().zip(&direction).map(|(g, v)| g * v).sum();
        let scale: f64 = grad.iter().zip(&direction).map(|(g, v)| (g * v).abs()).sum();
        let along = |t: f64| line(index, &direction, t);
        let failed = disagreement(analytic, scale, relative, out_weights, along)
            .map_err(|error| Failure::error(law, "computing a difference quotient", &error))?;
        let Some((numeric, tolerance)) = failed else { continue };
        let place = worst_element(problem, index, grad, out_weights, line)
            .map_err(|error| Failure::error(law, "computing a difference quotient", &error))?;
        let missing = match (&grads[index], law) {
            (None, Law::SecondDerivative) => {
                " (the recorded gradient does not depend on this input at all: was something it \
                 was computed from detached or saved as a constant?)"
            }
            _ => "",
        };
        let message = format!(
            "in input {index} of shape {}, along a random direction, the derivative of the {} is \
             {analytic:e}, its difference quotient {numeric:e}: they differ by {:.1e} and the \
             tolerance is {tolerance:.1e}{missing}",
            input.shape(),
            if law == Law::Gradient { "weighted value" } else { "weighted gradients" },
            (analytic - numeric).abs(),
        );
        return Err(match place {
            Some(place) => Failure::placed(law, message, place),
            None => Failure::new(law, message),
        });
    }
    Ok(())
}

/// The element whose derivative is off by the largest multiple of its tolerance.
fn worst_element(
    problem: &Problem<'_>,
    index: usize,
    grad: &[f64],
    out_weights: &[f64],
    line: &Line<'_>,
) -> Result<Option<Place>> {
    let shape = problem.inputs[index].shape();
    let mut worst: Option<(f64, Place)> = None;
    let mut direction = vec![0.0; grad.len()];
    for (position, &analytic) in grad.iter().enumerate() {
        direction[position] = 1.0;
        let relative = problem.options.tolerance;
        let along = |t: f64| line(index, &direction, t);
        let found = disagreement(analytic, analytic.abs(), relative, out_weights, along)?;
        direction[position] = 0.0;
        let Some((numeric, tolerance)) = found else { continue };
        let excess = (analytic - numeric).abs() / tolerance;
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if worst.as_ref().is_none_or(|(most, _)| excess > *most) {
            let element = unravel(position, shape);
            let place = Place { input: Some(index), element, analytic, numeric, tolerance };
            worst = Some((excess, place));
        }
    }
    Ok(worst.map(|(_, place)| place))
}

/// The index of the element at a position in row-major order.
pub(super) fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut element = vec![0; shape.len()];
    for (slot, &size) in element.iter_mut().zip(shape).rev() {
        *slot = position % size;
        position /= size;
    }
    element
}

/// The steps of [`difference::STEPS`] move values by less than this.
pub(crate) const REACH: f64 = 3.0 * difference::STEPS[0];
