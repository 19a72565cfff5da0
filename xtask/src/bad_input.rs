//! `cargo xtask bad-input`: the table of wrong inputs and what is said about each, from the tests that give
//! them.
//!
//! `crates/ferrotape/tests/bad_input` gives them to the library, `crates/cli/tests/command/bad_input` to the
//! command. Both write their sentences down where the variable `FERROTAPE_BAD_INPUT` names a folder; out of
//! these the table of `docs/reliability.md` is made. `cargo xtask ci` checks that the page has it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::metadata::Metadata;
use crate::shell::Call;
use crate::{Result, marked, matrix};

/// The variable that makes the tests write down what was said.
pub(crate) const VARIABLE: &str = "FERROTAPE_BAD_INPUT";

const PAGE: &str = "docs/reliability.md";
const NAME: &str = "bad-input";

/// The two records, with what the page calls them and how it calls their inputs.
const RECORDS: [(&str, &str, &str); 2] = [
    ("library.jsonl", "The library", "given"),
    ("command.jsonl", "The command", "what is wrong, and the call"),
];

#[derive(Deserialize)]
struct Row {
    section: String,
    input: String,
    message: String,
}

/// Runs the tests and writes the table.
///
/// # Errors
/// An input is not refused as it must be, or the page cannot be written.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    let folder = matrix::empty_folder(&metadata, NAME)?;
    for test in ["-p ferrotape --test bad_input", "-p ferrotape-cli --test command bad_input::"] {
        Call::cargo(&format!("test --quiet --locked {test}"))
            .variable(VARIABLE, folder.display().to_string())
            .run(root)?;
    }
    marked::write(root, PAGE, NAME, &table(&folder)?)?;
    println!("{PAGE} has what was said");
    Ok(())
}

/// Checks that the page has what the tests wrote down.
///
/// # Errors
/// It has something else.
pub(crate) fn check(root: &Path, folder: &Path) -> Result<()> {
    marked::check(root, PAGE, NAME, &table(folder)?)
}

/// The part of the page.
fn table(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for (file, title, head) in RECORDS {
        let path = folder.join(file);
        let lines = fs::read_to_string(&path)
            .map_err(|error| format!("the tests left no {}: {error}", path.display()))?;
        let rows: Vec<Row> =
            lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
        let mut last = "";
        for row in &rows {
            if row.section != last {
                write!(text, "\n### {title}: {}\n\n", row.section.to_lowercase())?;
                write!(text, "| {head} | what is said |\n| --- | --- |\n")?;
                last = &row.section;
            }
            writeln!(text, "| {} | {} |", row.input.replace('|', "\\|"), code(&row.message))?;
        }
    }
    Ok(text + "\n")
}

/// A sentence as code in a cell of a table.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_their_sections_and_bars_and_ticks_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let row = |section: &str, message: &str| {
            format!("{{\"section\":\"{section}\",\"input\":\"a|b\",\"message\":\"{message}\"}}\n")
        };
        let rows = [row("Layers", "no"), row("Layers", "a `key`"), row("Data", "x|y")].concat();
        fs::write(place.path().join("library.jsonl"), rows).unwrap();
        assert!(table(place.path()).unwrap_err().to_string().contains("command.jsonl"));
        fs::write(place.path().join("command.jsonl"), row("Flags", "never")).unwrap();
        let text = table(place.path()).unwrap();
        for part in [
            "### The library: layers\n\n| given | what is said |\n| --- | --- |\n| a\\|b | `no` |\n",
            "| a\\|b | `` a `key` `` |\n\n### The library: data\n",
            "| `x\\|y` |\n",
            "### The command: flags\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
