//! What looks into a run: pictures of features, heat and filters, pages of runs, and export.

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
    // The bar lies where the digit 3 has its own.
    for (command, file, says) in [
        ("gradcam run heat.png", "gradcam.png", "; seen in pool2"),
        (
            "gradcam run heat.png --class 4 --layer conv2 --out three.png",
            "three.png",
            "; seen in conv2",
        ),
        ("saliency run heat.png --class 4", "saliency.png", "shown is what speaks for 4 ("),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let outcome = run.ferrotape(&arguments);
        let text = outcome.succeeded();
        assert!(text.starts_with(&format!("{file}: the network says ")), "{text}");
        assert!(text.contains(says), "{text}");
        let picture = image::open(run.place.path().join(file)).unwrap();
        assert_eq!((picture.height(), picture.width()), (224, 2 * 224 + 2));
        let outcome = run.ferrotape(&arguments);
        assert!(
            outcome.refused().contains("exists and would be overwritten"),
            "{}",
            outcome.stderr
        );
    }
    for (command, says) in [
        (
            "gradcam run heat.png --out a.png --layer conv9",
            "no layer conv9; those that make maps are conv",
        ),
        ("gradcam run heat.png --out a.jpg", "a.jpg is to be a PNG picture; name it so: a.png"),
        ("saliency run heat.png --out a.png --class eleven", "no class eleven; there are 0, 1"),
        ("saliency run heat.png --out a.png --class 10", "no class 10"),
    ] {
        let outcome = run.ferrotape(&command.split(' ').collect::<Vec<_>>());
        assert!(outcome.refused().contains(says), "{}", outcome.stderr);
    }
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
    let outcome = run.ferrotape(&["filters", "run", "--layer", "fc1", "--out", "dense.png"]);
    let sentence = outcome.refused();
    assert!(
        sentence.contains("no convolution fc1; its convolutions are conv1, conv2"),
        "{sentence}"
    );
}

#[test]
fn weights_of_a_file_are_looked_into_as_those_of_a_run() {
    let run = with_picture("file.png");
    let of_run = run.ferrotape(&["gradcam", "run", "file.png", "--out", "run.png"]);
    let call = "gradcam lenet5 file.png --weights run/model.safetensors --out weights.png";
    let of_file = run.ferrotape(&call.split(' ').collect::<Vec<_>>());
    let said = |text: &str| text.split_once(": ").map(|(_, said)| said.to_owned());
    assert_eq!(said(of_run.succeeded()), said(of_file.succeeded()));
}

#[test]
fn several_runs_lie_on_one_page_and_one_gets_its_report_again() {
    let place = place();
    for (name, rate) in [("slow", "0.01"), ("fast", "0.1")] {
        let call =
            format!("train lenet5 --data bars --epochs 2 --batch-size 8 --lr {rate} --out {name}");
        ferrotape_in(place.path(), call.split(' ')).succeeded();
    }
    let report =
        |arguments: &str| ferrotape_in(place.path(), format!("report {arguments}").split(' '));
    let page = |path: &str| fs::read_to_string(place.path().join(path)).unwrap();

    let outcome = report("slow fast --out both.html");
    assert!(outcome.succeeded().contains("Comparison: both.html"), "{}", outcome.stdout);
    for says in ["slow", "fast", "learning_rate", "class=\"curve run2\""] {
        assert!(page("both.html").contains(says), "{says}");
    }
    for (call, says) in [
        ("slow fast --out both.html", "would be overwritten"),
        ("slow fast --out both.pdf", "is to be an HTML page"),
        ("slow fast --dtype f32", "leave all flags but --out away"),
        ("slow bars", "bars holds no config.toml"),
    ] {
        let outcome = report(call);
        assert!(outcome.refused().contains(says), "{}", outcome.stderr);
    }

    // What a run looks at is in its report, which is drawn again from its folder.
    let first = page("fast/report.html");
    assert!(first.contains("What it looks at") && first.contains("conv1</h3>"));
    fs::remove_file(place.path().join("fast/report.html")).unwrap();
    assert!(report("fast").succeeded().contains("fast/report.html"));
    for part in ["insight", "confusion", "mistakes", "curves"] {
        assert_eq!(section(&page("fast/report.html"), part), section(&first, part), "{part}");
    }
    assert!(report("fast --out other.html").succeeded().contains("Report: other.html"));
    assert_eq!(page("other.html"), page("fast/report.html"));
}

/// A part of a report.
fn section<'a>(page: &'a str, part: &str) -> Option<&'a str> {
    page.split_once(&format!("<section id=\"{part}\""))?
        .1
        .split_once("</section>")
        .map(|(text, _)| text)
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

#[test]
fn what_exists_is_not_drawn_over() {
    let place = place();
    for (call, name) in [
        ("train lenet5 --data bars --find-lr thesis.svg", "thesis.svg"),
        ("samples lenet5 --data bars --out thesis.png", "thesis.png"),
    ] {
        fs::write(place.path().join(name), "mine").unwrap();
        let outcome = ferrotape_in(place.path(), call.split(' '));
        assert!(outcome.refused().contains("would be overwritten"), "{}", outcome.stderr);
        assert_eq!(fs::read_to_string(place.path().join(name)).unwrap(), "mine");
    }
    let call = "train lenet5 --data bars --find-lr thesis.tex";
    let outcome = ferrotape_in(place.path(), call.split(' '));
    assert!(outcome.refused().contains("thesis.svg"), "{}", outcome.stderr);
}

#[test]
fn a_name_does_not_steer_the_terminal() {
    let place = place();
    let outcome = ferrotape_in(place.path(), ["eval", "no\u{1b}[31m\u{202e}run"]);
    let sentence = outcome.refused();
    assert!(sentence.contains("no\\u{1b}[31m\\u{202e}run"), "{sentence}");
}

#[test]
#[cfg(unix)]
fn a_path_that_is_no_text_can_be_written_and_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = place();
    let train = "train lenet5 --data bars --epochs 1 --batch-size 8 --out run";
    ferrotape_in(place.path(), train.split(' ')).succeeded();
    let weights = OsStr::from_bytes(b"w\xff.safetensors");
    let call = ["convert", "run/model.safetensors"].map(OsStr::new);
    let told = ferrotape_in(place.path(), call.into_iter().chain([weights, OsStr::new("--json")]));
    assert!(told.json_lines()[0]["output"].as_str().unwrap().starts_with('w'));
    assert!(place.path().join(weights).exists());
    // The configuration of a run is text, and cannot name them.
    let call = ["train", "lenet5", "--data", "bars", "--weights"].map(OsStr::new);
    let refused = ferrotape_in(place.path(), call.into_iter().chain([weights]));
    assert!(refused.refused().contains("no text in UTF-8"), "{}", refused.stderr);
    let network = OsStr::from_bytes(b"n\xff.onnx");
    let call = ["export", "run"].map(OsStr::new).into_iter().chain([network, OsStr::new("--json")]);
    ferrotape_in(place.path(), call).json_lines();
    let picture = OsStr::from_bytes(b"p\xff.png");
    image::GrayImage::new(28, 28).save(place.path().join("p.png")).unwrap();
    fs::rename(place.path().join("p.png"), place.path().join(picture)).unwrap();
    let call =
        ["predict", "run"].map(OsStr::new).into_iter().chain([picture, OsStr::new("--json")]);
    ferrotape_in(place.path(), call).json_lines();
}
