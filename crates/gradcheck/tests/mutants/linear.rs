//! Mistakes in the gradients of the linear layer.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::strategy::{Values, inputs};
use proptest::strategy::{Just, Strategy};

use crate::{caught_by_gradient, real, some};

pub(crate) fn cases() -> impl Strategy<Value = (Vec<Input>, ())> {
    (1..=3usize, 1..=3usize, 1..=3usize, 0..3u8).prop_flat_map(|(rows, i, o, square)| {
        let o = if square == 0 { i } else { o };
        (inputs(vec![vec![rows, i], vec![o, i], vec![o]], Values::Any), Just(()))
    })
}

pub(crate) fn forward(x: &[Tensor], (): ()) -> Result<Tensor> {
    x[0].linear(&x[1], Some(&x[2]))
}

#[test]
fn a_wrong_sign_of_a_linear_layer_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads[1] = grads[1].neg()?;
        Ok(some(grads))
    });
}

#[test]
fn a_weight_transposed_where_it_is_square_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        if x[1].shape()[0] == x[1].shape()[1] {
            grads[0] = g.linear(&x[1], None)?;
        }
        Ok(some(grads))
    });
}

#[test]
fn a_weight_gradient_overwritten_by_each_row_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        let last = x[0].shape()[0] - 1;
        let row = [x[0].narrow(0, last, 1)?, x[1].clone(), x[2].clone()];
        grads[1] = real(forward, &row, &g.narrow(0, last, 1)?, ())?.swap_remove(1);
        Ok(some(grads))
    });
}

#[test]
fn a_missing_sum_over_the_rows_of_a_bias_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads[2] = g.mean(&[0], false)?;
        Ok(some(grads))
    });
}

#[test]
fn a_missing_gradient_of_the_bias_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads[2] = grads[2].mul_scalar(0.0)?;
        Ok(some(grads))
    });
}
