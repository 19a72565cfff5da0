//! Every layer obeys the laws of layers, on generated inputs and attributes.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Device, Result, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::strategy::{
    self, Values, avg_pool2d, conv2d, images, inputs, max_pool2d, shapes,
};
use ferrotape_gradcheck::{Input, check_layer};
use ferrotape_nn::{
    Activation, AvgPool2d, BatchNorm1d, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig,
    Dropout, DropoutConfig, Flatten, Identity, Init, Linear, LinearConfig, MaxPool2d, PoolConfig,
    Residual, Sequential, Softmax, activation, max_pool2d as max_pool,
};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::TestCaseError;

/// Checks a law on generated cases on the reference backend and on the CPU.
#[track_caller]
pub(crate) fn for_all<S: Strategy<Value: Clone>>(
    cases: S,
    law: impl Fn(&Device, S::Value) -> Result<(), TestCaseError>,
) {
    let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() });
    let cpu = cpu.expect("two threads can be had, and the level that the machine has");
    let devices = [Device::new(Reference::new()), Device::new(cpu)];
    strategy::for_all(cases, |case| devices.iter().try_for_each(|d| law(d, case.clone())));
}

pub(crate) fn one(shape: Vec<usize>) -> impl Strategy<Value = Input> {
    inputs(vec![shape], Values::Any).prop_map(|mut inputs| inputs.swap_remove(0))
}

#[test]
fn convolutions_obey_the_laws() {
    let cases = conv2d().prop_flat_map(|case| {
        let sizes = |axis: usize| [case.weight[2], case.weight[3]][axis];
        let config = Conv2dConfig {
            kernel: [sizes(0), sizes(1)],
            stride: case.params.stride,
            padding: case.params.padding,
            dilation: case.params.dilation,
            groups: case.params.groups,
            bias: case.bias,
            ..Conv2dConfig::new(case.input[1], case.weight[0], 1)
        };
        (one(case.input), Just(config))
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| Conv2d::new(init, config), config)?)
    });
}

#[test]
fn linear_layers_obey_the_laws() {
    let cases =
        (shapes(1..=3, 3), 1..=4usize, any::<bool>()).prop_flat_map(|(mut shape, out, bias)| {
            shape.insert(0, 2);
            let features = shape[shape.len() - 1];
            (one(shape), Just(LinearConfig::new(features, out).bias(bias)))
        });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| Linear::new(init, config), config)?)
    });
}

#[test]
fn batch_norms_obey_the_laws() {
    let cases =
        (images(3), any::<bool>(), any::<bool>()).prop_flat_map(|(mut shape, affine, track)| {
            shape[0] += 2;
            let config = BatchNormConfig {
                affine,
                track_running_stats: track,
                eps: 1e-3,
                ..BatchNormConfig::new(shape[1])
            };
            let vectors = one(shape[..2].to_vec());
            (one(shape), vectors, Just(config))
        });
    for_all(cases, |device, (images, vectors, config)| {
        // Without running statistics the batch's own are taken in evaluation too.
        let independent = config.track_running_stats;
        let options = || ferrotape_gradcheck::LayerOptions {
            batch_independent: independent,
            ..Default::default()
        };
        check_layer!(device, &images, |init| BatchNorm2d::new(init, config), config; options())?;
        Ok(check_layer!(
            device, &vectors, |init| BatchNorm1d::new(init, config), config; options()
        )?)
    });
}

#[test]
fn pooling_layers_obey_the_laws() {
    let of = |case: strategy::Pool2dCase| (one(case.input), Just(PoolConfig(case.params)));
    for_all(max_pool2d().prop_flat_map(of), |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| MaxPool2d::new(init, config), config)?)
    });
    for_all(avg_pool2d().prop_flat_map(of), |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| AvgPool2d::new(init, config), config)?)
    });
}

#[test]
fn layers_without_parameters_obey_the_laws() {
    for_all(shapes(2..=4, 3).prop_flat_map(one), |device, input| {
        check_layer!(device, &input, Identity::new)?;
        check_layer!(device, &input, Flatten::new)?;
        check_layer!(device, &input, Softmax::new)?;
        let tanh = |init: &Init| Ok(Activation::new(init, "tanh", Tensor::tanh));
        Ok(check_layer!(device, &input, tanh)?)
    });
}

#[test]
fn dropout_obeys_the_laws() {
    let cases = (shapes(1..=4, 3).prop_flat_map(one), 0.0..1.0);
    for_all(cases, |device, (input, p)| {
        let config = DropoutConfig { p };
        Ok(check_layer!(device, &input, |init| Dropout::new(init, config), config)?)
    });
}

/// Convolution, norm, a residual connection, pooling and a linear layer.
fn network(init: &Init) -> Result<Sequential> {
    Sequential::new(init)
        .add(Conv2dConfig::new(2, 3, 3).padding(1).bias(false))?
        .named("norm", BatchNormConfig::new(3))?
        .add(activation("tanh", Tensor::tanh))?
        .named("residual", |init: &Init| Residual::new(init, Conv2dConfig::new(3, 3, 1)))?
        .add(max_pool(PoolConfig::new(2)))?
        .add(Flatten::new)?
        .add(LinearConfig::new(6, 2))
}

#[test]
fn a_network_of_layers_within_layers_obeys_the_laws() {
    for_all(one(vec![3, 2, 2, 4]), |device, input| Ok(check_layer!(device, &input, network)?));
}
