//! Files that other programs read: TensorBoard's own reader opens ours.

use std::process::Command;

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_nn::{Conv2dConfig, Flatten, Init, LinearConfig, Sequential};
use ferrotape_train::tensorboard::{EventFile, graph};
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
    let mut second = EventFile::create(place.path(), 4).unwrap();
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
