//! A folder for files that a target reads from the disk.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A folder that goes away with the value.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Place(tempfile::tempdir().expect("the system has a folder for what is temporary"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).expect("the folder for what is temporary can be written");
        path
    }
}

/// An error is a sentence.
pub(crate) fn said(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(text.len() > 3 && text.contains(' '), "{text:?} says nothing");
}
