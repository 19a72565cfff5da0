//! Mistakes in the gradients of pooling.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Pool2d, Result};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::strategy::{Pool2dCase, Values, avg_pool2d, inputs, max_pool2d};
use proptest::strategy::{Just, Strategy};

use crate::convolution::shifted;
use crate::{caught_by_gradient, real};

pub(crate) fn with_inputs(
    cases: impl Strategy<Value = Pool2dCase>,
) -> impl Strategy<Value = (Vec<Input>, Pool2d)> {
    cases.prop_flat_map(|case| (inputs(vec![case.input], Values::Any), Just(case.params)))
}

pub(crate) fn max(x: &[Tensor], params: Pool2d) -> Result<Tensor> {
    x[0].max_pool2d(&params)
}

fn avg(x: &[Tensor], params: Pool2d) -> Result<Tensor> {
    x[0].avg_pool2d(&params)
}

#[test]
fn a_maximum_of_two_windows_that_gets_the_gradient_of_one_is_caught() {
    caught_by_gradient(with_inputs(max_pool2d()), max, |x, g, params| {
        // All values differ, so the place of a maximum can be found by its value.
        let (values, largest) = (x[0].to_vec::<f64>()?, max(&[x[0].detach()], params)?);
        let mut grad = vec![0.0; values.len()];
        for (y, g) in largest.to_vec::<f64>()?.iter().zip(g.to_vec::<f64>()?) {
            if let Some(place) = values.iter().position(|x| x == y) {
                grad[place] = g;
            }
        }
        Ok(vec![Some(Array::from_slice(g.device(), &grad, x[0].shape())?.into())])
    });
}

#[test]
fn a_maximum_whose_gradient_is_spread_over_the_window_is_caught() {
    caught_by_gradient(with_inputs(max_pool2d()), max, |x, g, params| {
        let undilated = Pool2d { dilation: [1, 1], ..params };
        let rule = if params.dilation == [1, 1] { avg } else { max };
        let params = if params.dilation == [1, 1] { undilated } else { params };
        Ok(vec![Some(real(rule, x, g, params)?.swap_remove(0))])
    });
}

#[test]
fn a_wrong_sign_of_a_maximum_is_caught() {
    caught_by_gradient(with_inputs(max_pool2d()), max, |x, g, params| {
        Ok(vec![Some(real(max, x, g, params)?.swap_remove(0).neg()?)])
    });
}

#[test]
fn the_padding_of_a_maximum_off_by_one_is_caught() {
    caught_by_gradient(with_inputs(max_pool2d()), max, |x, g, params| {
        Ok(vec![Some(shifted(&real(max, x, g, params)?[0])?)])
    });
}

#[test]
fn a_mask_of_the_minimum_in_the_place_of_the_maximum_is_caught() {
    caught_by_gradient(with_inputs(max_pool2d()), max, |x, g, params| {
        let negative: Vec<Tensor> = vec![x[0].neg()?];
        Ok(vec![Some(real(max, &negative, g, params)?.swap_remove(0))])
    });
}

#[test]
fn padding_counted_by_an_average_that_does_not_is_caught() {
    caught_by_gradient(with_inputs(avg_pool2d()), avg, |x, g, params| {
        let counting = Pool2d { count_include_pad: true, ..params };
        Ok(vec![Some(real(avg, x, g, counting)?.swap_remove(0))])
    });
}

#[test]
fn a_divisor_that_ignores_windows_cut_by_ceil_mode_is_caught() {
    caught_by_gradient(with_inputs(avg_pool2d()), avg, |x, g, params| {
        let area = (params.kernel[0] * params.kernel[1]) as f64;
        let [h, w] = [x[0].shape()[2], x[0].shape()[3]];
        let mut g = g.to_vec::<f64>()?;
        let [oh, ow] = params.output_size([h, w])?;
        for (at, g) in g.iter_mut().enumerate() {
            let (i, j) = (at / ow % oh, at % ow);
            *g *= (params.divisor(0, i, h) * params.divisor(1, j, w)) as f64 / area;
        }
        let shape = avg(&[x[0].detach()], params)?;
        let g = Array::from_slice(x[0].device(), &g, shape.shape())?.into();
        Ok(vec![Some(real(avg, x, &g, params)?.swap_remove(0))])
    });
}
