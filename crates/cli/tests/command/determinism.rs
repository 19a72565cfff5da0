//! The same seed gives the same weights, to the bit: with any number of threads, of which as many prepare
//! batches, and whether or not the run was interrupted. Another set of instructions gives nearly the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferrotape::backend::Device;
use ferrotape::nn::StateDict;
use ferrotape::prelude::OpenDevice;
use ferrotape::train::{Record, RunFolder};

use crate::support::{ferrotape_in, place};

/// LeNet-5 on digits, whose batches the training thread prepares.
const DIGITS: &str = "lenet5 --data bars --epochs 2 --batch-size 8";
/// LeNet-5 on made-up images, whose batches are prepared by as many workers as there are threads.
const MADE_UP: &str = "lenet5 --data synthetic --epochs 2 --batch-size 8 --limit 40";
/// A residual network with batch norm and augmentation.
const RESIDUAL: &str = "cifar_resnet20 --data cifar --epochs 2 --batch-size 8";

/// How far the weights of another set of instructions may be after six steps in f64, relative to the largest of
/// their array.
const WEIGHTS: f64 = 1e-12;

/// The same of the loss in f32. Its weights are no measure: where rounding moves a value across the kink of
/// a ReLU, one element of a gradient comes or goes, and a few of millions do.
const LOSS: f64 = 1e-3;

/// The digits, and CIFAR-10 of a few images.
fn with_cifar() -> tempfile::TempDir {
    let place = place();
    let folder = place.path().join("cifar");
    fs::create_dir(&folder).unwrap();
    let records = |count: usize| -> Vec<u8> {
        let bytes = (0..count * 3073).map(|i| (i * 31 % 251) as u8);
        let mut bytes: Vec<u8> = bytes.collect();
        bytes.chunks_exact_mut(3073).enumerate().for_each(|(i, record)| record[0] = (i % 10) as u8);
        bytes
    };
    fs::write(folder.join("data_batch_1.bin"), records(24)).unwrap();
    fs::write(folder.join("test_batch.bin"), records(10)).unwrap();
    place
}

fn train(place: &Path, job: &str, out: &str, flags: &str) -> Vec<u8> {
    let call = format!("train {job} --out {out} {flags}");
    ferrotape_in(place, call.split_whitespace()).succeeded();
    weights(place, out)
}

fn weights(place: &Path, out: &str) -> Vec<u8> {
    fs::read(place.join(out).join("model.safetensors")).unwrap()
}

#[test]
fn threads_and_workers_change_no_bit() {
    let place = with_cifar();
    for (name, job) in [("digits", DIGITS), ("made-up", MADE_UP), ("residual", RESIDUAL)] {
        let alone = train(place.path(), job, &format!("{name}-1"), "--threads 1");
        for threads in [2, 3, 8] {
            let out = format!("{name}-{threads}");
            let found = train(place.path(), job, &out, &format!("--threads {threads}"));
            assert!(found == alone, "{job} on {threads} threads");
        }
        let other = train(place.path(), job, &format!("{name}-other"), "--seed 43");
        assert!(other != alone, "{job} does not depend on the seed");
    }
}

#[test]
fn a_run_that_was_interrupted_ends_with_the_bits_of_one_that_was_not() {
    let place = with_cifar();
    let job = format!("{RESIDUAL} --checkpoint-every 1");
    let whole = train(place.path(), &job, "whole", "--threads 2");
    // The points at which a process may die, counted: each file that is written passes six.
    for point in ["20", "33"] {
        let out = format!("cut-{point}");
        let call = format!("train {job} --out {out}");
        let status = Command::new(env!("CARGO_BIN_EXE_ferrotape"))
            .args(call.split(' '))
            .env("FERROTAPE_DIE_AT", point)
            .current_dir(place.path())
            .output()
            .unwrap()
            .status;
        assert_eq!(status.code(), None, "the process was to die at point {point}");
        ferrotape_in(place.path(), ["train", "--resume", &out, "--threads", "3"]).succeeded();
        assert!(weights(place.path(), &out) == whole, "interrupted at point {point}");
    }
}

/// Trains with a set of instructions and gives the run's folder, if this processor has them.
fn with_instructions(place: &Path, level: &str, dtype: &str) -> Option<PathBuf> {
    let call = |arguments: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrotape"));
        command.args(arguments.split(' ')).env("FERROTAPE_CPU", level);
        command.current_dir(place).output().unwrap()
    };
    if !call("doctor").status.success() {
        eprintln!("skipped: this processor has no {level}");
        return None;
    }
    let out = format!("{level}-{dtype}");
    let output = call(&format!("train {RESIDUAL} --dtype {dtype} --out {out}"));
    assert!(output.status.success(), "{out}: {}", String::from_utf8_lossy(&output.stderr));
    Some(place.join(out))
}

const OTHERS: [&str; 2] = ["avx2", "avx512"];

#[test]
fn sets_of_instructions_give_nearly_the_same_weights_in_f64() {
    let place = with_cifar();
    let device = Device::open("cpu").unwrap();
    let trained = |level| {
        let run = with_instructions(place.path(), level, "f64")?;
        Some(StateDict::load(&device, run.join("model.safetensors")).unwrap())
    };
    let portable = trained("portable").unwrap();
    for level in OTHERS {
        let Some(found) = trained(level) else { continue };
        for (name, array) in found.iter() {
            let [a, b] = [array, portable.get(name).unwrap()].map(|a| a.to_f64_vec().unwrap());
            let scale = b.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
            let far = a.iter().zip(&b).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs())) / scale;
            assert!(far <= WEIGHTS, "{name} with {level} is {far} from portable");
        }
    }
}

#[test]
fn sets_of_instructions_give_nearly_the_same_losses_in_f32() {
    let place = with_cifar();
    let losses = |level| {
        let run = with_instructions(place.path(), level, "f32")?;
        let records = RunFolder::open(&run).unwrap().read_records().unwrap();
        let loss = |record: &Record| match record {
            Record::Epoch(epoch) => Some(epoch.train_loss),
            _ => None,
        };
        Some(records.iter().filter_map(loss).collect::<Vec<_>>())
    };
    let portable = losses("portable").unwrap();
    for level in OTHERS {
        let Some(found) = losses(level) else { continue };
        for (a, b) in found.iter().zip(&portable) {
            assert!((a - b).abs() <= LOSS * b, "{level}: {found:?} and {portable:?}");
        }
    }
}
