//! Mistakes in the gradient of the cross entropy.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Reduction;
use ferrotape_backend::{CrossEntropy, Result, Shape};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::strategy::{Values, inputs};
use proptest::collection::vec;
use proptest::strategy::{Just, Strategy};

use crate::{caught_by_gradient, real};

const PARAMS: CrossEntropy = CrossEntropy { label_smoothing: 0.2, ignore_index: 0 };

/// Logits and classes, of which 0 is ignored and one row at least is not.
pub(crate) fn cases() -> impl Strategy<Value = (Vec<Input>, ())> {
    (1..=4usize, 2..=4usize).prop_flat_map(|(rows, classes)| {
        let logits = inputs(vec![vec![rows, classes]], Values::Any);
        let targets = (vec(0..classes as i64, rows), 1..classes as i64);
        (logits, targets, Just(())).prop_map(move |(mut inputs, (mut targets, counted), ())| {
            targets[0] = counted;
            let targets = Input::indices([rows], targets);
            inputs.push(targets.expect("as many targets as rows"));
            (inputs, ())
        })
    })
}

pub(crate) fn forward(x: &[Tensor], (): ()) -> Result<Tensor> {
    x[0].cross_entropy_with(x[1].array(), &PARAMS, Reduction::Mean)
}

/// The gradient with other parameters or another reduction.
fn altered(
    x: &[Tensor],
    g: &Tensor,
    rule: fn(&[Tensor], ()) -> Result<Tensor>,
) -> Result<Vec<Option<Tensor>>> {
    Ok(vec![Some(real(rule, x, g, ())?.swap_remove(0)), None])
}

#[test]
fn a_forgotten_division_by_the_number_of_rows_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        altered(x, g, |x, ()| x[0].cross_entropy_with(x[1].array(), &PARAMS, Reduction::Sum))
    });
}

#[test]
fn a_wrong_sign_of_a_loss_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        Ok(vec![Some(real(forward, x, g, ())?.swap_remove(0).neg()?), None])
    });
}

#[test]
fn a_gradient_that_only_the_first_row_gets_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let grad = real(forward, x, g, ())?.swap_remove(0);
        let (first, rows) = (grad.narrow(0, 0, 1)?, grad.shape()[0]);
        if rows == 1 {
            return Ok(vec![Some(grad), None]);
        }
        let rest = grad.narrow(0, 1, rows - 1)?.mul_scalar(0.0)?;
        Ok(vec![Some(Tensor::cat(&[&first, &rest], 0)?), None])
    });
}

#[test]
fn ignored_rows_that_count_in_the_mean_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        altered(x, g, |x, ()| {
            x[0].cross_entropy_with(x[1].array(), &PARAMS, Reduction::None)?.mean_all()
        })
    });
}

#[test]
fn ignored_rows_with_a_gradient_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        altered(x, g, |x, ()| {
            let params = CrossEntropy { ignore_index: -100, ..PARAMS };
            x[0].cross_entropy_with(x[1].array(), &params, Reduction::Mean)
        })
    });
}

#[test]
fn forgotten_label_smoothing_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        altered(x, g, |x, ()| {
            let params = CrossEntropy { label_smoothing: 0.0, ..PARAMS };
            x[0].cross_entropy_with(x[1].array(), &params, Reduction::Mean)
        })
    });
}

#[test]
fn a_forgotten_target_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let rows = x[0].shape()[0] as f64;
        let grad = x[0].softmax(1)?.mul_scalar(1.0 / rows)?;
        Ok(vec![Some(grad.mul(&g.view(Shape::new(&[1, 1])?)?)?), None])
    });
}
