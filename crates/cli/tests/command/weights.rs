//! Weights from files: `convert`, and `train`, `eval` and `predict` with `--weights`.

use std::fs;
use std::path::PathBuf;

use crate::support::{ferrotape_in, names, place, trained};

/// A file of the fixtures that PyTorch wrote.
fn fixture(name: &str) -> String {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/fixtures/torch");
    tests.join(name).display().to_string()
}

#[test]
fn convert_writes_safetensors_of_what_pytorch_wrote() {
    let place = place();
    let input = fixture("checkpoint.pth");
    let convert = |output: &str, more: &[&str]| {
        let arguments = [&["convert", input.as_str(), output], more].concat();
        ferrotape_in(place.path(), arguments)
    };
    let lines = convert("out.safetensors", &["--json"]).json_lines();
    assert_eq!((&lines[0]["arrays"], &lines[0]["values"]), (&9.into(), &51.into()));
    let outcome = convert("half.safetensors", &["--dtype", "f16"]);
    assert!(outcome.succeeded().contains("half.safetensors: 9 arrays, 51 values"));
    let size = |name: &str| fs::metadata(place.path().join(name)).unwrap().len();
    assert_eq!(size("out.safetensors") - size("half.safetensors"), 50 * 2);

    assert!(convert("out.safetensors", &[]).refused().contains("would be overwritten"));
    assert!(convert("out.pth", &[]).refused().contains("name it so: out.safetensors"));
    assert!(convert("x.safetensors", &["--dtype", "i64"]).refused().contains("use f32"));
    assert_eq!(names(place.path()), ["bars", "half.safetensors", "out.safetensors"]);
    let hostile = fixture("hostile.pth");
    let outcome = ferrotape_in(place.path(), ["convert", &hostile, "x.safetensors"]);
    assert!(outcome.refused().contains("posix.system"), "{}", outcome.stderr);
    let outcome = ferrotape_in(place.path(), ["convert", "none.pth", "x.safetensors"]);
    assert!(outcome.refused().contains("none.pth"), "{}", outcome.stderr);
}

#[test]
fn a_file_of_weights_evaluates_and_predicts_as_the_run_that_wrote_it() {
    let run = trained();
    let weights = ["--weights", "run/model.safetensors"];
    let call = |arguments: &[&str]| run.ferrotape(&[arguments, &weights].concat());
    let of_run = run.ferrotape(&["eval", "run", "--json"]).json_lines();
    assert_eq!(call(&["eval", "lenet5", "--data", "bars", "--json"]).json_lines(), of_run);

    let picture = run.place.path().join("weights.png");
    image::GrayImage::new(28, 28).save(&picture).unwrap();
    let of_run = run.ferrotape(&["predict", "run", "weights.png"]);
    let of_file = call(&["predict", "lenet5", "weights.png"]);
    assert_eq!(of_file.succeeded(), of_run.succeeded());

    let sentence = call(&["predict", "run", "weights.png"]).refused().to_owned();
    assert!(sentence.contains("no model 'run'"), "{sentence}");
    let outcome = call(&["predict", "lenet5", "weights.png", "--classes", "3"]);
    let sentence = outcome.refused();
    assert!(
        sentence.contains("fc3.weight is [10, 84] in the state dict and [3, 84]"),
        "{sentence}"
    );
    assert!(sentence.contains("--except \"fc3.*\""), "{sentence}");
    let sentence = call(&["eval", "lenet5", "--except", "nose.*"]).refused().to_owned();
    assert!(sentence.contains("'nose.*' fits no name"), "{sentence}");
}

#[test]
fn training_goes_on_from_weights_and_leaves_alone_what_is_frozen() {
    let run = trained();
    let train = |out: &str, more: &str| {
        let weights = "--weights run/model.safetensors --epochs 1 --json";
        let arguments = format!("train lenet5 --data bars --out {out} {weights} {more}");
        run.ferrotape(&arguments.split_whitespace().collect::<Vec<_>>())
    };
    train("further", "--except fc3.* --freeze conv* --freeze fc1.*").succeeded();
    let config = fs::read_to_string(run.place.path().join("further/config.toml")).unwrap();
    for line in [
        "weights = \"run/model.safetensors\"",
        "except = [\"fc3.*\"]",
        "freeze = [\"conv*\", \"fc1.*\"]",
    ] {
        assert!(config.contains(line), "{config}");
    }
    run.ferrotape(&["eval", "further"]).succeeded();

    // The parts of the file that are frozen are in the new file, byte by byte, the others not.
    let bytes = |out: &str| fs::read(run.place.path().join(out).join("model.safetensors")).unwrap();
    let (before, after) = (bytes("run"), bytes("further"));
    let header = 8 + u64::from_le_bytes(before[..8].try_into().unwrap()) as usize;
    assert_eq!(before[..header], after[..header]);
    let parts: serde_json::Value = serde_json::from_slice(&before[8..header]).unwrap();
    for (name, part) in parts.as_object().unwrap() {
        let offset = |at: usize| header + part["data_offsets"][at].as_u64().unwrap() as usize;
        let range = offset(0)..offset(1);
        let frozen = name.starts_with("conv") || name.starts_with("fc1");
        assert_eq!(before[range.clone()] == after[range], frozen, "{name}");
    }

    for (more, said) in [
        ("--freeze *", "no parameter of lenet5 to train"),
        ("--freeze layer1.*", "'layer1.*' fits no parameter"),
        ("--except layer1.*", "'layer1.*' fits no name"),
    ] {
        let sentence = train("refused", more).refused().to_owned();
        assert!(sentence.contains(said), "{sentence}");
        assert!(!run.place.path().join("refused").exists(), "{more}");
    }
    let outcome = run.ferrotape(&["train", "lenet5", "--data", "bars", "--except", "fc3.*"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

#[test]
fn a_dry_run_looks_at_the_weights() {
    let run = trained();
    let plan = |more: &[&str]| {
        run.ferrotape(&[&["train", "lenet5", "--data", "bars", "--dry-run"], more].concat())
    };
    plan(&["--weights", "run/model.safetensors"]).succeeded();
    let sentence = plan(&["--weights", "nowhere.pth"]).refused().to_owned();
    assert!(sentence.contains("nowhere.pth: cannot read"), "{sentence}");
    let with = ["--weights", "run/model.safetensors", "--except", "nose.*"];
    let sentence = plan(&with).refused().to_owned();
    assert!(sentence.contains("'nose.*' fits no name"), "{sentence}");
}
