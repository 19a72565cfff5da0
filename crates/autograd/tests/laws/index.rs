//! Reading and adding at indices.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, DType, Result, Shape};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all, refusal};

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

#[test]
fn index_select_obeys_the_laws_with_repeated_positions() {
    let cases = (shapes(1..=4, 3), 0..8usize, vec(0..3i64, 1..=4usize), any::<bool>());
    let cases = cases.prop_flat_map(|(shape, dim, mut positions, from_end)| {
        let dim = dim % shape.len();
        positions.iter_mut().for_each(|p| *p %= shape[dim] as i64);
        let signed = if from_end { dim as isize - shape.len() as isize } else { dim as isize };
        (inputs(vec![shape], Values::Any), Just((signed, positions)))
    });
    for_all(cases, |device, (mut inputs, (dim, positions))| {
        inputs.push(Input::indices([positions.len()], positions)?);
        Ok(check_op!(device, &inputs, |x| x[0].index_select(dim, x[1].array()), dim)?)
    });
}

#[test]
fn embedding_obeys_the_laws_for_an_index_of_any_shape() {
    let cases = (1..=4usize, 1..=3usize, shapes(0..=3, 3)).prop_flat_map(|(rows, width, shape)| {
        let count = shape.iter().product::<usize>();
        (inputs(vec![vec![rows, width]], Values::Any), vec(0..rows as i64, count), Just(shape))
    });
    for_all(cases, |device, (mut inputs, positions, shape)| {
        inputs.push(Input::indices(&shape, positions)?);
        Ok(check_op!(device, &inputs, |x| x[0].embedding(x[1].array(), None))?)
    });
}

#[test]
fn the_padding_row_of_an_embedding_is_read_and_gets_no_gradient() -> Result<()> {
    for device in devices() {
        let values = [1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0];
        let table = Tape::new().variable(Array::from_slice(&device, &values, [3, 2])?)?;
        let index = Array::from_slice(&device, &[1i64, 0, 1, 2], [2, 2])?;
        for padding in [1, -2] {
            let y = table.embedding(&index, Some(padding))?;
            assert_eq!(y.to_vec::<f64>()?, table.embedding(&index, None)?.to_vec::<f64>()?);
            let gradients = y.square()?.sum_all()?.backward()?;
            assert_eq!(gradients.of(&table)?.to_vec::<f64>()?, [2.0, 4.0, 0.0, 0.0, 10.0, 12.0]);
        }
        for padding in [3, -4, isize::MIN, isize::MAX] {
            let error = table.embedding(&index, Some(padding)).expect_err("there is no such row");
            assert!(error.to_string().contains("none of the 3 rows"), "{error}");
        }
    }
    Ok(())
}

#[test]
fn an_index_that_is_no_list_of_positions_is_refused() -> Result<()> {
    for device in devices() {
        let x = Tensor::from(Array::zeros(&device, DType::F32, [2, 3])?);
        let refused = |index: Array, why: &str| {
            let error = refusal(&device, x.index_select(1, &index));
            assert!(error.contains(why), "{error}");
        };
        refused(Array::from_slice(&device, &[0i64, 3], [2])?, "out of range");
        refused(Array::from_slice(&device, &[-1i64], [1])?, "out of range");
        refused(Array::from_slice(&device, &[0i64; 4], [2, 2])?, "list of positions");
        refused(Array::zeros(&device, DType::F32, [2])?, "list of positions");
        let none = x.index_select(1, &Array::zeros(&device, DType::I64, [0])?)?;
        assert_eq!(none.shape().dims(), [2, 0]);
    }
    Ok(())
}
