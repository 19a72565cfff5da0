//! `cargo xtask bad-input`: the table of wrong inputs and what is said about each, from the tests that give
//! them.
//!
//! `crates/ferrotape/tests/bad_input` gives them to the library, `crates/cli/tests/command/bad_input` to the
//! command. Both write down their sentences, and what each refusal took, where the variable
//! `FERROTAPE_BAD_INPUT` names a folder; out of these the table of `docs/reliability.md` is made, and the
//! sentence above it. `cargo xtask ci` checks that the page has the table; what a refusal takes differs from
//! run to run.

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
/// The mark of the sentence on what the refusals took.
const TOOK: &str = "bad-input, figures,";

/// One of the two records: its file, what the page calls it, and how it calls its inputs.
struct Record {
    file: &'static str,
    title: &'static str,
    head: &'static str,
}

const RECORDS: [Record; 2] = [
    Record { file: "library.jsonl", title: "The library", head: "given" },
    Record { file: "command.jsonl", title: "The command", head: "what is wrong, and the call" },
];

#[derive(Deserialize)]
struct Row {
    section: String,
    input: String,
    message: String,
    seconds: f64,
    /// The most bytes that were resident, or 0 where the system does not say.
    resident: u64,
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
    marked::write(root, PAGE, TOOK, &took(&folder)?)?;
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

/// What the tests wrote down.
fn rows(folder: &Path, record: &Record) -> Result<Vec<Row>> {
    let path = folder.join(record.file);
    let lines = fs::read_to_string(&path)
        .map_err(|error| format!("the tests left no {}: {error}", path.display()))?;
    Ok(lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
}

/// What the refusals took at most, a line a record.
fn took(folder: &Path) -> Result<String> {
    let mut text = String::from("\n");
    for record in RECORDS {
        let rows = rows(folder, &record)?;
        let slowest = rows.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let slowest = slowest.ok_or_else(|| format!("{} has no rows", record.file))?;
        let (title, count, seconds) = (record.title, rows.len(), round_up(slowest.seconds));
        write!(text, "- {title}, {count} refusals: each took less than {seconds} s")?;
        let resident = rows.iter().map(|row| row.resident).max().unwrap_or(0);
        if resident > 0 {
            let mebibytes = round_up(resident as f64 / f64::from(1 << 20));
            write!(text, " and less than {mebibytes} MiB of memory")?;
        }
        write!(text, ". The slowest: {}.", slowest.input)?;
        text += "\n";
    }
    Ok(text + "\n")
}

/// A number above a figure that has one digit other than zero, and at most one behind the point.
fn round_up(figure: f64) -> f64 {
    let tens = 10_f64.powi(figure.max(0.1).log10().floor() as i32);
    let digits = (figure / tens).floor() + 1.0;
    // Divided where that is exact, so that three tenths are 0.3.
    if tens < 1.0 { digits / 10.0 } else { digits * tens }
}

/// The part of the page.
fn table(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for record in RECORDS {
        let Record { title, head, .. } = record;
        let rows = rows(folder, &record)?;
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

    fn line(section: &str, message: &str, seconds: f64, resident: u64) -> String {
        let row = serde_json::json!({
            "section": section,
            "input": "a|b",
            "message": message,
            "seconds": seconds,
            "resident": resident,
        });
        format!("{row}\n")
    }

    #[test]
    fn the_most_that_a_refusal_took_is_rounded_up() {
        let place = tempfile::tempdir().unwrap();
        let rows = [line("Layers", "no", 0.04, 3 << 20), line("Layers", "no", 0.13, 50 << 20)];
        fs::write(place.path().join("library.jsonl"), rows.concat()).unwrap();
        fs::write(place.path().join("command.jsonl"), line("Flags", "no", 1.5, 0)).unwrap();
        assert_eq!(
            took(place.path()).unwrap(),
            "\n- The library, 2 refusals: each took less than 0.2 s and less than 60 MiB of memory. The slowest: \
             a|b.\n- The command, 1 refusals: each took less than 2 s. The slowest: a|b.\n\n"
        );
        let figures = [0.0, 0.25, 0.9, 1.0, 9.9, 12.0, 647.0];
        assert_eq!(figures.map(round_up), [0.1, 0.3, 1.0, 2.0, 10.0, 20.0, 700.0]);
    }

    #[test]
    fn rows_stand_under_their_sections_and_bars_and_ticks_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let row = |section: &str, message: &str| line(section, message, 0.0, 0);
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
