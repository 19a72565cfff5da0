//! Layers that choose the size of their output, and convolutions of other kinds, obey the laws.

use ferrotape_autograd::ops::Resize;
use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_gradcheck::check_layer;
use ferrotape_gradcheck::strategy::{conv2d, images};
use ferrotape_nn::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, Conv1d, Conv1dConfig, ConvTranspose2d,
    ConvTranspose2dConfig, GroupNormConfig, Init, LayerNormConfig, Sequential, Summary, Upsample,
    UpsampleConfig,
};
use proptest::array::uniform2;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::layers::{for_all, one};

#[test]
fn one_dimensional_convolutions_obey_the_laws() {
    let cases = conv2d().prop_flat_map(|mut case| {
        let config = Conv1dConfig {
            stride: case.params.stride[1],
            padding: case.params.padding[1],
            dilation: case.params.dilation[1],
            groups: case.params.groups,
            bias: case.bias,
            ..Conv1dConfig::new(case.input[1], case.weight[0], case.weight[3])
        };
        case.input.remove(2);
        (one(case.input), Just(config))
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| Conv1d::new(init, config), config)?)
    });
}

#[test]
fn transposed_convolutions_obey_the_laws() {
    let cases = (conv2d(), uniform2(0..=1usize)).prop_flat_map(|(case, extra)| {
        let stride = case.params.stride;
        let config = ConvTranspose2dConfig {
            kernel: [case.weight[2], case.weight[3]],
            stride,
            output_padding: [0, 1].map(|axis| extra[axis].min(stride[axis] - 1)),
            dilation: case.params.dilation,
            groups: case.params.groups,
            bias: case.bias,
            ..ConvTranspose2dConfig::new(case.input[1], case.weight[0], 1)
        };
        (one(case.input), Just(config))
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| ConvTranspose2d::new(init, config), config)?)
    });
}

#[test]
fn adaptive_pooling_layers_obey_the_laws() {
    let cases = (images(4), uniform2(1..=5usize)).prop_flat_map(|(s, size)| (one(s), Just(size)));
    for_all(cases, |device, (input, size)| {
        check_layer!(device, &input, |init| AdaptiveAvgPool2d::new(init, size), size)?;
        Ok(check_layer!(device, &input, |init| AdaptiveMaxPool2d::new(init, size), size)?)
    });
}

#[test]
fn upsampling_layers_obey_the_laws() {
    let modes = select(vec![
        Resize::Nearest,
        Resize::Bilinear { align_corners: true },
        Resize::Bicubic { align_corners: false },
    ]);
    let cases = (images(3), uniform2(1..=4usize), any::<bool>(), modes).prop_flat_map(
        |(shape, size, by, mode)| {
            let config = if by { UpsampleConfig::by(size[0]) } else { UpsampleConfig::to(size) };
            (one(shape), Just(config.mode(mode)))
        },
    );
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| Upsample::new(init, config), config)?)
    });
}

#[test]
fn a_summary_counts_their_parameters_and_multiply_adds() {
    let device = Device::new(Reference::new());
    let init = Init::new(&device, Rng::new(1));
    let model = Sequential::new(&init)
        .add(ConvTranspose2dConfig::new(4, 6, 3).stride(2))
        .and_then(|model| model.add(GroupNormConfig::new(2, 6)))
        .and_then(|model| model.add(LayerNormConfig::new([6, 9, 9])))
        .expect("the sizes fit");
    let input = Array::zeros(&device, DType::F32, [1, 4, 4, 4]).expect("memory suffices");
    let summary = Summary::of(&model, input).expect("the sizes fit");
    let found: Vec<_> =
        summary.rows.iter().map(|row| (row.kind, row.parameters, row.multiply_adds)).collect();
    // Each of 4 x 16 inputs is multiplied with 6 x 9 weights.
    let expected = [("ConvTranspose2d", 222, 3456), ("GroupNorm", 12, 0), ("LayerNorm", 972, 0)];
    assert_eq!(found, expected);
    let model = Sequential::new(&init).add(Conv1dConfig::new(2, 6, 5)).expect("the sizes fit");
    let input = Array::zeros(&device, DType::F32, [1, 2, 8]).expect("memory suffices");
    let summary = Summary::of(&model, input).expect("the sizes fit");
    assert_eq!((summary.parameters, summary.multiply_adds()), (66, 4 * 6 * 10));
}
