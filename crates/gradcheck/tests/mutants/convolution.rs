//! Mistakes in the gradients of a convolution.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Conv2d, Result};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::strategy::{Values, conv2d, inputs};
use proptest::strategy::{Just, Strategy};

use crate::{caught_by_gradient, real, some};

pub(crate) fn cases() -> impl Strategy<Value = (Vec<Input>, Conv2d)> {
    conv2d().prop_flat_map(|case| (inputs(case.shapes(), Values::Any), Just(case.params)))
}

pub(crate) fn forward(x: &[Tensor], params: Conv2d) -> Result<Tensor> {
    x[0].conv2d(&x[1], x.get(2), &params)
}

/// Everything one pixel to the left, zeros in the last column.
pub(crate) fn shifted(x: &Tensor) -> Result<Tensor> {
    let width = x.shape()[3];
    let column = x.shape().with(3, 1)?;
    let zeros = Tensor::from(Array::zeros(x.device(), x.dtype(), column)?);
    Tensor::cat(&[&x.narrow(3, 1, width - 1)?, &zeros], 3)
}

#[test]
fn a_wrong_sign_of_a_convolution_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        grads[0] = grads[0].neg()?;
        Ok(some(grads))
    });
}

#[test]
fn a_missing_term_of_the_first_kernel_column_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        let (first, width) = (x[1].narrow(3, 0, 1)?, x[1].shape()[3]);
        let mut rest = x.to_vec();
        let nothing = first.mul_scalar(0.0)?;
        rest[1] = match width {
            1 => nothing,
            _ => Tensor::cat(&[&nothing, &x[1].narrow(3, 1, width - 1)?], 3)?,
        };
        grads[0] = real(forward, &rest, g, params)?.swap_remove(0);
        Ok(some(grads))
    });
}

#[test]
fn padding_off_by_one_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        grads[0] = shifted(&grads[0])?;
        Ok(some(grads))
    });
}

#[test]
fn a_kernel_that_is_not_turned_for_the_input_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        let mut turned = x.to_vec();
        turned[1] = x[1].flip(2)?.flip(3)?;
        grads[0] = real(forward, &turned, g, params)?.swap_remove(0);
        Ok(some(grads))
    });
}

#[test]
fn a_weight_gradient_overwritten_by_each_sample_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        let mut last = x.to_vec();
        last[0] = x[0].narrow(0, x[0].shape()[0] - 1, 1)?;
        let g = g.narrow(0, g.shape()[0] - 1, 1)?;
        grads[1] = real(forward, &last, &g, params)?.swap_remove(1);
        Ok(some(grads))
    });
}

#[test]
fn groups_confused_with_each_other_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        grads[1] = grads[1].flip(0)?;
        Ok(some(grads))
    });
}

#[test]
fn a_bias_gradient_that_forgets_the_images_of_the_batch_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        if grads.len() == 3 {
            grads[2] = g.mean(&[0], true)?.sum(&[0, 2, 3], false)?;
        }
        Ok(some(grads))
    });
}

#[test]
fn a_shortcut_that_is_wrong_for_equal_sizes_only_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        let [_, c, h, w] = x[0].shape().nchw()?;
        if c == h && h == w && c > 1 {
            grads[0] = grads[0].permute(&[0, 2, 3, 1])?;
        }
        Ok(some(grads))
    });
}

#[test]
fn a_stride_mistaken_for_the_other_axis_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, params| {
        let mut grads = real(forward, x, g, params)?;
        let [down, right] = params.stride;
        let exchanged = Conv2d { stride: [right, down], ..params };
        if forward(&detached(x), exchanged)?.shape() == g.shape() {
            grads[0] = real(forward, x, g, exchanged)?.swap_remove(0);
        }
        Ok(some(grads))
    });
}

fn detached(x: &[Tensor]) -> Vec<Tensor> {
    x.iter().map(Tensor::detach).collect()
}
