//! What a derived module promises: names, ties, clones, state dicts.

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Distribution, Init, Linear, LinearConfig,
    Module, Parameter, Path, StateDict,
};

#[derive(Debug, Module)]
struct Pair(Linear, #[module(skip)] f64, Linear);

#[derive(Debug, Module)]
enum Head {
    One(Linear),
    Two { left: Linear, right: Linear },
    None,
}

#[derive(Debug, Module)]
struct Generic<L> {
    inner: L,
}

#[derive(Debug, Module)]
struct Model {
    conv: Conv2d,
    #[module(rename = "bn1")]
    norm: BatchNorm2d,
    again: Conv2d,
    blocks: Vec<Linear>,
    absent: Option<Linear>,
    head: Head,
    pair: Generic<Pair>,
    path: Path,
}

fn model(device: &Device, seed: u64) -> Model {
    let init = Init::new(device, Rng::new(seed));
    let fc = |name: &str| Linear::new(&init.at(name), LinearConfig::new(1, 1)).unwrap();
    let config = Conv2dConfig::new(2, 2, 1).bias(false);
    let conv = Conv2d::new(&init.at("conv"), config).unwrap();
    Model {
        again: Conv2d::tied(&conv, Path::new("again")),
        conv,
        norm: BatchNorm2d::new(&init.at("bn1"), BatchNormConfig::new(2)).unwrap(),
        blocks: vec![fc("blocks.0"), fc("blocks.1")],
        absent: None,
        head: Head::One(fc("head")),
        pair: Generic { inner: Pair(fc("pair.inner.0"), 0.5, fc("pair.inner.2")) },
        path: init.path().clone(),
    }
}

fn device() -> Device {
    Device::new(Reference::new())
}

fn bits(parameter: &Parameter) -> Vec<f32> {
    parameter.value().to_vec().unwrap()
}

const NAMES: [&str; 17] = [
    "conv.weight",
    "bn1.weight",
    "bn1.bias",
    "bn1.running_mean",
    "bn1.running_var",
    "bn1.num_batches_tracked",
    "again.weight",
    "blocks.0.weight",
    "blocks.0.bias",
    "blocks.1.weight",
    "blocks.1.bias",
    "head.weight",
    "head.bias",
    "pair.inner.0.weight",
    "pair.inner.0.bias",
    "pair.inner.2.weight",
    "pair.inner.2.bias",
];

#[test]
fn names_are_those_of_the_fields_in_their_order() {
    let device = device();
    let mut model = model(&device, 1);
    let dict = model.state_dict().unwrap();
    assert_eq!(dict.names().collect::<Vec<_>>(), NAMES);
    let named = model.named_parameters();
    assert_eq!(named.len(), 13, "a tied parameter is listed once");
    assert!(named.iter().all(|(name, _)| name != "again.weight"));
    assert_eq!(model.kind(), "Model");

    let fc = |name: &str| {
        let init = Init::new(&device, Rng::new(1)).at(name);
        Linear::new(&init, LinearConfig::new(1, 1).bias(false)).unwrap()
    };
    model.head = Head::Two { left: fc("head.left"), right: fc("head.right") };
    let names: Vec<String> = model.head.named_parameters().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["left.weight", "right.weight"]);
    model.head = Head::None;
    assert!(model.head.parameters().is_empty());
}

#[test]
fn a_clone_is_deep_and_keeps_ties_and_attributes() {
    let device = device();
    let model = model(&device, 1);
    let copy = model.clone();
    assert_eq!(copy.conv.weight.id(), copy.again.weight.id());
    assert_eq!(copy.pair.inner.1, 0.5);
    for ((name, own), (_, other)) in model.named_parameters().iter().zip(copy.named_parameters()) {
        assert_ne!(own.id(), other.id(), "{name}");
        assert_eq!(bits(own), bits(&other), "{name}");
    }
    let before = bits(&model.conv.weight);
    let fill = |array: &mut Array| device.backend().fill(array, 9.0);
    copy.conv.weight.update(fill).unwrap();
    assert_eq!(bits(&model.conv.weight), before, "the original does not see the clone's steps");
    assert_eq!(bits(&copy.again.weight), [9.0; 4]);
    let again = model.clone();
    model.conv.weight.update(fill).unwrap();
    assert_eq!(bits(&again.conv.weight), before, "nor the clone the original's");
}

#[test]
fn a_state_dict_brings_a_model_to_the_values_of_another() {
    let device = device();
    let (one, other) = (model(&device, 1), model(&device, 2));
    assert_ne!(bits(&one.conv.weight), bits(&other.conv.weight));
    let bytes = one.state_dict().unwrap().to_bytes().unwrap();
    let dict = StateDict::from_bytes(&device, &bytes).unwrap();
    let loaded = other.load_state_dict(&dict, true).unwrap();
    assert!(loaded.missing.is_empty() && loaded.unexpected.is_empty());
    assert_eq!(other.state_dict().unwrap().to_bytes().unwrap(), bytes);
    let kept = one.state_dict().unwrap();
    one.conv.weight.update(|array| device.backend().fill(array, 9.0)).unwrap();
    assert_eq!(kept.to_bytes().unwrap(), bytes, "later steps do not show in a state dict");
    assert_ne!(bits(&other.conv.weight), [9.0; 4]);
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_changes() {
    let device = device();
    let model = model(&device, 1);
    let before = model.state_dict().unwrap().to_bytes().unwrap();
    let zeros = |shape: &[usize]| Array::zeros(&device, DType::F32, shape).unwrap();
    let mut dict: StateDict = model
        .state_dict()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "head.bias")
        .map(|(name, array)| (name.to_owned(), zeros(array.shape())))
        .collect();
    dict.insert("fc.weight", zeros(&[1]));
    dict.insert("blocks.1.weight", zeros(&[2, 3]));
    let error = model.load_state_dict(&dict, true).unwrap_err().to_string();
    for part in [
        "lacks head.bias",
        "no fc.weight",
        "blocks.1.weight is [2, 3] in the state dict and [1, 1] in the model",
        "num_batches_tracked holds f32 in the state dict and i64 in the model",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(model.load_state_dict(&dict, false).is_err(), "shapes must fit in any case");
    assert_eq!(model.state_dict().unwrap().to_bytes().unwrap(), before);

    let part: StateDict =
        [("head.bias", zeros(&[1])), ("fc.weight", zeros(&[1]))].into_iter().collect();
    let loaded = model.load_state_dict(&part, false).unwrap();
    assert_eq!((loaded.missing.len(), loaded.unexpected), (16, vec!["fc.weight".to_owned()]));
}

#[test]
fn a_model_can_change_its_float_type_and_load_from_another() {
    let device = device();
    let (one, other) = (model(&device, 1), model(&device, 2));
    one.to_dtype(DType::F64).unwrap();
    assert_eq!(one.conv.weight.id(), one.again.weight.id());
    for (name, array) in one.state_dict().unwrap().iter() {
        let counter = name.ends_with("num_batches_tracked");
        assert_eq!(array.dtype(), if counter { DType::I64 } else { DType::F64 }, "{name}");
    }
    other.load_state_dict(&one.state_dict().unwrap(), true).unwrap();
    assert_eq!(other.conv.weight.dtype(), DType::F32);
    let wide = one.conv.weight.value().to_f64_vec().unwrap();
    assert_eq!(other.conv.weight.value().to_f64_vec().unwrap(), wide);
    assert!(one.to_dtype(DType::I64).is_err());
}

#[test]
fn freezing_and_thawing_reach_every_parameter() {
    let model = model(&device(), 1);
    model.freeze();
    assert!(model.parameters().iter().all(|p| !p.is_trainable()));
    assert!(model.clone().parameters().iter().all(|p| !p.is_trainable()));
    model.set_trainable(true);
    assert!(model.parameters().iter().all(Parameter::is_trainable));
}

#[test]
fn a_parameter_keeps_its_shape_type_and_memory() {
    let device = device();
    let init = Init::new(&device, Rng::new(1));
    let parameter = init.parameter("p", [2], Distribution::Ones).unwrap();
    let wrong = [
        Array::zeros(&device, DType::F32, [3]).unwrap(),
        Array::zeros(&device, DType::F64, [2]).unwrap(),
        Array::zeros(&self::device(), DType::F32, [2]).unwrap(),
    ];
    for array in wrong {
        assert!(parameter.set(array.clone()).unwrap_err().to_string().starts_with("p: "));
        let put = parameter.update(|value| {
            *value = array;
            Ok(())
        });
        assert!(put.is_err());
    }
    let (buffer, generation) =
        (parameter.value().buffer().id(), parameter.value().buffer().generation());
    parameter.update(|value| device.backend().fill(value, 3.0)).unwrap();
    let value = parameter.value();
    assert_eq!(value.buffer().id(), buffer);
    assert!(value.buffer().generation() > generation);
    // A value that was set from another parameter is no alias of it.
    let other = init.parameter("q", [2], Distribution::Ones).unwrap();
    other.set(parameter.value()).unwrap();
    parameter.update(|value| device.backend().fill(value, 4.0)).unwrap();
    assert_eq!(bits(&other), [3.0, 3.0]);
    assert!(
        Parameter::new(Path::new("i"), Array::zeros(&device, DType::I64, [1]).unwrap()).is_err()
    );
}
