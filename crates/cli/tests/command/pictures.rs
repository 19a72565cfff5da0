//! Training on folders of pictures and on made-up images, and what the run remembers of them.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Outcome, ferrotape_in, names, place, trained};

fn call(place: &Path, arguments: &str) -> Outcome {
    ferrotape_in(place, arguments.split_whitespace())
}

/// A grey page of any size with a bar across it or down it.
fn bar(across: bool, number: u32) -> GrayImage {
    GrayImage::from_fn(40 + number, 36 + number % 3, |x, y| {
        let along = if across { y } else { x };
        Luma([if (14..24).contains(&along) { 200 + number as u8 } else { 20 }])
    })
}

/// A folder of pictures of bars, `count` a class.
fn bars(folder: &Path, count: u32) {
    for (name, across) in [("lying", true), ("standing", false)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            bar(across, number).save(folder.join(name).join(format!("{number}.png"))).unwrap();
        }
    }
}

/// A folder of pictures of two colours.
fn colours(folder: &Path, count: u32) {
    for (name, colour) in [("red", [200, 30, 30]), ("green", [30, 200, 30])] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            RgbImage::from_pixel(32 + number, 32, Rgb(colour))
                .save(folder.join(name).join(format!("{number}.jpg")))
                .unwrap();
        }
    }
}

fn config(place: &Path, run: &str) -> String {
    fs::read_to_string(place.join(run).join("config.toml")).unwrap()
}

fn empty() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_folder_of_pictures_is_learned_and_its_classes_have_names_everywhere() {
    let place = empty();
    let place = place.path();
    bars(&place.join("pages"), 20);
    fs::write(place.join("pages/lying/notes.txt"), "").unwrap();
    let outcome =
        call(place, "train lenet5 --data pages --epochs 4 --batch-size 4 --out run --json");
    assert!(outcome.stderr.contains("note: pages/lying/notes.txt"), "{}", outcome.stderr);
    let lines = outcome.json_lines();
    let last = lines.last().unwrap();
    assert_eq!((&last["test_images"], &last["test_accuracy"]), (&4.into(), &1.0.into()));
    assert_eq!(lines[0]["images"], 36);

    let written = config(place, "run");
    for line in ["format = \"folder\"", "classes = [\"lying\", \"standing\"]", "mean = [0."] {
        assert!(written.contains(line), "{line}: {written}");
    }
    let report = fs::read_to_string(place.join("run/report.html")).unwrap();
    assert!(report.contains("standing"));

    let eval = call(place, "eval run --json").json_lines();
    for key in ["test_accuracy", "test_loss", "test_images"] {
        assert_eq!(eval[0][key], last[key], "{key}");
    }

    bar(true, 33).save(place.join("one.png")).unwrap();
    bar(false, 33).save(place.join("two.png")).unwrap();
    let lines = call(place, "predict run one.png two.png --json").json_lines();
    for (line, class) in lines.iter().zip(["lying", "standing"]) {
        assert_eq!(line["class"], class, "{line}");
        assert_eq!(line["classes"], serde_json::json!(["lying", "standing"]));
    }
    let outcome = call(place, "predict run one.png");
    assert!(outcome.succeeded().starts_with("one.png:\n  lying     "), "{}", outcome.stdout);
    // A page like those of the training is not made a digit of: no pixel of it is inverted or moved.
    let of = |image: GrayImage| {
        image.save(place.join("x.png")).unwrap();
        call(place, "predict run x.png --json").json_lines()[0]["probabilities"].clone()
    };
    let mut inverted = bar(true, 33);
    image::imageops::invert(&mut inverted);
    assert_ne!(of(bar(true, 33)), of(inverted));
}

#[test]
fn parts_of_a_folder_and_its_form_are_told_or_said() {
    let place = place();
    let place = place.path();
    bars(&place.join("parts/train"), 4);
    bars(&place.join("parts/val"), 3);
    let train = |data: &str, out: &str| {
        call(place, &format!("train lenet5 --data {data} --epochs 1 --out {out} --json"))
    };
    let lines = train("parts", "parted").json_lines();
    assert_eq!(lines.last().unwrap()["test_images"], 6);

    // Pictures beside the four files of MNIST's form: both could be meant.
    bars(&place.join("bars"), 10);
    let sentence = train("bars", "refused").refused().to_owned();
    assert!(sentence.contains("--format idx or --format folder"), "{sentence}");
    assert!(!place.join("refused").exists());
    for (format, images) in [("idx", 20), ("folder", 2)] {
        let lines = train(&format!("bars --format {format}"), format).json_lines();
        assert_eq!(lines.last().unwrap()["test_images"], images);
        assert!(config(place, format).contains(&format!("format = \"{format}\"")));
        // The run remembers what was meant.
        let eval = call(place, &format!("eval {format} --json")).json_lines();
        assert_eq!(eval[0]["test_images"], images);
    }
    let sentence = call(place, "eval idx --data bars --format folder").refused().to_owned();
    assert!(sentence.contains("0, 1, 2 and 7 more, but those of bars are lying, standing"));
    let outcome = train("bars --format zip", "refused");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("idx, folder, cifar10, cifar100"), "{}", outcome.stderr);
    let sentence = train("mnist --format idx", "refused").refused().to_owned();
    assert!(sentence.contains("leave --format away"), "{sentence}");
}

#[test]
fn broken_pictures_are_named_before_and_in_training() {
    let place = empty();
    let place = place.path();
    bars(&place.join("pages/train"), 3);
    bars(&place.join("pages/test"), 3);
    for broken in ["pages/test/lying/1.png", "pages/train/standing/2.png"] {
        let whole = fs::read(place.join(broken)).unwrap();
        fs::write(place.join(broken), &whole[..whole.len() / 2]).unwrap();
        let outcome = call(place, "train lenet5 --data pages --out run --json");
        let sentence = outcome.refused();
        assert!(sentence.contains(broken), "{sentence}");
        assert!(!outcome.stdout.contains("\"event\":\"epoch\""), "{}", outcome.stdout);
        assert_eq!(names(place), ["pages"]);
        fs::write(place.join(broken), whole).unwrap();
    }
    fs::remove_dir_all(place.join("pages/test/lying")).unwrap();
    let sentence = call(place, "train lenet5 --data pages --out run").refused().to_owned();
    assert!(sentence.contains("one class folder, standing"), "{sentence}");
}

#[test]
fn a_model_of_colours_is_trained_and_asked_in_colour() {
    let place = empty();
    let place = place.path();
    colours(&place.join("lights"), 10);
    let train = "train cifar_resnet20 --data lights --epochs 1 --batch-size 6";
    call(place, &format!("{train} --out run")).succeeded();
    let written = config(place, "run");
    assert!(written.contains("mean = [0.485, 0.456, 0.406]"), "{written}");
    RgbImage::from_pixel(50, 40, Rgb([190, 40, 30])).save(place.join("x.png")).unwrap();
    let of = |arguments: &str| -> Value {
        let lines = call(place, &format!("predict {arguments} x.png --json")).json_lines();
        lines[0]["probabilities"].clone()
    };
    let run = of("run");
    assert_eq!(run.as_array().unwrap().len(), 2);
    let weights = "--weights run/model.safetensors --classes 2";
    let outcome = call(place, &format!("predict cifar_resnet20 {weights} x.png --json"));
    assert!(outcome.stderr.contains("note: these are the weights of a run"), "{}", outcome.stderr);
    // Without a run the constants are ImageNet's, which are those of the run.
    assert_eq!(outcome.json_lines()[0]["probabilities"], run);

    call(place, &format!("{train} --threads 1 --out one")).succeeded();
    call(place, &format!("{train} --threads 3 --out three")).succeeded();
    let bytes = |run: &str| fs::read(place.join(run).join("model.safetensors")).unwrap();
    assert!(bytes("one") == bytes("run") && bytes("three") == bytes("run"));
    let lines = call(place, &format!("{train} --limit 7 --out few --json")).json_lines();
    assert_eq!(lines[0]["images"], 7);
}

#[test]
fn what_a_run_wrote_down_is_what_its_images_are_normalised_by() {
    let run = trained();
    let place = empty();
    let place = place.path();
    let copy = |out: &str, change: &dyn Fn(&str) -> String| {
        fs::create_dir(place.join(out)).unwrap();
        fs::copy(run.folder().join("model.safetensors"), place.join(out).join("model.safetensors"))
            .unwrap();
        let text = fs::read_to_string(run.folder().join("config.toml")).unwrap();
        fs::write(place.join(out).join("config.toml"), change(&text)).unwrap();
        let data = run.place.path().join("bars");
        GrayImage::from_pixel(28, 28, Luma([90])).save(place.join("x.png")).unwrap();
        let eval = format!("eval {out} --data {} --json", data.display());
        let predict = format!("predict {out} x.png --json");
        (call(place, &eval).json_lines(), call(place, &predict).json_lines())
    };
    let as_it_is = copy("same", &str::to_owned);
    // A run of before anything was written down was normalised by MNIST's constants.
    let written = ["mean =", "std =", "classes =", "format ="];
    let is_old = |line: &&str| !written.iter().any(|key| line.starts_with(key));
    let old = copy("old", &|text| text.lines().filter(is_old).collect::<Vec<_>>().join("\n"));
    assert_eq!(old, as_it_is);
    let is_mean = |line: &&str| line.starts_with("mean =");
    let other = copy("other", &|text| {
        let mean = text.lines().find(is_mean).expect("the run wrote its mean down");
        text.replace(mean, "mean = [0.6]")
    });
    assert_ne!(other.0, as_it_is.0);
    assert_ne!(other.1, as_it_is.1);
}

#[test]
fn made_up_images_are_learned_and_always_the_same() {
    let place = empty();
    let place = place.path();
    let train = |out: &str, more: &str| {
        let flags = "--data synthetic --epochs 1 --batch-size 20 --limit 400 --json";
        call(place, &format!("train lenet5 {flags} --out {out} {more}")).json_lines()
    };
    let lines = train("first", "");
    let last = lines.last().unwrap();
    assert_eq!(last["test_images"], 500);
    assert!(last["test_accuracy"].as_f64().unwrap() > 0.9, "{last}");
    train("again", "--threads 1");
    train("other", "--seed 7");
    let bytes = |run: &str| fs::read(place.join(run).join("model.safetensors")).unwrap();
    assert!(bytes("first") == bytes("again"));
    assert!(bytes("first") != bytes("other"));
    let eval = call(place, "eval first --json").json_lines();
    assert_eq!(eval[0]["test_loss"], last["test_loss"]);
}

#[test]
fn googlenet_transforms_its_input_when_it_had_weights() {
    let place = empty();
    let place = place.path();
    colours(&place.join("lights"), 2);
    let train = "train googlenet --data lights --epochs 1 --batch-size 2 --lr 0.01 --optimizer adam \
                 --resized-crop 0 --weight-decay 0";
    call(place, &format!("{train} --out new")).succeeded();
    call(place, &format!("{train} --out tuned --weights new/model.safetensors")).succeeded();
    let of = |arguments: &str| -> Value {
        let picture = "lights/red/0.jpg";
        let lines = call(place, &format!("predict {arguments} {picture} --json")).json_lines();
        lines[0]["probabilities"].clone()
    };
    let weights =
        |run: &str| of(&format!("googlenet --classes 2 --weights {run}/model.safetensors"));
    assert_eq!(of("tuned"), weights("tuned"));
    assert_ne!(of("new"), weights("new"));
}

#[test]
#[cfg(target_os = "linux")]
fn progress_that_cannot_be_written_is_a_failure_and_the_run_stays() {
    let place = place();
    for json in ["", "--json"] {
        let arguments =
            format!("train lenet5 --data bars --epochs 1 --limit 8 --out run{json} {json}");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ferrotape"))
            .args(arguments.split_whitespace())
            .current_dir(place.path())
            .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("the run is finished and in run{json}")), "{said}");
        assert!(place.path().join(format!("run{json}/report.html")).is_file());
    }
}

#[test]
fn what_is_left_of_a_run_that_never_began_is_taken_over() {
    let place = place();
    let left = place.path().join("left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("metrics.jsonl"), "").unwrap();
    let sentence = call(place.path(), "train --resume left").refused().to_owned();
    assert!(sentence.contains("left"), "{sentence}");
    call(place.path(), "train lenet5 --data bars --epochs 1 --out left").succeeded();
}
