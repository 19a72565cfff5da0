//! Fused operators equal their definitions in value, gradient and second gradient.

use ferrotape_autograd::ops::ConvTranspose2d;
use ferrotape_autograd::{BackwardOptions, Tape, Tensor};
use ferrotape_backend::{Array, Pool2d, Result, Shape, Taps};
use ferrotape_gradcheck::check_equal;
use ferrotape_gradcheck::strategy::{Values, avg_pool2d, conv2d, images, inputs, shapes};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn batch_norm_in_training_equals_its_definition() {
    let cases = (images(3), 1e-3..0.1).prop_flat_map(|(mut shape, eps)| {
        shape[0] += 1;
        let channels = vec![shape[1], 1, 1];
        (inputs(vec![shape, channels.clone(), channels], Values::Any), Just(eps))
    });
    for_all(cases, |device, (inputs, eps)| {
        let fused = |x: &[Tensor]| {
            let [weight, bias] = [x[1].flatten(0)?, x[2].flatten(0)?];
            Ok(x[0].batch_norm_train(Some([&weight, &bias]), eps)?.0)
        };
        let plain = |x: &[Tensor]| {
            let over = [0, 2, 3];
            let centred = x[0].sub(&x[0].mean(&over, true)?)?;
            let r = x[0].var(&over, 0, true)?.add_scalar(eps)?.rsqrt()?;
            centred.mul(&r)?.mul(&x[1])?.add(&x[2])
        };
        Ok(check_equal!(device, &inputs, fused, plain, eps)?)
    });
}

#[test]
fn a_convolution_with_residual_and_relu_equals_what_it_means() {
    let cases = (conv2d(), any::<[bool; 2]>()).prop_flat_map(|(case, has)| {
        let mut shapes = case.shapes();
        let sizes = |at: usize| <[usize; 4]>::try_from(&shapes[at][..]).expect("images");
        let output = case.params.output_shape(sizes(0), sizes(1)).expect("the case fits");
        shapes.push(output.to_vec());
        (inputs(shapes, Values::Any), Just((case.params, has)))
    });
    for_all(cases, |device, (inputs, (params, [residual, relu]))| {
        let (operands, last) = inputs.split_at(inputs.len() - 1);
        let inputs = if residual { [operands, last].concat() } else { operands.to_vec() };
        let parts = |x: &[Tensor]| {
            let count = x.len() - usize::from(residual);
            (x[..count].get(2).cloned(), x[count..].first().cloned())
        };
        let fused = |x: &[Tensor]| {
            let (bias, residual) = parts(x);
            x[0].conv2d_act(&x[1], bias.as_ref(), &params, residual.as_ref(), relu)
        };
        let plain = |x: &[Tensor]| {
            let (bias, residual) = parts(x);
            let y = x[0].conv2d(&x[1], bias.as_ref(), &params)?;
            let y = residual.map_or(Ok(y.clone()), |residual| y.add(&residual))?;
            if relu { y.relu() } else { Ok(y) }
        };
        Ok(check_equal!(device, &inputs, fused, plain, params, residual, relu)?)
    });
}

#[test]
fn batch_norm_with_residual_and_relu_equals_what_it_means() {
    let cases =
        (images(3), 1e-3..0.1, any::<[bool; 4]>()).prop_flat_map(|(mut shape, eps, has)| {
            shape[0] += 1;
            let channels = vec![shape[1]];
            let shapes = vec![shape.clone(), channels.clone(), channels, shape];
            (inputs(shapes, Values::Any), Just((eps, has)))
        });
    for_all(cases, |device, (inputs, (eps, has))| {
        let [affine, residual, relu, evaluates] = has;
        let stats = |x: &Tensor| -> Result<[Array; 2]> {
            let full = |value| Array::full(device, x.dtype(), [x.shape().dims()[1]], value);
            Ok([full(0.3)?, full(1.7)?])
        };
        let inputs = match (affine, residual) {
            (true, true) => inputs.to_vec(),
            (true, false) => inputs[..3].to_vec(),
            (false, true) => vec![inputs[0].clone(), inputs[3].clone()],
            (false, false) => inputs[..1].to_vec(),
        };
        let parts = |x: &[Tensor]| {
            let affine = affine.then(|| [x[1].clone(), x[2].clone()]);
            (affine, residual.then(|| x[x.len() - 1].clone()))
        };
        let fused = |x: &[Tensor]| {
            let (affine, residual) = parts(x);
            let affine = affine.as_ref().map(|[weight, bias]| [weight, bias]);
            if evaluates {
                let [mean, var] = &stats(&x[0])?;
                return x[0].batch_norm_act_eval([mean, var], affine, eps, residual.as_ref(), relu);
            }
            Ok(x[0].batch_norm_act_train(affine, eps, residual.as_ref(), relu)?.0)
        };
        let plain = |x: &[Tensor]| {
            let (affine, residual) = parts(x);
            let affine = affine.as_ref().map(|[weight, bias]| [weight, bias]);
            let y = match evaluates {
                true => {
                    let [mean, var] = &stats(&x[0])?;
                    x[0].batch_norm_eval(mean, var, affine, eps)?
                }
                false => x[0].batch_norm_train(affine, eps)?.0,
            };
            let y = residual.map_or(Ok(y.clone()), |residual| y.add(&residual))?;
            if relu { y.relu() } else { Ok(y) }
        };
        Ok(check_equal!(device, &inputs, fused, plain, eps, has)?)
    });
}

#[test]
fn softmax_and_its_logarithm_equal_their_definitions() {
    let cases = (shapes(1..=4, 4), any::<u8>()).prop_flat_map(|(shape, dim)| {
        let dim = isize::from(dim) % shape.len() as isize;
        (inputs(vec![shape], Values::Any), Just(dim))
    });
    for_all(cases, |device, (inputs, dim)| {
        let plain = |x: &[Tensor]| x[0].exp()?.div(&x[0].exp()?.sum(&[dim], true)?);
        check_equal!(device, &inputs, |x| x[0].softmax(dim), plain, dim)?;
        let plain = |x: &[Tensor]| x[0].sub(&x[0].exp()?.sum(&[dim], true)?.log()?);
        Ok(check_equal!(device, &inputs, |x| x[0].log_softmax(dim), plain, dim)?)
    });
}

/// The gradient of a convolution in its input, given its output's, by the tape.
fn gradient_of_conv2d(
    output: &Tensor,
    weight: &Tensor,
    size: [usize; 4],
    params: &ferrotape_backend::Conv2d,
) -> Result<Tensor> {
    // Where nothing else is tracked the convolution has a tape of its own.
    let zeros = ferrotape_backend::Array::zeros(output.device(), output.dtype(), size)?;
    let tape = output.tape().or(weight.tape()).cloned().unwrap_or_else(Tape::new);
    let x = tape.variable(zeros)?;
    let y = x.conv2d(weight, None, params)?;
    let options =
        BackwardOptions { seed: Some(output), create_graph: true, ..BackwardOptions::default() };
    Ok(y.backward_with(&options)?.of(&x)?.clone())
}

#[test]
fn a_transposed_convolution_is_the_gradient_of_a_convolution() {
    let cases = conv2d().prop_flat_map(|case| {
        let size = |shape: &[usize]| [shape[0], shape[1], shape[2], shape[3]];
        let (x, w) = (size(&case.input), size(&case.weight));
        let y = case.params.output_shape(x, w).expect("the strategy makes shapes that fit");
        (inputs(vec![y.to_vec(), case.weight], Values::Any), Just((x, case.params)))
    });
    for_all(cases, |device, (inputs, (x, conv))| {
        let kernel = [inputs[1].shape()[2], inputs[1].shape()[3]];
        let left = |axis: usize| {
            let reach = conv.dilation[axis] * (kernel[axis] - 1) + 1;
            (x[2 + axis] + 2 * conv.padding[axis] - reach) % conv.stride[axis]
        };
        let params = ConvTranspose2d {
            stride: conv.stride,
            padding: conv.padding,
            output_padding: [left(0), left(1)],
            dilation: conv.dilation,
            groups: conv.groups,
        };
        Ok(check_equal!(
            device,
            &inputs,
            |t| t[0].conv_transpose2d(&t[1], None, &params),
            |t| gradient_of_conv2d(&t[0], &t[1], x, &conv),
            params,
            conv,
            x
        )?)
    });
}

#[test]
fn an_average_pooling_is_a_resampling() {
    let cases = avg_pool2d()
        .prop_flat_map(|case| (inputs(vec![case.input], Values::Any), Just(case.params)));
    for_all(cases, |device, (inputs, params)| {
        let size = [inputs[0].shape()[2], inputs[0].shape()[3]];
        let outputs = params.output_size(size)?;
        let axis = |axis: usize| -> Result<Taps> {
            let windows = (0..outputs[axis]).map(|i| window(&params, axis, i, size[axis]));
            Taps::new(size[axis], windows)
        };
        let (rows, columns) = (axis(0)?, axis(1)?);
        Ok(check_equal!(
            device,
            &inputs,
            |x| x[0].avg_pool2d(&params),
            |x| x[0].resample2d(rows.clone(), columns.clone()),
            params
        )?)
    });
}

/// The pixels of a window along one axis, with their shares in its mean.
fn window(params: &Pool2d, axis: usize, index: usize, size: usize) -> Vec<(usize, f64)> {
    let share = 1.0 / params.divisor(axis, index, size) as f64;
    let start = index * params.stride[axis];
    let padded = start..start + params.kernel[axis];
    let inside = padded.filter_map(|at| at.checked_sub(params.padding[axis]));
    inside.filter(|&at| at < size).map(|at| (at, share)).collect()
}

#[test]
fn a_layer_norm_of_the_channels_of_a_pixel_is_one_of_rows() {
    for_all(images(3).prop_flat_map(|shape| inputs(vec![shape], Values::Any)), |device, inputs| {
        let shape = *inputs[0].shape();
        let rows = |x: &[Tensor]| {
            let pixels = x[0].permute(&[0, 2, 3, 1])?;
            pixels.layer_norm(&shape[1..2], None, None, 0.01)
        };
        let flat = |x: &[Tensor]| {
            let pixels = x[0].permute(&[0, 2, 3, 1])?;
            let lines = pixels.reshape(&[-1, shape[1] as isize])?;
            let normal = lines.layer_norm(&shape[1..2], None, None, 0.01)?;
            normal.view(Shape::new(&[shape[0], shape[2], shape[3], shape[1]])?)
        };
        Ok(check_equal!(device, &inputs, rows, flat)?)
    });
}
