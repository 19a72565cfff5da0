//! `train`: what it writes, and that neither chance nor threads change it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Outcome, bar_files, ferrotape_in, gzip, names, place, trained};

const FILES: [&str; 5] =
    ["checkpoint.safetensors", "config.toml", "metrics.jsonl", "model.safetensors", "report.html"];

fn train(place: &Path, out: &str, flags: &str) -> Outcome {
    let arguments = format!("train lenet5 --data bars --epochs 1 --json --out {out} {flags}");
    let outcome = ferrotape_in(place, arguments.split_whitespace());
    outcome.succeeded();
    assert_eq!(names(&place.join(out)), FILES);
    outcome
}

fn weights(place: &Path, out: &str) -> Vec<u8> {
    fs::read(place.join(out).join("model.safetensors")).unwrap()
}

#[test]
#[cfg(feature = "bundled-mnist")]
fn the_main_job_on_few_digits_writes_a_whole_run() {
    let place = place();
    let arguments = "train lenet5 --epochs 1 --limit 640 --out run --json";
    let lines = ferrotape_in(place.path(), arguments.split(' ')).json_lines();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["test_images"]), (&"final".into(), &10_000.into()));
    assert!(last["test_accuracy"].as_f64().unwrap() > 0.2, "{last}");
    assert_eq!(names(&place.path().join("run")), FILES);
    let metrics = fs::read_to_string(place.path().join("run/metrics.jsonl")).unwrap();
    let written: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    for key in ["event", "test_accuracy", "seconds"] {
        assert_eq!(written[key], last[key]);
    }
}

#[test]
fn a_run_is_told_in_json_and_written_in_five_files() {
    let run = trained();
    let events: Vec<&str> = run.lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let told: Vec<&&str> = events.iter().filter(|event| **event != "progress").collect();
    assert_eq!(
        told,
        [&"epoch_started", &"epoch", &"epoch_started", &"epoch", &"final"],
        "{events:?}"
    );
    assert_eq!(names(&run.folder()), FILES);

    let metrics = fs::read_to_string(run.folder().join("metrics.jsonl")).unwrap();
    let records: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3);
    assert_eq!((&records[0]["event"], &records[0]["epoch"]), (&"epoch".into(), &1.into()));
    let last = &records[2];
    assert_eq!((&last["event"], &last["parameters"]), (&"final".into(), &61_706.into()));
    assert!((0.0..=1.0).contains(&last["test_accuracy"].as_f64().unwrap()));
    assert!(last["seconds"].as_f64().unwrap() > 0.0);

    let report = fs::read_to_string(run.folder().join("report.html")).unwrap();
    assert!(report.trim_end().ends_with("</html>"));
    for outside in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!report.contains(outside), "the report fetches something: {outside}");
    }
    let config = fs::read_to_string(run.folder().join("config.toml")).unwrap();
    assert!(config.contains("model = \"lenet5\"") && config.contains("epochs = 2"), "{config}");
}

#[test]
fn the_same_seed_gives_the_same_weights_on_any_number_of_threads() {
    let place = place();
    for (out, flags) in [
        ("first", "--seed 5"),
        ("again", "--seed 5"),
        ("one", "--seed 5 --threads 1"),
        ("three", "--seed 5 --threads 3"),
        ("other", "--seed 6"),
    ] {
        train(place.path(), out, flags);
    }
    let first = weights(place.path(), "first");
    for out in ["again", "one", "three"] {
        assert!(weights(place.path(), out) == first, "{out}");
    }
    assert!(weights(place.path(), "other") != first);
}

#[test]
fn data_may_be_compressed() {
    let place = place();
    train(place.path(), "plain", "");
    for (name, bytes) in bar_files(28) {
        let folder = place.path().join("bars");
        fs::remove_file(folder.join(name)).unwrap();
        fs::write(folder.join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    train(place.path(), "packed", "");
    assert!(weights(place.path(), "plain") == weights(place.path(), "packed"));
}

#[test]
fn every_type_that_is_offered_trains_evaluates_and_predicts() {
    let place = place();
    let picture = place.path().join("x.png");
    image::GrayImage::new(28, 28).save(&picture).unwrap();
    for dtype in ["f64", "bf16"] {
        train(place.path(), dtype, &format!("--dtype {dtype}"));
        ferrotape_in(place.path(), ["eval", dtype]).succeeded();
        ferrotape_in(place.path(), ["eval", dtype, "--dtype", "f32"]).succeeded();
        ferrotape_in(place.path(), ["predict", dtype, "x.png"]).succeeded();
    }
}

#[test]
fn little_data_and_large_batches_train() {
    let place = place();
    train(place.path(), "few", "--limit 3");
    train(place.path(), "one", "--limit 1 --batch-size 1");
    train(place.path(), "large", "--batch-size 100000");
    train(place.path(), "more", "--limit 100000");
}

#[test]
fn without_a_folder_the_runs_are_counted() {
    let place = place();
    for _ in 0..2 {
        let arguments = "train lenet5 --data bars --epochs 1 --limit 8";
        let outcome = ferrotape_in(place.path(), arguments.split(' '));
        assert!(!outcome.succeeded().contains('\u{1b}'), "no terminal, no colours");
    }
    assert_eq!(names(&place.path().join("runs")), ["lenet5-1", "lenet5-2"]);
}

#[test]
fn a_run_that_was_cut_short_is_gone_on_with_and_a_finished_one_is_left_alone() {
    let place = place();
    train(place.path(), "whole", "--batch-size 8");
    train(place.path(), "cut", "--batch-size 8");
    let cut = place.path().join("cut");
    let resumed = ferrotape_in(place.path(), ["train", "--resume", "cut"]);
    assert!(resumed.succeeded().contains("is finished"), "{}", resumed.stdout);
    let told = ferrotape_in(place.path(), ["train", "--resume", "cut", "--json"]).json_lines();
    assert_eq!(
        (told.len(), &told[0]["event"], &told[0]["run"]),
        (1, &"final".into(), &"cut".into())
    );
    // As if it had been killed while it was tested.
    fs::write(cut.join("metrics.jsonl"), first_line(&cut.join("metrics.jsonl"))).unwrap();
    fs::remove_file(cut.join("model.safetensors")).unwrap();
    ferrotape_in(place.path(), ["train", "--resume", "cut", "--json"]).succeeded();
    assert_eq!(weights(place.path(), "cut"), weights(place.path(), "whole"));
    let flags = ["train", "--resume", "cut", "--epochs", "3"];
    let outcome = ferrotape_in(place.path(), flags);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

fn first_line(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    format!("{}\n", text.lines().next().unwrap())
}

#[test]
fn a_configuration_repeats_a_run_and_flags_go_before_it() {
    let place = place();
    train(place.path(), "first", "--batch-size 8 --seed 5");
    let call = |flags: &str| {
        let all = format!("train --config first/config.toml {flags}");
        ferrotape_in(place.path(), all.split_whitespace()).succeeded();
    };
    call("--out second");
    call("--out third --seed 6");
    assert_eq!(weights(place.path(), "first"), weights(place.path(), "second"));
    assert_ne!(weights(place.path(), "first"), weights(place.path(), "third"));
    let both = ["train", "lenet5", "--config", "first/config.toml"];
    assert_eq!(ferrotape_in(place.path(), both).code, Some(2));
}

#[test]
fn what_is_chosen_is_trained_with_and_saved() {
    let place = place();
    let flags = "--batch-size 8 --optimizer radam --schedule plateau --patience 1 --validation 0.25 --keep best \
                 --ema 0.9 --no-decay *.bias --lr-factor fc3.*=2 --clip-norm 1 --accumulate 2 --label-smoothing 0.1 \
                 --flip --rotate 5 --zoom 0.1 --resized-crop 0.5 --jitter 0.2 --erase 0.5 --mixup 0.2 --cutmix 1";
    let arguments = format!("train lenet5 --data bars --epochs 2 --out run --json {flags}");
    let lines = ferrotape_in(place.path(), arguments.split_whitespace()).json_lines();
    let epochs: Vec<_> = lines.iter().filter(|line| line["event"] == "epoch").collect();
    assert!(epochs.iter().all(|epoch| epoch["validation_loss"].as_f64().is_some()), "{epochs:?}");
    let config = fs::read_to_string(place.path().join("run/config.toml")).unwrap();
    for line in [
        "optimizer = \"radam\"",
        "schedule = \"plateau\"",
        "keep = \"best\"",
        "flip = true",
        "mixup = 0.2",
    ] {
        assert!(config.contains(line), "{config}");
    }
    let run = place.path().join("run");
    let best = fs::read(run.join("best.safetensors")).unwrap();
    assert_eq!(best, weights(place.path(), "run"));
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let place = place();
    let arguments = ["train", "lenet5", "--data", "bars", "--epochs", "3", "--dry-run"];
    let outcome = ferrotape_in(place.path(), arguments);
    let said = outcome.succeeded();
    for part in ["61,706 parameters", "images to train on", "3 epochs", "learning rate"] {
        assert!(said.contains(part), "{said}");
    }
    let json = ferrotape_in(place.path(), arguments.iter().chain(&["--json"])).json_lines();
    assert!(json[0]["memory_bytes"].as_u64().unwrap() > 61_706 * 4 * 3, "{}", json[0]);
    // The recipe's Nesterov goes with its optimizer.
    let adam = "train cifar_resnet20 --data synthetic --optimizer adamw --dry-run";
    ferrotape_in(place.path(), adam.split(' ')).succeeded();
    ferrotape_in(place.path(), format!("{adam} --nesterov").split(' ')).refused();
    assert_eq!(names(place.path()), ["bars"]);
}

#[test]
fn events_and_samples_are_written_and_several_runs_are_tested_together() {
    let place = place();
    let train = |out: &str, flags: &str| {
        let all = format!("train lenet5 --data bars --epochs 1 --batch-size 8 --out {out} {flags}");
        ferrotape_in(place.path(), all.split_whitespace()).succeeded();
    };
    train("first", "--tensorboard");
    train("second", "--seed 7");
    let events = names(&place.path().join("first/tensorboard"));
    assert!(events.len() == 1 && events[0].starts_with("events.out.tfevents."), "{events:?}");
    let together = ferrotape_in(place.path(), ["eval", "first", "second", "--json"]).json_lines();
    let alone = ferrotape_in(place.path(), ["eval", "first", "--json"]).json_lines();
    assert_eq!(together[0]["test_images"], alone[0]["test_images"]);
    assert_ne!(together[0]["test_loss"], alone[0]["test_loss"]);
    let flags = "samples lenet5 --data bars --images 2 --times 3 --flip --cutmix 1 --out drawn.png";
    ferrotape_in(place.path(), flags.split(' ')).succeeded();
    let drawn = image::open(place.path().join("drawn.png")).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (4 + 4 * 88, 4 + 2 * 88));
    let shell = ferrotape_in(place.path(), ["completions", "bash"]);
    assert!(shell.succeeded().contains("--resume"));
}
