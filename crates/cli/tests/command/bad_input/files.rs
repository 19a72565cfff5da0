//! Files that are damaged, lie about what they hold, or are of another kind.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Row, with};
use crate::support::{bar_files, gzip, idx, trained};

const TRAIN: &str = "train lenet5 --data bars";

/// The images to train on, as a file.
const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

fn write(place: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn digits(place: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    write(place, &format!("bars/{name}"), bytes);
}

fn images() -> Vec<u8> {
    let [(_, images), ..] = bar_files(28);
    images
}

fn pipe(place: &Path, name: &str) {
    assert!(Command::new("mkfifo").arg(place.join(name)).status().unwrap().success());
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(super) fn data() -> Vec<Row> {
    const PICTURES: &str = "train lenet5 --data pictures --epochs 1 --batch-size 2 --out run";
    vec![
        with("a file is missing", TRAIN, |at| {
            fs::remove_file(at.join("bars").join(LABELS)).unwrap()
        }),
        with("a file is empty", TRAIN, |at| digits(at, IMAGES, b"")),
        with("a file is a page of HTML", TRAIN, |at| {
            digits(at, IMAGES, "<!DOCTYPE html><html>404")
        }),
        with("a file is cut short", TRAIN, |at| digits(at, IMAGES, &images()[..1000])),
        with("a file is longer than it says", TRAIN, |at| {
            digits(at, IMAGES, [images(), vec![0]].concat());
        }),
        with("a compressed file is cut short", TRAIN, |at| {
            let packed = gzip(&images());
            digits(at, IMAGES, &packed[..packed.len() / 2]);
        }),
        with("a header promises 2⁹⁶ bytes", TRAIN, |at| {
            digits(at, IMAGES, idx(&[u32::MAX as usize; 3], &[0; 100]));
        }),
        with("a compressed header promises 3 GB", TRAIN, |at| {
            digits(at, IMAGES, gzip(&idx(&[4_000_000, 28, 28], &[0; 100])));
        }),
        with("images and labels are exchanged", TRAIN, |at| {
            digits(at, IMAGES, idx(&[40], &[0; 40]));
            digits(at, LABELS, images());
        }),
        with("there are fewer labels than images", TRAIN, |at| {
            digits(at, LABELS, idx(&[39], &[1; 39]));
        }),
        with("a label is not a digit", TRAIN, |at| digits(at, LABELS, idx(&[40], &[10; 40]))),
        with("test images have another size", TRAIN, |at| {
            for (name, bytes) in bar_files(32) {
                digits(at, name, bytes);
            }
        }),
        with("CIFAR is cut short", "train cifar_resnet20 --data cifar", |at| {
            write(at, "cifar/data_batch_1.bin", [0; 3073]);
            write(at, "cifar/test_batch.bin", [0; 3000]);
        }),
        with("CIFAR has a label of 10", "train cifar_resnet20 --data cifar", |at| {
            write(at, "cifar/data_batch_1.bin", [10; 3073]);
            write(at, "cifar/test_batch.bin", [0; 3073]);
        }),
        with("a folder is empty", "train lenet5 --data nothing", |at| {
            fs::create_dir(at.join("nothing")).unwrap();
        }),
        with("a class has no picture", PICTURES, |at| {
            write(at, "pictures/cat/1.png", png(28, 28));
            write(at, "pictures/cat/2.png", png(28, 28));
            fs::create_dir(at.join("pictures/dog")).unwrap();
        }),
        with("a picture to train on is broken", PICTURES, |at| {
            for (class, number) in [("cat", 0), ("dog", 1)] {
                for picture in 0..6 {
                    let whole = png(28, 28);
                    // Its header is whole, so that nothing is known of it before it is its turn.
                    let is_broken = (number, picture) == (1, 3);
                    let bytes = if is_broken { &whole[..whole.len() - 20] } else { &whole[..] };
                    write(at, &format!("pictures/train/{class}/{picture}.png"), bytes);
                }
                write(at, &format!("pictures/test/{class}/1.png"), png(28, 28));
            }
        }),
        with("a picture to test on is broken", PICTURES, |at| {
            for class in ["cat", "dog"] {
                write(at, &format!("pictures/train/{class}/1.png"), png(28, 28));
                write(at, &format!("pictures/test/{class}/1.png"), "no picture");
            }
        }),
        with("test pictures have other classes", PICTURES, |at| {
            for name in ["train/cat", "train/dog", "test/cat", "test/cow"] {
                write(at, &format!("pictures/{name}/1.png"), png(28, 28));
            }
        }),
    ]
}

/// A run whose model is asked about pictures.
fn run(place: &Path) {
    for name in ["config.toml", "model.safetensors", "metrics.jsonl", "checkpoint.safetensors"] {
        let bytes = fs::read(trained().folder().join(name)).unwrap();
        write(place, &format!("run/{name}"), bytes);
    }
}

pub(super) fn pictures() -> Vec<Row> {
    const PREDICT: &str = "predict run x.png";
    vec![
        with("a picture is not there", PREDICT, run),
        with("a picture is a folder", "predict run bars", run),
        with("a picture is a named pipe", PREDICT, |at| {
            run(at);
            pipe(at, "x.png");
        }),
        with("a picture is a device without an end", "predict run /dev/zero", run),
        with("a picture is empty", PREDICT, |at| {
            run(at);
            write(at, "x.png", b"");
        }),
        with("a picture is text", PREDICT, |at| {
            run(at);
            write(at, "x.png", "not a picture");
        }),
        with("a picture is cut short", PREDICT, |at| {
            run(at);
            write(at, "x.png", &png(28, 28)[..40]);
        }),
        with("a picture of 80 kB has 81 million pixels", PREDICT, |at| {
            run(at);
            write(at, "x.png", png(9000, 9000));
        }),
    ]
}

/// A file of safetensors with this header and so many bytes of data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// What PyTorch wrote for the tests of `ferrotape-nn`.
fn torch(place: &Path, name: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/fixtures/torch");
    write(place, "x.pth", fs::read(tests.join(name)).unwrap());
}

pub(super) fn weights() -> Vec<Row> {
    const EVAL: &str = "eval lenet5 --data bars --weights x.safetensors";
    const CONVERT: &str = "convert x.pth out.safetensors";
    vec![
        with("weights are not there", EVAL, |_| ()),
        with("weights are a device without an end", "convert /dev/zero out.safetensors", |_| ()),
        with("weights are a named pipe", EVAL, |at| pipe(at, "x.safetensors")),
        with("weights are a folder", "eval lenet5 --data bars --weights bars", |_| ()),
        with("weights are empty", EVAL, |at| write(at, "x.safetensors", b"")),
        with("weights are a page of HTML", EVAL, |at| {
            write(at, "x.safetensors", "<!DOCTYPE html><html>404 Not Found</html>");
        }),
        with("1 kB that declares 2⁶⁰ elements", EVAL, |at| {
            let tensor = r#"{"w":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}"#;
            write(at, "x.safetensors", safetensors(tensor, 900));
        }),
        with("weights are cut short", EVAL, |at| {
            let whole = fs::read(trained().folder().join("model.safetensors")).unwrap();
            write(at, "x.safetensors", &whole[..whole.len() - 5]);
        }),
        with("weights are of another network", EVAL, |at| {
            let tensor = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
            write(at, "x.safetensors", safetensors(tensor, 4));
        }),
        with("weights are NaN", EVAL, |at| {
            let mut file = fs::read(trained().folder().join("model.safetensors")).unwrap();
            let data = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            file[data..].fill(0xff);
            write(at, "x.safetensors", file);
        }),
        with("a `.pth` calls a function", CONVERT, |at| torch(at, "hostile.pth")),
        with("a `.pth` is compressed, as a zip bomb is", CONVERT, |at| torch(at, "compressed.pth")),
        with("a `.pth` holds no arrays", CONVERT, |at| torch(at, "empty.pth")),
        with("a `.pth` is a zip of pictures", CONVERT, |at| torch(at, "pictures.zip")),
        with("a place to write to exists", CONVERT, |at| {
            torch(at, "network.pth");
            write(at, "out.safetensors", "mine");
        }),
    ]
}

pub(super) fn runs() -> Vec<Row> {
    const CONFIG: &str = "train --config config.toml";
    vec![
        with("a configuration is not there", CONFIG, |_| ()),
        with("a configuration is a named pipe", CONFIG, |at| pipe(at, "config.toml")),
        with("a configuration is a device without an end", "train --config /dev/zero", |_| ()),
        with("a configuration is no text", CONFIG, |at| write(at, "config.toml", [0xff, 0xfe])),
        with("a configuration is nested without end", CONFIG, |at| {
            write(at, "config.toml", "[".repeat(200_000));
        }),
        with("a key is unknown", CONFIG, |at| {
            write(at, "config.toml", "model = \"lenet5\"\nbatch_sise = 8\n");
        }),
        with("a value is of the wrong kind", CONFIG, |at| {
            write(at, "config.toml", "model = \"lenet5\"\nepochs = \"many\"\n");
        }),
        with("a run is a file", "eval config.toml", |at| write(at, "config.toml", "")),
        with("a run is another folder", "eval bars", |_| ()),
        with("a run's weights are damaged", "eval run", |at| {
            run(at);
            write(at, "run/model.safetensors", [0xff; 64]);
        }),
        with("a run's configuration is damaged", "eval run", |at| {
            run(at);
            write(at, "run/config.toml", "model = 7");
        }),
        with("a run's figures are damaged", "train --resume run", |at| {
            run(at);
            write(at, "run/metrics.jsonl", "no record\n");
        }),
        with("a run's checkpoint is damaged", "train --resume run", |at| {
            run(at);
            write(at, "run/metrics.jsonl", "");
            write(at, "run/checkpoint.safetensors", [0xff; 64]);
        }),
        with("a run's checkpoint is of another network", "train --resume run", |at| {
            run(at);
            write(at, "run/metrics.jsonl", "");
            let weights = fs::read(trained().folder().join("model.safetensors")).unwrap();
            write(at, "run/checkpoint.safetensors", weights);
        }),
    ]
}
