//! Files that other programs read: TensorBoard's own reader opens ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_data::{Normalise, Synthetic};
use ferrotape_nn::{Conv2dConfig, Flatten, Init, LinearConfig, Sequential};
use ferrotape_train::progress::{EpochStart, Reporter};
use ferrotape_train::report::Environment;
use ferrotape_train::tensorboard::{EventFile, graph};
use ferrotape_train::{Run, RunConfig, RunData, RunFolder, Stop};
use serde_json::{Value, json};

/// What reads the events of a folder and prints them as JSON.
const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "histograms": 0, "images": 0})
events.Reload()
tags = events.Tags()
def histogram(tag):
    value = events.Histograms(tag)[0].histogram_value
    return [value.min, value.max, value.num, sum(value.bucket), len(value.bucket_limit)]
def image(tag):
    value = events.Images(tag)[0]
    return [value.height, value.width, list(value.encoded_image_string[:4])]
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "histograms": {tag: histogram(tag) for tag in tags["histograms"]},
    "images": {tag: image(tag) for tag in tags["images"]},
    "nodes": [[node.name, node.op, list(node.input)] for node in events.Graph().node],
}))
"#;

/// A Python that has a module; none, with the reason printed, where there is none. Where
/// `FERROTAPE_NO_SKIP` is set, as in CI, that is a failure.
fn python_with(module: &str) -> Option<Command> {
    let python = std::env::var("FERROTAPE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(python));
    }
    let why = format!(
        "{python} has no module {module}; pip install {module}, or name a Python in FERROTAPE_PYTHON"
    );
    assert!(
        std::env::var_os("FERROTAPE_NO_SKIP").is_none(),
        "skipped although it must not be: {why}"
    );
    println!("skipped: {why}");
    None
}

#[test]
fn tensorboard_reads_what_was_written() {
    let Some(mut python) = python_with("tensorboard") else { return };
    let device = Device::new(Reference::new());
    let model = Sequential::new(&Init::new(&device, Rng::new(1)))
        .named("conv", Conv2dConfig::new(1, 2, 3))
        .unwrap()
        .add(Flatten::new)
        .unwrap()
        .named("fc", LinearConfig::new(8, 3))
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut first = EventFile::create(place.path(), 0).unwrap();
    let image = Array::zeros(&device, DType::F32, [1, 1, 4, 4]).unwrap();
    first.graph(&graph(&model, &device, image).unwrap());
    for step in 1..=5 {
        first.scalar("train/loss", step, 1.0 / step as f64);
    }
    let weights: Vec<f32> = (0..100).map(|i| i as f32 / 100.0 - 0.25).collect();
    first.histogram("conv.weight", 3, &weights);
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0, 50, 100, 150, 200, 250]).unwrap();
    first.picture("filters/conv", 3, [2, 3, 1], &png);
    first.flush().unwrap();
    // A run that was killed after step 5 and goes on from its checkpoint at step 3.
    let mut second = EventFile::create(place.path(), 3).unwrap();
    second.scalar("train/loss", 4, 7.0);
    second.flush().unwrap();

    let output = python.arg("-c").arg(READER).arg(place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let third = f64::from(1.0f32 / 3.0);
    assert_eq!(
        found["scalars"]["train/loss"],
        json!([[1, 1.0], [2, 0.5], [3, third], [4, 7.0]]),
        "what was done again is forgotten"
    );
    let histogram = found["histograms"]["conv.weight"].as_array().unwrap();
    assert_eq!(
        (&histogram[0], &histogram[2], &histogram[3]),
        (&json!(-0.25), &json!(100.0), &json!(100.0))
    );
    assert_eq!(found["images"]["filters/conv"], json!([2, 3, [0x89, b'P', b'N', b'G']]));
    let nodes = found["nodes"].as_array().unwrap();
    let fc =
        nodes.iter().find(|node| node[0] == "fc/linear").expect("the layer's operator is there");
    assert_eq!(fc[1], "linear");
    let names: Vec<&Value> = nodes.iter().map(|node| &node[0]).collect();
    for input in fc[2].as_array().unwrap() {
        assert!(names.contains(&input), "{input} is no node");
    }
}

/// Ends the process, as far as a test can, when an epoch begins.
struct EndsAt(usize);

impl Reporter for EndsAt {
    fn epoch_started(&mut self, start: &EpochStart) {
        assert!(start.epoch != self.0, "on purpose");
    }
}

#[test]
fn tensorboard_shows_every_epoch_once_of_a_run_that_was_interrupted_between_two() {
    let Some(mut python) = python_with("tensorboard") else { return };
    let device = Device::new(Reference::new());
    let images = Synthetic::new([1, 4, 4], 2, 12, 1).unwrap();
    let data = RunData {
        test: Arc::new(images.others(4)),
        train: Arc::new(images),
        normalise: Normalise { mean: vec![0.5], std: vec![0.5] },
    };
    let config = RunConfig {
        model: "line".into(),
        epochs: 4,
        batch_size: 4,
        tensorboard: true,
        ..RunConfig::default()
    };
    let model = Sequential::new(&Init::new(&device, Rng::new(1)));
    let model = model.add(Flatten::new).unwrap().add(LinearConfig::new(16, 2)).unwrap();
    let run = || Run {
        model: &model,
        device: &device,
        config: &config,
        environment: Environment::default(),
        layers: Vec::new(),
        started: Instant::now(),
        stop: Stop::default(),
    };
    let place = tempfile::tempdir().unwrap();
    let place = place.path().join("run");
    let cut = catch_unwind(AssertUnwindSafe(|| {
        let mut folder = RunFolder::create(Some(&place), "line").unwrap();
        run().execute(&data, &mut folder, &mut EndsAt(3))
    }));
    assert!(cut.is_err());
    let mut folder = RunFolder::resume(&place).unwrap();
    run().resume(&data, &mut folder, &mut ()).unwrap();

    let output = python.arg("-c").arg(READER).arg(place.join("tensorboard")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = found["scalars"]["train/loss"].as_array().unwrap().iter().map(|event| &event[0]);
    assert_eq!(steps.collect::<Vec<_>>(), [3, 6, 9, 12]);
}
