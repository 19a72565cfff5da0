//! Tables that a figure's run writes into its page, between two comments.

use std::fs;

use crate::Result;
use crate::material::book;

/// Puts `table` between `<!-- NAME: written by cargo xtask figures -->` and `<!-- end -->` of a page.
pub(crate) fn write(page: &str, name: &str, table: &str) -> Result<()> {
    let path = book().join(format!("questions/{page}.md"));
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let begin = format!("<!-- {name}: written by cargo xtask figures -->\n");
    let end = "<!-- end -->";
    let missing = || format!("{} has no place for the table {name}", path.display());
    let from = text.find(&begin).ok_or_else(missing)? + begin.len();
    let to = from + text[from..].find(end).ok_or_else(missing)?;
    let text = format!("{}\n{}\n\n{}", &text[..from], table.trim(), &text[to..]);
    Ok(fs::write(path, text)?)
}

/// A table of the head and the rows.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let rows = rows.iter().map(|row| line(row)).collect::<String>();
    line(&head) + &line(&rule) + &rows
}

/// A share in percent with its spread.
pub(crate) fn percent((mean, deviation): (f64, f64)) -> String {
    format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * deviation)
}

/// An integer with its thousands apart.
pub(crate) fn count(value: usize) -> String {
    ferrotape::train::format::count(value as u64)
}
