//! Activations and the other functions of one tensor, element by element.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, DType, Device, Error, Result, reference::Reference};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use proptest::prelude::any;
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
    relu6_obeys_the_laws: relu6, Values::AwayFrom(&[6.0]);
    selu_obeys_the_laws: selu, Values::Any;
    mish_obeys_the_laws: mish, Values::Any;
    hardswish_obeys_the_laws: hardswish, Values::AwayFrom(&[-3.0, 3.0]);
    hardsigmoid_obeys_the_laws: hardsigmoid, Values::AwayFrom(&[-3.0, 3.0]);
    softsign_obeys_the_laws: softsign, Values::Any;
    tanhshrink_obeys_the_laws: tanhshrink, Values::Any;
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

#[test]
fn celu_obeys_the_laws_for_every_alpha() {
    let cases =
        shapes(0..=4, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), 0.1..2.0));
    for_all(cases, |device, (inputs, alpha)| {
        Ok(check_op!(device, &inputs, |x| x[0].celu(alpha), alpha)?)
    });
}

#[test]
fn bounded_and_shrunk_values_obey_the_laws() {
    let away = Values::AwayFrom(&[-0.7, 0.7]);
    let cases = shapes(0..=4, 3).prop_flat_map(move |shape| inputs(vec![shape], away.clone()));
    for_all(cases, |device, inputs| {
        check_op!(device, &inputs, |x| x[0].hardtanh(-0.7, 0.7))?;
        check_op!(device, &inputs, |x| x[0].softshrink(0.7))?;
        Ok(check_op!(device, &inputs, |x| x[0].hardshrink(0.7))?)
    });
}

#[test]
fn prelu_obeys_the_laws_with_one_slope_and_with_one_a_channel() {
    let cases = (shapes(0..=4, 3), any::<bool>()).prop_flat_map(|(shape, each)| {
        let slopes = if each { shape.get(1).copied().unwrap_or(1) } else { 1 };
        inputs(vec![shape, vec![slopes]], Values::Any)
    });
    for_all(cases, |device, inputs| Ok(check_op!(device, &inputs, |x| x[0].prelu(&x[1]))?));
}

/// The values of a function at some points, and its gradients there.
fn at(points: &[f64], f: impl Fn(&Tensor) -> Result<Tensor>) -> (Vec<f64>, Vec<f64>) {
    let computed = || {
        let device = Device::new(Reference::new());
        let x = Tape::new().variable(Array::from_slice(&device, points, [points.len()])?)?;
        let y = f(&x)?;
        Ok::<_, Error>((y.to_vec()?, y.sum_all()?.backward()?.of(&x)?.to_vec()?))
    };
    computed().expect("the function is defined everywhere")
}

/// An activation under its name.
type Named = (&'static str, fn(&Tensor) -> Result<Tensor>);

const ALL: [Named; 20] = [
    ("relu", Tensor::relu),
    ("leaky_relu", |x| x.leaky_relu(0.1)),
    ("elu", |x| x.elu(1.0)),
    ("sigmoid", Tensor::sigmoid),
    ("tanh", Tensor::tanh),
    ("silu", Tensor::silu),
    ("gelu", Tensor::gelu),
    ("softplus", Tensor::softplus),
    ("log_sigmoid", Tensor::log_sigmoid),
    ("relu6", Tensor::relu6),
    ("hardtanh", |x| x.hardtanh(-1.0, 1.0)),
    ("selu", Tensor::selu),
    ("celu", |x| x.celu(0.5)),
    ("mish", Tensor::mish),
    ("hardswish", Tensor::hardswish),
    ("hardsigmoid", Tensor::hardsigmoid),
    ("softsign", Tensor::softsign),
    ("softshrink", |x| x.softshrink(0.5)),
    ("hardshrink", |x| x.hardshrink(0.5)),
    ("tanhshrink", Tensor::tanhshrink),
];

#[test]
fn activations_stay_finite_far_from_zero_and_pass_a_nan_on() {
    for (name, f) in ALL {
        let (values, gradients) = at(&[-1e4, -100.0, 0.0, 100.0, 1e4], f);
        assert!(values.iter().chain(&gradients).all(|v| v.is_finite()), "{name}: {values:?}");
        assert!(gradients.iter().all(|g| g.abs() < 2.0), "{name}: {gradients:?}");
        assert!(at(&[f64::NAN], f).0[0].is_nan(), "{name} hides a NaN");
    }
}

#[test]
fn gradients_at_kinks_are_those_of_pytorch() {
    assert_eq!(at(&[0.0, 6.0], Tensor::relu6).1, [0.0, 0.0]);
    assert_eq!(at(&[-1.0, 1.0], |x| x.hardtanh(-1.0, 1.0)).1, [0.0, 0.0]);
    assert_eq!(at(&[-3.0, 3.0], Tensor::hardsigmoid).1, [0.0, 0.0]);
    assert_eq!(at(&[-3.0, 3.0], Tensor::hardswish).1, [0.0, 1.0]);
    assert_eq!(at(&[-0.5, 0.5], |x| x.softshrink(0.5)).1, [0.0, 0.0]);
    assert_eq!(at(&[-0.5, 0.5], |x| x.hardshrink(0.5)).1, [0.0, 0.0]);
    let slope = |x: &Tensor| x.prelu(&Array::full(x.device(), x.dtype(), [1], 0.25)?.into());
    assert_eq!(at(&[0.0, 1.0], slope).1, [0.25, 1.0]);
    assert_eq!(at(&[0.0], |x| x.celu(2.0)).1, [1.0]);
}

#[test]
fn attributes_without_meaning_are_refused() {
    let device = Device::new(Reference::new());
    let x = Tensor::from(Array::zeros(&device, DType::F64, [2, 3]).expect("there is memory"));
    let slopes = |shape: &[usize]| Array::zeros(&device, DType::F64, shape).map(Tensor::from);
    let message = |result: Result<Tensor>| result.expect_err("it must be refused").to_string();
    assert!(message(x.hardtanh(1.0, -1.0)).contains("not above the upper one"));
    assert!(message(x.celu(0.0)).contains("must not be 0"));
    assert!(message(x.softshrink(-1.0)).contains("not negative"));
    for shape in [vec![2], vec![3, 1], vec![0]] {
        let weight = slopes(&shape).expect("there is memory");
        assert!(message(x.prelu(&weight)).contains("one slope [1]"), "{shape:?}");
    }
}
