//! `cargo xtask tidy`: the house rules that the compiler does not know.
//!
//! Each rule is a small function from what it looks at to a list of [`Violation`]s, and each has a
//! test that shows it can fail. The lists that a rule allows stand at the top of its file.

mod dependencies;
mod edges;
mod lexer;
mod links;
mod listings;
mod manifests;
mod paths;
mod sources;
mod tree;

use std::fmt;

use crate::Result;
use crate::metadata::Metadata;
use tree::{File, Tree};

/// One place where a rule does not hold.
#[derive(Debug, Eq, PartialEq)]
struct Violation {
    file: String,
    line: Option<usize>,
    message: String,
}

impl Violation {
    /// Something about a file as a whole.
    fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, message: message.into() }
    }

    /// Something about a line, counted from 1.
    fn at(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// The rules that look at one file at a time; each picks the files it is about.
const FILE_RULES: &[fn(&File) -> Vec<Violation>] = &[
    links::written_parts_are_there,
    listings::hold_what_tables_show,
    manifests::inherits_from_the_workspace,
    paths::no_path_of_a_machine,
    sources::begins_with_its_purpose,
    sources::is_not_too_long,
    sources::has_no_leftovers,
    sources::has_no_ignored_test,
    sources::is_unsafe_only_where_allowed,
];

/// The rules that look at the tree as a whole.
const TREE_RULES: &[fn(&Tree) -> Vec<Violation>] = &[
    dependencies::have_a_reason,
    links::lead_somewhere,
    links::summary_lists_every_page,
    listings::are_run,
    manifests::licences_are_there,
    sources::allowances_are_used,
];

/// Runs every rule over the files that git knows or would add.
///
/// # Errors
/// A rule does not hold somewhere; every such place has been printed.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let tree = Tree::read(&metadata.workspace_root)?;
    let mut found = edges::run_one_way(&metadata);
    for file in &tree.files {
        found.extend(FILE_RULES.iter().flat_map(|rule| rule(file)));
    }
    found.extend(TREE_RULES.iter().flat_map(|rule| rule(&tree)));
    for violation in &found {
        eprintln!("{violation}");
    }
    match found.len() {
        0 => Ok(()),
        1 => Err("one house rule does not hold; repeat with cargo xtask tidy".into()),
        n => Err(format!("{n} house rules do not hold; repeat with cargo xtask tidy").into()),
    }
}
