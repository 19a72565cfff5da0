//! Arithmetic with broadcasting, scalars, clamping and selection.

use ferrotape_gradcheck::strategy::{Values, broadcast_pair, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

/// Two inputs whose shapes broadcast.
fn pairs(values: Values) -> impl Strategy<Value = Vec<Input>> {
    broadcast_pair(4, 3).prop_flat_map(move |(a, b)| inputs(vec![a, b], values.clone()))
}

/// A test of a function of two tensors.
macro_rules! binary {
    ($($name:ident: $method:ident, $values:expr;)*) => {$(
        #[test]
        fn $name() {
            let cases = pairs($values);
            for_all(cases, |device, inputs| {
                Ok(check_op!(device, &inputs, |x| x[0].$method(&x[1]))?)
            });
        }
    )*};
}

binary! {
    add_obeys_the_laws: add, Values::Any;
    sub_obeys_the_laws: sub, Values::Any;
    mul_obeys_the_laws: mul, Values::Any;
    div_obeys_the_laws: div, Values::Positive;
    maximum_obeys_the_laws: maximum, Values::Any;
    minimum_obeys_the_laws: minimum, Values::Any;
    pow_obeys_the_laws: pow, Values::Positive;
}

#[test]
fn a_tensor_used_for_both_operands_gets_the_sum_of_both_gradients() {
    let cases = shapes(0..=3, 3).prop_flat_map(|shape| inputs(vec![shape], Values::Positive));
    for_all(cases, |device, inputs| {
        check_op!(device, &inputs, |x| x[0].mul(&x[0]))?;
        check_op!(device, &inputs, |x| x[0].pow(&x[0]))?;
        Ok(check_op!(device, &inputs, |x| x[0].div(&x[0].add(&x[0].sin()?)?))?)
    });
}

#[test]
fn arithmetic_with_a_scalar_obeys_the_laws() {
    let cases = shapes(0..=4, 3).prop_flat_map(|s| (inputs(vec![s], Values::Any), -2.0..2.0));
    for_all(cases, |device, (inputs, scalar)| {
        check_op!(device, &inputs, |x| x[0].add_scalar(scalar), scalar)?;
        Ok(check_op!(device, &inputs, |x| x[0].mul_scalar(scalar), scalar)?)
    });
}

#[test]
fn pow_scalar_obeys_the_laws_for_every_exponent() {
    let exponents = || select(vec![-2.0, -0.5, 0.0, 0.75, 1.0, 2.0, 3.0, 3.3]);
    let cases =
        shapes(0..=4, 3).prop_flat_map(move |s| (inputs(vec![s], Values::Positive), exponents()));
    for_all(cases, |device, (inputs, exponent)| {
        Ok(check_op!(device, &inputs, |x| x[0].pow_scalar(exponent), exponent)?)
    });
}

#[test]
fn pow_scalar_with_a_whole_exponent_takes_negative_bases() {
    let cases = shapes(0..=3, 3)
        .prop_flat_map(|s| (inputs(vec![s], Values::Any), select(vec![-1.0, 0.0, 1.0, 2.0, 3.0])));
    for_all(cases, |device, (inputs, exponent)| {
        Ok(check_op!(device, &inputs, |x| x[0].pow_scalar(exponent), exponent)?)
    });
}

#[test]
fn clamp_obeys_the_laws_away_from_its_bounds() {
    let cases = shapes(0..=4, 3)
        .prop_flat_map(|shape| inputs(vec![shape], Values::AwayFrom(&[-0.75, 0.5])));
    for_all(cases, |device, inputs| Ok(check_op!(device, &inputs, |x| x[0].clamp(-0.75, 0.5))?));
}

#[test]
fn select_obeys_the_laws_with_a_mask_that_broadcasts() {
    let cases = broadcast_pair(4, 3).prop_flat_map(|(a, b)| {
        let count: usize = a.iter().product();
        (inputs(vec![a.clone(), b], Values::Any), Just(a), vec(any::<bool>(), count))
    });
    for_all(cases, |device, (mut inputs, shape, mask)| {
        let mask: Vec<i64> = mask.into_iter().map(i64::from).collect();
        inputs.push(Input::indices(&shape, mask)?);
        Ok(check_op!(device, &inputs, |x| x[0].select(&x[2], &x[1]))?)
    });
}
