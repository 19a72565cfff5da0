//! Logits, loss, gradients and running statistics of each network, with weights by a rule.

use std::collections::HashMap;

use ferrotape_backend::{Array, DType, Device, Rng};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_nn::{Classifier, Init, Item, Mode, Pass, Visitor};

use crate::facts::{self, numbers, sizes};
use crate::fixture::{fill, values};

const TOLERANCE: f64 = 1e-9;

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

/// A training pass in which nothing is dropped.
fn train(device: &Device, model: &dyn Classifier) -> Pass {
    let mut cx = Pass::train(device, Rng::new(1));
    let mut dropouts = Vec::new();
    model.visit(&mut Visitor::new(&mut |path, item| {
        if matches!(item, Item::Child("Dropout")) {
            dropouts.push(path.to_owned());
        }
    }));
    for path in dropouts {
        cx = cx.mode_for(path, Mode::Eval);
    }
    cx
}

/// The first columns of the scores, as many as the fixture has; all their norm and the best ones.
fn assert_scores(scores: &Array, expected: &serde_json::Value, what: &str) -> Vec<f64> {
    let columns = expected[0].as_array().unwrap().len();
    let found = scores.narrow(1, 0, columns).unwrap().to_f64_vec().unwrap();
    let expected = numbers(expected);
    assert_close(&found, &expected, largest(&expected), what);
    scores.to_f64_vec().unwrap()
}

fn check(name: &str) {
    let facts = facts::of(name);
    let device = Device::new(Cpu::new(CpuOptions::default()).unwrap());
    let entry = ferrotape_zoo::find(name).unwrap();
    let init = Init::new(&device, Rng::new(1)).dtype(DType::F64);
    let model = entry.build(&init, entry.classes).unwrap();
    fill(&model, &device);
    let shape = sizes(&facts["input"]);
    let images = values("input", shape.iter().product());
    let images = Array::from_slice(&device, &images, shape.as_slice()).unwrap();
    let labels: Vec<i64> = numbers(&facts["labels"]).into_iter().map(|v| v as i64).collect();
    let labels = Array::from_slice(&device, &labels, [labels.len()]).unwrap();

    let cx = Pass::eval(&device);
    let scores = model.scores(&cx, &cx.input(images.clone()).unwrap()).unwrap();
    let scores = assert_scores(&scores, &facts["eval_logits"], "eval logits");
    let norm = facts["eval_norm"].as_f64().unwrap();
    assert_close(&[dot(&scores, &scores).sqrt()], &[norm], norm, "norm of eval logits");
    let best = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let best: Vec<usize> = scores.chunks(entry.classes).filter_map(best).collect();
    assert_eq!(best, sizes(&facts["eval_argmax"]));

    let cx = train(&device, &*model);
    let outcome = model.loss(&cx, &cx.input(images).unwrap(), &labels).unwrap();
    assert_scores(&outcome.scores, &facts["train_logits"], "train logits");
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
    let states: HashMap<_, _> = model.named_states().into_iter().collect();
    for (name, norm) in facts["running_after"].as_object().unwrap() {
        let (state, norm) = (states[name].value().to_f64_vec().unwrap(), norm.as_f64().unwrap());
        assert_close(&[dot(&state, &state).sqrt()], &[norm], norm, name);
    }
}

#[test]
fn lenet5_computes_what_pytorch_computes() {
    check("lenet5");
}

#[test]
fn alexnet_computes_what_torchvision_computes() {
    check("alexnet");
}

#[test]
fn googlenet_computes_what_torchvision_computes() {
    check("googlenet");
}
