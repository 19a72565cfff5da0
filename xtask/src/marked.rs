//! A part of a page that a command writes, between two marks that a reader of the page does not see.

use std::fs;
use std::path::Path;

use crate::Result;

/// Puts a text between the marks of a name.
///
/// # Errors
/// The page cannot be read or written, or has no such marks.
pub(crate) fn write(root: &Path, page: &str, name: &str, text: &str) -> Result<()> {
    let path = root.join(page);
    let whole = read(&path, page)?;
    let [before, _, after] = parts(&whole, page, name)?;
    fs::write(&path, format!("{before}{text}{after}"))
        .map_err(|error| format!("{page} was not written: {error}").into())
}

/// The text between the marks of a name.
///
/// # Errors
/// The page cannot be read, or has no such marks.
pub(crate) fn text(root: &Path, page: &str, name: &str) -> Result<String> {
    let whole = read(&root.join(page), page)?;
    let [_, found, _] = parts(&whole, page, name)?;
    Ok(found.to_owned())
}

/// Checks that a text is what is between the marks of a name.
///
/// # Errors
/// It is not; the message names the first line that differs, and the command that writes it.
pub(crate) fn check(root: &Path, page: &str, name: &str, text: &str) -> Result<()> {
    let found = self::text(root, page, name)?;
    if found == text {
        return Ok(());
    }
    let differs = |(a, b): &(&str, &str)| a != b;
    let pair = text.lines().zip(found.lines()).find(differs);
    let (new, old) = pair.unwrap_or(("another number of lines", ""));
    Err(format!(
        "{page} is not what the tests say; write it with cargo xtask {name}, and look at what changed:\n    \
         was {old}\n    is  {new}"
    )
    .into())
}

fn read(path: &Path, page: &str) -> Result<String> {
    Ok(fs::read_to_string(path).map_err(|error| format!("{page} cannot be read: {error}"))?)
}

/// What stands before the first mark, with it; between the marks; and from the second mark on.
fn parts<'a>(whole: &'a str, page: &str, name: &str) -> Result<[&'a str; 3]> {
    let first = format!("<!-- cargo xtask {name} writes from here -->\n");
    let second = format!("<!-- cargo xtask {name} writes to here -->");
    let begin = whole.find(&first).map(|at| at + first.len());
    let end = whole.find(&second);
    match (begin, end) {
        (Some(begin), Some(end)) if begin <= end => {
            Ok([&whole[..begin], &whole[begin..end], &whole[end..]])
        }
        _ => Err(format!("{page} lacks the line {first}or, after it, the line {second}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- cargo xtask x writes from here -->\nold\n<!-- cargo xtask x writes to here -->\nb\n";

    #[test]
    fn what_is_between_the_marks_is_replaced_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("p.md"), PAGE).unwrap();
        check(place.path(), "p.md", "x", "old\n").unwrap();
        assert_eq!(text(place.path(), "p.md", "x").unwrap(), "old\n");
        let error = check(place.path(), "p.md", "x", "new\n").unwrap_err().to_string();
        assert!(error.contains("was old") && error.contains("is  new"), "{error}");
        write(place.path(), "p.md", "x", "new\n").unwrap();
        check(place.path(), "p.md", "x", "new\n").unwrap();
        let whole = fs::read_to_string(place.path().join("p.md")).unwrap();
        assert_eq!(whole, PAGE.replace("old", "new"));
    }

    #[test]
    fn a_page_without_the_marks_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("p.md"), PAGE).unwrap();
        let error = write(place.path(), "p.md", "y", "new\n").unwrap_err().to_string();
        assert!(error.contains("cargo xtask y writes from here"), "{error}");
    }
}
