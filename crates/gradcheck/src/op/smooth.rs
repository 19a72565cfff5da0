//! The laws that compare with difference quotients: gradient and second derivative.

use std::ops::Range;

use ferrotape_backend::{Result, Rng, Shape};

use super::difference::{self, Verdict, against_slopes};
use super::problem::{Outcome, Problem};
use crate::failure::{Failure, Law, Place};
use crate::input::weights;
use crate::record;

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
    compare(
        &comparison(problem, Law::Gradient, cotangent),
        &subjects(problem, &outcome.grads),
        &value,
    )
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
    let how = comparison(problem, Law::SecondDerivative, &flat);
    compare(&how, &subjects(problem, of_inputs), &value)
}

fn comparison<'a>(problem: &Problem<'_>, law: Law, weights: &'a [f64]) -> Comparison<'a> {
    let rng = Rng::new(problem.options.seed).path("direction");
    Comparison { law, rng, tolerance: problem.options.tolerance, weights }
}

/// The tracked inputs with their gradients.
fn subjects<'a>(problem: &Problem<'_>, grads: &'a [Option<Vec<f64>>]) -> Vec<Option<Subject<'a>>> {
    let subject = |(index, grad): (usize, &'a Option<Vec<f64>>)| {
        let input = &problem.inputs[index];
        let (name, shape) = (format!("input {index}"), *input.shape());
        input.is_tracked().then_some(Subject { name, shape, grad: grad.as_deref() })
    };
    grads.iter().enumerate().map(subject).collect()
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

/// Something that is differentiated by: its name, its sizes and the gradient that was computed.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) grad: Option<&'a [f64]>,
}

/// How a comparison is made.
pub(crate) struct Comparison<'a> {
    pub(crate) law: Law,
    pub(crate) rng: Rng,
    pub(crate) tolerance: f64,
    /// The weights of what is differentiated.
    pub(crate) weights: &'a [f64],
}

/// What is differentiated, moved by a number along a direction in one of the subjects.
type Line<'a> = dyn Fn(usize, &[f64], f64) -> Result<Vec<f64>> + 'a;

/// Compares gradients with difference quotients, along a random direction in each subject.
pub(crate) fn compare(
    how: &Comparison<'_>,
    subjects: &[Option<Subject<'_>>],
    line: &Line<'_>,
) -> Result<(), Failure> {
    let broken = |e| Failure::error(how.law, "computing a difference quotient", &e);
    for (index, subject) in subjects.iter().enumerate() {
        let Some(subject) = subject else { continue };
        let count = subject.shape.numel();
        let direction = weights(how.rng.call(index as u64), count);
        let zeros = vec![0.0; count];
        let grad = subject.grad.unwrap_or(&zeros);
        let analytic: f64 = grad.iter().zip(&direction).map(|(g, v)| g * v).sum();
        let scale: f64 = grad.iter().zip(&direction).map(|(g, v)| (g * v).abs()).sum();
        let along = |t: f64| line(index, &direction, t);
        let verdict = against_slopes(analytic, scale, how.tolerance, how.weights, along);
        let (numeric, tolerance) = match verdict.map_err(broken)? {
            Verdict::Agrees(error) => {
                let second = how.law == Law::SecondDerivative;
                record::see(if second { "second" } else { "gradient" }, error);
                continue;
            }
            Verdict::Differs(numeric, tolerance) => (numeric, tolerance),
        };
        let place = worst_element(how, index, subject, grad, line).map_err(broken)?;
        let why = match (subject.grad, how.law, &place) {
            (None, Law::SecondDerivative, _) => {
                " (the recorded gradient does not depend on it at all: was something detached, or \
                 saved as a constant?)"
            }
            _ if numeric.is_nan() => {
                "; next to this input there is no number: choose values further inside of where it is defined"
            }
            (_, _, None) => {
                "; each part of it by itself agrees, so that several elements lie at kinks or ties (0, equal \
                 values), where there is no derivative: move them away, as Values::AwayFrom does"
            }
            _ => "",
        };
        let message = format!(
            "in {} of shape {}, along a random direction, the derivative of the {} is {analytic:e}, \
             its difference quotient {numeric:e}: they differ by {:.1e} and the tolerance is \
             {tolerance:.1e}{why}",
            subject.name,
            subject.shape,
            if how.law == Law::Gradient { "weighted value" } else { "weighted gradients" },
            (analytic - numeric).abs(),
        );
        return Err(match place {
            Some(place) => Failure::placed(how.law, message, place),
            None => Failure::new(how.law, message),
        });
    }
    Ok(())
}

/// So many elements are looked at one by one. More of them are halved until they are as few.
const FEW: usize = 64;

/// The part of few elements that is off, or else none: the first half if that is, or the second.
fn wrong_part(
    how: &Comparison<'_>,
    index: usize,
    grad: &[f64],
    line: &Line<'_>,
) -> Result<Option<Range<usize>>> {
    let moves = weights(how.rng.call(index as u64), grad.len());
    let is_off = |part: &Range<usize>| -> Result<bool> {
        let mut direction = vec![0.0; grad.len()];
        direction[part.clone()].copy_from_slice(&moves[part.clone()]);
        let terms = || grad[part.clone()].iter().zip(&moves[part.clone()]).map(|(g, v)| g * v);
        let (analytic, scale) = (terms().sum(), terms().map(f64::abs).sum());
        let along = |t: f64| line(index, &direction, t);
        let verdict = against_slopes(analytic, scale, how.tolerance, how.weights, along)?;
        Ok(matches!(verdict, Verdict::Differs(..)))
    };
    let mut part = 0..grad.len();
    while part.len() > FEW {
        let middle = part.start + part.len() / 2;
        let [first, second] = [part.start..middle, middle..part.end];
        part = if is_off(&first)? {
            first
        } else if is_off(&second)? {
            second
        } else {
            return Ok(None);
        };
    }
    Ok(Some(part))
}

/// The element whose derivative is off by the largest multiple of its tolerance, among [`FEW`] of those that are off.
fn worst_element(
    how: &Comparison<'_>,
    index: usize,
    subject: &Subject<'_>,
    grad: &[f64],
    line: &Line<'_>,
) -> Result<Option<Place>> {
    let mut worst: Option<(f64, Place)> = None;
    let Some(part) = wrong_part(how, index, grad, line)? else { return Ok(None) };
    let mut direction = vec![0.0; grad.len()];
    for (position, &analytic) in part.clone().zip(&grad[part]) {
        direction[position] = 1.0;
        let along = |t: f64| line(index, &direction, t);
        let scale = analytic.abs();
        let verdict = against_slopes(analytic, scale, how.tolerance, how.weights, along)?;
        direction[position] = 0.0;
        let Verdict::Differs(numeric, tolerance) = verdict else { continue };
        let excess = (analytic - numeric).abs() / tolerance;
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if worst.as_ref().is_none_or(|(most, _)| excess > *most) {
            let element = unravel(position, &subject.shape);
            let tensor = subject.name.clone();
            worst = Some((excess, Place { tensor, element, analytic, numeric, tolerance }));
        }
    }
    Ok(worst.map(|(_, place)| place))
}

/// The index of the element at a position in row-major order.
pub(crate) fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut element = vec![0; shape.len()];
    for (slot, &size) in element.iter_mut().zip(shape).rev() {
        *slot = position % size;
        position /= size;
    }
    element
}

/// The steps of [`difference::STEPS`] move values by less than this.
pub(crate) const REACH: f64 = 3.0 * difference::STEPS[0];
