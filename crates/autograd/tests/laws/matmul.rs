//! Matrix products and linear maps.

use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, matrices};
use proptest::prelude::any;
use proptest::strategy::Strategy;

use crate::for_all;

#[test]
fn matmul_obeys_the_laws_with_vectors_and_batches_that_broadcast() {
    let cases = matrices(3).prop_flat_map(|(a, b)| inputs(vec![a, b], Values::Any));
    for_all(cases, |device, inputs| Ok(check_op!(device, &inputs, |x| x[0].matmul(&x[1]))?));
}

#[test]
fn linear_obeys_the_laws_with_any_leading_dimensions() {
    let sizes = (proptest::collection::vec(1..=3usize, 0..=3), 1..=4usize, 1..=4usize);
    let cases = (sizes, any::<bool>()).prop_flat_map(|((mut input, features, outputs), bias)| {
        input.push(features);
        let mut shapes = vec![input, vec![outputs, features]];
        if bias {
            shapes.push(vec![outputs]);
        }
        inputs(shapes, Values::Any)
    });
    for_all(cases, |device, inputs| {
        Ok(check_op!(device, &inputs, |x| x[0].linear(&x[1], x.get(2)))?)
    });
}
