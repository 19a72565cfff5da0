//! Names, order and shapes of tensors, counts of parameters and of multiply-adds. No weight is
//! allocated for them.

use std::collections::HashSet;

use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
use ferrotape_nn::{Classifier, Init, Pass};

use crate::facts::{self, sizes};

fn build(name: &str) -> (Device, Box<dyn Classifier>) {
    let device = Device::new(Meta::new());
    let classes = ferrotape_zoo::find(name).unwrap().classes;
    let model = ferrotape_zoo::build(name, &Init::new(&device, Rng::new(1)), classes).unwrap();
    (device, model)
}

/// Multiply-adds of the scores of one image.
fn multiply_adds(device: &Device, model: &dyn Classifier, image: &[usize]) -> u64 {
    let cx = Pass::eval(device).trace();
    let image = Array::zeros(device, DType::F32, [1, image[0], image[1], image[2]]).unwrap();
    model.scores(&cx, &cx.input(image).unwrap()).unwrap();
    cx.tape().nodes().iter().map(|node| node.multiply_adds).sum()
}

#[test]
fn tensors_and_counts_are_those_of_torchvision() {
    let has = |facts: &&serde_json::Value| {
        ferrotape_zoo::models().iter().any(|model| facts["model"] == model.name)
    };
    for facts in facts::all().filter(has) {
        let name = facts["model"].as_str().unwrap();
        let (device, model) = build(name);
        let own: Vec<(String, Vec<usize>)> = model
            .state_dict()
            .unwrap()
            .iter()
            .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
            .map(|(name, array)| (name.to_owned(), array.shape().to_vec()))
            .collect();
        let expected: Vec<(String, Vec<usize>)> = facts["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tensor| (tensor[0].as_str().unwrap().to_owned(), sizes(&tensor[1])))
            .collect();
        assert_eq!(own, expected, "{name}");
        assert_eq!(model.count_parameters() as u64, facts["parameters"], "{name}");
        let input = sizes(&facts["macs_input"]);
        assert_eq!(ferrotape_zoo::find(name).unwrap().input.as_slice(), input, "{name}");
        assert_eq!(multiply_adds(&device, &*model, &input), facts["macs"], "{name}");
    }
}

#[test]
fn the_papers_networks_have_as_many_parameters_as_the_papers_say() {
    // The multiply-adds are counted by hand: what torchvision has for the nearest network, and the
    // layers that differ.
    for (name, parameters, work) in [
        ("lenet5_1998", 60_000, 325_680),
        ("alexnet_2012", 60_965_224, 724_406_816),
        ("googlenet_2014", 13_378_280, 1_582_671_872),
        ("vgg_a_lrn", 132_863_336, 7_609_090_048),
        ("vgg_c", 133_638_952, 11_770_888_192),
    ] {
        let (entry, (device, model)) = (ferrotape_zoo::find(name).unwrap(), build(name));
        assert_eq!(model.count_parameters(), parameters, "{name}");
        assert_eq!(multiply_adds(&device, &*model, &entry.input), work, "{name}");
    }
}

/// Errors, probes and optimizers go by the path, state dicts by the name.
#[test]
fn paths_are_names() {
    for entry in ferrotape_zoo::models() {
        for (name, parameter) in build(entry.name).1.named_parameters() {
            assert_eq!(parameter.path().as_str(), name, "{}", entry.name);
        }
    }
}

#[test]
fn names_of_models_are_unique() {
    let mut seen = HashSet::new();
    assert!(ferrotape_zoo::models().iter().all(|model| seen.insert(model.name)));
}
