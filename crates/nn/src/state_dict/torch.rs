//! The files of `torch.save`: `.pth` and `.pt`.
//!
//! Such a file is a pickle, which in Python is a program that can do anything, and its tensors'
//! memory. Here it is data: a strict list of what a state dict needs is understood, anything else is
//! an error that names it, and nothing is ever run.

mod archive;
mod legacy;
mod pickle;
mod storage;
mod value;
mod view;

use std::collections::{HashMap, HashSet};

use ferrotape_backend::{Context, Device, Error, Result};

use super::{StateDict, safetensors};
use archive::Archive;
use legacy::Legacy;
use pickle::{Unpickled, unpickle};
use value::{Id, Value};
use view::View;

/// Under what names training scripts keep a state dict in a checkpoint.
const USUAL: &[&str] =
    &["state_dict", "model_state_dict", "model", "model_state", "net", "network", "weights"];

/// Arrays may take so many times the bytes of the file: tied tensors are written once and read
/// twice, and an expanded tensor shows an element often.
const MOST_TIMES: usize = 8;

/// And so many bytes in any case.
const ALWAYS_ALLOWED: usize = 16 << 20;

/// Whether these are the first bytes of a file of `torch.save`, of now or of old.
pub(super) fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 2]) || is_tar(bytes)
}

/// The oldest files of all were tar archives.
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// Reads the state dict of a file.
pub(super) fn read(device: &Device, file: &[u8]) -> Result<StateDict> {
    if file.starts_with(b"PK\x03\x04") {
        return read_archive(device, file);
    }
    if file.starts_with(legacy::MAGIC) {
        let legacy = Legacy::open(file)?;
        let found = tensors(&legacy.contents)?;
        return arrays(device, file.len(), &found, &legacy.storages()?);
    }
    Err(Error::state(if is_tar(file) {
        "it is of the format that PyTorch wrote before version 0.2; load it in PyTorch and write it \
         with torch.save(model.state_dict(), FILE)"
    } else {
        "it is a pickle, but none of torch.save; load it in Python and write the tensors with \
         torch.save(dict, FILE)"
    }))
}

fn read_archive(device: &Device, file: &[u8]) -> Result<StateDict> {
    let archive = Archive::open(file)?;
    let mut pickles = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let folder = match (pickles.next(), pickles.next()) {
        (Some(folder), None) => folder,
        _ => {
            return Err(Error::state(
                "it is a zip archive without a data.pkl, so torch.save did not write it; if \
                 weights are packed in it, unpack it first",
            ));
        }
    };
    if archive.names().any(|name| name.strip_prefix(folder).is_some_and(is_script)) {
        return Err(Error::state(
            "it is a TorchScript program and no state dict; in PyTorch, \
             torch.save(torch.jit.load(FILE).state_dict(), OTHER)",
        ));
    }
    let order = archive.read(&format!("{folder}byteorder"))?;
    if order.is_some_and(|order| order.trim_ascii() != b"little") {
        return Err(big_endian());
    }
    let pickle = archive.read(&format!("{folder}data.pkl"))?.unwrap_or_default();
    let contents = unpickle(pickle)?;
    let found = tensors(&contents)?;
    let mut data = HashMap::new();
    for (_, view) in &found {
        let storage = view.storage();
        if data.contains_key(storage.key) {
            continue;
        }
        let name = format!("{folder}data/{}", storage.key);
        let bytes = archive.read(&name)?;
        let missing = || Error::state(format!("its entry {name} is missing: it is damaged"));
        data.insert(storage.key, bytes.ok_or_else(missing)?);
    }
    arrays(device, file.len(), &found, &data)
}

fn is_script(name: &str) -> bool {
    name == "constants.pkl" || name.starts_with("code/")
}

fn big_endian() -> Error {
    Error::state(
        "it was written on a big-endian machine (or does not say); load it in PyTorch on a usual \
         one and write it with torch.save",
    )
}

/// The tensors of a state dict, or of the one state dict in a checkpoint, by name.
fn tensors<'p, 'a>(contents: &'p Unpickled<'a>) -> Result<Vec<(&'a str, &'p View<'a>)>> {
    let values = &contents.values;
    let is_tensor = |id: Id| matches!(values.get(id), Value::Tensor(_));
    let holds_tensors = |id: Id| {
        values.entries(id).is_ok_and(|entries| entries.iter().any(|(_, value)| is_tensor(*value)))
    };
    let top = match values.get(contents.result) {
        Value::Dict(entries) => entries,
        other => {
            return Err(Error::state(format!(
                "it holds {} and not a state dict; torch.save(model.state_dict(), FILE) writes one",
                other.kind()
            )));
        }
    };
    let entries = if top.is_empty() || holds_tensors(contents.result) {
        top.as_slice()
    } else {
        let names = |&(key, _): &(Id, Id)| values.text(key).unwrap_or("?").to_owned();
        // The name is looked at first: a hostile file may show one large dict under a million names.
        let is_usual = |key| values.text(key).is_ok_and(|name| USUAL.contains(&name));
        let usual = top.iter().copied().filter(|(key, _)| is_usual(*key)).take(2 * USUAL.len());
        let usual: Vec<(Id, Id)> = usual.filter(|(_, value)| holds_tensors(*value)).collect();
        match usual.as_slice() {
            [(_, dict)] => values.entries(*dict)?,
            found => {
                let shown = if found.is_empty() { top.as_slice() } else { found };
                let shown: Vec<String> = shown.iter().take(8).map(names).collect();
                return Err(Error::state(format!(
                    "it is a checkpoint with the entries {}, and {} of them is a state dict by its \
                     name; in PyTorch, torch.save(torch.load(FILE)[ENTRY], OTHER)",
                    shown.join(", "),
                    if found.is_empty() { "none" } else { "more than one" }
                )));
            }
        }
    };
    let mut found = Vec::with_capacity(entries.len());
    let mut seen = HashSet::with_capacity(entries.len());
    for &(key, value) in entries {
        let name = values.text(key)?;
        let Value::Tensor(view) = values.get(value) else {
            return Err(Error::state(format!(
                "its entry {name} is {} and no tensor; leave it out of the state dict",
                values.get(value).kind()
            )));
        };
        if !seen.insert(name) {
            return Err(Error::state(format!("it has two tensors named {name:?}")));
        }
        // Said at once, and not when the training is over and its weights are to be written.
        if safetensors::is_reserved(name) {
            return Err(Error::state(safetensors::RESERVED));
        }
        found.push((name, &**view));
    }
    Ok(found)
}

/// The arrays of the views, given the storages' bytes.
fn arrays(
    device: &Device,
    file: usize,
    found: &[(&str, &View<'_>)],
    storages: &HashMap<&str, &[u8]>,
) -> Result<StateDict> {
    let total = found.iter().try_fold(0usize, |sum, (_, view)| sum.checked_add(view.bytes()));
    let most = file.saturating_mul(MOST_TIMES).max(ALWAYS_ALLOWED);
    if total.is_none_or(|total| total > most) {
        return Err(Error::state(format!(
            "its tensors would take more than {MOST_TIMES} times the {file} bytes that it has: a \
             tensor in it was expanded; store a copy (contiguous())"
        )));
    }
    let mut dict = StateDict::new();
    for (name, view) in found {
        let storage = view.storage();
        let data = storages.get(storage.key).copied();
        let array = data
            .ok_or_else(|| Error::state(format!("its storage {} is missing", storage.key)))
            .and_then(|data| {
                let declared = storage.elements.checked_mul(storage.kind.size());
                if declared != Some(data.len()) {
                    return Err(Error::state(format!(
                        "its storage {} is said to have {} elements and has {} bytes: the file is \
                         damaged",
                        storage.key,
                        storage.elements,
                        data.len()
                    )));
                }
                view.to_array(device, data)
            })
            .at(|| (*name).to_owned())?;
        dict.insert(*name, array);
    }
    Ok(dict)
}
