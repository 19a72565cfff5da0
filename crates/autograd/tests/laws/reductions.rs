//! Sums, means, variances and extremes over any dimensions.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, DType, Result, Shape};
use ferrotape_gradcheck::strategy::{Values, broadcast_pair, dims_of, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all};

type Case = (Vec<Input>, Vec<isize>, bool);

/// An input, dimensions of it, and whether they are kept.
fn cases() -> impl Strategy<Value = Case> {
    dims_of(shapes(0..=4, 3)).prop_flat_map(|(shape, dims)| {
        (inputs(vec![shape], Values::Any), Just(dims), any::<bool>())
    })
}

macro_rules! reduction {
    ($($name:ident: $method:ident;)*) => {$(
        #[test]
        fn $name() {
            for_all(cases(), |device, (inputs, dims, keepdim)| {
                Ok(check_op!(device, &inputs, |x| x[0].$method(&dims, keepdim), dims, keepdim)?)
            });
        }
    )*};
}

reduction! {
    sum_obeys_the_laws: sum;
    mean_obeys_the_laws: mean;
    max_obeys_the_laws: max;
    min_obeys_the_laws: min;
    norm_obeys_the_laws: norm;
}

#[test]
fn reductions_to_one_number_obey_the_laws() {
    let cases = shapes(0..=4, 3).prop_flat_map(|shape| inputs(vec![shape], Values::Any));
    for_all(cases, |device, inputs| {
        check_op!(device, &inputs, |x| x[0].sum_all())?;
        Ok(check_op!(device, &inputs, |x| x[0].mean_all())?)
    });
}

#[test]
fn var_and_std_obey_the_laws_with_and_without_correction() {
    for_all((cases(), 0..=1usize), |device, ((inputs, dims, keepdim), correction)| {
        let shape = inputs[0].shape();
        let all = dims.is_empty();
        let over = |d: &isize| shape.dim(*d).map(|d| shape[d]);
        let count: usize = dims.iter().map(over).product::<Result<_, _>>()?;
        let count = if all { shape.numel() } else { count };
        if count <= correction {
            return Ok(());
        }
        check_op!(
            device,
            &inputs,
            |x| x[0].var(&dims, correction, keepdim),
            dims,
            correction,
            keepdim
        )?;
        // The deviation of one number from itself is 0, where its root has no derivative.
        if count == 1 {
            return Ok(());
        }
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].std(&dims, correction, keepdim),
            dims,
            correction,
            keepdim
        )?)
    });
}

#[test]
fn norms_and_deviations_of_0_have_gradient_0_and_halves_do_not_overflow() -> Result<()> {
    for device in devices() {
        let x = Tape::new().variable(Array::zeros(&device, DType::F64, [3])?)?;
        let sum = x.norm(&[], false)?.add(&x.std(&[0], 1, false)?)?;
        assert_eq!(sum.item()?, 0.0);
        assert_eq!(sum.backward()?.of(&x)?.to_vec::<f64>()?, [0.0; 3]);
        let halves = Tensor::from(Array::full(&device, DType::F16, [4], 1000.0)?);
        assert_eq!(halves.norm(&[], false)?.item()?, 2000.0);
    }
    Ok(())
}

#[test]
fn argmax_gives_the_same_integers_in_every_run() {
    let cases =
        (shapes(1..=4, 3), any::<u8>(), any::<bool>()).prop_flat_map(|(shape, dim, keep)| {
            let dim = isize::from(dim) % shape.len() as isize;
            (inputs(vec![shape], Values::Any), Just(dim), Just(keep))
        });
    for_all(cases, |device, (inputs, dim, keepdim)| {
        // The position of the largest element holds the largest element.
        let x = ferrotape_autograd::Tensor::from(inputs[0].on(device)?);
        let at = x.argmax(dim, true)?;
        assert!(!at.is_tracked());
        let largest = x.gather(dim, at.array())?.to_vec::<f64>()?;
        assert_eq!(largest, x.max(&[dim], true)?.to_vec::<f64>()?);
        let squeezed = x.argmax(dim, keepdim)?;
        assert_eq!(squeezed.to_vec::<i64>()?, at.to_vec::<i64>()?);
        assert_eq!(squeezed.shape().rank() + usize::from(!keepdim), x.shape().rank());
        Ok(())
    });
}

#[test]
fn sum_to_obeys_the_laws_for_every_shape_that_broadcasts() {
    let cases = broadcast_pair(4, 3).prop_flat_map(|(a, b)| {
        let wide = Shape::new(&a).and_then(|a| a.broadcast(&Shape::new(&b)?));
        let wide = wide.expect("the strategy makes shapes that broadcast").to_vec();
        (inputs(vec![wide], Values::Any), Just(a))
    });
    for_all(cases, |device, (inputs, shape)| {
        Ok(check_op!(device, &inputs, |x| x[0].sum_to(Shape::new(&shape)?), shape)?)
    });
}
