//! Reading and adding at indices.

use ferrotape_backend::Shape;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::collection::vec;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

/// Shape, dimension, the index's size there, and as many positions below the shape's size.
fn cases() -> impl Strategy<Value = (Vec<usize>, usize, Vec<usize>, Vec<i64>)> {
    let sized = (shapes(1..=4, 3), 0..8usize, 1..=4usize);
    sized.prop_flat_map(|(shape, dim, length)| {
        let dim = dim % shape.len();
        let mut index = shape.clone();
        index[dim] = length;
        let count = index.iter().product::<usize>();
        let positions = vec(0..shape[dim] as i64, count);
        (Just(shape), Just(dim), Just(index), positions)
    })
}

#[test]
fn gather_obeys_the_laws_with_repeated_indices() {
    let cases = cases().prop_flat_map(|(shape, dim, index, positions)| {
        (inputs(vec![shape], Values::Any), Just((dim as isize, index, positions)))
    });
    for_all(cases, |device, (mut inputs, (dim, index, positions))| {
        inputs.push(Input::indices(&index, positions)?);
        Ok(check_op!(device, &inputs, |x| x[0].gather(dim, x[1].array()), dim)?)
    });
}

#[test]
fn scatter_add_obeys_the_laws_with_repeated_indices() {
    let cases = cases().prop_flat_map(|(shape, dim, index, positions)| {
        (inputs(vec![index.clone()], Values::Any), Just((shape, dim as isize, index, positions)))
    });
    for_all(cases, |device, (mut inputs, (shape, dim, index, positions))| {
        inputs.push(Input::indices(&index, positions)?);
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].scatter_add(dim, x[1].array(), Shape::new(&shape)?),
            dim,
            shape
        )?)
    });
}
