//! Softmax and its logarithm.

use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn softmax_and_its_logarithm_obey_the_laws_along_every_dimension() {
    let cases = (shapes(1..=4, 4), any::<u8>()).prop_flat_map(|(shape, dim)| {
        let dim = isize::from(dim) % shape.len() as isize;
        (inputs(vec![shape], Values::Any), Just(dim))
    });
    for_all(cases, |device, (inputs, dim)| {
        check_op!(device, &inputs, |x| x[0].softmax(dim), dim)?;
        Ok(check_op!(device, &inputs, |x| x[0].log_softmax(dim), dim)?)
    });
}
