//! Maximum and average pooling.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, DType, Pool2d, Result};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, avg_pool2d, inputs, max_pool2d};
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all};

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

#[test]
fn the_gradient_of_images_that_were_pooled_to_one_pixel_is_channels_last() -> Result<()> {
    for device in devices() {
        let tape = Tape::new();
        let images = Array::full(&device, DType::F32, [2, 8, 3, 3], 0.5)?.channels_last()?;
        let pools = [
            |x: &Tensor| x.adaptive_avg_pool2d([1, 1]),
            |x: &Tensor| x.max_pool2d(&Pool2d::new([3, 3])),
        ];
        for pool in pools {
            let x = tape.variable(images.clone())?;
            // As before a linear layer, whose gradient lies in rows.
            let y = pool(&x)?.reshape(&[2, 8])?;
            let gradients = y.square()?.sum_all()?.backward()?;
            assert!(gradients.of(&x)?.layout().is_dense_channels_last());
        }
    }
    Ok(())
}
