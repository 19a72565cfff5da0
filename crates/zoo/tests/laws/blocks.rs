//! The blocks of the textbook: laws of layers, counts, and what each is for.

use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, for_all, inputs};
use ferrotape_gradcheck::{Input, check_layer};
use ferrotape_nn::{Init, Layer, Module, Pass, Summary};
use ferrotape_zoo::blocks::{
    AsppConfig, SeparableConfig, WaveNetConfig, aspp, separable_block, wavenet_stack,
};
use proptest::strategy::{Just, Strategy};

fn one(shape: Vec<usize>) -> impl Strategy<Value = Input> {
    inputs(vec![shape], Values::Any).prop_map(|mut inputs| inputs.swap_remove(0))
}

#[test]
fn pyramids_obey_the_laws() {
    let device = Device::new(Reference::new());
    let cases = (1..=2usize, 1..=2usize, 2..=3usize, 2..=4usize).prop_flat_map(|(c, o, h, w)| {
        let config =
            AsppConfig { in_channels: c, out_channels: o, rates: vec![1, 2], dropout: 0.3 };
        (one(vec![3, c, h, w]), Just(config))
    });
    for_all(cases, |(input, config)| {
        Ok(check_layer!(&device, &input, |init| aspp(init, &config), config)?)
    });
}

#[test]
fn separable_blocks_obey_the_laws() {
    let device = Device::new(Reference::new());
    let cases = (1..=3usize, 1..=3usize, 1..=2usize, 2..=4usize).prop_flat_map(|(c, o, s, h)| {
        let config = SeparableConfig { stride: s, ..SeparableConfig::new(c, o) };
        (one(vec![2, c, h, h + 1]), Just(config))
    });
    for_all(cases, |(input, config)| {
        Ok(check_layer!(&device, &input, |init| separable_block(init, config), config)?)
    });
}

#[test]
fn causal_stacks_obey_the_laws() {
    let device = Device::new(Reference::new());
    let cases = (1..=2usize, 1..=2usize, 1..=3u32, 1..=6usize)
        .prop_flat_map(|(c, s, l, t)| (one(vec![2, c, t]), Just(WaveNetConfig::new(c, s, l))));
    for_all(cases, |(input, config)| {
        Ok(check_layer!(&device, &input, |init| wavenet_stack(init, &config), config)?)
    });
}

#[test]
fn a_sample_sees_exactly_the_receptive_field_before_it() {
    let device = Device::new(Reference::new());
    let config = WaveNetConfig { kernel: 3, ..WaveNetConfig::new(1, 1, 2) };
    assert_eq!(config.receptive_field(), 7);
    let init = Init::new(&device, Rng::new(5)).dtype(DType::F64);
    let stack = wavenet_stack(&init, &config).unwrap();
    let cx = Pass::eval(&device).with_grad();
    let samples: Vec<f64> = (0..20).map(|t| f64::from(t).sin()).collect();
    let x = cx.variable(Array::from_slice(&device, &samples, [1, 1, 20]).unwrap()).unwrap();
    let y = stack.forward(&cx, &x).unwrap();
    let last = y.narrow(2, 15, 1).unwrap().sum_all().unwrap();
    let gradient = last.backward().unwrap().of(&x).unwrap().to_vec::<f64>().unwrap();
    let seen: Vec<usize> = (0..20).filter(|&t| gradient[t] != 0.0).collect();
    assert_eq!(seen, (9..=15).collect::<Vec<_>>());
}

#[test]
fn counts_are_those_of_the_formulas() {
    let device = Device::new(Meta::new());
    let init = Init::new(&device, Rng::new(1));
    // As torchvision counts its ASPP(2048, [12, 24, 36]).
    assert_eq!(aspp(&init, &AsppConfig::new(2048)).unwrap().count_parameters(), 15_535_104);

    let block = separable_block(&init, SeparableConfig::new(32, 64)).unwrap();
    let image = Array::zeros(&device, DType::F32, [1, 32, 112, 112]).unwrap();
    let summary = Summary::of(&block, image).unwrap();
    assert_eq!(summary.multiply_adds(), 112 * 112 * (9 * 32 + 32 * 64));
}

#[test]
fn impossible_blocks_are_errors() {
    let device = Device::new(Reference::new());
    let init = Init::new(&device, Rng::new(1));
    let stack = |config: WaveNetConfig| wavenet_stack(&init, &config);
    assert!(stack(WaveNetConfig::new(1, 1, 0)).is_err());
    assert!(stack(WaveNetConfig { kernel: 0, ..WaveNetConfig::new(1, 1, 1) }).is_err());
    assert!(stack(WaveNetConfig::new(0, 1, 1)).is_err());
    let far = WaveNetConfig { dilations: vec![usize::MAX], ..WaveNetConfig::new(1, 1, 1) };
    let cx = Pass::eval(&device);
    let x = cx.input(Array::zeros(&device, DType::F32, [1, 1, 4]).unwrap()).unwrap();
    assert!(stack(far).and_then(|stack| stack.forward(&cx, &x)).is_err());
    let none = WaveNetConfig { dilations: vec![0], ..WaveNetConfig::new(1, 1, 1) };
    assert!(stack(none).and_then(|stack| stack.forward(&cx, &x)).is_err());
    assert!(separable_block(&init, SeparableConfig::new(0, 3)).is_err());
    let config = AsppConfig { out_channels: usize::MAX, ..AsppConfig::new(1) };
    assert!(aspp(&init, &config).is_err());
}
