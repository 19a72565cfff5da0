//! Reading a file whole, where somebody else may have named it.

use std::fs;
use std::io;
use std::path::Path;

use crate::{Error, Result};

/// The bytes of a file.
///
/// # Errors
/// If it cannot be read, or is no regular file: a named pipe would wait for a writer, and a device may have
/// no end.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let failed = |cause| Error::io("read", path, cause);
    if !fs::metadata(path).map_err(failed)?.is_file() {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(Error::io("read", path, cause));
    }
    fs::read(path).map_err(failed)
}

/// The text of a file.
///
/// # Errors
/// As for [`read_bytes`], and if it is not UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| {
        let cause = io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
        Error::io("read", path, cause)
    })
}
