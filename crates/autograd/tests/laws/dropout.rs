//! Dropout, whose mask is the same each time for one key.

use ferrotape_backend::Rng;
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use proptest::sample::select;
use proptest::strategy::Strategy;

use crate::for_all;

#[test]
fn dropout_obeys_the_laws_for_a_given_key() {
    let cases = shapes(0..=4, 4).prop_flat_map(|shape| {
        (inputs(vec![shape], Values::Any), select(vec![0.0, 0.3, 0.5, 1.0]), 0..1000u64)
    });
    for_all(cases, |device, (inputs, p, seed)| {
        Ok(check_op!(device, &inputs, |x| x[0].dropout(p, Rng::new(seed)), p, seed)?)
    });
}
