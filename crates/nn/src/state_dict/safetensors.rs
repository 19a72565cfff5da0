//! The safetensors format: a header in JSON, then the elements of all arrays.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;

use ferrotape_backend::{Array, Context, DType, Device, Error, ErrorKind, Layout, Result, Shape};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::StateDict;

/// The name in the header under which a note of ours stands.
const NOTE: &str = "ferrotape";

/// What stands in the header in the place of a name, for notes.
const NOTES: &str = "__metadata__";

/// The longest header that readers of the format take.
const LONGEST_HEADER: usize = 100_000_000;

/// What is said of an array that [`is_reserved`].
pub(super) const RESERVED: &str =
    "an array has the name __metadata__, under which the safetensors format keeps notes; rename it";

/// Whether the format has no room for an array of this name.
pub(super) fn is_reserved(name: &str) -> bool {
    name == NOTES
}

/// The file as a whole, and once: each array is fetched from its device to its place.
pub(super) fn write(dict: &StateDict, note: Option<&str>) -> Result<Vec<u8>> {
    let mut arrays: Vec<(&str, &Array)> = dict.iter().collect();
    // As the library orders them: the longer types first, which keeps every element aligned, then by name.
    arrays.sort_by_key(|(name, array)| (Reverse(file_dtype(array.dtype())), *name));
    let header = header(&arrays, note)?;
    let length = 8 + header.len() + arrays.iter().map(|(_, array)| array.bytes()).sum::<usize>();
    let mut file = Vec::new();
    file.try_reserve_exact(length).map_err(|_| {
        let text = format!("there is no room for {length} bytes of memory to write the state dict");
        Error::new(ErrorKind::OutOfMemory, text)
    })?;
    file.extend_from_slice(&(header.len() as u64).to_le_bytes());
    file.extend_from_slice(&header);
    for (name, array) in arrays {
        let start = file.len();
        file.resize(start + array.bytes(), 0);
        let array = array.contiguous().at(|| name)?;
        array.device().backend().download(&array, &mut file[start..]).at(|| name)?;
    }
    Ok(file)
}

/// What each array is and where it lies, in JSON, filled up with spaces to a multiple of eight bytes.
fn header(arrays: &[(&str, &Array)], note: Option<&str>) -> Result<Vec<u8>> {
    let cannot = |e: &dyn fmt::Display| Error::state(format!("cannot write the state dict: {e}"));
    if arrays.iter().any(|(name, _)| is_reserved(name)) {
        return Err(cannot(&RESERVED));
    }
    let mut end = 0;
    let tensors = arrays.iter().map(|(name, array)| {
        let start = end;
        end += array.bytes();
        let (dtype, shape) = (file_dtype(array.dtype()), array.shape().to_vec());
        ((*name).to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let tensors = tensors.collect();
    let note = note.map(|text| HashMap::from([(NOTE.to_owned(), text.to_owned())]));
    let metadata = Metadata::new(note, tensors).map_err(|e| cannot(&e))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|e| cannot(&e))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > LONGEST_HEADER {
        return Err(cannot(&format_args!(
            "the names of {} arrays take {} bytes, and the format has room for {LONGEST_HEADER}",
            arrays.len(),
            header.len()
        )));
    }
    Ok(header)
}

fn damaged(e: &dyn fmt::Display) -> Error {
    Error::state(format!(
        "this is no safetensors file, nor one of torch.save, or a damaged one: {e}"
    ))
}

pub(super) fn note(bytes: &[u8]) -> Result<Option<String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
    Ok(header.metadata().as_ref().and_then(|notes| notes.get(NOTE).cloned()))
}

pub(super) fn read(device: &Device, bytes: &[u8]) -> Result<StateDict> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e))?;
    // Of two tensors with one name the library keeps the last; here that is an error.
    let (length, _) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
    serde_json::from_slice::<UniqueNames>(&bytes[8..8 + length]).map_err(|e| damaged(&e))?;
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut dict = StateDict::new();
    for (name, view) in tensors {
        let array = array(device, &view).map_err(|e| e.at(name.as_str()))?;
        dict.insert(name, array);
    }
    Ok(dict)
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
    }
}

fn array(device: &Device, view: &TensorView<'_>) -> Result<Array> {
    let known = DType::ALL.into_iter().find(|&dtype| file_dtype(dtype) == view.dtype());
    let dtype = known.ok_or_else(|| {
        Error::dtype(format!(
            "it holds {:?}; f32, f64, bf16, f16, i64 and u8 can be read",
            view.dtype()
        ))
    })?;
    let shape = Shape::new(view.shape())?;
    let mut array = Array::empty(device, dtype, Layout::contiguous(shape))?;
    device.backend().upload(view.data(), &mut array)?;
    Ok(array)
}

/// A header that names no tensor twice; what it says of them is left to the library.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueNames, A::Error> {
                let mut seen = HashSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if seen.contains(&name) {
                        let text = format!("the header names {name:?} twice");
                        return Err(serde::de::Error::custom(text));
                    }
                    seen.insert(name);
                }
                Ok(UniqueNames)
            }
        }
        deserializer.deserialize_map(Names)
    }
}
