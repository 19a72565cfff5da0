//! What the machine does to a run: a disk that is full, a picture that breaks in the middle, memory that
//! is not there. The run ends with a sentence, nothing that was saved is lost, and it can be gone on with.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Outcome, ferrotape_in, names, place};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferrotape");

/// Calls the command through a shell that was told something first, in an environment with one more variable.
fn through_shell(
    place: &Path,
    before: &str,
    call: &str,
    after: &str,
    variable: Option<(&str, &str)>,
) -> Outcome {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before} && exec \"$0\" {call} {after}")]).arg(PROGRAM);
    let output = command.envs(variable).current_dir(place).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn bytes(place: &Path, file: &str) -> Vec<u8> {
    fs::read(place.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A training that ends, as if it had been killed, while it writes its so-and-so-many-th file.
fn killed(place: &Path, call: &str, point: &str) {
    let outcome = through_shell(place, "true", call, "", Some(("FERROTAPE_DIE_AT", point)));
    assert_eq!(outcome.code, None, "{}", outcome.stderr);
}

#[test]
fn a_full_disk_ends_the_run_and_what_was_saved_is_gone_on_with() {
    let place = place();
    let place = place.path();
    let train = "train lenet5 --data bars --epochs 3 --batch-size 8";
    ferrotape_in(place, format!("{train} --out whole").split(' ')).succeeded();
    // Configuration, first checkpoint and those of two epochs are written; the one after is begun.
    killed(place, &format!("{train} --out run"), "20");
    let saved = bytes(place, "run/checkpoint.safetensors");

    // No file may grow beyond 64 blocks of 512 bytes, which a checkpoint does and a line of figures not. The signal
    // for that would end the process, as a full disk does not.
    let outcome = through_shell(place, "ulimit -f 64", "train --resume run", "", None);
    let sentence = outcome.refused();
    assert!(sentence.contains("checkpoint.safetensors"), "{sentence}");
    assert!(bytes(place, "run/checkpoint.safetensors") == saved, "the checkpoint was touched");
    let scraps: Vec<String> =
        names(&place.join("run")).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(scraps.is_empty(), "{scraps:?}");

    ferrotape_in(place, ["train", "--resume", "run"]).succeeded();
    let weights = |run: &str| bytes(place, &format!("{run}/model.safetensors"));
    assert!(weights("run") == weights("whole"));
}

#[test]
fn a_full_disk_at_the_beginning_leaves_nothing_behind() {
    let place = place();
    let call = "train lenet5 --data bars --epochs 1 --out run";
    let outcome = through_shell(place.path(), "ulimit -f 64", call, "", None);
    assert!(outcome.refused().contains("checkpoint.safetensors"), "{}", outcome.stderr);
    assert_eq!(names(place.path()), ["bars"]);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let place = place();
    for call in ["summary lenet5", "doctor", "completions bash"] {
        let full = through_shell(place.path(), "true", call, "> /dev/full", None);
        assert!(full.refused().contains("cannot write to the standard output"), "{call}");
        let left = through_shell(place.path(), "true", call, "| true", None);
        let is_quiet = !left.stderr.contains("error") && !left.stderr.contains("panicked");
        assert!(is_quiet, "{call}: {}", left.stderr);
    }
}

#[test]
fn progress_that_cannot_be_written_stops_no_run() {
    let place = place();
    let call = "train lenet5 --data bars --epochs 1 --out run";
    let outcome = through_shell(place.path(), "true", call, "> /dev/full 2> /dev/full", None);
    assert_eq!(outcome.code, Some(1), "a run whose progress was lost says so");
    assert!(place.path().join("run/report.html").is_file());
}

#[test]
fn a_picture_that_breaks_in_the_middle_costs_nothing_that_was_saved() {
    let place = place();
    let place = place.path();
    for class in ["cat", "dog"] {
        for number in 0..8u8 {
            for part in ["train", "test"] {
                let folder = place.join("pictures").join(part).join(class);
                fs::create_dir_all(&folder).unwrap();
                let grey = image::Luma([number * 20 + class.len() as u8]);
                let picture = image::GrayImage::from_pixel(28, 28, grey);
                picture.save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    let train = "train lenet5 --data pictures --epochs 3 --batch-size 4";
    ferrotape_in(place, format!("{train} --out whole").split(' ')).succeeded();
    killed(place, &format!("{train} --out run"), "20");
    let saved = bytes(place, "run/checkpoint.safetensors");

    let picture = place.join("pictures/train/dog/5.png");
    let good = fs::read(&picture).unwrap();
    for broken in [&good[..good.len() - 20], b"", b"not a picture"] {
        fs::write(&picture, broken).unwrap();
        let outcome = ferrotape_in(place, ["train", "--resume", "run"]);
        let sentence = outcome.refused();
        assert!(sentence.contains("pictures/train/dog/5.png"), "{sentence}");
        assert!(bytes(place, "run/checkpoint.safetensors") == saved, "the checkpoint was touched");
    }
    fs::write(&picture, good).unwrap();
    ferrotape_in(place, ["train", "--resume", "run"]).succeeded();
    let weights = |run: &str| bytes(place, &format!("{run}/model.safetensors"));
    assert!(weights("run") == weights("whole"));
}

#[test]
fn memory_that_is_not_there_ends_the_run_with_a_sentence() {
    let place = place();
    let call = "train resnet18 --data bars --limit 16 --batch-size 16 --epochs 1 --out run";
    let outcome = through_shell(place.path(), "ulimit -v 480000", call, "", None);
    let sentence = outcome.refused();
    assert!(sentence.contains("there is no room for"), "{sentence}");
}
