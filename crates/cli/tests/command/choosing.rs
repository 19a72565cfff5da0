//! What helps to choose how to train: learning rates tried, folds, sizes, broken pictures left out.

use std::fs;

use crate::support::{ferrotape_in, names, place};

#[test]
fn learning_rates_are_tried_and_drawn_and_nothing_is_trained() {
    let place = place();
    let call = "train lenet5 --data bars --batch-size 4 --find-lr curve.svg";
    let outcome = ferrotape_in(place.path(), call.split(' '));
    let said = outcome.succeeded();
    assert!(said.contains("Curve: curve.svg") && said.contains("earning rate"), "{said}");
    assert!(fs::read_to_string(place.path().join("curve.svg")).unwrap().starts_with("<svg"));
    assert!(!place.path().join("runs").exists());
    fs::remove_file(place.path().join("curve.svg")).unwrap();
    let lines = ferrotape_in(place.path(), format!("{call} --json").split(' ')).json_lines();
    let points = lines[0]["points"].as_array().unwrap();
    assert!(points.len() > 20 && points[0][0] == 1e-7, "{points:?}");
}

#[test]
fn every_fold_is_a_run_and_their_mean_is_said() {
    let place = place();
    let call = "train lenet5 --data bars --epochs 1 --folds 3 --out cv --json";
    let lines = ferrotape_in(place.path(), call.split(' ')).json_lines();
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "folds");
    let accuracies: Vec<f64> = last["validation_accuracies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|accuracy| accuracy.as_f64().unwrap())
        .collect();
    assert_eq!(accuracies.len(), 3);
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!((last["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(names(&place.path().join("cv")), ["fold-1", "fold-2", "fold-3"]);

    // One of them alone is the same run.
    let call = "train lenet5 --data bars --epochs 1 --folds 3 --fold 2 --out one";
    ferrotape_in(place.path(), call.split(' ')).succeeded();
    let weights = |run: &str| fs::read(place.path().join(run).join("model.safetensors")).unwrap();
    assert!(weights("one") == weights("cv/fold-2"));
    assert!(weights("one") != weights("cv/fold-1"));

    for (flags, says) in [
        ("--folds 1", "give at least 2 folds"),
        ("--folds 3 --fold 4", "fold is 4 of 3 folds"),
        ("--folds 3 --validation 0.1", "give one of them"),
    ] {
        let call = format!("train lenet5 --data bars {flags}");
        let outcome = ferrotape_in(place.path(), call.split(' '));
        assert!(outcome.refused().contains(says), "{}", outcome.stderr);
    }
}

#[test]
fn any_model_takes_the_digits_in_the_size_it_is_told() {
    let place = place();
    let call = "train cifar_resnet20 --data bars --size 12 --epochs 1 --batch-size 8 --out run";
    let outcome = ferrotape_in(place.path(), call.split(' '));
    outcome.succeeded();
    assert!(outcome.stderr.contains("never ran on CIFAR-10"), "{}", outcome.stderr);
    let config = fs::read_to_string(place.path().join("run/config.toml")).unwrap();
    assert!(config.contains("size = 12"), "{config}");
    // The run remembers the size.
    let tested = ferrotape_in(place.path(), ["eval", "run"]);
    assert!(tested.succeeded().contains("right"), "{}", tested.stdout);
    image::GrayImage::new(40, 30).save(place.path().join("x.png")).unwrap();
    ferrotape_in(place.path(), ["predict", "run", "x.png"]).succeeded();

    let call = "train lenet5 --data bars --size 40";
    let outcome = ferrotape_in(place.path(), call.split(' '));
    let says = "lenet5 cannot be shown images of 40 x 40 pixels";
    assert!(outcome.refused().contains(says), "{}", outcome.stderr);
}

#[test]
fn broken_pictures_end_a_run_unless_they_are_to_be_left_out() {
    let place = place();
    for (class, grey) in [("day", 230), ("night", 20)] {
        let folder = place.path().join("photos").join(class);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..12 {
            let picture = image::GrayImage::from_pixel(30, 30, image::Luma([grey + number]));
            picture.save(folder.join(format!("{number:02}.png"))).unwrap();
        }
        fs::write(folder.join("12.png"), "torn").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere.png", folder.join("13.png")).unwrap();
    }
    let call = "train lenet5 --data photos --epochs 1 --batch-size 8 --out run";
    let outcome = ferrotape_in(place.path(), call.split(' '));
    let sentence = outcome.refused();
    assert!(sentence.contains("12.png") || sentence.contains("13.png"), "{sentence}");
    assert!(sentence.contains("(--skip-broken)"), "{sentence}");
    let call = format!("{call} --skip-broken");
    let outcome = ferrotape_in(place.path(), call.split(' '));
    outcome.succeeded();
    for says in ["day/12.png", "night/12.png", "broken and left out"] {
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
    let says = "13.png: it is a link to nowhere.png, where there is nothing";
    assert!(cfg!(not(unix)) || outcome.stderr.contains(says), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("waiting for data"), "{}", outcome.stdout);
    // Two classes have an area under the curve.
    let tested = ferrotape_in(place.path(), ["eval", "run"]);
    assert!(tested.succeeded().contains("ROC curve of night"), "{}", tested.stdout);
}

#[test]
fn networks_of_different_sizes_are_an_ensemble() {
    let place = place();
    let small = "train lenet5 --data bars --epochs 1 --out small";
    let other = "train cifar_resnet20 --data bars --size 12 --epochs 1 --batch-size 8 --out other";
    for call in [small, other] {
        ferrotape_in(place.path(), call.split(' ')).succeeded();
    }
    let tested = ferrotape_in(place.path(), ["eval", "small", "other"]);
    assert!(tested.succeeded().contains("lenet5 and 1 more together"), "{}", tested.stdout);
}
