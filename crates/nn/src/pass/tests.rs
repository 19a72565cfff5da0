//! A pass's four properties, and what it carries, one by one.

use ferrotape_backend::reference::Reference;

use super::*;
use crate::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Distribution, Init, Layer, Linear,
    LinearConfig, Module, Residual, Sequential,
};

fn device() -> Device {
    Device::new(Reference::new())
}

fn ones(device: &Device, shape: &[usize]) -> Array {
    Array::full(device, DType::F32, shape, 1.0).unwrap()
}

#[test]
fn mode_tracking_tracing_and_autocast_do_not_depend_on_each_other() {
    let device = device();
    let init = Init::new(&device, Rng::new(1));
    let model = Sequential::new(&init)
        .add(Conv2dConfig::new(2, 2, 1))
        .and_then(|m| m.add(BatchNormConfig::new(2)))
        .unwrap();
    let mean = || model.named_states()[0].1.value().copy().unwrap().to_f64_vec().unwrap();
    for choice in 0..16 {
        let [train, grad, trace, low] = [1, 2, 4, 8].map(|bit| choice & bit != 0);
        let mut cx = if train { Pass::train(&device, Rng::new(1)) } else { Pass::eval(&device) };
        cx = if grad { cx.with_grad() } else { cx.without_grad() };
        cx = if trace { cx.trace() } else { cx };
        cx = if low { cx.autocast(DType::BF16) } else { cx };
        let before = mean();
        let y = model.forward(&cx, &cx.input(ones(&device, &[2, 2, 3, 3])).unwrap()).unwrap();
        assert_eq!(mean() != before, train, "statistics move in training mode only: {cx:?}");
        assert_eq!(y.is_tracked(), grad || trace, "{cx:?}");
        assert_eq!(cx.calls().is_empty(), !trace, "{cx:?}");
        assert_eq!(y.dtype() == DType::BF16, low, "{cx:?}");
        assert_eq!(cx.tape().effects().len(), if train { 3 } else { 0 });
        if grad {
            let gradients = y.cast(DType::F32).unwrap().square().unwrap().sum_all().unwrap();
            let gradients = gradients.backward().unwrap();
            for parameter in model.parameters() {
                assert_eq!(gradients.of(&parameter).unwrap().dtype(), DType::F32);
            }
        }
    }
}

#[test]
fn a_weight_is_cast_once_a_pass_and_again_only_when_it_changed() {
    let device = device();
    let init = Init::new(&device, Rng::new(1));
    let first = Conv2d::new(&init.at("first"), Conv2dConfig::new(2, 2, 1).bias(false)).unwrap();
    let second = first.tied(Path::new("second"));
    let run = || {
        let cx = Pass::train(&device, Rng::new(1)).autocast(DType::BF16);
        let x = cx.input(ones(&device, &[1, 2, 3, 3])).unwrap();
        second.forward(&cx, &first.forward(&cx, &x).unwrap()).unwrap();
        let casts = cx.tape().nodes().iter().filter(|node| node.op == "cast").count();
        (casts, cx.weight(&first.weight).unwrap().buffer().id())
    };
    let (casts, buffer) = run();
    assert_eq!(casts, 1);
    assert_eq!(run().1, buffer, "the cast of an unchanged weight is kept");
    first.weight.update(|value| device.backend().fill(value, 0.5)).unwrap();
    let cx = Pass::train(&device, Rng::new(1)).autocast(DType::BF16);
    let weight = cx.weight(&first.weight).unwrap();
    assert_eq!(weight.to_f64_vec().unwrap(), [0.5; 4]);
    // A step within a pass shows in its later uses.
    first.weight.update(|value| device.backend().fill(value, 0.25)).unwrap();
    assert_eq!(cx.weight(&first.weight).unwrap().to_f64_vec().unwrap(), [0.25; 4]);
}

#[test]
fn frozen_parameters_are_not_tracked_and_the_others_are() {
    let device = device();
    let fc = Linear::new(&Init::new(&device, Rng::new(1)), LinearConfig::new(2, 1)).unwrap();
    fc.weight.set_trainable(false);
    let cx = Pass::train(&device, Rng::new(1));
    let y = fc.forward(&cx, &cx.input(ones(&device, &[1, 2])).unwrap()).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&fc.weight).is_none());
    assert!(gradients.get(fc.bias.as_ref().unwrap()).is_some());
    fc.freeze();
    let cx = Pass::train(&device, Rng::new(1));
    let y = fc.forward(&cx, &cx.input(ones(&device, &[1, 2])).unwrap()).unwrap();
    assert!(!y.is_tracked());
}

#[test]
fn an_error_names_the_innermost_layer_and_leaves_the_pass_usable() {
    let device = device();
    let init = Init::new(&device, Rng::new(1));
    let model = Sequential::new(&init.at("features"))
        .add(|init: &Init| Residual::new(init, Conv2dConfig::new(2, 3, 1)))
        .unwrap();
    let cx = Pass::train(&device, Rng::new(1));
    let wrong = cx.input(ones(&device, &[1, 4, 3, 3])).unwrap();
    for _ in 0..2 {
        let error = model.forward(&cx, &wrong).unwrap_err().to_string();
        assert!(error.starts_with("features.0.body: conv2d("), "{error}");
    }
    let right = cx.input(ones(&device, &[1, 2, 3, 3])).unwrap();
    let error = model.forward(&cx, &right).unwrap_err().to_string();
    assert!(error.starts_with("features.0: the body gives [1, 3, 3, 3]"), "{error}");
    assert_eq!(cx.tape().set_path(None), None, "the path is put back");
}

#[test]
fn a_mode_can_be_set_by_path_and_the_last_pattern_decides() {
    let cx = Pass::train(&device(), Rng::new(1))
        .mode_for("*.bn", Mode::Eval)
        .mode_for("head.*", Mode::Train);
    let mode = |path: &str| cx.mode(&Path::new(path));
    assert_eq!(mode("body.bn"), Mode::Eval);
    assert_eq!(mode("head.bn"), Mode::Train);
    assert_eq!(mode("body.dropout"), Mode::Train);
}

#[test]
fn a_batch_norm_frozen_by_path_uses_its_statistics_and_still_learns() {
    let device = device();
    let bn = BatchNorm2d::new(&Init::new(&device, Rng::new(1)).at("bn"), BatchNormConfig::new(1));
    let bn = bn.unwrap();
    let cx = Pass::train(&device, Rng::new(1)).mode_for("bn", Mode::Eval);
    let y = bn.forward(&cx, &cx.input(ones(&device, &[1, 1, 2, 2])).unwrap()).unwrap();
    let expected = 1.0 / (1.0f64 + 1e-5).sqrt();
    assert!(y.to_f64_vec().unwrap().iter().all(|v| (v - expected).abs() < 1e-6));
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(bn.weight.as_ref().unwrap()).is_some());
    assert!(cx.tape().effects().is_empty());
}

#[test]
fn data_of_another_device_and_variables_without_gradients_are_errors() {
    let (here, there) = (device(), device());
    let cx = Pass::eval(&here);
    assert_eq!(cx.input(ones(&there, &[1])).unwrap_err().kind(), ErrorKind::DeviceMismatch);
    assert_eq!(cx.variable(ones(&here, &[1])).unwrap_err().kind(), ErrorKind::Gradient);
    let init = Init::new(&there, Rng::new(1));
    let parameter = init.parameter("weight", [1], Distribution::Ones).unwrap();
    let error = cx.param(&parameter).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceMismatch);
    assert!(error.to_string().starts_with("weight: "), "{error}");
}

#[test]
fn probes_keep_the_outputs_of_the_layers_they_name() {
    let device = device();
    let init = Init::new(&device, Rng::new(1));
    let model = Sequential::new(&init)
        .named("conv", Conv2dConfig::new(1, 2, 1))
        .and_then(|m| m.named("bn", BatchNormConfig::new(2)))
        .unwrap();
    let cx = Pass::eval(&device).probe("c*");
    let x = cx.input(ones(&device, &[1, 1, 2, 2])).unwrap();
    model.forward(&cx, &x).unwrap();
    let probes = cx.probes();
    assert_eq!(probes.len(), 1);
    assert_eq!((probes[0].0.as_str(), probes[0].1.shape().dims()), ("conv", &[1, 2, 2, 2][..]));
}

#[test]
fn nothing_of_a_pass_lives_on_once_it_is_dropped() {
    let device = device();
    let fc = Linear::new(&Init::new(&device, Rng::new(1)), LinearConfig::new(2, 1)).unwrap();
    let before = device.memory().live_bytes;
    for _ in 0..10 {
        let cx = Pass::train(&device, Rng::new(1)).probe("*").trace();
        fc.forward(&cx, &cx.input(ones(&device, &[1, 2])).unwrap()).unwrap();
    }
    assert_eq!(device.memory().live_bytes, before);
}

#[test]
fn tracing_gives_no_gradients_to_what_is_frozen_or_mere_input() {
    let device = device();
    let fc = Linear::new(&Init::new(&device, Rng::new(1)), LinearConfig::new(2, 2)).unwrap();
    fc.weight.set_trainable(false);
    let loss = |cx: &Pass| {
        let x = cx.input(ones(&device, &[3, 2])).unwrap();
        fc.forward(cx, &x).unwrap().sum_all().unwrap()
    };
    let ids =
        |cx: &Pass| -> Vec<_> { loss(cx).backward().unwrap().leaves().map(|(id, _)| id).collect() };
    let plain = ids(&Pass::train(&device, Rng::new(1)));
    assert_eq!(plain, [fc.bias.as_ref().unwrap().id()]);
    assert_eq!(ids(&Pass::train(&device, Rng::new(1)).trace()), plain);
    let error = loss(&Pass::eval(&device).trace()).backward().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gradient);
}
