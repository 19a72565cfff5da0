//! Files of weights that are damaged, lie about what they hold, or belong to another model.

use std::path::PathBuf;

use ferrotape::nn::{LinearConfig, StateDict};
use ferrotape::prelude::*;

use crate::layers::device;
use crate::{Case, Outcome, case};

/// A file of safetensors with this header and so many bytes of data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A header of one tensor.
fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

fn read(bytes: &[u8]) -> Outcome {
    StateDict::from_bytes(&device(), bytes)?;
    Ok(())
}

fn header(header: &str, data: usize) -> Outcome {
    read(&safetensors(header, data))
}

/// What PyTorch wrote for the tests of `ferrotape-nn`.
fn torch(name: &str) -> Vec<u8> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/fixtures/torch");
    std::fs::read(tests.join(name)).expect("the file is part of the sources")
}

/// The file with every `from` replaced by a `to` of the same length.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the file has no {}", String::from_utf8_lossy(from));
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

pub(crate) fn cases() -> Vec<Case> {
    [headers(), archives(), others()].into_iter().flatten().collect()
}

fn headers() -> Vec<Case> {
    const HUGE: &str = "[1152921504606846976]";
    let two = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                  "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let gap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                  "b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                    "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    vec![
        case("an empty file", || read(b"")),
        case("a page of HTML", || read(b"<!DOCTYPE html><html><body>404 Not Found</body></html>")),
        case("safetensors cut in its header", || {
            read(&safetensors(&one("F32", "[2]", "[0,8]"), 8)[..20])
        }),
        case("safetensors cut in its data", || header(&one("F32", "[2]", "[0,8]"), 7)),
        case("safetensors with bytes behind its data", || header(&one("F32", "[2]", "[0,8]"), 9)),
        case("safetensors of 1 kB that declares 2⁶⁰ elements", || {
            header(&one("F32", HUGE, "[0,4611686018427387904]"), 900)
        }),
        case("safetensors whose shape overflows", || {
            header(&one("F32", "[4294967296,4294967296,16]", "[0,8]"), 8)
        }),
        case("safetensors with a header of 2⁶³ bytes", || {
            read(&[&(1u64 << 63).to_le_bytes()[..], b"{}"].concat())
        }),
        case("safetensors whose header is no JSON", || header("weights", 8)),
        case("safetensors whose tensors overlap", || header(two, 12)),
        case("safetensors with a gap between tensors", || header(gap, 12)),
        case("safetensors with one name twice", || header(twice, 8)),
        case("safetensors with offsets beyond the data", || {
            header(&one("F32", "[2]", "[8,16]"), 8)
        }),
        case("safetensors with offsets that run backwards", || {
            header(&one("F32", "[2]", "[8,0]"), 8)
        }),
        case("safetensors with offsets that do not fit the shape", || {
            header(&one("F32", "[3]", "[0,8]"), 8)
        }),
        case("safetensors of a type that there is not", || header(&one("F31", "[2]", "[0,8]"), 8)),
        case("safetensors of complex numbers", || header(&one("C64", "[1]", "[0,8]"), 8)),
        case("safetensors with a negative size", || header(&one("F32", "[-2]", "[0,8]"), 8)),
    ]
}

fn archives() -> Vec<Case> {
    vec![
        case("a `.pth` that calls a function when it is read", || read(&torch("hostile.pth"))),
        case("a `.pth` that is compressed, as a zip bomb is", || read(&torch("compressed.pth"))),
        case("a `.pth` with an entry outside its folder", || {
            read(&replaced(torch("network.pth"), b"network/data/0", b"../../.bashrc_"))
        }),
        case("a `.pth` with a changed byte", || {
            let file = torch("network.pth");
            let at = file.len() / 2;
            let mut changed = file;
            changed[at] ^= 1;
            read(&changed)
        }),
        case("half a `.pth`", || {
            let file = torch("network.pth");
            read(&file[..file.len() / 2])
        }),
        case("a `.pth` of numbers of the other byte order", || read(&torch("big_endian.pth"))),
        case("a `.pth` of complex numbers", || read(&torch("complex.pth"))),
        case("a `.pth` with a whole model in place of a state dict", || read(&torch("whole.pth"))),
        case("a file of TorchScript", || read(&torch("script.pt"))),
        case("a zip of pictures", || read(&torch("pictures.zip"))),
    ]
}

fn model(inputs: usize) -> Result<Sequential, ferrotape::Error> {
    Sequential::new(&Init::new(&device(), Rng::new(1))).add(LinearConfig::new(inputs, 2))
}

fn others() -> Vec<Case> {
    vec![
        case("a file of weights that is not there", || -> Outcome {
            StateDict::load(&device(), "no/such.safetensors")?;
            Ok(())
        }),
        case("a folder in place of a file of weights", || -> Outcome {
            StateDict::load(&device(), ".")?;
            Ok(())
        }),
        case("weights of another shape than the model's", || -> Outcome {
            model(3)?.load_state_dict(&model(4)?.state_dict()?, true)?;
            Ok(())
        }),
        case("weights that lack one of the model's", || -> Outcome {
            let mut dict = StateDict::new();
            dict.insert("0.weight", Array::zeros(&device(), DType::F32, [2, 3])?);
            model(3)?.load_state_dict(&dict, true)?;
            Ok(())
        }),
        case("weights that the model has no place for", || -> Outcome {
            let mut dict = model(3)?.state_dict()?;
            dict.insert("fc.weight", Array::zeros(&device(), DType::F32, [2, 3])?);
            model(3)?.load_state_dict(&dict, true)?;
            Ok(())
        }),
    ]
}
