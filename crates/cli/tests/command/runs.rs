//! `eval`, `predict`, `summary` and `doctor`.

use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;

use crate::support::{ferrotape_in, place, trained};

#[test]
fn eval_finds_what_training_found() {
    let run = trained();
    let trained = run.lines.last().unwrap();
    let lines = run.ferrotape(&["eval", "run", "--json"]).json_lines();
    assert_eq!(lines.len(), 1);
    for key in ["test_accuracy", "test_loss", "test_images"] {
        assert_eq!(lines[0][key], trained[key], "{key}");
    }
    let threads = run.ferrotape(&["eval", "run", "--json", "--threads", "3"]).json_lines();
    assert_eq!(threads, lines);
    let outcome = run.ferrotape(&["eval", "run"]);
    assert!(outcome.succeeded().contains("of 20 test images right"), "{}", outcome.stdout);
}

#[test]
fn predict_takes_pictures_of_any_size_and_colour() {
    let run = trained();
    let place = run.place.path();
    GrayImage::from_fn(28, 28, |_, y| Luma([if y < 4 { 230 } else { 0 }]))
        .save(place.join("grey.png"))
        .unwrap();
    RgbImage::from_fn(200, 300, |x, y| {
        let ink = (90..120).contains(&x) && (40..260).contains(&y);
        if ink { Rgb([200, 20, 20]) } else { Rgb([240, 240, 255]) }
    })
    .save(place.join("colour.png"))
    .unwrap();
    RgbaImage::from_fn(33, 17, |x, _| Rgba([0, 0, 0, if x == 9 { 255 } else { 0 }]))
        .save(place.join("alpha.png"))
        .unwrap();
    image::DynamicImage::new_luma16(1, 1).save(place.join("dot.png")).unwrap();

    let pictures = ["grey.png", "colour.png", "alpha.png", "dot.png"];
    let mut arguments = vec!["predict", "run"];
    arguments.extend(pictures);
    let outcome = run.ferrotape(&arguments);
    let text = outcome.succeeded();
    assert_eq!(text.lines().count(), 4 * 11, "{text}");
    assert!(pictures.iter().all(|picture| text.contains(&format!("{picture}:"))), "{text}");

    arguments.push("--json");
    let lines = run.ferrotape(&arguments).json_lines();
    for (line, picture) in lines.iter().zip(pictures) {
        assert_eq!(line["image"], picture);
        let probabilities: Vec<f64> =
            serde_json::from_value(line["probabilities"].clone()).unwrap();
        assert_eq!(probabilities.len(), 10);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{probabilities:?}");
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn summary_counts_the_parameters_of_lenet5() {
    let place = place();
    let outcome = ferrotape_in(place.path(), ["summary", "lenet5"]);
    assert!(outcome.succeeded().contains("61,706"), "{}", outcome.stdout);
    let lines = ferrotape_in(place.path(), ["summary", "lenet5", "--json"]).json_lines();
    let parameters: u64 = lines.iter().filter_map(|line| line["parameters"].as_u64()).sum();
    assert_eq!(parameters, 61_706);
    let fewer = ["summary", "lenet5", "--classes", "3", "--json"];
    let lines = ferrotape_in(place.path(), fewer).json_lines();
    assert_eq!(lines.last().unwrap()["output"], serde_json::json!([1, 3]));
    ferrotape_in(place.path(), ["summary", "lenet5", "--classes", "0"]).refused();
    ferrotape_in(place.path(), ["summary", "lenet5", "--classes", "999999999999999999"]).refused();
}

#[test]
fn doctor_tells_of_the_machine() {
    let place = place();
    let outcome = ferrotape_in(place.path(), ["doctor"]);
    let text = outcome.succeeded();
    for said in ["processor", "threads", "kernels", "devices", "cuda"] {
        assert!(text.contains(said), "{text}");
    }
    let lines = ferrotape_in(place.path(), ["doctor", "--json", "--threads", "2"]).json_lines();
    assert_eq!(lines.len(), 1);
    let known: Vec<Value> = serde_json::from_value(lines[0]["devices"].clone()).unwrap();
    assert_eq!((&lines[0]["threads"], known.contains(&"cpu".into())), (&2.into(), true));
    ferrotape_in(place.path(), ["doctor", "--threads", "0"]).refused();
    ferrotape_in(place.path(), ["doctor", "--threads", "5000"]).refused();
}
