//! The files that the rules look at, read once.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::shell::Call;

/// A text file of the repository.
pub(super) struct File {
    /// The path from the root, with `/` between its parts.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

impl File {
    /// Whether this is Rust source.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code.
    pub(super) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The text before the unit tests, which by custom come last.
    pub(super) fn without_unit_tests(&self) -> &str {
        let tests = "#[cfg(test)]\nmod ";
        if self.text.starts_with(tests) {
            return "";
        }
        match self.text.find(&format!("\n{tests}")) {
            Some(end) => &self.text[..end],
            None => &self.text,
        }
    }
}

/// All text files of the repository, and the paths of those that are not text.
pub(super) struct Tree {
    /// The text files.
    pub(super) files: Vec<File>,
    /// The paths of all files, text or not.
    pub(super) paths: Vec<String>,
}

impl Tree {
    /// Reads the files that git tracks or would add. What git ignores is nobody's source.
    ///
    /// # Errors
    /// This is no git checkout, or a file cannot be read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let list =
            Call::new("git", "ls-files -z --cached --others --exclude-standard").read(root)?;
        let mut tree = Self { files: Vec::new(), paths: Vec::new() };
        for path in list.split_terminator('\0') {
            let on_disk = root.join(path);
            // A file that was deleted but not yet committed is still in git's list.
            if !on_disk.is_file() {
                continue;
            }
            let bytes = fs::read(&on_disk).map_err(|error| format!("{path}: {error}"))?;
            tree.paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(File { path: path.to_owned(), text });
            }
        }
        Ok(tree)
    }

    /// The text of a file, when it is there.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

/// A file made up for a test of a rule.
#[cfg(test)]
pub(super) fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// A tree of files made up for a test of a rule.
#[cfg(test)]
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    Tree {
        files: files.iter().map(|(path, text)| file(path, text)).collect(),
        paths: files.iter().map(|&(path, _)| path.to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_are_cut_off_but_other_test_items_are_not() {
        let text = "//! A.\n#[cfg(test)]\nfn f() {}\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(file("a.rs", text).without_unit_tests(), "//! A.\n#[cfg(test)]\nfn f() {}\n");
    }

    #[test]
    fn a_test_is_known_by_its_folder() {
        assert!(file("crates/nn/tests/laws.rs", "").is_test());
        assert!(file("crates/nn/src/conv/tests.rs", "").is_test());
        assert!(!file("crates/nn/src/latests.rs", "").is_test());
    }
}
