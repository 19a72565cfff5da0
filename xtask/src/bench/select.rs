//! Which rows a filter means, and which places a name or a path may be.

use std::path::Path;

use tempfile::NamedTempFile;

use crate::Result;

/// The rows that the filter means: a full name selects that row, anything else all that begin with
/// it.
///
/// # Errors
/// There is none; the message lists what there is.
pub(super) fn select(all: &[String], filter: Option<&str>) -> Result<Vec<String>> {
    let filter = filter.unwrap_or_default();
    if all.iter().any(|name| name == filter) {
        return Ok(vec![filter.to_owned()]);
    }
    let selected: Vec<_> = all.iter().filter(|name| name.starts_with(filter)).cloned().collect();
    if !selected.is_empty() {
        return Ok(selected);
    }
    if all.is_empty() {
        return Err("the package ferrotape-benches has no benchmark".into());
    }
    let known = all.join("\n    ");
    Err(format!("no benchmark begins with \"{filter}\". There are\n    {known}").into())
}

/// Checks that a file can be made at `path` without touching what is there: an hour of measuring
/// later is late to learn of a typing error.
///
/// # Errors
/// It is a folder, or its folder cannot be written to.
pub(super) fn can_be_written(path: &Path, option: &str) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(format!("{} is a folder; {option} takes a file", path.display()).into());
    }
    NamedTempFile::new_in(folder).map_err(|error| {
        format!("{} cannot be written ({error}); choose another {option}", path.display())
    })?;
    Ok(())
}

/// Checks a name under which rows are kept.
///
/// # Errors
/// It is empty, begins with a dot, or has other characters than letters, digits, `-`, `_` and `.`.
pub(super) fn is_a_name(name: &str, option: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "{option} takes a name of letters, digits, \"-\", \"_\" and \".\" that begins with no dot, \
         not \"{name}\""
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        ["train/lenet5/b64/f32", "train/lenet5/b64/f32x", "gemm/n8"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_full_name_selects_one_row_and_a_prefix_all_that_begin_with_it() {
        let all = all();
        assert_eq!(select(&all, Some("train/lenet5/b64/f32")).unwrap(), ["train/lenet5/b64/f32"]);
        assert_eq!(select(&all, Some("train/")).unwrap().len(), 2);
        assert_eq!(select(&all, None).unwrap().len(), 3);
    }

    #[test]
    fn a_filter_that_selects_nothing_lists_what_there_is() {
        let error = select(&all(), Some("lenet")).unwrap_err().to_string();
        assert!(error.contains("gemm/n8"), "{error}");
        assert!(select(&[], None).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known_before_measuring() {
        for path in [Path::new("no/such/folder/a.jsonl"), &std::env::temp_dir()] {
            let error = can_be_written(path, "--plot").unwrap_err().to_string();
            assert!(error.contains("--plot"), "{error}");
        }
    }

    #[test]
    fn a_name_is_no_path() {
        assert!(is_a_name("before-winograd_2.0", "--save").is_ok());
        for bad in ["", "a/b", r"a\b", "..", ".hidden", "a b", "/a"] {
            assert!(is_a_name(bad, "--save").is_err(), "{bad}");
        }
    }
}
