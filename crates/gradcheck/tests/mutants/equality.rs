//! An operator that differs from its definition is caught, in value, gradient or second gradient.

use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tensor};
use ferrotape_backend::{Array, Device, Result, reference::Reference};
use ferrotape_gradcheck::{Failure, Input, Law, check_equal};

/// The square, with the slope that a mutant says.
#[derive(Debug)]
struct Square {
    slope: f64,
    /// The slope is a constant to the recorded backward pass.
    detached: bool,
}

impl Op for Square {
    fn name(&self) -> &'static str {
        "square_mutant"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        cx.save_input(0);
        Ok(Tensor::from(inputs[0].clone()).square()?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let x = cx.input(0)?;
        let x = if self.detached { x.detach() } else { x };
        Ok([Some(x.mul_scalar(self.slope)?.mul(grad)?)].into_iter().collect())
    }
}

fn check(slope: f64, detached: bool, extra: f64) -> std::result::Result<(), Failure> {
    let device = Device::new(Reference::new());
    let inputs = [Input::new([2], [0.5, -0.25]).expect("two values")];
    check_equal!(
        &device,
        &inputs,
        |x| Tensor::apply(Square { slope, detached }, &[&x[0]])?.add_scalar(extra),
        |x| x[0].mul(&x[0]),
        slope,
        detached
    )
}

#[test]
fn a_difference_in_value_gradient_or_second_gradient_is_caught() {
    assert!(check(2.0, false, 0.0).is_ok());
    for (slope, detached, extra) in [(2.0, false, 1e-6), (2.5, false, 0.0), (2.0, true, 0.0)] {
        let failure = check(slope, detached, extra).expect_err("the operator is a mutant");
        assert_eq!(failure.law(), Law::Definition);
        assert!(failure.place().is_some(), "{failure}");
        let code = failure.reproduction();
        assert!(code.contains("check_equal!(&device, &inputs, |x| Tensor::apply"), "{code}");
    }
}

#[test]
fn a_definition_of_another_shape_is_caught() {
    let device = Device::new(Reference::new());
    let inputs = [Input::new([2], [0.5, -0.25]).expect("two values")];
    let failure = check_equal!(&device, &inputs, |x| x[0].sum(&[], false), |x| x[0].sum(&[], true));
    let failure = failure.expect_err("a scalar is no vector");
    assert!(failure.message().contains("has shape"), "{failure}");
}
