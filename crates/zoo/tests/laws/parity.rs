//! Names, shapes, logits, loss, gradients and multiply-adds of each network.

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_nn::{Init, Module, Pass};
use serde_json::Value;

use crate::fixture::{fill, values};

const TOLERANCE: f64 = 1e-9;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn sizes(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|size| size as usize).collect()
}

fn assert_close(found: &[f64], expected: &[f64], scale: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= TOLERANCE * scale, "{what}: {f} for {e}");
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, v| max.max(v.abs()))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check(name: &str, facts: &str) {
    let facts: Value = serde_json::from_str(facts).unwrap();
    let facts = &facts["models"][0];
    let device = Device::new(Reference::new());
    let rng = Rng::new(1);
    let entry = ferrotape_zoo::find(name).unwrap();
    let model = entry.build(&Init::new(&device, rng).dtype(DType::F64), 10).unwrap();

    let state: Vec<(String, Vec<usize>)> = model
        .state_dict()
        .unwrap()
        .iter()
        .map(|(name, array)| (name.to_owned(), array.shape().to_vec()))
        .collect();
    let expected: Vec<(String, Vec<usize>)> = facts["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t[0].as_str().unwrap().to_owned(), sizes(&t[1])))
        .collect();
    assert_eq!(state, expected);
    assert_eq!(model.count_parameters() as u64, facts["parameters"].as_u64().unwrap());

    // Errors, probes and optimizers go by the path, state dicts by the name.
    for (name, parameter) in model.named_parameters() {
        assert_eq!(parameter.path().as_str(), name);
    }

    fill(&model, &device);
    let shape = sizes(&facts["input"]);
    let images = values("input", shape.iter().product());
    let images = Array::from_slice(&device, &images, shape.as_slice()).unwrap();
    let labels: Vec<i64> = numbers(&facts["labels"]).into_iter().map(|v| v as i64).collect();
    let labels = Array::from_slice(&device, &labels, [labels.len()]).unwrap();

    let cx = Pass::eval(&device);
    let scores = model.scores(&cx, &cx.input(images.clone()).unwrap()).unwrap();
    let expected = numbers(&facts["eval_logits"]);
    assert_close(&scores.to_f64_vec().unwrap(), &expected, largest(&expected), "eval logits");

    let cx = Pass::train(&device, rng);
    let outcome = model.loss(&cx, &cx.input(images).unwrap(), &labels).unwrap();
    let expected = numbers(&facts["train_logits"]);
    let found = outcome.scores.to_f64_vec().unwrap();
    assert_close(&found, &expected, largest(&expected), "train logits");
    let loss = facts["train_loss"].as_f64().unwrap();
    assert_close(&[outcome.loss.item().unwrap()], &[loss], loss, "loss");
    let gradients = outcome.loss.backward().unwrap();
    for (name, parameter) in model.named_parameters() {
        let gradient = gradients.of(&parameter).unwrap().to_f64_vec().unwrap();
        let projection = values(&format!("proj/{name}"), gradient.len());
        let found = [dot(&gradient, &gradient).sqrt(), dot(&gradient, &projection)];
        let expected = numbers(&facts["grads"][&name]);
        assert_close(&found, &expected, expected[0], &format!("gradient of {name}"));
    }

    let cx = Pass::eval(&device).trace();
    let [c, h, w] = entry.input;
    let image = Array::zeros(&device, DType::F64, [1, c, h, w]).unwrap();
    model.scores(&cx, &cx.input(image).unwrap()).unwrap();
    let macs: u64 = cx.tape().nodes().iter().map(|node| node.multiply_adds).sum();
    assert_eq!(macs, facts["macs"].as_u64().unwrap());
    assert_eq!(sizes(&facts["macs_input"]), entry.input);
}

#[test]
fn lenet5_computes_what_pytorch_computes() {
    check("lenet5", include_str!("fixtures/lenet5.json"));
}
