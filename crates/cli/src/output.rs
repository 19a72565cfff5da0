//! Files that a command writes, which are never someone's already.

use std::path::Path;

use crate::error::{Failure, Result};

/// Refuses a name whose ending is not that of the form that is written, a folder that is not there, and a file that is.
pub(crate) fn check(path: &Path, ending: &str, what: &str) -> Result<()> {
    if path.extension().is_none_or(|found| found != ending) {
        return Err(Failure::Said(format!(
            "{} is to be {what}; name it so: {}",
            path.display(),
            path.with_extension(ending).display()
        )));
    }
    // What was computed is not lost for that.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        return Err(Failure::Said(format!(
            "cannot write {}: its folder does not exist; make it, or choose another place",
            path.display()
        )));
    }
    // A link that leads nowhere is somebody's file too.
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Said(format!(
            "{} exists and would be overwritten; choose another name, or remove it first",
            path.display()
        )));
    }
    Ok(())
}
