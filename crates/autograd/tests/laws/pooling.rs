//! Maximum and average pooling.

use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, avg_pool2d, inputs, max_pool2d};
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn max_pool2d_obeys_the_laws_with_overlap_padding_dilation_and_ceil_mode() {
    let cases = max_pool2d()
        .prop_flat_map(|case| (inputs(vec![case.input], Values::Any), Just(case.params)));
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].max_pool2d(&params), params)?)
    });
}

#[test]
fn avg_pool2d_obeys_the_laws_with_overlap_padding_ceil_mode_and_either_divisor() {
    let cases = avg_pool2d()
        .prop_flat_map(|case| (inputs(vec![case.input], Values::Any), Just(case.params)));
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].avg_pool2d(&params), params)?)
    });
}
