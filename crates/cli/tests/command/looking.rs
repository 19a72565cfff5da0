//! What looks into a run: pictures of features, heat and filters, pages of several runs, and export.

use std::fs;

use image::{GrayImage, Luma};

use crate::support::{Trained, ferrotape_in, place, trained};

/// A digit-like picture beside the shared run.
fn with_picture(name: &str) -> &'static Trained {
    let run = trained();
    let bar = GrayImage::from_fn(28, 28, |_, y| Luma([if (8..12).contains(&y) { 230 } else { 0 }]));
    bar.save(run.place.path().join(name)).unwrap();
    run
}

#[test]
fn heat_lies_beside_the_image_and_names_class_and_layer() {
    let run = with_picture("heat.png");
    for (command, file, says) in [
        ("gradcam run heat.png", "gradcam.png", " in "),
        ("gradcam run heat.png --class 3 --layer conv2 --out three.png", "three.png", "in conv2"),
        ("saliency run heat.png --class 3", "saliency.png", "three"),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let outcome = run.ferrotape(&arguments);
        let text = outcome.succeeded();
        assert!(text.starts_with(file), "{text}");
        assert!(text.contains(says) || text.contains(": 3, which has a probability"), "{text}");
        let picture = image::open(run.place.path().join(file)).unwrap();
        assert_eq!((picture.height(), picture.width()), (224, 2 * 224 + 2));
    }
    let outcome = run.ferrotape(&["gradcam", "run", "heat.png", "--layer", "conv9"]);
    assert!(outcome.refused().contains("no layer conv9; did you mean conv"), "{}", outcome.stderr);
    let outcome = run.ferrotape(&["saliency", "run", "heat.png", "--class", "eleven"]);
    assert!(outcome.refused().contains("no class eleven; there are 0, 1"), "{}", outcome.stderr);
    let outcome = run.ferrotape(&["saliency", "run", "heat.png", "--class", "10"]);
    assert!(outcome.refused().contains("no class 10"), "{}", outcome.stderr);
}

#[test]
fn features_and_filters_are_a_tile_each() {
    let run = with_picture("tiles.png");
    let outcome = run.ferrotape(&["features", "run", "tiles.png", "--out", "maps.png"]);
    assert!(outcome.succeeded().contains("6 maps of 28 x 28, of conv1"), "{}", outcome.stdout);
    let outcome = run.ferrotape(&["filters", "run", "--layer", "conv2"]);
    assert!(
        outcome.succeeded().contains("16 filters of 6 x 5 x 5, of conv2"),
        "{}",
        outcome.stdout
    );
    for file in ["maps.png", "filters.png"] {
        assert!(image::open(run.place.path().join(file)).unwrap().width() >= 224);
    }
    let outcome = run.ferrotape(&["filters", "run", "--layer", "fc1"]);
    let sentence = outcome.refused();
    assert!(
        sentence.contains("no convolution fc1; its convolutions are conv1, conv2"),
        "{sentence}"
    );
}

#[test]
fn several_runs_lie_on_one_page() {
    let place = place();
    for (name, rate) in [("slow", "0.01"), ("fast", "0.1")] {
        let call =
            format!("train lenet5 --data bars --epochs 2 --batch-size 8 --lr {rate} --out {name}");
        ferrotape_in(place.path(), call.split(' ')).succeeded();
    }
    let outcome = ferrotape_in(place.path(), ["report", "slow", "fast", "--out", "both.html"]);
    assert!(outcome.succeeded().contains("Comparison: both.html"), "{}", outcome.stdout);
    let page = fs::read_to_string(place.path().join("both.html")).unwrap();
    for says in ["slow", "fast", "learning_rate", "class=\"curve run2\""] {
        assert!(page.contains(says), "{says}");
    }
    // The report of a run shows what it looks at.
    let report = fs::read_to_string(place.path().join("fast/report.html")).unwrap();
    assert!(report.contains("What it looks at") && report.contains("Feature maps of conv1"));
    let outcome = ferrotape_in(place.path(), ["report", "slow", "bars"]);
    assert!(outcome.refused().contains("bars holds no config.toml"), "{}", outcome.stderr);
}

#[test]
fn a_run_is_exported_once_and_says_what_it_wants() {
    let run = trained();
    let outcome = run.ferrotape(&["export", "run", "digits.onnx"]);
    let text = outcome.succeeded();
    for says in ["digits.onnx:", "operator set 17", "[batch, 1, 28, 28]", "[batch, 10]"] {
        assert!(text.contains(says), "{text}");
    }
    let outcome = run.ferrotape(&["export", "run", "digits.onnx"]);
    assert!(outcome.refused().contains("would be overwritten"), "{}", outcome.stderr);
    let outcome = run.ferrotape(&["export", "run", "digits.bin"]);
    assert!(outcome.refused().contains("name it so: digits.onnx"), "{}", outcome.stderr);
}
