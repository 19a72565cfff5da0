//! Reading a file whole, where somebody else may have named it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// The most bytes of a configuration: the names of a hundred thousand classes and more.
pub(crate) const MOST_OF_A_CONFIG: u64 = 16 << 20;
/// The most bytes of the figures of a run: some hundred thousand epochs.
pub(crate) const MOST_OF_METRICS: u64 = 256 << 20;

/// How many bytes of a file tell what it is.
const HEAD: usize = 512;

/// The text of a file that has no more than so many bytes.
///
/// # Errors
/// If it cannot be read, is longer, is not UTF-8, or is no regular file: a named pipe would wait for a writer,
/// and a device may have no end.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::new();
    if length <= most {
        // A file may grow meanwhile, and some of the system's say that they are empty and have no end.
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    }
    let length = length.max(bytes.len() as u64);
    if length > most {
        let said = format!("it has {length} bytes or more, and {most} are the most that are read");
        return Err(wrong(path, io::ErrorKind::InvalidData, said));
    }
    String::from_utf8(bytes)
        .map_err(|_| wrong(path, io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// The bytes of a file of arrays, as they were when it was opened. One that begins as no such file does is not
/// read to its end.
///
/// # Errors
/// If it cannot be read, is no regular file, or is longer than a few bytes and begins as none of weights.
pub(crate) fn read_arrays(path: &Path) -> Result<Vec<u8>> {
    let failed = |cause| Error::io("read", path, cause);
    let (file, length) = open(path)?;
    let mut file = file.take(length);
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut bytes).map_err(failed)?;
    // A short file is looked at by those who know the forms.
    if bytes.len() == HEAD && !begins_as_arrays(&bytes, length) {
        return Err(Error::Weights {
            path: path.into(),
            cause: ferrotape_backend::Error::state(
                "it begins neither as a safetensors file of its length nor as one of torch.save",
            ),
        });
    }
    let rest = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
    bytes.try_reserve_exact(rest).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Whether the first bytes of a file so long may be those of safetensors, whose header they give the length of,
/// or of `torch.save`: a zip archive, a pickle or a tar archive.
fn begins_as_arrays(head: &[u8], length: u64) -> bool {
    let header = head.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    let is_safetensors = head.get(8) == Some(&b'{') && header <= length.saturating_sub(8);
    let is_torch = head.starts_with(b"PK") || head.starts_with(&[0x80]);
    is_safetensors || is_torch || head.get(257..262) == Some(b"ustar")
}

/// A regular file and its length.
fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |cause| Error::io("read", path, cause);
    // Looked at first: to open a named pipe is to wait.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(wrong(path, io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}

/// Whether there is a file, which is a regular one or a link to one.
///
/// # Errors
/// If something else stands there.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    let failed = |cause| Error::io("read", path, cause);
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(wrong(path, io::ErrorKind::InvalidInput, "it is no regular file")),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
        Err(_) if path.is_symlink() => Err(wrong(
            path,
            io::ErrorKind::InvalidInput,
            "it is a link to a file that is not there",
        )),
        Err(_) => Ok(false),
    }
}

fn wrong(path: &Path, kind: io::ErrorKind, said: impl Into<String>) -> Error {
    Error::io("read", path, io::Error::new(kind, said.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_refused_by_its_length() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.toml");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let error = read_text(&path, 4).unwrap_err().to_string();
        assert!(error.contains("it has 5 bytes or more, and 4 are the most"), "{error}");
        File::create(&path).unwrap().set_len(MOST_OF_A_CONFIG + 1).unwrap();
        let error = read_text(&path, MOST_OF_A_CONFIG).unwrap_err().to_string();
        assert!(error.contains("and 16777216 are the most that are read"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_says_it_is_empty_is_read_no_further_than_the_most() {
        let path = Path::new("/proc/self/status");
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
        let error = read_text(path, 64).unwrap_err().to_string();
        assert!(error.contains("it has 65 bytes or more, and 64 are"), "{error}");
    }

    #[test]
    fn a_file_of_arrays_is_read_to_its_end_only_if_it_begins_as_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.safetensors");
        let read = |head: &[u8], length: u64| {
            fs::write(&path, head).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            read_arrays(&path)
        };
        let header = |length: u64| [&length.to_le_bytes()[..], b"{"].concat();
        let mut tar = vec![0; 257];
        tar.extend(b"ustar");
        for head in [&header(992)[..], b"PK\x03\x04", &[0x80, 2], &tar] {
            let bytes = read(head, 1000).unwrap();
            assert!(bytes.len() == 1000 && bytes.starts_with(head), "{head:?}");
        }
        assert_eq!(read(b"weights", 7).unwrap(), b"weights");
        for head in [&header(993)[..], &[0xff; 64], b"", b"weights"] {
            let error = read(head, 1000).unwrap_err().to_string();
            assert!(error.contains("begins neither as a safetensors file"), "{error}");
        }
    }
}
