//! Files of `torch.save`: those that PyTorch wrote are read to the last value, and hostile ones are
//! refused. `../fixtures/torch/generate.py` wrote the files and what is in them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ferrotape_backend::{Device, reference::Reference};
use ferrotape_nn::StateDict;
use proptest::prelude::*;
use serde_json::Value;

fn device() -> Device {
    Device::new(Reference::new())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch")
}

fn expected() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap()
}

/// The type that an array has for one of PyTorch.
fn read_as(dtype: &str) -> &str {
    match dtype {
        "float32" => "f32",
        "float64" => "f64",
        "float16" => "f16",
        "bfloat16" => "bf16",
        "int64" | "int32" | "int16" | "int8" => "i64",
        "uint8" | "bool" => "u8",
        other => panic!("{other} is in no fixture"),
    }
}

#[test]
fn every_value_that_pytorch_wrote_is_read() {
    let device = device();
    let mut files = 0;
    for (file, case) in expected() {
        let Some(tensors) = case["tensors"].as_array() else { continue };
        files += 1;
        let dict = StateDict::load(&device, folder().join(&file)).unwrap();
        let names: Vec<&str> = tensors.iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(dict.names().collect::<Vec<_>>(), names, "{file}");
        for tensor in tensors {
            let array = dict.get(tensor["name"].as_str().unwrap()).unwrap();
            let at = format!("{file}: {}", tensor["name"]);
            assert_eq!(array.dtype().name(), read_as(tensor["dtype"].as_str().unwrap()), "{at}");
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            assert_eq!(array.shape().dims(), shape, "{at}");
            // Texts, because not every JSON parser reads numbers to the last bit.
            let values = tensor["values"].as_array().unwrap().iter();
            let values: Vec<f64> = values.map(|v| v.as_str().unwrap().parse().unwrap()).collect();
            assert_eq!(array.to_f64_vec().unwrap(), values, "{at}");
        }
    }
    assert_eq!(files, 12, "files that hold a state dict");
}

#[test]
fn what_is_no_state_dict_is_refused_with_a_sentence() {
    let device = device();
    let mut files = 0;
    for (file, case) in expected() {
        let Some(words) = case["refused"].as_array() else { continue };
        files += 1;
        let error = StateDict::load(&device, folder().join(&file)).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word.as_str().unwrap()), "{word}: {error}");
        }
        assert!(error.contains(&file), "{error}");
    }
    assert_eq!(files, 13);
}

/// Every prefix of a file, and what they come to.
#[test]
fn truncated_files_are_errors() {
    let device = device();
    for file in ["views.pth", "views.legacy.pth", "checkpoint.legacy.pth"] {
        let bytes = bytes(file);
        for length in 0..bytes.len() {
            let read = StateDict::from_bytes(&device, &bytes[..length]);
            assert!(read.is_err(), "{file}, {length} bytes");
        }
    }
}

#[test]
fn a_changed_weight_is_found_by_its_checksum() {
    let file = bytes("network.pth");
    let dict = StateDict::from_bytes(&device(), &file).unwrap();
    let bias = dict.get("conv1.bias").unwrap().to_vec::<f32>().unwrap();
    let bias: Vec<u8> = bias.iter().flat_map(|value| value.to_le_bytes()).collect();
    let at = file.windows(bias.len()).position(|window| window == bias).unwrap();
    let mut changed = file.clone();
    changed[at] ^= 1;
    let error = StateDict::from_bytes(&device(), &changed).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

/// A file of the older format with this pickle as its contents, one storage "0" of 64 bytes after.
fn legacy(contents: &[u8]) -> Vec<u8> {
    let mut file = bytes("network.legacy.pth")[..15].to_vec();
    file.extend_from_slice(b"\x80\x02M\xe9\x03.");
    file.extend_from_slice(b"\x80\x02}U\x0dlittle_endian\x88s.");
    file.extend_from_slice(contents);
    file.extend_from_slice(b"\x80\x02]U\x010a.");
    file.extend_from_slice(&16u64.to_le_bytes());
    file.extend_from_slice(&[0; 64]);
    file
}

/// A pickle of `{"w": tensor}` with these instructions for storage size, offset, sizes and strides.
fn tensor(elements: &[u8], offset: &[u8], sizes: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storage".to_vec();
    pickle.extend_from_slice(b"ctorch\nFloatStorage\nU\x010U\x03cpu");
    pickle.extend_from_slice(elements);
    pickle.extend_from_slice(b"tQ");
    pickle.extend_from_slice(offset);
    pickle.extend_from_slice(sizes);
    pickle.extend_from_slice(strides);
    pickle.extend_from_slice(b"\x89}tRs.");
    legacy(&pickle)
}

const HUGE: &[u8] = b"\x8a\x08\0\0\0\0\0\0\0\x10";
const LARGEST: &[u8] = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";

#[test]
fn sizes_that_a_file_merely_claims_are_refused() {
    let device = device();
    let whole = tensor(b"K\x10", b"K\0", b"K\x10\x85", b"K\x01\x85");
    assert_eq!(StateDict::from_bytes(&device, &whole).unwrap().get("w").unwrap().bytes(), 64);
    let one = |number: &[u8]| [number, b"\x85"].concat();
    let two = |number: &[u8]| [number, number, b"\x86"].concat();
    let cases = [
        ("2^60 elements", tensor(HUGE, b"K\0", &one(HUGE), b"K\x01\x85"), "elements"),
        ("expanded", tensor(b"K\x10", b"K\0", &one(HUGE), b"K\0\x85"), "elements"),
        ("16 GB", tensor(b"K\x10", b"K\0", b"J\0\0\0\x7f\x85", b"K\0\x85"), "expanded"),
        ("overflow", tensor(b"K\x10", b"K\0", &two(HUGE), b"K\0K\0\x86"), "addressed"),
        ("offset", tensor(b"K\x10", b"K\x01", b"K\x10\x85", b"K\x01\x85"), "does not lie"),
        ("far offset", tensor(b"K\x10", LARGEST, b"K\x02\x85", b"K\x01\x85"), "does not lie"),
        ("stride", tensor(b"K\x10", b"K\0", b"K\x02\x85", &one(LARGEST)), "does not lie"),
        ("negative", tensor(b"K\x10", b"K\0", b"K\x02\x85", b"J\xff\xff\xff\xff\x85"), "stride"),
        ("rank", tensor(b"K\x10", b"K\0", b"K\x02\x85", b"K\x01K\x01\x86"), "2 strides"),
        ("storage", tensor(b"K\x11", b"K\0", b"K\x10\x85", b"K\x01\x85"), "17 elements"),
        ("no size", tensor(b"K\x10", b"K\0", b"U\x01a\x85", b"K\x01\x85"), "an integer should be"),
    ];
    for (what, file, words) in cases {
        let error = StateDict::from_bytes(&device, &file).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
    }
    // The stride of a dimension of one element may be anything.
    let one_by =
        tensor(b"K\x10", b"K\0", b"K\x02K\x01\x86", &[b"K\x02", LARGEST, b"\x86"].concat());
    assert_eq!(StateDict::from_bytes(&device, &one_by).unwrap().len(), 1);
}

#[test]
fn pickles_made_to_hurt_are_refused() {
    let device = device();
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("nested", b"(".repeat(1 << 20), "nested deeper"),
        ("itself", b"]q\0h\0a.".to_vec(), "holds a list"),
        ("a dict in itself", b"}q\0U\x01ah\0s.".to_vec(), "none of them"),
        ("many", [b"]".repeat(3 << 20), b".".to_vec()].concat(), "more than 2000000 values"),
        ("twice", b"}(U\x01aNU\x01aNu.".to_vec(), "checkpoint with the entries a, a"),
        ("no stack", b"a.".to_vec(), "stack"),
        ("no memo", b"h\x07.".to_vec(), "never remembered"),
        ("no mark", b"t.".to_vec(), "never opened"),
        ("a call of text", b"U\x01a)R.".to_vec(), "a function should be"),
        ("an unknown instruction", b"\x93.".to_vec(), "0x93"),
        ("a function", b"cbuiltins\neval\n.".to_vec(), "builtins.eval"),
    ];
    for (what, pickle, words) in cases {
        let pickle = [b"\x80\x02".as_slice(), &pickle].concat();
        let error = StateDict::from_bytes(&device, &legacy(&pickle)).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
    }

    // One long list, turned into an OrderedDict again and again.
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\nq\x01]q\x02(".to_vec();
    pickle.extend(b"NN\x86".repeat(100_000));
    pickle.extend(b"e");
    pickle.extend(b"h\x01h\x02\x85R".repeat(100_000));
    let error = StateDict::from_bytes(&device, &legacy(&pickle)).unwrap_err().to_string();
    assert!(error.contains("many dicts"), "{error}");
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let file = tensor(b"K\x10", b"K\0", b"K\x10\x85", b"K\x01\x85");
    let at = file.windows(3).position(|w| w == b"Rs.").unwrap();
    let twice = [&file[..at], b"Rq\x05sU\x01wh\x05s.", &file[at + 3..]].concat();
    let error = StateDict::from_bytes(&device(), &twice).unwrap_err().to_string();
    assert!(error.contains("two tensors named \"w\""), "{error}");
}

#[test]
fn a_tensor_of_a_name_that_cannot_be_written_again_is_refused() {
    let file = tensor(b"K\x10", b"K\0", b"K\x10\x85", b"K\x01\x85");
    let at = file.windows(3).position(|w| w == b"Rs.").unwrap();
    let notes = [&file[..at], b"Rq\x05sU\x0c__metadata__h\x05s.", &file[at + 3..]].concat();
    let error = StateDict::from_bytes(&device(), &notes).unwrap_err().to_string();
    assert!(error.contains("the name __metadata__"), "{error}");
}

const FILES: &[&str] = &["network.pth", "views.pth", "views.legacy.pth", "checkpoint.legacy.pth"];

/// Files that are whole, changed in a few places.
fn altered() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let splice = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..200);
    let changes = prop::collection::vec(change, 0..4);
    (prop::sample::select(FILES), prop::sample::select(FILES), changes, splice).prop_map(
        |(file, other, changes, (from, to, length))| {
            let (mut file, other) = (bytes(file), bytes(other));
            for (at, value) in changes {
                let at = at.index(file.len());
                file[at] ^= value;
            }
            let (from, to) = (from.index(other.len()), to.index(file.len()));
            let piece = &other[from..(from + length).min(other.len())];
            let end = (to + length / 2).min(file.len());
            file.splice(to..end, piece.iter().copied());
            file
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Some changes are still a valid file; none may panic.
    #[test]
    fn altered_files_never_panic(file in altered()) {
        let _ = StateDict::from_bytes(&device(), &file);
    }

    /// Instructions in any order, the pickle alone, which no checksum protects.
    #[test]
    fn pickles_of_any_instructions_never_panic(
        pickle in prop::collection::vec(
            prop::sample::select(b"(.0NJKMGXTU)]}tae\x85\x86\x87\x88\x89\x8asuqrhjcQRb\0\x01w\n".to_vec()),
            0..80,
        ),
    ) {
        let _ = StateDict::from_bytes(&device(), &legacy(&pickle));
    }
}
