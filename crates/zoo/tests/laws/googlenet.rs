//! What is GoogLeNet's own: auxiliary heads and the form of its input.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_nn::{Classifier, Init, Layer, Mode, Module, Pass};
use ferrotape_zoo::{GoogLeNet, GoogLeNetConfig};

fn images(device: &Device) -> Array {
    let pixels = crate::fixture::values("input", 2 * 3 * 32 * 32);
    Array::from_slice(device, &pixels, [2, 3, 32, 32]).unwrap()
}

fn build(config: GoogLeNetConfig) -> (Device, GoogLeNet) {
    let device = Device::new(Cpu::new(CpuOptions::default()).unwrap());
    let init = Init::new(&device, Rng::new(3)).dtype(DType::F64);
    let model = GoogLeNet::new(&init, config).unwrap();
    (device, model)
}

#[test]
fn auxiliary_heads_count_in_training_and_only_there() {
    let (device, model) = build(GoogLeNetConfig::new(5));
    let labels = Array::from_slice(&device, &[1i64, 4], [2]).unwrap();
    let run = |cx: Pass| {
        let x = cx.input(images(&device)).unwrap();
        let outcome = model.loss(&cx, &x, &labels).unwrap();
        let main = outcome.scores.cross_entropy(&labels).unwrap().item().unwrap();
        let gradients = outcome.loss.backward().unwrap();
        let heads =
            model.named_parameters().into_iter().filter(|(name, _)| name.starts_with("aux"));
        let moved = heads.filter(|(_, head)| gradients.get(head).is_some()).count();
        (outcome.loss.item().unwrap(), main, moved)
    };
    let (loss, main, moved) = run(Pass::train(&device, Rng::new(1)));
    // Both heads begin nearly indifferent among five classes.
    assert!((loss - main - 2.0 * 0.3 * 5f64.ln()).abs() < 0.05, "{loss} and {main}");
    assert_eq!(moved, 14);
    for cx in [
        Pass::eval(&device).with_grad(),
        Pass::train(&device, Rng::new(1)).mode_for("*", Mode::Eval),
    ] {
        let (loss, main, moved) = run(cx);
        assert_eq!((loss, moved), (main, 0));
    }
}

#[test]
fn a_network_without_heads_is_smaller_and_its_loss_is_that_of_its_scores() {
    for (config, parameters) in
        [(GoogLeNetConfig::new(1000), 6_624_904), (GoogLeNetConfig::paper(1000), 6_998_552)]
    {
        let device = Device::new(Meta::new());
        let config = GoogLeNetConfig { aux_logits: false, ..config };
        let model = GoogLeNet::new(&Init::new(&device, Rng::new(1)), config).unwrap();
        assert_eq!(model.count_parameters(), parameters);
    }
    let (device, model) = build(GoogLeNetConfig { aux_logits: false, ..GoogLeNetConfig::new(5) });
    let labels = Array::from_slice(&device, &[1i64, 4], [2]).unwrap();
    let cx = Pass::train(&device, Rng::new(1));
    let outcome = model.loss(&cx, &cx.input(images(&device)).unwrap(), &labels).unwrap();
    let main = outcome.scores.cross_entropy(&labels).unwrap();
    assert_eq!(outcome.loss.item().unwrap(), main.item().unwrap());
}

#[test]
fn transformed_input_is_that_of_mean_and_deviation_one_half() {
    let (device, plain) = build(GoogLeNetConfig::new(5));
    let config = GoogLeNetConfig { transform_input: true, ..GoogLeNetConfig::new(5) };
    let init = Init::new(&device, Rng::new(3)).dtype(DType::F64);
    let transforming = GoogLeNet::new(&init, config).unwrap();
    // As they begin, so little of the image reaches the logits that nothing could be seen in them.
    crate::fixture::fill(&plain, &device);
    crate::fixture::fill(&transforming, &device);
    let cx = Pass::eval(&device);
    let x = Tensor::from(images(&device));
    let of =
        |values: [f64; 3]| Tensor::from(Array::from_slice(&device, &values, [1, 3, 1, 1]).unwrap());
    // Back to pixels in 0..1, then to mean and deviation one half.
    let pixels = x.mul(&of([0.229, 0.224, 0.225])).unwrap();
    let pixels = pixels.add(&of([0.485, 0.456, 0.406])).unwrap();
    let centred = pixels.sub(&of([0.5; 3])).unwrap().div(&of([0.5; 3])).unwrap();
    let found = transforming.forward(&cx, &x).unwrap().to_f64_vec().unwrap();
    let expected = plain.forward(&cx, &centred).unwrap().to_f64_vec().unwrap();
    let largest = expected.iter().fold(0.0f64, |largest, logit| largest.max(logit.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-9 * largest, "{found} for {expected}");
    }
    let grey = Array::zeros(&device, DType::F64, [1, 1, 32, 32]).unwrap();
    let error = transforming.forward(&cx, &grey.into()).unwrap_err().to_string();
    assert!(error.contains("3 channels"), "{error}");
}

#[test]
fn the_network_that_weights_are_for_transforms_its_input_and_no_other_does() {
    let device = Device::new(Cpu::new(CpuOptions::default()).unwrap());
    let init = Init::new(&device, Rng::new(3)).dtype(DType::F64);
    let scores = |model: &dyn Classifier| {
        crate::fixture::fill(model, &device);
        model.scores(&Pass::eval(&device), &Tensor::from(images(&device))).unwrap().to_f64_vec()
    };
    let of = |transform_input| {
        let config = GoogLeNetConfig { transform_input, ..GoogLeNetConfig::new(5) };
        scores(&GoogLeNet::new(&init, config).unwrap()).unwrap()
    };
    let entry = ferrotape_zoo::find("googlenet").unwrap();
    assert_eq!(scores(&*entry.build_for_weights(&init, 5).unwrap()).unwrap(), of(true));
    assert_eq!(scores(&*entry.build(&init, 5).unwrap()).unwrap(), of(false));
    assert_ne!(of(true), of(false));
}

#[test]
fn the_papers_heads_say_what_images_they_are_for() {
    let device = Device::new(Meta::new());
    let model = ferrotape_zoo::googlenet_2014(&Init::new(&device, Rng::new(1)), 5).unwrap();
    let labels = Array::zeros(&device, DType::I64, [2]).unwrap();
    let cx = Pass::train(&device, Rng::new(1));
    let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 160, 160]).unwrap()).unwrap();
    let error = model.loss(&cx, &x, &labels).unwrap_err().to_string();
    assert!(error.starts_with("aux1: ") && error.contains("224 x 224"), "{error}");
    assert!(model.scores(&Pass::eval(&device), &x).is_ok());
}
