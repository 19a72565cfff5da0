//! Resampling, resizing, adaptive pooling and local response normalization.

use ferrotape_autograd::{Tape, Tensor, ops::Resize};
use ferrotape_backend::{Array, DType, Device, ErrorKind, Shape, Taps, reference::Reference};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, images, inputs, shapes};
use proptest::array::uniform2;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn resampling_by_any_two_matrices_obeys_the_laws() {
    let cases = (images(4), uniform2(1..=5usize), any::<bool>()).prop_flat_map(
        |(shape, size, transposed)| (inputs(vec![shape], Values::Any), Just((size, transposed))),
    );
    for_all(cases, |device, (inputs, (size, transposed))| {
        let (h, w) = (inputs[0].shape()[2], inputs[0].shape()[3]);
        let rows = match transposed {
            true => Taps::linear(size[0], h, false)?.transposed(),
            false => Taps::cubic(h, size[0], true)?,
        };
        let columns = Taps::sliding_mean(w, size[1])?;
        Ok(check_op!(device, &inputs, |x| x[0].resample2d(rows.clone(), columns.clone()), size)?)
    });
}

#[test]
fn interpolation_obeys_the_laws_in_every_mode() {
    let modes = select(vec![
        Resize::Nearest,
        Resize::NearestExact,
        Resize::Bilinear { align_corners: false },
        Resize::Bilinear { align_corners: true },
        Resize::Bicubic { align_corners: false },
        Resize::Bicubic { align_corners: true },
        Resize::Area,
    ]);
    let cases = (images(4), uniform2(1..=6usize), modes).prop_flat_map(|(shape, size, mode)| {
        (inputs(vec![shape], Values::Any), Just((size, mode)))
    });
    for_all(cases, |device, (inputs, (size, mode))| {
        Ok(check_op!(device, &inputs, |x| x[0].interpolate(size, mode), size, mode)?)
    });
}

#[test]
fn adaptive_pooling_obeys_the_laws_for_smaller_and_larger_outputs() {
    let cases = (images(5), uniform2(1..=6usize))
        .prop_flat_map(|(shape, size)| (inputs(vec![shape], Values::Any), Just(size)));
    for_all(cases, |device, (inputs, size)| {
        check_op!(device, &inputs, |x| x[0].adaptive_avg_pool2d(size), size)?;
        Ok(check_op!(device, &inputs, |x| x[0].adaptive_max_pool2d(size), size)?)
    });
}

#[test]
fn in_adaptive_pooling_the_first_of_equals_has_the_gradient_and_not_a_number_wins() {
    let device = Device::new(Reference::new());
    let tape = Tape::new();
    let values = [2.0, 1.0, 2.0, 2.0, f64::NAN];
    let x = tape.variable(Array::from_slice(&device, &values, [1, 1, 1, 5]).expect("it fits"));
    let x = x.expect("an array of floats");
    // The windows are 0..2, 1..4 and 3..5.
    let y = x.adaptive_max_pool2d([1, 3]).expect("images");
    let found = y.to_vec::<f64>().expect("f64");
    assert_eq!(found[..2], [2.0, 2.0]);
    assert!(found[2].is_nan());
    let gradients = y.sum_all().and_then(|sum| sum.backward()).expect("a scalar");
    let gradient = gradients.of(&x).expect("it is tracked").to_vec::<f64>().expect("f64");
    assert_eq!(gradient, [1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn local_response_norm_obeys_the_laws_over_any_number_of_channels() {
    let cases = (shapes(3..=5, 3), 1..=5usize, 0.1..2.0, 0.3..1.5, 0.5..2.0).prop_flat_map(
        |(mut shape, size, alpha, beta, k)| {
            shape[1] += 1;
            (inputs(vec![shape], Values::Any), Just((size, [alpha, beta, k])))
        },
    );
    for_all(cases, |device, (inputs, (size, rates))| {
        let [alpha, beta, k] = rates;
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].local_response_norm(size, alpha, beta, k),
            size,
            alpha,
            beta,
            k
        )?)
    });
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    let device = Device::new(Reference::new());
    let zeros = |shape: &[usize], dtype| {
        let shape = Shape::new(shape).expect("a small shape");
        Tensor::from(Array::zeros(&device, dtype, shape).expect("memory suffices"))
    };
    let x = zeros(&[1, 2, 3, 3], DType::F32);
    let kind =
        |result: ferrotape_backend::Result<Tensor>| result.expect_err("the size is wrong").kind();
    assert_eq!(kind(x.interpolate([0, 2], Resize::Nearest)), ErrorKind::Argument);
    assert_eq!(kind(x.adaptive_avg_pool2d([2, 0])), ErrorKind::Argument);
    assert_eq!(kind(x.adaptive_max_pool2d([0, 0])), ErrorKind::Argument);
    assert_eq!(kind(x.local_response_norm(0, 1.0, 1.0, 1.0)), ErrorKind::Argument);
    let empty = zeros(&[1, 2, 0, 3], DType::F32);
    assert_eq!(kind(empty.interpolate([2, 2], Resize::Area)), ErrorKind::Shape);
    assert_eq!(kind(empty.adaptive_max_pool2d([2, 2])), ErrorKind::Shape);
    assert_eq!(kind(empty.adaptive_avg_pool2d([2, 2])), ErrorKind::Shape);
    let matrix = zeros(&[2, 3], DType::F32);
    assert_eq!(kind(matrix.local_response_norm(3, 1.0, 1.0, 1.0)), ErrorKind::Shape);
    assert_eq!(kind(matrix.interpolate([2, 2], Resize::Nearest)), ErrorKind::Shape);
    let indices = zeros(&[1, 2, 3, 3], DType::I64);
    assert_eq!(kind(indices.interpolate([2, 2], Resize::Nearest)), ErrorKind::DType);
    for size in [usize::MAX, isize::MAX as usize] {
        assert!(x.interpolate([size, size], Resize::Nearest).is_err());
        assert!(x.adaptive_max_pool2d([size, 1]).is_err());
    }
    let none = zeros(&[0, 2, 3, 3], DType::F32);
    assert!(none.adaptive_max_pool2d([2, 2]).is_ok_and(|y| y.shape().numel() == 0));
}

#[test]
fn resizing_gives_the_numbers_that_pytorch_gives() {
    let device = Device::new(Reference::new());
    let squares: Vec<f64> = (1..=12).map(|i| f64::from(i * i)).collect();
    let x = Tensor::from(Array::from_slice(&device, &squares, [1, 1, 3, 4]).expect("it fits"));
    // torch.nn.functional.interpolate of PyTorch 2.15 in f64.
    let cases: [(Resize, [usize; 2], &[f64]); 5] = [
        (
            Resize::Bicubic { align_corners: false },
            [2, 3],
            &[
                5.0056785300926,
                11.890625,
                22.9514973958333,
                71.325339988426,
                95.984375,
                124.8193359375,
            ],
        ),
        (
            Resize::Bicubic { align_corners: true },
            [2, 7],
            &[
                1.0, 2.03125, 4.0, 6.125, 9.0, 12.96875, 16.0, 81.0, 88.53125, 100.0, 110.125,
                121.0, 134.46875, 144.0,
            ],
        ),
        (Resize::Area, [2, 3], &[16.5, 24.5, 34.5, 60.5, 76.5, 94.5]),
        (
            Resize::NearestExact,
            [5, 3],
            &[
                1.0, 9.0, 16.0, 1.0, 9.0, 16.0, 25.0, 49.0, 64.0, 81.0, 121.0, 144.0, 81.0, 121.0,
                144.0,
            ],
        ),
        (Resize::Nearest, [2, 3], &[1.0, 4.0, 9.0, 25.0, 36.0, 49.0]),
    ];
    for (mode, size, expected) in cases {
        let found = x.interpolate(size, mode).and_then(|y| y.to_vec::<f64>());
        let found = found.expect("the size is valid");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-10 * 144.0, "{mode:?}: {found} for {expected}");
        }
    }
}

#[test]
fn a_window_of_even_size_reaches_further_before_a_channel_than_after_it() {
    let device = Device::new(Reference::new());
    let values: Vec<f64> = (1..=6).map(f64::from).collect();
    let x = Tensor::from(Array::from_slice(&device, &values, [1, 6, 1]).expect("it fits"));
    let y = x.local_response_norm(4, 2.0, 0.5, 1.0).and_then(|y| y.to_vec::<f64>());
    // torch.nn.functional.local_response_norm of PyTorch 2.15 in f64.
    let expected = [
        0.5345224838248488,
        std::f64::consts::FRAC_1_SQRT_2,
        0.75,
        0.7559289460184544,
        0.753778361444409,
        0.9546687410108761,
    ];
    for (found, expected) in y.expect("three dimensions").iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
}
