//! Views, rearrangements, joins, memory order.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Result, Shape, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, broadcast_pair, images, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

fn any_input() -> impl Strategy<Value = Vec<Input>> {
    shapes(0..=4, 3).prop_flat_map(|shape| inputs(vec![shape], Values::Any))
}

/// An input of at least one dimension and one of its dimensions, counted from either end.
fn with_dim() -> impl Strategy<Value = (Vec<Input>, isize)> {
    (shapes(1..=4, 3), any::<u8>(), any::<bool>()).prop_flat_map(|(shape, dim, from_end)| {
        let rank = shape.len() as isize;
        let dim = isize::from(dim) % rank;
        let dim = if from_end { dim - rank } else { dim };
        (inputs(vec![shape], Values::Any), Just(dim))
    })
}

#[test]
fn reshape_obeys_the_laws_whatever_the_memory_order() {
    for_all((with_dim(), any::<bool>()), |device, ((inputs, dim), first)| {
        // Dimension `dim` stays first or last, the others merge.
        let shape = inputs[0].shape();
        let kept = shape[shape.dim(dim)?] as isize;
        let sizes = if first { vec![kept, -1] } else { vec![1, -1, kept] };
        Ok(check_op!(device, &inputs, |x| x[0].reshape(&sizes), sizes)?)
    });
}

#[test]
fn view_obeys_the_laws_whatever_the_memory_order() {
    for_all(any_input(), |device, inputs| {
        let numel = inputs[0].shape().numel();
        Ok(check_op!(device, &inputs, |x| x[0].view(Shape::new(&[1, numel])?), numel)?)
    });
}

#[test]
fn flatten_obeys_the_laws_from_every_dimension() {
    for_all(with_dim(), |device, (inputs, start)| {
        Ok(check_op!(device, &inputs, |x| x[0].flatten(start), start)?)
    });
}

#[test]
fn unsqueeze_obeys_the_laws_at_every_place() {
    for_all((any_input(), any::<u8>()), |device, (inputs, dim)| {
        let dim = usize::from(dim) % (inputs[0].shape().rank() + 1);
        Ok(check_op!(device, &inputs, |x| x[0].unsqueeze(dim), dim)?)
    });
}

#[test]
fn permute_obeys_the_laws_for_every_order() {
    for_all((any_input(), any::<u16>()), |device, (inputs, seed)| {
        let dims = ferrotape_backend::Rng::new(seed.into()).permutation(inputs[0].shape().rank());
        Ok(check_op!(device, &inputs, |x| x[0].permute(&dims), dims)?)
    });
}

#[test]
fn transpose_obeys_the_laws() {
    for_all((with_dim(), any::<u8>()), |device, ((inputs, a), b)| {
        let b = isize::from(b) % inputs[0].shape().rank() as isize;
        Ok(check_op!(device, &inputs, |x| x[0].transpose(a, b), a, b)?)
    });
}

#[test]
fn narrow_obeys_the_laws_for_every_range() {
    for_all((with_dim(), any::<u8>(), any::<u8>()), |device, ((inputs, dim), start, length)| {
        let size = inputs[0].shape()[inputs[0].shape().dim(dim)?];
        let start = usize::from(start) % size;
        let length = 1 + usize::from(length) % (size - start);
        Ok(check_op!(device, &inputs, |x| x[0].narrow(dim, start, length), dim, start, length)?)
    });
}

#[test]
fn flip_obeys_the_laws() {
    for_all(with_dim(), |device, (inputs, dim)| {
        Ok(check_op!(device, &inputs, |x| x[0].flip(dim), dim)?)
    });
}

#[test]
fn broadcast_to_obeys_the_laws_for_every_shape_that_fits() {
    let cases = broadcast_pair(4, 3).prop_flat_map(|(a, b)| {
        let wide = Shape::new(&a).and_then(|a| a.broadcast(&Shape::new(&b)?));
        let wide = wide.expect("the strategy makes shapes that broadcast").to_vec();
        (inputs(vec![a], Values::Any), Just(wide))
    });
    for_all(cases, |device, (inputs, shape)| {
        Ok(check_op!(device, &inputs, |x| x[0].broadcast_to(Shape::new(&shape)?), shape)?)
    });
}

#[test]
fn cat_obeys_the_laws_along_every_dimension() {
    let cases = (shapes(1..=4, 3), any::<u8>(), proptest::collection::vec(1..=3usize, 1..=4));
    let cases = cases.prop_flat_map(|(shape, dim, lengths)| {
        let dim = usize::from(dim) % shape.len();
        let part = |&length: &usize| {
            let mut part = shape.clone();
            part[dim] = length;
            part
        };
        let parts = lengths.iter().map(part).collect();
        (inputs(parts, Values::Any), Just(dim as isize))
    });
    for_all(cases, |device, (inputs, dim)| {
        Ok(check_op!(device, &inputs, |x| Tensor::cat(&x.iter().collect::<Vec<_>>(), dim), dim)?)
    });
}

#[test]
fn cat_of_more_tensors_than_the_tape_has_bits_obeys_the_laws() {
    let cases = inputs(vec![vec![2, 1]; 35], Values::Any);
    let few = (cases, 0..1u8);
    for_all(few, |device, (inputs, _)| {
        let options = ferrotape_gradcheck::Options { layouts: false, ..Default::default() };
        Ok(check_op!(
            device,
            &inputs[..33],
            |x| Tensor::cat(&x.iter().collect::<Vec<_>>(), 1);
            options
        )?)
    });
}

#[test]
fn stack_obeys_the_laws_along_every_new_dimension() {
    let cases = (shapes(0..=3, 3), any::<i8>(), 1..=4usize).prop_flat_map(|(shape, dim, count)| {
        let places = shape.len() as isize + 1;
        (inputs(vec![shape; count], Values::Any), Just(isize::from(dim) % places))
    });
    for_all(cases, |device, (inputs, dim)| {
        Ok(check_op!(device, &inputs, |x| Tensor::stack(&x.iter().collect::<Vec<_>>(), dim), dim)?)
    });
}

#[test]
fn what_was_stacked_is_found_again_along_the_new_dimension() {
    let cases = (shapes(0..=3, 3), any::<i8>(), 1..=4usize).prop_flat_map(|(shape, dim, count)| {
        let places = shape.len() as isize + 1;
        (inputs(vec![shape; count], Values::Any), Just(isize::from(dim) % places))
    });
    for_all(cases, |device, (inputs, dim)| {
        let parts = inputs.iter().map(|input| input.on(device).map(Tensor::from));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let stacked = Tensor::stack(&parts.iter().collect::<Vec<_>>(), dim)?;
        assert_eq!(stacked.shape().rank(), parts[0].shape().rank() + 1);
        for (index, part) in parts.iter().enumerate() {
            let found = stacked.narrow(dim, index, 1)?.view(*part.shape())?;
            assert_eq!(found.to_vec::<f64>()?, part.to_vec::<f64>()?);
        }
        Ok(())
    });
}

#[test]
fn what_cannot_be_stacked_is_refused() -> Result<()> {
    let device = Device::new(Reference::new());
    let zeros = |shape: &[usize]| Array::zeros(&device, DType::F32, shape).map(Tensor::from);
    let (a, b) = (zeros(&[2, 3])?, zeros(&[1, 3])?);
    let refused = |tensors: &[&Tensor], dim, why: &str| {
        let error = Tensor::stack(tensors, dim).expect_err("it must be refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&[], 0, "at least one");
    refused(&[&a, &b], 0, "one shape");
    refused(&[&a], 3, "new dimension 3");
    refused(&[&a], -4, "new dimension -4");
    Ok(())
}

#[test]
fn memory_order_changes_no_value_and_no_gradient() {
    let cases = images(3).prop_flat_map(|shape| inputs(vec![shape], Values::Any));
    for_all(cases, |device, inputs| {
        check_op!(device, &inputs, |x| x[0].channels_last())?;
        check_op!(device, &inputs, |x| x[0].contiguous())?;
        Ok(check_op!(device, &inputs, |x| x[0].channels_last()?.square()?.contiguous()?.exp())?)
    });
}

#[test]
fn a_cast_there_and_back_has_the_gradient_of_the_identity() {
    for_all(any_input(), |device, inputs| {
        // In f32 the value is a staircase, so difference quotients say nothing about it.
        let tape = ferrotape_autograd::Tape::new();
        let x = tape.variable(inputs[0].on(device)?)?;
        let y = x.cast(DType::F32)?.square()?.cast(DType::F64)?;
        let gradient = y.sum_all()?.backward()?.of(&x)?.to_vec::<f64>()?;
        let values = inputs[0].floats().expect("the strategy makes floats");
        for (gradient, value) in gradient.iter().zip(values) {
            assert_eq!(*gradient, f64::from(2.0 * *value as f32));
        }
        Ok(())
    });
}
