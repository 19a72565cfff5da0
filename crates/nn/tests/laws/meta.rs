//! Models on the device that has shapes and no elements.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Result, Rng, meta::Meta, reference::Reference};
use ferrotape_nn::{
    BatchNormConfig, Conv2dConfig, Flatten, Init, Layer, LinearConfig, Module, Pass, PoolConfig,
    Sequential, Summary, activation, max_pool2d,
};

fn network(device: &Device, channels: usize) -> Result<Sequential> {
    let init = Init::new(device, Rng::new(7));
    let mut net = Sequential::new(&init).add(Conv2dConfig::new(3, channels, 3).padding(1))?;
    for _ in 0..3 {
        net = net
            .add(Conv2dConfig::new(channels, channels, 3).padding(1))?
            .add(BatchNormConfig::new(channels))?
            .add(activation("relu", Tensor::relu))?
            .add(max_pool2d(PoolConfig::new(2)))?;
    }
    net.add(Flatten::new)?.add(LinearConfig::new(channels, 10))
}

#[test]
fn a_summary_without_elements_is_that_with_them() {
    let [meta, real] = [Device::new(Meta::new()), Device::new(Reference::new())].map(|device| {
        let input = Array::zeros(&device, DType::F32, [2, 3, 8, 8]).unwrap();
        Summary::of(&network(&device, 4).unwrap(), input).unwrap()
    });
    assert_eq!(meta, real);
}

#[test]
fn a_network_that_no_memory_holds_can_be_summed_up_and_differentiated() {
    let device = Device::new(Meta::new());
    let channels = 1 << 20;
    let net = network(&device, channels).unwrap();
    let input = Array::zeros(&device, DType::F32, [1, 3, 8, 8]).unwrap();
    let summary = Summary::of(&net, input.clone()).unwrap();
    let convolutions = 3 * 9 * channels * channels + 3 * 9 * channels + 4 * channels;
    assert_eq!(summary.parameters, convolutions + 3 * 2 * channels + 10 * channels + 10);
    assert_eq!(net.parameters().len(), 16);
    assert!(device.memory().live_bytes > 4 * convolutions);

    let cx = Pass::train(&device, Rng::new(1));
    let x = cx.input(input).unwrap();
    let loss = net.forward(&cx, &x).unwrap().square().unwrap();
    let gradients = loss.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&net.parameters()[0]).unwrap().shape().dims(), [channels, 3, 3, 3]);
}
