//! Right operators are never flagged.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Conv2d, Device, Pool2d, Result, reference::Reference};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, max_pool2d, runner, shapes};
use proptest::strategy::Strategy;
use proptest::test_runner::TestRunner;

use crate::{convolution, linear, loss, norm, pooling, recurrent};

/// `cargo xtask proofs` runs it with `PROPTEST_CASES=10000`.
#[test]
fn the_operators_that_the_mutants_alter_pass_unaltered() {
    let device = Device::new(Reference::new());
    // What an operator gives for its inputs and attributes; each kind of case has its own type.
    macro_rules! pass {
        ($cases:expr, $forward:path) => {
            let outcome = runner().run(&$cases, |(inputs, attributes)| {
                Ok(check_op!(&device, &inputs, |x| $forward(x, attributes), attributes)?)
            });
            assert_eq!(outcome, Ok(()));
        };
    }
    pass!(convolution::cases(), convolution::forward);
    pass!(pooling::with_inputs(max_pool2d()), pooling::max);
    pass!(norm::cases(), norm::forward);
    pass!(linear::cases(), linear::forward);
    pass!(loss::cases(), loss::forward);
    pass!(recurrent::cases(), recurrent::forward);
}

/// A network in small: convolution, norm, kinks, pooling, softmax.
fn network(x: &[Tensor]) -> Result<Tensor> {
    let params = Conv2d { padding: [1, 1], ..Conv2d::default() };
    let y = x[0].conv2d(&x[1], None, &params)?.add(&x[2])?.relu()?;
    let y = y.max_pool2d(&Pool2d::new([2, 2]))?.flatten(1)?;
    y.log_softmax(1)?.sum_to(*Tensor::narrow(&y, 0, 0, 1)?.shape())
}

/// More cases than elsewhere. With `PROPTEST_CASES=10000` none is flagged either.
fn many() -> TestRunner {
    let mut config = runner().config().clone();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 500;
    }
    TestRunner::new(config)
}

#[test]
fn right_functions_of_any_curvature_pass_in_every_case() {
    let device = Device::new(Reference::new());
    let cases = shapes(0..=2, 3).prop_flat_map(|shape| inputs(vec![shape], Values::Any));
    let outcome = many().run(&cases, |inputs| {
        check_op!(&device, &inputs, |x| x[0].gelu()?.mul(&x[0].sin()?))?;
        Ok(check_op!(&device, &inputs, |x| x[0].abs()?.log()?.tanh()?.exp())?)
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_right_product_passes_in_every_case() {
    let device = Device::new(Reference::new());
    let cases = (1..=3usize, 1..=3usize, 1..=3usize)
        .prop_flat_map(|(m, k, n)| inputs(vec![vec![m, k], vec![n, k], vec![n]], Values::Any));
    let outcome = many().run(&cases, |inputs| {
        Ok(check_op!(&device, &inputs, |x| x[0].linear(&x[1], Some(&x[2]))?.softplus())?)
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_right_network_with_kinks_passes_in_every_case() {
    let device = Device::new(Reference::new());
    let cases = (1..=2usize, 2..=4usize, 2..=4usize, 1..=2usize).prop_flat_map(|(n, h, w, c)| {
        inputs(vec![vec![n, c, h, w], vec![2, c, 3, 3], vec![1, 2, 1, 1]], Values::Any)
    });
    let outcome = runner().run(&cases, |inputs| Ok(check_op!(&device, &inputs, network)?));
    assert_eq!(outcome, Ok(()));
}
