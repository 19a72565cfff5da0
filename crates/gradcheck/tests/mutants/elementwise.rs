//! Mistakes in element-wise operators, reductions and matrix products.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Result, Shape};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, Law};
use proptest::strategy::{Just, Strategy};

use crate::{Custom, caught, caught_by_gradient, real};

fn one() -> impl Strategy<Value = (Vec<Input>, ())> {
    shapes(1..=4, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), Just(())))
}

fn two() -> impl Strategy<Value = (Vec<Input>, ())> {
    shapes(1..=3, 3)
        .prop_flat_map(|shape| (inputs(vec![shape.clone(), shape], Values::Any), Just(())))
}

#[test]
fn a_wrong_sign_is_caught() {
    caught_by_gradient(
        one(),
        |x, ()| x[0].sin(),
        |x, g, ()| Ok(vec![Some(g.mul(&x[0].cos()?.neg()?)?)]),
    );
}

#[test]
fn a_wrong_mask_is_caught() {
    caught_by_gradient(
        one(),
        |x, ()| x[0].relu(),
        |x, g, ()| {
            let zeros = g.mul_scalar(0.0)?;
            Ok(vec![Some(g.select(&x[0].add_scalar(1.0)?.relu()?, &zeros)?)])
        },
    );
}

#[test]
fn a_wrong_branch_behind_a_far_kink_is_caught() {
    let four =
        || shapes(1..=2, 4).prop_filter("four pieces or more", |s| s.iter().product::<usize>() > 3);
    let away = |shape| (inputs(vec![shape], Values::AwayFrom(&[0.0, 6.0])), Just(()));
    // ReLU6, differentiated as ReLU.
    caught_by_gradient(
        four().prop_flat_map(away),
        |x, ()| x[0].clamp(0.0, 6.0),
        |x, g, ()| Ok(vec![Some(real(|x, ()| x[0].relu(), x, g, ())?.swap_remove(0))]),
    );
}

#[test]
fn a_slope_taken_from_the_output_instead_of_the_input_is_caught() {
    caught_by_gradient(one(), |x, ()| x[0].exp(), |x, g, ()| Ok(vec![Some(g.mul(&x[0])?)]));
}

#[test]
fn a_forgotten_number_of_elements_in_a_mean_is_caught() {
    caught_by_gradient(
        one(),
        |x, ()| x[0].mean(&[0], true),
        |x, g, ()| Ok(vec![Some(g.broadcast_to(*x[0].shape())?)]),
    );
}

#[test]
fn a_missing_term_in_a_product_is_caught() {
    // x x, differentiated as if one factor were a constant.
    caught_by_gradient(one(), |x, ()| x[0].square(), |x, g, ()| Ok(vec![Some(g.mul(&x[0])?)]));
}

#[test]
fn exchanged_gradients_of_two_operands_are_caught() {
    caught_by_gradient(
        two(),
        |x, ()| x[0].mul(&x[1]),
        |x, g, ()| Ok(vec![Some(g.mul(&x[0])?), Some(g.mul(&x[1])?)]),
    );
}

#[test]
fn a_gradient_that_is_not_computed_is_caught() {
    caught_by_gradient(
        two(),
        |x, ()| x[0].mul(&x[1]),
        |x, g, ()| Ok(vec![Some(g.mul(&x[1])?), None]),
    );
}

#[test]
fn a_softmax_without_its_sum_is_caught() {
    caught_by_gradient(
        one(),
        |x, ()| x[0].softmax(0),
        |x, g, ()| Ok(vec![Some(g.mul(&x[0].softmax(0)?)?)]),
    );
}

#[test]
fn a_transposed_weight_is_caught() {
    let cases = (1..=3usize, 1..=4usize).prop_flat_map(|(rows, size)| {
        (inputs(vec![vec![rows, size], vec![size, size]], Values::Any), Just(()))
    });
    caught_by_gradient(
        cases,
        |x, ()| x[0].linear(&x[1], None),
        |x, g, ()| {
            let gw = g.transpose(0, 1)?.matmul(&x[0])?;
            Ok(vec![Some(g.matmul(&x[1].transpose(0, 1)?)?), Some(gw)])
        },
    );
}

#[test]
fn a_bias_gradient_that_is_a_mean_over_the_batch_is_caught() {
    let cases = (1..=3usize, 1..=3usize).prop_flat_map(|(rows, size)| {
        (inputs(vec![vec![rows, 2], vec![size, 2], vec![size]], Values::Any), Just(()))
    });
    caught_by_gradient(
        cases,
        |x, ()| x[0].linear(&x[1], Some(&x[2])),
        |x, g, ()| {
            let gw = g.transpose(0, 1)?.matmul(&x[0])?;
            Ok(vec![Some(g.matmul(&x[1])?), Some(gw), Some(g.mean(&[0], false)?)])
        },
    );
}

#[test]
fn a_gradient_put_back_in_the_wrong_order_is_caught() {
    caught_by_gradient(
        shapes(3..=3, 3).prop_flat_map(|shape| (inputs(vec![shape], Values::Any), Just(()))),
        |x, ()| x[0].permute(&[1, 2, 0]),
        |x, g, ()| {
            let shape: Shape = *x[0].shape();
            Ok(vec![Some(g.view(shape)?)])
        },
    );
}

#[test]
fn an_operand_taken_for_a_constant_in_a_recorded_backward_is_caught() {
    let law = caught(one(), true, |x, attributes| {
        let forward = |x: &[Tensor], ()| x[0].exp();
        let backward = |x: &[Tensor], g: &Tensor, ()| -> Result<Vec<Option<Tensor>>> {
            Ok(vec![Some(g.mul(&x[0].exp()?.detach())?)])
        };
        Tensor::apply(Custom { attributes, forward, backward }, &[&x[0]])
    });
    assert_eq!(law, Some(Law::SecondDerivative));
}

#[test]
fn a_cotangent_taken_for_a_constant_in_a_recorded_backward_is_caught() {
    let law = caught(one(), true, |x, attributes| {
        let forward = |x: &[Tensor], ()| x[0].square();
        let backward = |x: &[Tensor], g: &Tensor, ()| -> Result<Vec<Option<Tensor>>> {
            Ok(vec![Some(x[0].mul(&g.detach())?.mul_scalar(2.0)?)])
        };
        Tensor::apply(Custom { attributes, forward, backward }, &[&x[0]])
    });
    assert_eq!(law, Some(Law::SecondDerivative));
}
