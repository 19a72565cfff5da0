//! What cannot be done is refused: a sentence, an exit code, and nothing left behind.

use std::fs;

use crate::support::{bar_files, ferrotape_in, gzip, idx, names, place, trained};

/// Trains with more flags, expects a refusal, and that nothing was written.
fn train_is_refused(flags: &str) -> String {
    let place = place();
    let arguments = format!("train --data bars --out a/b {flags}");
    let outcome = ferrotape_in(place.path(), arguments.split_whitespace());
    let sentence = outcome.refused().to_owned();
    assert_eq!(names(place.path()), ["bars"], "{sentence}");
    sentence
}

/// Trains on data in which one file was replaced, or taken away.
fn data_is_refused(name: &str, bytes: Option<&[u8]>) -> String {
    let place = place();
    let file = place.path().join("bars").join(name);
    match bytes {
        Some(bytes) => fs::write(file, bytes).unwrap(),
        None => fs::remove_file(file).unwrap(),
    }
    let outcome = ferrotape_in(place.path(), ["train", "lenet5", "--data", "bars"]);
    let sentence = outcome.refused().to_owned();
    assert_eq!(names(place.path()), ["bars"], "{sentence}");
    assert!(sentence.contains(name), "{sentence}");
    sentence
}

#[test]
fn an_unknown_model_is_answered_with_those_there_are() {
    let sentence = train_is_refused("lenet6");
    assert!(sentence.contains("'lenet6'") && sentence.contains("did you mean 'lenet5'?"));
    let outcome = ferrotape_in(place().path(), ["summary", "nosuch"]);
    assert!(outcome.refused().contains("there is: lenet5"), "{}", outcome.stderr);
}

#[test]
fn numbers_that_train_nothing_are_refused_by_name() {
    for (flags, said) in [
        ("--epochs 0", "epochs is 0"),
        ("--batch-size 0", "batch_size is 0"),
        ("--threads 0", "threads is 0"),
        ("--limit 0", "limit is 0"),
        ("--lr nan", "learning_rate is NaN"),
        ("--lr -0.1", "learning_rate is -0.1"),
    ] {
        let sentence = train_is_refused(&format!("lenet5 {flags}"));
        assert!(sentence.contains(said), "{flags}: {sentence}");
    }
}

#[test]
fn a_device_or_type_that_cannot_be_had_is_refused_with_what_can() {
    let sentence = train_is_refused("lenet5 --device abacus");
    assert!(sentence.contains("'abacus'") && sentence.contains("cpu"), "{sentence}");
    for dtype in ["f33", "i64", "u8"] {
        let sentence = train_is_refused(&format!("lenet5 --dtype {dtype}"));
        assert!(sentence.contains(&format!("'{dtype}'")), "{sentence}");
        assert!(sentence.ends_with("use f32, f64 or bf16"), "{sentence}");
    }
}

#[test]
fn usage_is_a_code_of_its_own() {
    let place = place();
    for arguments in ["train", "train lenet5 --quickly", "train lenet5 --epochs many", "dance", ""]
    {
        let outcome = ferrotape_in(place.path(), arguments.split_whitespace());
        assert_eq!(outcome.code, Some(2), "{arguments}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("--help"), "{arguments}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
    let outcome = ferrotape_in(place.path(), ["train", "lenet5", "--epochs", "-1"]);
    assert!(outcome.stderr.contains("'-1' for '--epochs"), "{}", outcome.stderr);
    assert_eq!(names(place.path()), ["bars"]);
}

#[test]
fn a_folder_of_data_that_is_not_there_is_named_with_what_belongs_in_it() {
    let place = place();
    let outcome = ferrotape_in(place.path(), ["train", "lenet5", "--data", "digits"]);
    let sentence = outcome.refused();
    assert!(sentence.contains("digits") && sentence.contains("train-images-idx3-ubyte"));
    assert_eq!(names(place.path()), ["bars"]);
}

#[test]
fn files_of_data_are_refused_by_name() {
    let [(images, train), (labels, _), (test, _), _] = bar_files(28);
    let sentence = data_is_refused(labels, None);
    assert!(sentence.contains("no file named"), "{sentence}");
    data_is_refused(images, Some(b""));
    data_is_refused(images, Some(b"<!DOCTYPE html><title>404</title>"));
    data_is_refused(images, Some(&train[..train.len() / 2]));
    let packed = gzip(&train);
    data_is_refused(images, Some(&packed[..packed.len() / 2]));
    data_is_refused(images, Some(&idx(&[u32::MAX as usize; 3], &[0; 100])));
    data_is_refused(images, Some(&idx(&[40], &[0; 40])));
    data_is_refused(labels, Some(&train));
    let sentence = data_is_refused(labels, Some(&idx(&[39], &[1; 39])));
    assert!(sentence.contains("40 images") && sentence.contains("39 labels"), "{sentence}");
    let sentence = data_is_refused(labels, Some(&idx(&[40], &[10; 40])));
    assert!(sentence.contains("label 10"), "{sentence}");
    data_is_refused(test, Some(&[0, 0, 8, 3, 0]));
}

#[test]
fn test_images_of_another_size_than_the_training_images_are_refused() {
    let place = place();
    for (name, bytes) in bar_files(32) {
        fs::write(place.path().join("bars").join(name), bytes).unwrap();
    }
    let outcome = ferrotape_in(place.path(), ["train", "lenet5", "--data", "bars"]);
    let sentence = outcome.refused();
    assert!(sentence.contains("[1, 28, 28]") && sentence.contains("[1, 32, 32]"), "{sentence}");
    assert_eq!(names(place.path()), ["bars"]);
}

#[test]
fn a_place_that_cannot_take_a_run_is_refused_and_left_alone() {
    let place = place();
    let file = place.path().join("file");
    fs::write(&file, "mine").unwrap();
    for (out, said) in [
        ("file", "is not a folder"),
        ("file/run", "a file stands where a folder is needed"),
        ("bars", "is not empty"),
    ] {
        let arguments = ["train", "lenet5", "--data", "bars", "--out", out];
        let outcome = ferrotape_in(place.path(), arguments);
        assert!(outcome.refused().contains(said), "{out}: {}", outcome.stderr);
    }
    assert_eq!(names(place.path()), ["bars", "file"]);
    assert_eq!(names(&place.path().join("bars")).len(), 4);
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn a_loss_that_diverges_names_the_layer_where_it_did() {
    let place = place();
    let arguments = "train lenet5 --data bars --out run --epochs 3 --batch-size 8 --lr 1e38";
    let outcome = ferrotape_in(place.path(), arguments.split(' '));
    let sentence = outcome.refused();
    assert!(sentence.contains("smaller learning rate (--lr)"), "{sentence}");
    assert!(sentence.contains("conv1 (Conv2d)"), "{sentence}");
}

#[test]
fn what_is_no_run_is_refused_by_every_reader_of_runs() {
    let place = place();
    fs::write(place.path().join("x.png"), b"").unwrap();
    for arguments in ["eval", "predict"] {
        for run in ["none", "bars", "x.png"] {
            let mut all = vec![arguments, run];
            all.extend((arguments == "predict").then_some("x.png"));
            let outcome = ferrotape_in(place.path(), all);
            assert!(outcome.refused().contains(run), "{}", outcome.stderr);
        }
    }
}

#[test]
fn weights_that_are_damaged_or_of_another_model_are_refused_by_name() {
    let place = place();
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    for file in ["config.toml", "model.safetensors"] {
        fs::copy(trained().folder().join(file), run.join(file)).unwrap();
    }
    let whole = fs::read(run.join("model.safetensors")).unwrap();
    for bytes in [&whole[..whole.len() - 5], &whole[..20], b"", &[0xff; 64]] {
        fs::write(run.join("model.safetensors"), bytes).unwrap();
        let outcome = ferrotape_in(place.path(), ["eval", "run"]);
        assert!(outcome.refused().contains("model.safetensors"), "{}", outcome.stderr);
    }
    fs::write(run.join("config.toml"), "model = 7").unwrap();
    let outcome = ferrotape_in(place.path(), ["eval", "run"]);
    assert!(
        outcome.stderr.contains("config.toml") && outcome.code == Some(1),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_picture_that_is_none_is_refused_before_any_answer() {
    let run = trained();
    let broken = run.place.path().join("broken.png");
    fs::write(&broken, b"not a picture").unwrap();
    let empty = run.place.path().join("empty.png");
    fs::write(&empty, b"").unwrap();
    let torn = run.place.path().join("torn.png");
    let whole = run.place.path().join("whole.png");
    image::GrayImage::new(28, 28).save(&whole).unwrap();
    fs::write(&torn, &fs::read(&whole).unwrap()[..40]).unwrap();
    for picture in ["broken.png", "empty.png", "torn.png", "missing.png", "bars"] {
        let outcome = run.ferrotape(&["predict", "run", "whole.png", picture]);
        assert!(outcome.refused().contains(picture), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
}
