//! State dicts into models: files of PyTorch, names that differ, and parts that stay as they are.

use std::path::PathBuf;

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_nn::{
    BatchNormConfig, Conv2dConfig, Init, LinearConfig, Module, Pass, Sequential, StateDict,
};

fn device() -> Device {
    Device::new(Reference::new())
}

/// The network of the fixtures, with as many classes.
fn network(device: &Device, classes: usize) -> Sequential {
    Sequential::new(&Init::new(device, Rng::new(classes as u64)))
        .named("conv1", Conv2dConfig::new(1, 3, 3))
        .and_then(|model| model.named("bn1", BatchNormConfig::new(3)))
        .and_then(|model| model.named("fc", LinearConfig::new(3, classes)))
        .unwrap()
}

fn file(device: &Device, name: &str) -> StateDict {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch");
    StateDict::load(device, folder.join(name)).unwrap()
}

fn without(dict: &StateDict, left_out: &str) -> StateDict {
    let kept = dict.iter().filter(|(name, _)| *name != left_out);
    kept.map(|(name, array)| (name.to_owned(), array.clone())).collect()
}

fn bytes(model: &Sequential) -> Vec<u8> {
    model.state_dict().unwrap().to_bytes().unwrap()
}

#[test]
fn a_network_of_pytorch_loads_strictly_from_each_of_its_files() {
    let device = device();
    let mut found = Vec::new();
    for name in ["network.pth", "network.legacy.pth", "parallel.pth"] {
        let model = network(&device, 2);
        let loaded = model.load_state_dict(&file(&device, name), true).unwrap();
        assert_eq!((loaded.missing.len(), loaded.unexpected.len()), (0, 0), "{name}");
        found.push(bytes(&model));
    }
    assert!(found.iter().all(|bytes| *bytes == found[0]));
    let counter = file(&device, "network.pth").get("bn1.num_batches_tracked").unwrap().item();
    assert_eq!(counter.unwrap(), 1.0);
}

#[test]
fn files_from_before_norms_counted_batches_load_strictly() {
    let device = device();
    let model = network(&device, 2);
    let old = without(&file(&device, "network.pth"), "bn1.num_batches_tracked");
    let loaded = model.load_state_dict(&old, true).unwrap();
    assert_eq!(loaded.missing, ["bn1.num_batches_tracked"]);
    // A file without the norm's statistics is another matter.
    let less = without(&old, "bn1.running_mean");
    let error = model.load_state_dict(&less, true).unwrap_err().to_string();
    assert!(error.contains("lacks bn1.running_mean, bn1.num_batches_tracked"), "{error}");
}

#[test]
fn what_does_not_fit_is_listed_with_the_nearest_names() {
    let device = device();
    let model = network(&device, 5);
    let before = bytes(&model);
    let all = file(&device, "network.pth");
    let renamed: StateDict = all
        .iter()
        .map(|(name, array)| (name.replace("conv1.", "conv_1."), array.clone()))
        .collect();
    let error = model.load_state_dict(&renamed, true).unwrap_err().to_string();
    for part in [
        "lacks conv1.weight (is it conv_1.weight?), conv1.bias (is it conv_1.bias?)",
        "the model has no conv_1.weight (is it conv1.weight?), conv_1.bias (is it conv1.bias?)",
        "fc.weight is [2, 3] in the state dict and [5, 3] in the model",
        "fc.bias is [2] in the state dict and [5] in the model",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(bytes(&model), before);
}

#[test]
fn what_fits_a_pattern_keeps_its_values_and_all_else_is_strict() {
    let device = device();
    let (model, dict) = (network(&device, 5), file(&device, "network.pth"));
    let own = model.state_dict().unwrap();
    let loaded = model.load_state_dict_except(&dict, &["fc.*"]).unwrap();
    assert_eq!(loaded.missing, ["fc.weight", "fc.bias"]);
    assert!(loaded.unexpected.is_empty());
    for (name, array) in model.state_dict().unwrap().iter() {
        let from = if name.starts_with("fc.") { &own } else { &dict };
        let expected = from.get(name).unwrap().to_f64_vec().unwrap();
        assert_eq!(array.to_f64_vec().unwrap(), expected, "{name}");
    }

    let mut more = dict.clone();
    more.insert("head.weight", Array::zeros(&device, DType::F32, [1]).unwrap());
    assert!(model.load_state_dict_except(&more, &["fc.*"]).is_err());
    let loaded = model.load_state_dict_except(&more, &["fc.*", "head.*"]).unwrap();
    assert_eq!(loaded.unexpected, ["head.weight"]);
    let less = without(&dict, "conv1.bias");
    assert!(model.load_state_dict_except(&less, &["fc.*"]).is_err());
    let error = model.load_state_dict_except(&dict, &["fd.*"]).unwrap_err().to_string();
    assert!(error.contains("'fd.*' fits no name"), "{error}");
}

#[test]
fn frozen_norms_keep_their_statistics_and_frozen_parameters_get_no_gradient() {
    let device = device();
    let model = network(&device, 2);
    let frozen = model.freeze_matching(&["conv1.*", "*bn1*"]).unwrap();
    let before = model.state_dict().unwrap();
    let x = Array::full(&device, DType::F32, [2, 1, 3, 3], 0.5).unwrap();
    let cx = Pass::train(&device, Rng::new(1)).frozen(&frozen);
    let part = cx.input(x.clone()).unwrap();
    let part = model.get("conv1").unwrap().forward(&cx, &part).unwrap();
    let part = model.get("bn1").unwrap().forward(&cx, &part).unwrap();
    let y = model.get("fc").unwrap().forward(&cx, &part.flatten(1).unwrap()).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    let with_gradient: Vec<String> = model
        .named_parameters()
        .into_iter()
        .filter(|(_, parameter)| gradients.get(parameter).is_some())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(with_gradient, ["fc.weight", "fc.bias"]);
    assert_eq!(before.to_bytes().unwrap(), bytes(&model));
    assert!(model.freeze_matching(&["layer9.*"]).is_err());
    // A pattern of weights alone is no word about the statistics.
    let other = network(&device, 2);
    assert!(other.freeze_matching(&["*.weight"]).unwrap().layers.is_empty());
}
