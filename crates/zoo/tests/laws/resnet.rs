//! Residual networks: the numbers in the papers' tables, the forms they come in, and what they
//! refuse.

use ferrotape_backend::{Array, DType, Device, Result, Rng, meta::Meta, reference::Reference};
use ferrotape_nn::{Classifier, Init, Layer, Module, Pass, Summary};
use ferrotape_zoo::{BlockKind, ResNet, ResNetConfig, Shortcut, StrideIn, cifar_resnet};

/// A scope on the device that has no elements.
fn shapes() -> Init {
    Init::new(&Device::new(Meta::new()), Rng::new(1))
}

fn real() -> Init {
    Init::new(&Device::new(Reference::new()), Rng::new(1))
}

fn multiply_adds(model: &dyn Layer, device: &Device, input: [usize; 3]) -> u64 {
    let [c, h, w] = input;
    let input = Array::zeros(device, DType::F32, [1, c, h, w]).unwrap();
    Summary::of(model, input).unwrap().multiply_adds()
}

fn forward(model: &dyn Layer, cx: &Pass, shape: [usize; 4]) -> Result<Vec<usize>> {
    let x = cx.input(Array::full(cx.device(), DType::F32, shape, 0.5)?)?;
    Ok(model.forward(cx, &x)?.shape().to_vec())
}

/// One block a stage.
fn small(shortcut: Shortcut, kind: BlockKind) -> ResNetConfig {
    ResNetConfig { shortcut, ..ResNetConfig::new(kind, [1, 1, 1, 1]) }
}

#[test]
fn parameters_are_those_that_torchvision_counts() {
    for (name, parameters) in [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ] {
        let model = ferrotape_zoo::build(name, &shapes(), 1000).unwrap();
        assert_eq!(model.count_parameters(), parameters, "{name}");
    }
}

#[test]
fn with_the_stride_in_the_first_convolution_multiply_adds_are_those_of_the_papers_table() {
    for (config, billions) in [
        (ResNetConfig::resnet18(), 1.8),
        (ResNetConfig::resnet34(), 3.6),
        (ResNetConfig::resnet50(), 3.8),
        (ResNetConfig::resnet101(), 7.6),
        (ResNetConfig::resnet152(), 11.3),
    ] {
        let init = shapes();
        let config = ResNetConfig { stride_in: StrideIn::First, ..config };
        let model = ResNet::new(&init, &config, 1000).unwrap();
        let found = multiply_adds(&model, init.device(), [3, 224, 224]) as f64 / 1e9;
        // The table has one digit behind the point, and sometimes cuts instead of rounding.
        assert!((billions - 0.05..billions + 0.1).contains(&found), "{config:?}: {found}");
    }
}

#[test]
fn shortcuts_have_the_parameters_of_their_projections() {
    let count = |shortcut| {
        let config = ResNetConfig { shortcut, ..ResNetConfig::resnet34() };
        ResNet::new(&shapes(), &config, 1000).unwrap().count_parameters()
    };
    let projection = |from: usize, to: usize| from * to + 2 * to;
    let changes = projection(64, 128) + projection(128, 256) + projection(256, 512);
    let others = 3 * projection(64, 64)
        + 3 * projection(128, 128)
        + 5 * projection(256, 256)
        + 2 * projection(512, 512);
    let identity = count(Shortcut::Identity);
    assert_eq!(count(Shortcut::Projection), identity + changes);
    assert_eq!(count(Shortcut::ProjectionEverywhere), identity + changes + others);
}

#[test]
fn cifar_networks_have_the_parameters_of_the_papers_table() {
    for (depth, parameters, millions) in [
        (20, 269_722, 0.27),
        (32, 464_154, 0.46),
        (44, 658_586, 0.66),
        (56, 853_018, 0.85),
        (110, 1_727_962, 1.7),
        (1202, 19_421_274, 19.4),
    ] {
        let found = cifar_resnet(&shapes(), depth, 10).unwrap().count_parameters();
        assert_eq!(found, parameters);
        assert!((found as f64 / 1e6 - millions).abs() < 0.03, "{depth} layers");
    }
}

#[test]
fn every_form_takes_images_of_any_size_and_trains_on_them() {
    for kind in [BlockKind::Basic, BlockKind::Bottleneck] {
        for shortcut in [Shortcut::Identity, Shortcut::Projection, Shortcut::ProjectionEverywhere] {
            let init = shapes();
            let model = ResNet::new(&init, &small(shortcut, kind), 3).unwrap();
            let cx = Pass::eval(init.device());
            for [h, w] in [[1, 1], [2, 1], [33, 17]] {
                assert_eq!(forward(&model, &cx, [1, 3, h, w]).unwrap(), [1, 3]);
            }
        }
    }
    let init = real();
    let model = cifar_resnet(&init, 8, 3).unwrap();
    assert_eq!(forward(&model, &Pass::eval(init.device()), [1, 3, 5, 7]).unwrap(), [1, 3]);
    let cx = Pass::train(init.device(), Rng::new(2));
    let x = init.at("x").normal([2, 3, 5, 7], 0.0, 1.0).unwrap();
    let labels = Array::from_slice(init.device(), &[0i64, 2], [2]).unwrap();
    let loss = model.loss(&cx, &cx.input(x).unwrap(), &labels).unwrap().loss;
    let gradients = loss.backward().unwrap();
    assert!(model.parameters().iter().all(|parameter| gradients.get(parameter).is_some()));
}

#[test]
fn an_identity_that_changes_the_size_slices_and_pads_half_before_and_half_after() {
    // With every norm's weight 0 the blocks pass on what their shortcuts give.
    let init = real().dtype(DType::F64);
    let model = cifar_resnet(&init, 8, 2).unwrap();
    for (name, parameter) in model.named_parameters() {
        let block = name.contains("layer");
        if block && name.ends_with(".weight") && parameter.shape().rank() == 1 {
            parameter.set(init.zeros(parameter.shape()).unwrap()).unwrap();
        }
    }
    let cx = Pass::eval(init.device()).probe("layer1").probe("layer2");
    let x = cx.input(init.at("x").normal([1, 3, 5, 4], 0.0, 1.0).unwrap()).unwrap();
    model.forward(&cx, &x).unwrap();
    let probes = cx.probes();
    let [(_, before), (_, after)] = probes.as_slice() else { panic!("{}", probes.len()) };
    assert_eq!(after.shape().dims(), [1, 32, 3, 2]);
    let (before, after) = (before.to_f64_vec().unwrap(), after.to_f64_vec().unwrap());
    for (index, value) in after.into_iter().enumerate() {
        let (channel, row, column) = (index / 6, index / 2 % 3, index % 2);
        let expected = match channel.checked_sub(8) {
            Some(old) if old < 16 => before[old * 20 + 2 * row * 4 + 2 * column],
            _ => 0.0,
        };
        assert_eq!(value, expected, "channel {channel}, row {row}, column {column}");
    }
}

#[test]
fn weights_begin_with_the_variance_of_their_fan_out_and_norms_with_one_and_zero() {
    let model = cifar_resnet(&real(), 8, 10).unwrap();
    for (name, parameter) in model.named_parameters() {
        let values = parameter.value().to_f64_vec().unwrap();
        match *parameter.shape().dims() {
            [o, _, kh, kw] => {
                let expected = 2.0 / (o * kh * kw) as f64;
                let found = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
                // Within five standard errors of a variance, of 432 draws at least.
                assert!((found / expected - 1.0).abs() < 0.35, "{name}: {found} for {expected}");
            }
            [_] if name.ends_with("weight") => assert!(values.iter().all(|&v| v == 1.0), "{name}"),
            [_] if name != "fc.bias" => assert!(values.iter().all(|&v| v == 0.0), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn what_cannot_be_is_an_error_that_says_so() {
    let init = shapes();
    for depth in [0, 1, 2, 7, 9, 19, usize::MAX, 6 * 2000 + 2] {
        let error = cifar_resnet(&init, depth, 10).unwrap_err().to_string();
        assert!(error.contains("6n + 2") || error.contains("residual blocks"), "{error}");
    }
    for classes in [0, usize::MAX] {
        assert!(ferrotape_zoo::resnet18(&init, classes).is_err());
        assert!(ferrotape_zoo::cifar_resnet20(&init, classes).is_err());
    }
    for blocks in [[2, 0, 2, 2], [2, 2, 2, usize::MAX]] {
        let config = ResNetConfig::new(BlockKind::Basic, blocks);
        let error = ResNet::new(&init, &config, 10).unwrap_err().to_string();
        assert!(error.contains("residual blocks"), "{error}");
    }
}

#[test]
fn images_that_do_not_fit_are_errors() {
    let init = shapes();
    let resnet = ResNet::new(&init, &small(Shortcut::Identity, BlockKind::Bottleneck), 3).unwrap();
    let cifar = cifar_resnet(&init, 8, 3).unwrap();
    for model in [&resnet as &dyn Layer, &cifar] {
        let cx = Pass::eval(init.device());
        for shape in [[1, 1, 8, 8], [1, 4, 8, 8], [1, 3, 0, 8], [1, 3, 8, 0]] {
            assert!(forward(model, &cx, shape).is_err(), "{shape:?}");
        }
        let x = cx.input(Array::zeros(init.device(), DType::F32, [3, 8, 8]).unwrap()).unwrap();
        assert!(model.forward(&cx, &x).is_err());
        // One value a channel has no variance to train with.
        assert!(forward(model, &Pass::train(init.device(), Rng::new(1)), [1, 3, 1, 1]).is_err());
    }
}
