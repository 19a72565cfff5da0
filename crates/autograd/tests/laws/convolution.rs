//! Convolution and its gradients, which the second derivative goes through.

use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, conv2d, inputs};
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn conv2d_obeys_the_laws_for_every_stride_padding_dilation_and_group() {
    let cases =
        conv2d().prop_flat_map(|case| (inputs(case.shapes(), Values::Any), Just(case.params)));
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].conv2d(&x[1], x.get(2), &params), params)?)
    });
}

#[test]
fn a_convolution_of_a_convolution_with_the_same_weight_obeys_the_laws() {
    let params = ferrotape_backend::Conv2d { padding: [1, 1], ..Default::default() };
    let cases = inputs(vec![vec![2, 2, 3, 3], vec![2, 2, 3, 3]], Values::Any);
    for_all(cases, |device, inputs| {
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].conv2d(&x[1], None, &params)?.tanh()?.conv2d(&x[1], None, &params),
            params
        )?)
    });
}

#[test]
fn conv2d_with_a_residual_obeys_the_laws() {
    let cases = conv2d().prop_flat_map(|case| {
        let mut shapes = case.shapes();
        let sizes = |at: usize| <[usize; 4]>::try_from(&shapes[at][..]).expect("images");
        let output = case.params.output_shape(sizes(0), sizes(1)).expect("the case fits");
        shapes.push(output.to_vec());
        (inputs(shapes, Values::Any), Just(case.params))
    });
    for_all(cases, |device, (inputs, params)| {
        let residual = inputs.len() - 1;
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let bias = x[..residual].get(2);
                x[0].conv2d_act(&x[1], bias, &params, Some(&x[residual]), false)
            },
            params
        )?)
    });
}
