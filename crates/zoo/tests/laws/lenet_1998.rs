//! LeNet-5 of 1998: its numbers, its losses, its derivatives.

use std::collections::HashMap;

use ferrotape_backend::{
    Array, CrossEntropy, DType, Device, Rng, meta::Meta, reference::Reference,
};
use ferrotape_nn::{Classifier, Init, Layer, Module, Pass, Summary};
use ferrotape_zoo::{LeNet1998, LeNet1998Loss};

const EIGHT: LeNet1998Loss = LeNet1998Loss::Likelihood;
const NINE: LeNet1998Loss = LeNet1998Loss::Discriminative { j: 30.0 };

fn build(loss: LeNet1998Loss) -> (Device, LeNet1998) {
    let device = Device::new(Reference::new());
    let init = Init::new(&device, Rng::new(4)).dtype(DType::F64);
    let model = LeNet1998::new(&init, loss).unwrap();
    (device, model)
}

fn digits(device: &Device) -> Array {
    let pixels = crate::fixture::values("input", 2 * 28 * 28);
    Array::from_slice(device, &pixels, [2, 1, 28, 28]).unwrap()
}

fn labels(device: &Device) -> Array {
    Array::from_slice(device, &[3i64, 8], [2]).unwrap()
}

/// Loss and scores, row by row.
fn outcome(model: &LeNet1998, device: &Device) -> (f64, Vec<Vec<f64>>) {
    let cx = Pass::eval(device);
    let x = cx.input(digits(device)).unwrap();
    let outcome = model.loss(&cx, &x, &labels(device)).unwrap();
    let scores = outcome.scores.to_f64_vec().unwrap();
    (outcome.loss.item().unwrap(), scores.chunks(10).map(<[f64]>::to_vec).collect())
}

#[test]
fn parameters_and_connections_are_the_papers_layer_by_layer() {
    let device = Device::new(Meta::new());
    let model = ferrotape_zoo::lenet5_1998(&Init::new(&device, Rng::new(1)), 10).unwrap();
    let mut parameters: HashMap<String, usize> = HashMap::new();
    for (name, parameter) in model.named_parameters() {
        let layer = name.split('.').next().unwrap().to_owned();
        *parameters.entry(layer).or_default() += parameter.shape().numel();
    }
    let image = Array::zeros(&device, DType::F32, [1, 1, 28, 28]).unwrap();
    let mut connections: HashMap<String, u64> = HashMap::new();
    for row in Summary::of(&model, image).unwrap().rows {
        // A unit has a connection for each factor and one for its bias.
        let units = row.shape.numel() as u64;
        let own = match row.kind {
            "Conv2d" | "Linear" => row.multiply_adds + units,
            "Subsampling" => 5 * units,
            _ => continue,
        };
        let layer = row.path.split('.').next().unwrap().to_owned();
        *connections.entry(layer).or_default() += own;
    }
    for (layer, count, connected) in [
        ("c1", 156, 122_304),
        ("s2", 12, 5_880),
        ("c3", 1_516, 151_600),
        ("s4", 32, 2_000),
        ("c5", 48_120, 48_120),
        ("f6", 10_164, 10_164),
    ] {
        assert_eq!((parameters[layer], connections[layer]), (count, connected), "{layer}");
    }
    let output = model.named_states()[0].1.shape().numel() as u64;
    assert_eq!(connections.values().sum::<u64>() + output, 340_908);
}

#[test]
fn scores_are_minus_the_distances_to_the_bitmaps_and_no_two_bitmaps_are_alike() {
    let (device, model) = build(EIGHT);
    let bitmaps = model.named_states()[0].1.value().to_f64_vec().unwrap();
    let bitmaps: Vec<&[f64]> = bitmaps.chunks(84).collect();
    assert!(bitmaps.iter().flat_map(|bitmap| bitmap.iter()).all(|pixel| pixel.abs() == 1.0));
    let distance =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    for (i, one) in bitmaps.iter().enumerate() {
        assert!(bitmaps[..i].iter().all(|other| distance(one, other) >= 20.0), "{i}");
    }
    let cx = Pass::eval(&device).probe("f6");
    let scores = model.forward(&cx, &cx.input(digits(&device)).unwrap()).unwrap();
    let sums = cx.probes()[0].1.to_f64_vec().unwrap();
    let features: Vec<f64> = sums.iter().map(|a| 1.7159 * (2.0 / 3.0 * a).tanh()).collect();
    let scores = scores.to_f64_vec().unwrap();
    for (row, scores) in features.chunks(84).zip(scores.chunks(10)) {
        for (bitmap, score) in bitmaps.iter().zip(scores) {
            assert!((distance(row, bitmap) + score).abs() < 1e-10);
        }
    }
}

#[test]
fn losses_are_equations_eight_and_nine() {
    let (device, model) = build(EIGHT);
    let (loss, scores) = outcome(&model, &device);
    assert!((loss + (scores[0][3] + scores[1][8]) / 2.0).abs() < 1e-12 * loss);

    // Near the distances, so that the constant counts as much as the classes.
    let j = -scores[0][3];
    let (device, model) = build(LeNet1998Loss::Discriminative { j });
    let (loss, scores) = outcome(&model, &device);
    let one = |row: &[f64], label: usize| {
        -row[label] + ((-j).exp() + row.iter().map(|score| score.exp()).sum::<f64>()).ln()
    };
    let expected = (one(&scores[0], 3) + one(&scores[1], 8)) / 2.0;
    assert!((loss - expected).abs() < 1e-10 * expected, "{loss} for {expected}");
}

/// Along a random direction in all parameters at once.
#[test]
fn gradients_equal_differences() {
    for loss in [EIGHT, NINE] {
        let (device, model) = build(loss);
        let cx = Pass::train(&device, Rng::new(1));
        let x = cx.input(digits(&device)).unwrap();
        let gradients = model.loss(&cx, &x, &labels(&device)).unwrap().loss.backward().unwrap();
        for (name, parameter) in model.named_parameters() {
            let value = parameter.value().to_f64_vec().unwrap();
            let way = crate::fixture::values(&name, value.len());
            let gradient = gradients.of(&parameter).unwrap().to_f64_vec().unwrap();
            let slope: f64 = gradient.iter().zip(&way).map(|(g, w)| g * w).sum();
            let at = |step: f64| {
                let moved: Vec<f64> = value.iter().zip(&way).map(|(v, w)| v + step * w).collect();
                let moved = Array::from_slice(&device, &moved, parameter.shape()).unwrap();
                parameter.set(moved).unwrap();
                outcome(&model, &device).0
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            let error = (difference - slope).abs();
            assert!(error < 1e-5 * slope.abs().max(1.0), "{name}: {slope} for {difference}");
        }
    }
}

#[test]
fn what_the_paper_has_no_answer_to_is_an_error() {
    let (device, model) = build(EIGHT);
    let init = Init::new(&device, Rng::new(1));
    for j in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(LeNet1998::new(&init, LeNet1998Loss::Discriminative { j }).is_err());
    }
    let error = ferrotape_zoo::lenet5_1998(&init, 26).unwrap_err().to_string();
    assert!(error.contains("26 classes"), "{error}");
    let cx = Pass::eval(&device);
    let x = cx.input(digits(&device)).unwrap();
    let smooth = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
    assert!(model.outcome(&cx, &x, &labels(&device), &smooth).is_err());
    let wrong = Array::from_slice(&device, &[3i64, 10], [2]).unwrap();
    assert!(model.loss(&cx, &x, &wrong).is_err());
}
