//! Mistakes in the gradient of batch normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Result, Shape};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::strategy::{Values, images, inputs};
use proptest::strategy::{Just, Strategy};

use crate::{caught_by_gradient, real, some};

const EPS: f64 = 1e-3;
const OVER: [isize; 3] = [0, 2, 3];

pub(crate) fn cases() -> impl Strategy<Value = (Vec<Input>, ())> {
    images(3).prop_flat_map(|mut shape| {
        shape[0] += 1;
        let channels = vec![shape[1]];
        (inputs(vec![shape, channels.clone(), channels], Values::Any), Just(()))
    })
}

pub(crate) fn forward(x: &[Tensor], (): ()) -> Result<Tensor> {
    Ok(x[0].batch_norm_train(Some([&x[1], &x[2]]), EPS)?.0)
}

/// `w / sqrt(var + eps)` and the normalized input.
fn parts(x: &[Tensor], correction: usize) -> Result<(Tensor, Tensor)> {
    let centred = x[0].sub(&x[0].mean(&OVER, true)?)?;
    let r = x[0].var(&OVER, correction, true)?.add_scalar(EPS)?.rsqrt()?;
    let weight = x[1].view(Shape::new(&[1, x[1].shape().numel(), 1, 1])?)?;
    Ok((weight.mul(&r)?, centred.mul(&r)?))
}

/// The right gradients but for the input's.
fn with_input_grad(x: &[Tensor], g: &Tensor, grad: Tensor) -> Result<Vec<Option<Tensor>>> {
    let mut grads = real(forward, x, g, ())?;
    grads[0] = grad;
    Ok(grads.into_iter().map(Some).collect())
}

#[test]
fn statistics_taken_for_constants_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let (scale, _) = parts(x, 0)?;
        with_input_grad(x, g, g.mul(&scale)?)
    });
}

#[test]
fn a_missing_term_of_the_mean_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let (scale, normal) = parts(x, 0)?;
        let spread = g.sub(&normal.mul(&g.mul(&normal)?.mean(&OVER, true)?)?)?;
        with_input_grad(x, g, spread.mul(&scale)?)
    });
}

#[test]
fn a_missing_term_of_the_variance_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let (scale, _) = parts(x, 0)?;
        with_input_grad(x, g, g.sub(&g.mean(&OVER, true)?)?.mul(&scale)?)
    });
}

#[test]
fn a_wrong_sign_of_a_norm_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let grad = real(forward, x, g, ())?.swap_remove(0).neg()?;
        with_input_grad(x, g, grad)
    });
}

#[test]
fn a_forgotten_division_by_the_number_of_values_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let (scale, normal) = parts(x, 0)?;
        let spread = g.sub(&g.sum(&OVER, true)?)?;
        let spread = spread.sub(&normal.mul(&g.mul(&normal)?.sum(&OVER, true)?)?)?;
        with_input_grad(x, g, spread.mul(&scale)?)
    });
}

#[test]
fn gradients_of_weight_and_bias_overwritten_by_each_image_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        let (_, normal) = parts(x, 0)?;
        let last = |t: &Tensor| t.narrow(0, t.shape()[0] - 1, 1)?.sum(&OVER, false);
        grads[1] = last(&g.mul(&normal)?)?;
        grads[2] = last(g)?;
        Ok(some(grads))
    });
}

#[test]
fn the_unbiased_variance_in_the_gradient_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let (scale, normal) = parts(x, 1)?;
        let spread = g.sub(&g.mean(&OVER, true)?)?;
        let spread = spread.sub(&normal.mul(&g.mul(&normal)?.mean(&OVER, true)?)?)?;
        with_input_grad(x, g, spread.mul(&scale)?)
    });
}

#[test]
fn exchanged_gradients_of_weight_and_bias_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads.swap(1, 2);
        Ok(grads.into_iter().map(Some).collect())
    });
}
