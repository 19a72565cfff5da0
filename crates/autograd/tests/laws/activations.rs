//! Activations and the other functions of one tensor, element by element.

use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use proptest::strategy::Strategy;

use crate::for_all;

/// A test of a function of one tensor without attributes.
macro_rules! unary {
    ($($name:ident: $method:ident, $values:expr;)*) => {$(
        #[test]
        fn $name() {
            let cases = shapes(0..=4, 3).prop_flat_map(|shape| inputs(vec![shape], $values));
            for_all(cases, |device, inputs| Ok(check_op!(device, &inputs, |x| x[0].$method())?));
        }
    )*};
}

unary! {
    relu_obeys_the_laws: relu, Values::Any;
    sigmoid_obeys_the_laws: sigmoid, Values::Any;
    tanh_obeys_the_laws: tanh, Values::Any;
    silu_obeys_the_laws: silu, Values::Any;
    gelu_obeys_the_laws: gelu, Values::Any;
    gelu_tanh_obeys_the_laws: gelu_tanh, Values::Any;
    softplus_obeys_the_laws: softplus, Values::Any;
    log_sigmoid_obeys_the_laws: log_sigmoid, Values::Any;
    neg_obeys_the_laws: neg, Values::Any;
    abs_obeys_the_laws: abs, Values::Any;
    exp_obeys_the_laws: exp, Values::Any;
    log_obeys_the_laws: log, Values::Positive;
    log1p_obeys_the_laws: log1p, Values::Positive;
    expm1_obeys_the_laws: expm1, Values::Any;
    sin_obeys_the_laws: sin, Values::Any;
    cos_obeys_the_laws: cos, Values::Any;
    erf_obeys_the_laws: erf, Values::Any;
    sqrt_obeys_the_laws: sqrt, Values::Positive;
    rsqrt_obeys_the_laws: rsqrt, Values::Positive;
    reciprocal_obeys_the_laws: reciprocal, Values::Positive;
    square_obeys_the_laws: square, Values::Any;
}

#[test]
fn leaky_relu_obeys_the_laws_for_every_slope() {
    let cases =
        shapes(0..=4, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), -1.0..1.0));
    for_all(cases, |device, (inputs, slope)| {
        Ok(check_op!(device, &inputs, |x| x[0].leaky_relu(slope), slope)?)
    });
}

#[test]
fn elu_obeys_the_laws_for_every_alpha() {
    let cases =
        shapes(0..=4, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), 0.1..2.0));
    for_all(cases, |device, (inputs, alpha)| {
        Ok(check_op!(device, &inputs, |x| x[0].elu(alpha), alpha)?)
    });
}
