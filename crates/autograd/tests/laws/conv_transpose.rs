//! One-dimensional and transposed convolutions.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::{Conv1d, ConvTranspose1d, ConvTranspose2d};
use ferrotape_backend::{Array, DType, Device, ErrorKind, reference::Reference};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, conv2d, inputs};
use proptest::array::uniform2;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn conv1d_obeys_the_laws_for_every_stride_padding_dilation_and_group() {
    let cases = conv2d().prop_flat_map(|case| {
        let params = Conv1d {
            stride: case.params.stride[1],
            padding: case.params.padding[1],
            dilation: case.params.dilation[1],
            groups: case.params.groups,
        };
        let mut shapes = case.shapes();
        for shape in &mut shapes[..2] {
            shape.remove(2);
        }
        (inputs(shapes, Values::Any), Just(params))
    });
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].conv1d(&x[1], x.get(2), &params), params)?)
    });
}

/// Operands of a transposed convolution that leaves pixels, and every output padding that is allowed.
fn transposed() -> impl Strategy<Value = (Vec<Vec<usize>>, ConvTranspose2d)> {
    (conv2d(), uniform2(0..=2usize), uniform2(1..=3usize)).prop_map(|(case, extra, size)| {
        let (kernel, mut size) = ([case.weight[2], case.weight[3]], size);
        let mut params = ConvTranspose2d {
            stride: case.params.stride,
            padding: case.params.padding,
            output_padding: [0, 0],
            dilation: case.params.dilation,
            groups: case.params.groups,
        };
        for axis in 0..2 {
            let most = params.stride[axis].max(params.dilation[axis]) - 1;
            params.output_padding[axis] = extra[axis].min(most);
            let reach =
                params.dilation[axis] * (kernel[axis] - 1) + params.output_padding[axis] + 1;
            let missing = (2 * params.padding[axis] + 1).saturating_sub(reach);
            size[axis] = size[axis].max(1 + missing.div_ceil(params.stride[axis]));
        }
        // What a convolution calls its output is the input here.
        let input = vec![case.input[0], case.weight[0], size[0], size[1]];
        let mut shapes = vec![input, case.weight.clone()];
        if case.bias {
            shapes.push(vec![case.weight[1] * params.groups]);
        }
        (shapes, params)
    })
}

#[test]
fn conv_transpose2d_obeys_the_laws_with_every_attribute() {
    let cases =
        transposed().prop_flat_map(|(shapes, params)| (inputs(shapes, Values::Any), Just(params)));
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].conv_transpose2d(&x[1], x.get(2), &params), params)?)
    });
}

#[test]
fn conv_transpose1d_obeys_the_laws() {
    let cases = transposed().prop_flat_map(|(mut shapes, params)| {
        for shape in &mut shapes[..2] {
            shape.remove(2);
        }
        let params = ConvTranspose1d {
            stride: params.stride[1],
            padding: params.padding[1],
            output_padding: params.output_padding[1],
            dilation: params.dilation[1],
            groups: params.groups,
        };
        (inputs(shapes, Values::Any), Just(params))
    });
    for_all(cases, |device, (inputs, params)| {
        Ok(check_op!(device, &inputs, |x| x[0].conv_transpose1d(&x[1], x.get(2), &params), params)?)
    });
}

#[test]
fn impossible_transposed_convolutions_are_errors() {
    let device = Device::new(Reference::new());
    let zeros = |shape: &[usize]| {
        let shape = ferrotape_backend::Shape::new(shape).expect("a small shape");
        Tensor::from(Array::zeros(&device, DType::F32, shape).expect("small"))
    };
    let valid = ConvTranspose2d::default();
    let (x, w) = (zeros(&[1, 2, 3, 3]), zeros(&[2, 2, 2, 2]));
    for (params, kind) in [
        (ConvTranspose2d { stride: [0, 1], ..valid }, ErrorKind::Argument),
        (ConvTranspose2d { dilation: [1, 0], ..valid }, ErrorKind::Argument),
        (ConvTranspose2d { groups: 0, ..valid }, ErrorKind::Argument),
        (ConvTranspose2d { groups: 3, ..valid }, ErrorKind::Shape),
        (ConvTranspose2d { output_padding: [1, 0], ..valid }, ErrorKind::Argument),
        (ConvTranspose2d { padding: [2, 0], ..valid }, ErrorKind::Shape),
        (ConvTranspose2d { stride: [usize::MAX, 1], ..valid }, ErrorKind::Argument),
        (ConvTranspose2d { padding: [0, usize::MAX], ..valid }, ErrorKind::Argument),
    ] {
        let error = x.conv_transpose2d(&w, None, &params).expect_err("the attributes are wrong");
        assert_eq!(error.kind(), kind, "{params:?}: {error}");
    }
    for (x, w, bias) in [
        (zeros(&[1, 3, 3, 3]), zeros(&[2, 2, 2, 2]), None),
        (zeros(&[1, 2, 0, 3]), zeros(&[2, 2, 2, 2]), None),
        (zeros(&[2, 3, 3]), zeros(&[2, 2, 2, 2]), None),
        (zeros(&[1, 2, 3, 3]), zeros(&[2, 2, 2]), None),
        (zeros(&[1, 2, 3, 3]), zeros(&[2, 2, 2, 2]), Some(zeros(&[3]))),
    ] {
        let error = x.conv_transpose2d(&w, bias.as_ref(), &valid).expect_err("shapes do not fit");
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    }
}

#[test]
fn output_padding_of_more_than_a_stride_gives_the_numbers_that_pytorch_gives() {
    let device = Device::new(Reference::new());
    let ramp = |count: i32, shape: [usize; 4]| {
        let values: Vec<f64> = (1..=count).map(f64::from).collect();
        Tensor::from(Array::from_slice(&device, &values, shape).expect("it fits"))
    };
    let (x, w) = (ramp(6, [1, 1, 2, 3]), ramp(4, [1, 1, 2, 2]));
    let params = ConvTranspose2d {
        padding: [1, 1],
        output_padding: [2, 0],
        dilation: [3, 3],
        ..ConvTranspose2d::default()
    };
    let y = x.conv_transpose2d(&w, None, &params).expect("shapes fit");
    assert_eq!(y.shape().dims(), [1, 1, 5, 4]);
    // torch.nn.functional.conv_transpose2d of PyTorch 2.15.
    let mut expected =
        vec![5.0, 6.0, 8.0, 10.0, 0.0, 0.0, 0.0, 0.0, 6.0, 9.0, 4.0, 8.0, 15.0, 18.0];
    expected.extend([16.0, 20.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(y.to_vec::<f64>().expect("f64"), expected);
}
