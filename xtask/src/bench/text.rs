//! Tables of plain text, and figures in them.

use std::fmt;

/// A table for a terminal or for a page.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    left: &'static [usize],
}

impl Table {
    /// A table with these heads; the columns in `left` begin at the left, figures end at the right.
    pub(super) fn new(heads: &[&str], left: &'static [usize]) -> Self {
        Self { rows: vec![heads.iter().map(|&head| head.to_owned()).collect()], left }
    }

    /// Adds a row with a cell for every head.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether there is nothing below the heads.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table in Markdown, with an empty line before it.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<_> = (0..self.rows[0].len())
            .map(|column| if self.left.contains(&column) { "---" } else { "---:" }.to_owned())
            .collect();
        let body: String = self.rows[1..].iter().map(|row| line(row)).collect();
        format!("\n{}{}{body}", line(&self.rows[0]), line(&rule))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell = match self.left.contains(&column) {
                    true => format!("{cell:<width$}  "),
                    false => format!("{cell:>width$}  "),
                };
                line += &cell;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The figure with at least three digits that count.
pub(super) fn three_digits(value: f64) -> String {
    let whole = value.abs().max(1e-9).log10().floor();
    let decimals = (2.0 - whole).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// The figure, or nothing.
pub(super) fn or_blank(value: Option<f64>) -> String {
    value.map_or_else(String::new, three_digits)
}

/// `part` of `whole` as a percentage, or nothing.
pub(super) fn percent(part: Option<f64>, whole: Option<f64>) -> String {
    match (part, whole) {
        (Some(part), Some(whole)) if whole > 0.0 => format!("{:.0} %", part / whole * 100.0),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_at_the_left_and_figures_end_at_the_right() {
        let mut table = Table::new(&["name", "ms"], &[0]);
        assert!(table.is_empty());
        table.row(vec!["a".to_owned(), "12.5".to_owned()]);
        table.row(vec!["longer".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "name      ms\na       12.5\nlonger\n");
        let page = "\n| name | ms |\n| --- | ---: |\n| a | 12.5 |\n| longer |  |\n";
        assert_eq!(table.markdown(), page);
    }

    #[test]
    fn small_and_large_figures_keep_three_digits() {
        for (value, text) in
            [(0.001234, "0.00123"), (1.234, "1.23"), (12.34, "12.3"), (12345.6, "12346")]
        {
            assert_eq!(three_digits(value), text);
        }
    }

    #[test]
    fn a_share_of_something_unknown_is_blank() {
        assert_eq!(percent(Some(75.4), Some(100.0)), "75 %");
        assert_eq!(percent(None, Some(100.0)), "");
        assert_eq!(percent(Some(1.0), None), "");
        assert_eq!(or_blank(None), "");
    }
}
