//! Mistakes that a difference quotient does not show: layouts, memory, bits, what is saved.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tensor};
use ferrotape_backend::{Array, DType, Layout, Result, Rng};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, Law};
use proptest::strategy::{Just, Strategy};

use crate::{Custom, caught};

fn one() -> impl Strategy<Value = (Vec<Input>, ())> {
    shapes(2..=4, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), Just(())))
}

fn two() -> impl Strategy<Value = (Vec<Input>, ())> {
    shapes(1..=3, 3)
        .prop_flat_map(|shape| (inputs(vec![shape.clone(), shape], Values::Any), Just(())))
}

/// The product of two tensors of one shape that saves too little: each input only if the
/// gradient of that same input is wanted.
#[derive(Debug)]
struct SavesTooLittle;

impl Op for SavesTooLittle {
    fn name(&self) -> &'static str {
        "saves_too_little"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        (0..2).filter(|&i| cx.needs(i)).collect::<Vec<_>>().iter().for_each(|&i| cx.save_input(i));
        let [a, b] = [inputs[0], inputs[1]].map(|a| Tensor::from(a.clone()));
        Ok(a.mul(&b)?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let of = |i: usize| cx.needs(i).then(|| grad.mul(&cx.input(1 - i)?)).transpose();
        Ok([of(0)?, of(1)?].into_iter().collect())
    }
}

/// The square, whose backward rule reads memory that the tape does not know of.
#[derive(Debug, Default)]
struct SavesBehindTheTape(Mutex<Option<Array>>);

impl Op for SavesBehindTheTape {
    fn name(&self) -> &'static str {
        "saves_behind_the_tape"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        *self.0.lock().expect("nothing panics while it is locked") = Some(inputs[0].clone());
        Ok(Tensor::from(inputs[0].clone()).square()?.into_array())
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let saved = self.0.lock().expect("nothing panics while it is locked").clone();
        let x = Tensor::from(saved.expect("forward ran before backward"));
        Ok([Some(grad.mul(&x)?.mul_scalar(2.0)?)].into_iter().collect())
    }
}

/// The square with one rule for the ordinary backward pass and a wrong one for the recorded.
#[derive(Debug)]
struct TwoRules;

impl Op for TwoRules {
    fn name(&self) -> &'static str {
        "two_rules"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        cx.save_input(0);
        Ok(Tensor::from(inputs[0].clone()).square()?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let factor = if cx.recording() { 2.5 } else { 2.0 };
        Ok([Some(grad.mul(&cx.input(0)?)?.mul_scalar(factor)?)].into_iter().collect())
    }
}

/// The exponential, whose backward rule computes in the memory of what it is given.
#[derive(Debug)]
struct InPlace {
    /// In that of the saved output, in place of the gradient's.
    of_output: bool,
}

impl Op for InPlace {
    fn name(&self) -> &'static str {
        "in_place"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        cx.save_output();
        Ok(Tensor::from(inputs[0].clone()).exp()?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let output = cx.output()?;
        let result = grad.mul(&output)?;
        let given = if self.of_output { &output } else { grad };
        let mut given = given.array().clone();
        if !given.layout().is_overlapping() {
            grad.device().backend().fill(&mut given, 0.0)?;
        }
        Ok([Some(result)].into_iter().collect())
    }
}

/// The negative, with a gradient for an input that it does not have.
#[derive(Debug)]
struct OneTooMany;

impl Op for OneTooMany {
    fn name(&self) -> &'static str {
        "one_too_many"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        Ok(Tensor::from(inputs[0].clone()).neg()?.into_array())
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let grad = grad.neg()?;
        Ok([Some(grad.clone()), Some(grad)].into_iter().collect())
    }
}

#[test]
fn a_backward_rule_that_writes_into_what_it_is_given_is_caught() {
    for of_output in [false, true] {
        let law = caught(one(), false, |x, ()| Tensor::apply(InPlace { of_output }, &[&x[0]]));
        assert_eq!(law, Some(Law::Gradient), "{of_output}");
    }
}

#[test]
fn a_gradient_too_many_is_caught() {
    let law = caught(one(), false, |x, ()| Tensor::apply(OneTooMany, &[&x[0]]));
    assert_eq!(law, Some(Law::Gradient));
}

#[test]
fn numbers_that_are_drawn_in_the_operator_are_caught_as_such() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let law = caught(one(), false, |x, ()| {
        x[0].mul_scalar(1.0 + Rng::new(1).uniform_f64(CALLS.fetch_add(1, Ordering::Relaxed)))
    });
    assert_eq!(law, Some(Law::Determinism));
}

#[test]
fn an_operand_saved_only_for_its_own_gradient_is_caught() {
    let law = caught(two(), true, |x, ()| Tensor::apply(SavesTooLittle, &[&x[0], &x[1]]));
    assert_eq!(law, Some(Law::Partial));
}

#[test]
fn a_value_saved_behind_the_tape_is_caught_when_it_changes() {
    let law = caught(one(), false, |x, ()| Tensor::apply(SavesBehindTheTape::default(), &[&x[0]]));
    assert_eq!(law, Some(Law::Stale));
}

#[test]
fn a_recorded_backward_that_differs_is_caught() {
    let law = caught(one(), true, |x, ()| Tensor::apply(TwoRules, &[&x[0]]));
    assert_eq!(law, Some(Law::Recorded));
}

#[test]
fn a_detached_input_is_caught_as_a_missing_gradient() {
    let law = caught(two(), true, |x, ()| x[0].mul(&x[1].detach()));
    assert_eq!(law, Some(Law::NothingMissing));
}

#[test]
fn a_gradient_that_is_clipped_where_it_is_large_is_caught() {
    let law = caught(one(), false, |x, attributes| {
        let forward = |x: &[Tensor], ()| x[0].mul_scalar(3.0);
        let backward = |_: &[Tensor], g: &Tensor, ()| -> Result<Vec<Option<Tensor>>> {
            Ok(vec![Some(g.mul_scalar(3.0)?.clamp(-5.0, 5.0)?)])
        };
        Tensor::apply(Custom { attributes, forward, backward }, &[&x[0]])
    });
    assert_eq!(law, Some(Law::Linear));
}

#[test]
fn a_result_that_left_the_tape_is_caught() {
    let law = caught(one(), true, |x, ()| Ok(x[0].exp()?.detach()));
    assert_eq!(law, Some(Law::Gradient));
}

#[test]
fn a_kernel_that_takes_every_memory_for_row_major_is_caught() {
    let law = caught(one(), true, |x, ()| {
        // As if the elements lay one after the other from the first on.
        let row_major = Layout::contiguous(*x[0].shape());
        let misread = Tensor::from(x[0].array().with_layout(row_major)?);
        x[0].mul(&misread)?.detach().mul(&x[0])
    });
    assert!(matches!(law, Some(Law::Layout | Law::Gradient | Law::Value)), "{law:?}");
}

#[test]
fn noise_in_the_last_bits_is_caught() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let law = caught(one(), false, |x, ()| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        x[0].mul_scalar(1.0 + call as f64 * f64::EPSILON)
    });
    assert_eq!(law, Some(Law::Determinism));
}

#[test]
fn memory_that_is_kept_is_caught() {
    static KEPT: Mutex<Vec<Array>> = Mutex::new(Vec::new());
    let law = caught(one(), false, |x, ()| {
        let y = x[0].exp()?;
        KEPT.lock().expect("nothing panics while it is locked").push(y.array().clone());
        Ok(y)
    });
    assert_eq!(law, Some(Law::Leak));
}

#[test]
fn a_value_of_f32_is_refused() {
    let law = caught(one(), true, |x, ()| x[0].cast(DType::F32));
    assert_eq!(law, Some(Law::Value));
}
