//! A file as a slice of bytes, without a copy of it in memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// Maps a file. Its pages come from the system's cache when they are first looked at, so that what
/// is read of it is copied once, to where it is wanted.
///
/// Nobody may write into the file while the map lives, which is as long as a state dict takes to
/// read. Writers that put a new file in the place of the old one, as
/// [`StateDict::save`](crate::StateDict::save) does, are no danger: the map keeps the old one.
pub(super) fn map(file: &Path) -> io::Result<Mmap> {
    // Opening a pipe would wait for its writer, and neither it nor a folder can be mapped.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let handle = File::open(file)?;
    // SAFETY: the map is read-only and private to this process, and lives no longer than the call
    // that reads the state dict. Nothing in this process writes into a file of weights in place
    // (`StateDict::save` renames); the documentation of `StateDict::load` asks the same of others.
    unsafe { Mmap::map(&handle) }
}
