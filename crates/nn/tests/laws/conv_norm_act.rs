//! Convolution, norm, residual and activation in one call are what the layers do one by one.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Result, Rng, reference::Reference};
use ferrotape_gradcheck::check_layer;
use ferrotape_nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Init, Layer, Module, NormActivation, Pass,
    Path, Summary, conv_norm_act,
};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::layers::{for_all, one};

/// A block whose input is its residual, where `residual` says so.
#[derive(Debug, Module)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm2d,
    #[module(skip)]
    residual: bool,
    #[module(skip)]
    activation: NormActivation,
    path: Path,
}

impl Block {
    fn new(
        init: &Init,
        channels: usize,
        residual: bool,
        activation: NormActivation,
    ) -> Result<Self> {
        let conv = Conv2dConfig::new(channels, channels, 3).padding(1).bias(false);
        let norm = BatchNormConfig { eps: 1e-3, ..BatchNormConfig::new(channels) };
        Ok(Block {
            conv: Conv2d::new(&init.at("conv"), conv)?,
            norm: BatchNorm2d::new(&init.at("norm"), norm)?,
            residual,
            activation,
            path: init.path().clone(),
        })
    }

    /// The definition.
    fn by_hand(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        let y = self.norm.forward(cx, &self.conv.forward(cx, x)?)?;
        let y = if self.residual { y.add(x)? } else { y };
        self.activation.apply(&y)
    }
}

impl Layer for Block {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let residual = self.residual.then_some(x);
            conv_norm_act(cx, &self.conv, &self.norm, residual, self.activation, x)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[test]
fn blocks_of_convolution_norm_and_residual_obey_the_laws() {
    // Smooth activations: at a kink a difference quotient is no derivative.
    let smooth = proptest::sample::select(vec![NormActivation::Identity, NormActivation::Silu]);
    let cases = (1..=3usize, 2..=3usize, 1..=4usize, any::<bool>(), smooth).prop_flat_map(
        |(channels, samples, width, residual, activation)| {
            (one(vec![samples, channels, 3, width]), Just((channels, residual, activation)))
        },
    );
    for_all(cases, |device, (input, (channels, residual, activation))| {
        let make = |init: &Init| Block::new(init, channels, residual, activation);
        Ok(check_layer!(device, &input, make, residual)?)
    });
}

#[test]
fn one_call_is_the_layers_one_by_one_to_the_bit() {
    let device = Device::new(Reference::new());
    let init = Init::new(&device, Rng::new(3));
    let x = init.at("x").normal([2, 3, 5, 4], 0.0, 1.0).unwrap();
    let activations = [
        NormActivation::Identity,
        NormActivation::Relu,
        NormActivation::Relu6,
        NormActivation::Silu,
    ];
    for activation in activations {
        for residual in [false, true] {
            let block = Block::new(&init, 3, residual, activation).unwrap();
            let copy = block.clone();
            let run = |block: &Block, by_hand: bool| {
                let cx = Pass::train(&device, Rng::new(1));
                let x = cx.variable(x.clone()).unwrap();
                let y = match by_hand {
                    true => block.by_hand(&cx, &x),
                    false => block.forward(&cx, &x),
                };
                let y = y.unwrap();
                let gradients = y.square().unwrap().sum_all().unwrap().backward().unwrap();
                let mut found = vec![y.to_f64_vec().unwrap()];
                found.push(gradients.of(&x).unwrap().to_f64_vec().unwrap());
                for parameter in block.parameters() {
                    found.push(gradients.of(&parameter).unwrap().to_f64_vec().unwrap());
                }
                for (_, state) in block.named_states() {
                    found.push(state.value().to_f64_vec().unwrap());
                }
                found
            };
            assert_eq!(run(&block, false), run(&copy, true), "{activation:?}, {residual}");
        }
    }
}

#[test]
fn probes_and_summaries_see_the_convolution_and_the_norm() {
    let device = Device::new(Reference::new());
    let block = Block::new(&Init::new(&device, Rng::new(3)), 2, true, NormActivation::Relu);
    let block = block.unwrap();
    let x = Array::zeros(&device, DType::F32, [1, 2, 4, 4]).unwrap();
    let rows = Summary::of(&block, x.clone()).unwrap().rows;
    let rows: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.kind)).collect();
    assert_eq!(rows, [("conv", "Conv2d"), ("norm", "BatchNorm2d"), ("", "add"), ("", "relu")]);

    let cx = Pass::eval(&device).probe("conv").probe("norm");
    block.forward(&cx, &cx.input(x).unwrap()).unwrap();
    let probed: Vec<String> = cx.probes().iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(probed, ["conv", "norm"]);
}

#[test]
fn a_residual_of_another_shape_or_type_is_an_error_or_converted() {
    let device = Device::new(Reference::new());
    let init = Init::new(&device, Rng::new(3)).at("block");
    let block = Block::new(&init, 2, true, NormActivation::Relu).unwrap();
    let cx = Pass::eval(&device);
    let x = cx.input(Array::zeros(&device, DType::F32, [1, 2, 4, 4]).unwrap()).unwrap();
    let call = |cx: &Pass, residual: &Tensor| {
        conv_norm_act(cx, &block.conv, &block.norm, Some(residual), NormActivation::Relu, &x)
    };
    // It would broadcast.
    let error = call(&cx, &x.narrow(0, 0, 1).unwrap().narrow(2, 0, 1).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the residual is [1, 2, 1, 4]"), "{error}");
    let low = Pass::eval(&device).autocast(DType::BF16);
    assert_eq!(call(&low, &x).unwrap().dtype(), DType::BF16);
}
