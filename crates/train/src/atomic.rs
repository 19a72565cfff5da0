//! Writing a file so that a reader, a crash or a full disk never meets half of it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result, fault};

/// How the temporary files begin; one that is found later is what a killed process left.
pub(crate) const SCRAP: &str = ".unfinished-";

/// Writes a file that is there whole or not at all: a temporary file of the same folder, synced to
/// the disk, then renamed over `path`.
///
/// # Errors
///
/// If the file cannot be written. What was at `path` before is then still there, whole, and the
/// temporary file is gone.
///
/// ```
/// use ferrotape_train::write_atomically;
///
/// let place = tempfile::tempdir()?;
/// let path = place.path().join("model.safetensors");
/// write_atomically(&path, b"weights")?;
/// assert_eq!(std::fs::read(&path)?, b"weights");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes).map_err(|e| Error::io("write", path, e))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(SCRAP);
    // Temporary files are private by default; the file that this becomes has the usual permissions,
    // which the process's umask then narrows.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    fault::point();
    let mut file = builder.tempfile_in(folder)?;
    fault::point();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    fault::point();
    file.write_all(rest)?;
    fault::point();
    file.as_file().sync_all()?;
    fault::point();
    file.persist(path)?;
    fault::point();
    // The rename itself lives in the folder. Not every system can sync one, and the file is whole
    // either way.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|opened| opened.sync_all());
    Ok(())
}
