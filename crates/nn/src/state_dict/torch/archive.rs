//! The zip archive that `torch.save` writes: entries that are stored as they are, never compressed.
//!
//! Only what such archives use is understood, so that nothing can unpack to more than the file has:
//! an entry is a slice of the file. A general reader of zip files would keep the last of two entries
//! with one name and let entries overlap; both are errors here.

use std::collections::HashMap;

use ferrotape_backend::{Error, Result};

/// The entries of an archive, by name.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    entries: HashMap<&'a str, Entry<'a>>,
}

/// One file of the archive.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    data: &'a [u8],
    /// Not compressed.
    stored: bool,
    crc: u32,
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// A field of 32 bits that says that the true value stands in the 64-bit extension.
const EXTENDED: u64 = u32::MAX as u64;

impl<'a> Archive<'a> {
    pub(super) fn open(file: &'a [u8]) -> Result<Self> {
        let (count, start) = directory(file)?;
        let mut entries = HashMap::new();
        let mut ranges = Vec::new();
        let mut at = start;
        for _ in 0..count {
            let (name, entry, range, next) = entry(file, at)?;
            if entries.insert(name, entry).is_some() {
                return Err(damaged(format!("it has two entries named {name:?}")));
            }
            ranges.push(range);
            at = next;
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(damaged("two of its entries overlap"));
        }
        Ok(Archive { entries })
    }

    /// The names of the entries, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// The contents of an entry, checked against its checksum, or `None` if there is none of this
    /// name.
    pub(super) fn read(&self, name: &str) -> Result<Option<&'a [u8]>> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if !entry.stored {
            return Err(damaged(format!(
                "its entry {name} is compressed, and torch.save stores; load the file in PyTorch \
                 and write it with torch.save"
            )));
        }
        if crc32fast::hash(entry.data) != entry.crc {
            return Err(damaged(format!(
                "the checksum of its entry {name} is wrong; fetch the file again, or, if \
                 set_crc32_options(False) was used, write it again without"
            )));
        }
        Ok(Some(entry.data))
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::state(format!("this zip archive is damaged or not one of torch.save: {what}"))
}

fn bytes(file: &[u8], at: u64, length: u64) -> Result<&[u8]> {
    let end = at.checked_add(length).filter(|&end| end <= file.len() as u64);
    // Both fit usize: they are not beyond the end of a slice.
    end.map(|end| &file[at as usize..end as usize])
        .ok_or_else(|| damaged("it ends early, or an offset in it points beyond its end"))
}

fn number(file: &[u8], at: u64, length: u64) -> Result<u64> {
    let field = bytes(file, at, length)?;
    Ok(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// The number of entries and where the first one's record stands.
fn directory(file: &[u8]) -> Result<(u64, u64)> {
    // The record at the end has 22 bytes and a comment of at most 65,535 after it.
    let first = file.len().saturating_sub(22 + 65_535);
    let tail = &file[first..];
    let is_end = |&at: &usize| {
        tail[at..].starts_with(END)
            && tail.get(at + 20..at + 22).is_some_and(|length| {
                at + 22 + usize::from(u16::from_le_bytes([length[0], length[1]])) == tail.len()
            })
    };
    let end = (0..tail.len()).rev().find(is_end);
    let end = end.ok_or_else(|| damaged("it has no directory; it may be cut short"))?;
    let end = (first + end) as u64;
    let (count, start) = (number(file, end + 10, 2)?, number(file, end + 16, 4)?);
    if count < u64::from(u16::MAX) && start < EXTENDED {
        return Ok((count, start));
    }
    let locator = end.checked_sub(20).filter(|&at| file[at as usize..].starts_with(LOCATOR_64));
    let Some(locator) = locator else { return Ok((count, start)) };
    let record = number(file, locator + 8, 8)?;
    if bytes(file, record, 56)?.get(..4) != Some(END_64) {
        return Err(damaged("its 64-bit directory is not where it should be"));
    }
    Ok((number(file, record + 32, 8)?, number(file, record + 48, 8)?))
}

type Found<'a> = (&'a str, Entry<'a>, (u64, u64), u64);

/// The entry whose record stands at this place, what it takes of the file, and where the next
/// record stands.
fn entry(file: &[u8], at: u64) -> Result<Found<'_>> {
    let record = bytes(file, at, 46)?;
    if !record.starts_with(CENTRAL) {
        return Err(damaged("its directory has fewer entries than it says"));
    }
    let field = |from: u64, length| number(record, from, length);
    let (name_length, extra_length, comment_length) = (field(28, 2)?, field(30, 2)?, field(32, 2)?);
    let name = std::str::from_utf8(bytes(file, at + 46, name_length)?)
        .map_err(|_| damaged("the name of an entry is not UTF-8"))?;
    let extra = bytes(file, at + 46 + name_length, extra_length)?;
    let mut wide = extension(extra)?;
    let mut whole = |value: u64| -> Result<u64> {
        if value < EXTENDED {
            return Ok(value);
        }
        let (field, rest) = wide
            .split_at_checked(8)
            .ok_or_else(|| damaged(format!("the 64-bit sizes of entry {name} are missing")))?;
        wide = rest;
        number(field, 0, 8)
    };
    // The order of the extension's fields is that of these lines.
    let size = whole(field(24, 4)?)?;
    let packed = whole(field(20, 4)?)?;
    let start = whole(field(42, 4)?)?;

    if field(8, 2)? & 1 != 0 {
        return Err(damaged(format!("entry {name} is encrypted")));
    }
    if bytes(file, start, 30)?.get(..4) != Some(LOCAL) {
        return Err(damaged(format!("entry {name} is not where the directory says")));
    }
    let (local_name, local_extra) = (number(file, start + 26, 2)?, number(file, start + 28, 2)?);
    if bytes(file, start + 30, local_name)? != name.as_bytes() {
        return Err(damaged(format!("entry {name} has another name in the directory")));
    }
    let from = start + 30 + local_name + local_extra;
    let data = bytes(file, from, packed)?;
    let stored = field(10, 2)? == 0 && size == packed;
    let crc = field(16, 4)? as u32;
    let next = at + 46 + name_length + extra_length + comment_length;
    Ok((name, Entry { data, stored, crc }, (start, from + packed), next))
}

/// The contents of the field with 64-bit sizes among the extra fields; empty if there is none.
fn extension(mut extra: &[u8]) -> Result<&[u8]> {
    while extra.len() >= 4 {
        let (kind, length) = (number(extra, 0, 2)?, number(extra, 2, 2)?);
        let contents = bytes(extra, 4, length)?;
        if kind == 1 {
            return Ok(contents);
        }
        extra = &extra[4 + contents.len()..];
    }
    Ok(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with these entries, stored, and its directory's start.
    fn archive(entries: &[(&str, &[u8])]) -> (Vec<u8>, usize) {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, data) in entries {
            let start = (file.len() as u32).to_le_bytes();
            let size = (data.len() as u32).to_le_bytes();
            let crc = crc32fast::hash(data).to_le_bytes();
            let name_length = (name.len() as u16).to_le_bytes();
            let common = [&[0; 8], &crc[..], &size, &size, &name_length, &[0; 2]].concat();
            file.extend([LOCAL, &[0; 2], &common, name.as_bytes(), data].concat());
            directory.extend([CENTRAL, &[0; 4], &common, &[0; 10], &start].concat());
            directory.extend_from_slice(name.as_bytes());
        }
        let start = file.len();
        let count = (entries.len() as u16).to_le_bytes();
        let size = (directory.len() as u32).to_le_bytes();
        file.extend(directory);
        let place = (start as u32).to_le_bytes();
        file.extend([END, &[0; 4], &count, &count, &size, &place, &[0; 2]].concat());
        (file, start)
    }

    fn refused(file: &[u8]) -> String {
        Archive::open(file).unwrap_err().to_string()
    }

    #[test]
    fn stored_entries_are_slices_of_the_file() {
        let (file, _) = archive(&[("a", b"one"), ("b/c", b"")]);
        let archive = Archive::open(&file).unwrap();
        assert_eq!(archive.read("a").unwrap(), Some(b"one".as_slice()));
        assert_eq!(archive.read("b/c").unwrap(), Some(b"".as_slice()));
        assert_eq!(archive.read("d").unwrap(), None);
    }

    #[test]
    fn archives_that_lie_are_refused() {
        assert!(refused(&archive(&[("a", b"one"), ("a", b"two")]).0).contains("two entries"));

        let (file, start) = archive(&[("a", b"one"), ("a", b"two")]);
        let mut overlapping = file.clone();
        // The second record of the directory points to the first entry, under another name.
        let second = start + 47;
        overlapping[second + 42..second + 46].fill(0);
        overlapping[second + 46] = b'b';
        assert!(refused(&overlapping).contains("another name"));

        let (file, start) = archive(&[("a", b"one"), ("b", b"two")]);
        let change = |at: usize, value: u8| {
            let mut file = file.clone();
            file[at] = value;
            file
        };
        // The first entry is said to be longer, and reaches into the second.
        let mut longer = change(start + 20, 9);
        longer[start + 24] = 9;
        assert!(refused(&longer).contains("overlap"));
        assert!(refused(&change(start + 8, 1)).contains("encrypted"));
        assert!(refused(&change(start + 45, 0x7f)).contains("beyond its end"));
        assert!(refused(&change(start, 0)).contains("fewer entries"));
        assert!(refused(&change(file.len() - 12, 3)).contains("ends early"));
        let compressed = change(start + 10, 8);
        let error = Archive::open(&compressed).unwrap().read("a").unwrap_err().to_string();
        assert!(error.contains("compressed"), "{error}");
        let wrong = change(start + 16, 0);
        let error = Archive::open(&wrong).unwrap().read("a").unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}
