//! Pixels that become channels, and windows that become columns.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Unfold;
use ferrotape_backend::{Array, DType, Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, conv2d, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn pixel_shuffle_and_its_inverse_obey_the_laws() {
    let cases = (shapes(3..=5, 2), 1..=3usize).prop_flat_map(|(mut shape, factor)| {
        let channels = shape.len() - 3;
        shape[channels] *= factor * factor;
        (inputs(vec![shape], Values::Any), Just(factor))
    });
    for_all(cases, |device, (inputs, factor)| {
        check_op!(device, &inputs, |x| x[0].pixel_shuffle(factor), factor)?;
        // Its inverse brings every element back.
        let x = Tensor::from(inputs[0].on(device)?);
        let there = x.pixel_shuffle(factor)?;
        let back = there.pixel_unshuffle(factor)?;
        assert_eq!((back.shape(), back.to_vec::<f64>()?), (x.shape(), x.to_vec::<f64>()?));
        let input = [Input::from_array(there.array())?];
        Ok(check_op!(device, &input, |x| x[0].pixel_unshuffle(factor), factor)?)
    });
}

/// Images and windows that fit into them.
fn windows() -> impl Strategy<Value = (Vec<usize>, Unfold)> {
    conv2d().prop_map(|case| {
        let windows = Unfold {
            kernel: [case.weight[2], case.weight[3]],
            stride: case.params.stride,
            padding: case.params.padding,
            dilation: case.params.dilation,
        };
        (case.input, windows)
    })
}

#[test]
fn unfold_obeys_the_laws_for_all_windows() {
    let cases = windows()
        .prop_flat_map(|(image, windows)| (inputs(vec![image], Values::Any), Just(windows)));
    for_all(cases, |device, (inputs, windows)| {
        Ok(check_op!(device, &inputs, |x| x[0].unfold(&windows), windows)?)
    });
}

#[test]
fn fold_is_the_transpose_of_unfold() {
    let cases = windows()
        .prop_flat_map(|(image, windows)| (inputs(vec![image], Values::Any), Just(windows)));
    for_all(cases, |device, (inputs, windows)| {
        // <unfold(x), c> = <x, fold(c)> for columns c that have nothing to do with x.
        let x = Tensor::from(inputs[0].on(device)?);
        let size = [x.shape()[2], x.shape()[3]];
        let columns = x.unfold(&windows)?;
        let count = columns.shape().numel();
        let other: Vec<f64> = (0..count).map(|i| ((i * 7 % 11) as f64 - 5.0) / 4.0).collect();
        let other = Input::new(columns.shape(), other)?;
        let c = Tensor::from(other.on(device)?);
        let over_columns = columns.mul(&c)?.sum_all()?.item()?;
        let over_pixels = x.mul(&c.fold(size, &windows)?)?.sum_all()?.item()?;
        assert!((over_columns - over_pixels).abs() < 1e-9, "{over_columns} {over_pixels}");
        Ok(check_op!(device, &[other], |x| x[0].fold(size, &windows), size, windows)?)
    });
}

#[test]
fn a_single_image_needs_no_batch() -> Result<()> {
    let device = Device::new(Reference::new());
    let x = Tensor::from(Array::from_f64(&device, &[1.0, 2.0, 3.0, 4.0], DType::F32, [1, 2, 2])?);
    let columns = x.unfold(&Unfold::new([2, 1]))?;
    assert_eq!(columns.shape().dims(), [2, 2]);
    assert_eq!(columns.fold([2, 2], &Unfold::new([2, 1]))?.to_vec::<f32>()?, x.to_vec::<f32>()?);
    Ok(())
}

#[test]
fn windows_and_factors_without_meaning_are_refused() -> Result<()> {
    let device = Device::new(Reference::new());
    let x = Tensor::from(Array::zeros(&device, DType::F64, [1, 4, 3, 3])?);
    let refused = |result: Result<Tensor>, why: &str| {
        let error = result.expect_err("it must be refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    for factor in [0, 3, usize::MAX] {
        refused(x.pixel_shuffle(factor), "square divides");
    }
    for factor in [0, 2, usize::MAX] {
        refused(x.pixel_unshuffle(factor), "divides height");
    }
    refused(Tensor::from(Array::zeros(&device, DType::F64, [3, 3])?).pixel_shuffle(1), "[.., C");
    let one = Unfold::new([1, 1]);
    refused(x.unfold(&Unfold::new([0, 1])), "at least 1");
    refused(x.unfold(&Unfold { stride: [1, 0], ..one }), "at least 1");
    refused(x.unfold(&Unfold { dilation: [0, 1], ..one }), "at least 1");
    refused(x.unfold(&Unfold::new([4, 1])), "do not fit");
    refused(x.unfold(&Unfold { padding: [usize::MAX, 0], ..one }), "do not fit");
    refused(x.unfold(&Unfold { padding: [usize::MAX / 4, 0], ..one }), "addressed");
    refused(x.flatten(2)?.fold([3, 2], &one), "wants [N, C * 1 * 1, 3 * 2]");
    refused(x.fold([3, 3], &one), "wants [N");
    Ok(())
}
