//! The file that `torch.save` wrote before version 1.6, and writes still with
//! `_use_new_zipfile_serialization=False`: five pickles (a magic number, a version, the machine, the
//! contents, the keys of the storages), then the storages one after the other.

use std::collections::HashMap;

use ferrotape_backend::{Context, Error, Result};

use super::pickle::{Unpickled, unpickle};
use super::value::Value;

/// The first pickle, whole: protocol 2, the integer 0x1950a86a20f9469cfc6c, the end.
pub(super) const MAGIC: &[u8] =
    &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// A file of the older format: the pickle of its contents, and the bytes after it.
pub(super) struct Legacy<'a> {
    pub(super) contents: Unpickled<'a>,
    /// From the pickle of the keys on.
    rest: &'a [u8],
}

impl<'a> Legacy<'a> {
    pub(super) fn open(file: &'a [u8]) -> Result<Self> {
        let mut rest = &file[MAGIC.len()..];
        let mut next = |what: &str| -> Result<Unpickled<'a>> {
            let read = unpickle(rest).at(|| what.to_owned())?;
            rest = &rest[read.length..];
            Ok(read)
        };
        let version = next("its version")?;
        match version.values.get(version.result) {
            Value::Integer(1001) => {}
            other => {
                return Err(Error::state(format!(
                    "it is of version {other:?} of the older format, and 1001 can be read; load it \
                     in PyTorch and write it with torch.save"
                )));
            }
        }
        little_endian(&next("its system")?)?;
        let contents = next("its contents")?;
        Ok(Legacy { contents, rest })
    }

    /// The bytes of each storage by its key.
    pub(super) fn storages(&self) -> Result<HashMap<&'a str, &'a [u8]>> {
        let keys = unpickle(self.rest).at(|| "the keys of its storages")?;
        let mut rest = &self.rest[keys.length..];
        let sizes: HashMap<&str, usize> = self
            .contents
            .values
            .storages()
            .map(|storage| (storage.key, storage.kind.size()))
            .collect();
        let mut found = HashMap::new();
        for &key in keys.values.items(keys.result)? {
            let key = keys.values.text(key)?;
            // How large its elements are stands only where the contents name it.
            let size = sizes.get(key).ok_or_else(|| {
                Error::state(format!("nothing in it uses its storage {key:?}: it is damaged"))
            })?;
            let (count, data) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let bytes = usize::try_from(i64::from_le_bytes(*count)).ok();
            let bytes = bytes.and_then(|count| count.checked_mul(*size)).ok_or_else(cut)?;
            let (data, after) = data.split_at_checked(bytes).ok_or_else(cut)?;
            if found.insert(key, data).is_some() {
                return Err(Error::state(format!("it has two storages {key:?}: it is damaged")));
            }
            rest = after;
        }
        Ok(found)
    }
}

fn cut() -> Error {
    Error::state("its storages are cut short; fetch the file again")
}

/// Refuses a file that was written on a big-endian machine.
fn little_endian(system: &Unpickled<'_>) -> Result<()> {
    let values = &system.values;
    let entries = values.entries(system.result)?;
    let is = |key| matches!(values.get(key), Value::Text("little_endian"));
    let order = entries.iter().find(|(key, _)| is(*key)).map(|(_, value)| values.get(*value));
    match order {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err(super::big_endian()),
    }
}
