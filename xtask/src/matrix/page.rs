//! The page of the book that shows a record.

use std::fmt::Write;

use super::expected::Expected;
use super::record::{Proof, Record};

const INTRODUCTION: &str = "\
# Coverage

What the tests have proven, from their own record: `cargo xtask matrix` runs them, writes this page, and
fails where an operator lacks a proof. No cell is written by hand. `cargo xtask ci` checks the same.

A number is the largest relative error that any test saw; a dash means that there is nothing to prove, as
where an operator has no gradient or no test has that layout. The CPU backend appears once for each set
of instructions.
";

const PYTORCH: &str = "
Every case of the reference fixtures, computed by PyTorch in f64. Errors are relative to the larger of a
tensor's largest value and 0.01.
";

const LAWS: &str = "
Generated inputs and attributes, in f64. *value*: value and gradients beside the reference backend's,
*gradient* and *second*: first and second derivative beside difference quotients, the layouts: value and
gradients beside those of contiguous inputs. An operator has the errors of every law whose source calls
it.
";

const LAYOUTS: [&str; 7] =
    ["contiguous", "channels-last", "channel slice", "sliced", "permuted", "flipped", "broadcast"];

pub(super) fn write(expected: &Expected, record: &Record) -> String {
    let mut page = INTRODUCTION.to_owned();
    let devices = record.devices();
    for (dtype, tolerance) in [("f64", "1e-10"), ("f32", "1e-4")] {
        page += &format!("\n## Beside PyTorch, in {dtype} (tolerance {tolerance})\n");
        page += PYTORCH;
        page += &fixtures(expected, record, &devices, dtype);
    }
    for device in devices {
        page += &format!("\n## Laws, on {device}\n");
        page += LAWS;
        page += &laws(expected, record, device);
    }
    page += "\n## Without a law\n\n";
    for (name, reason) in expected.without_law() {
        writeln!(page, "- `{name}` {reason}").expect("a String takes everything");
    }
    page
}

fn fixtures(expected: &Expected, record: &Record, devices: &[&str], dtype: &str) -> String {
    let mut head = vec!["operator".to_owned()];
    for device in devices {
        head.extend([format!("{device}: value"), "gradient".to_owned()]);
    }
    let row = |op: &str| {
        let mut cells = vec![format!("`{op}`")];
        for device in devices {
            for what in ["value", "gradient"] {
                cells.push(cell(record.largest(|proof| {
                    proof.kind == "fixture"
                        && proof.subject == op
                        && proof.what == what
                        && (&*proof.dtype, &*proof.device) == (dtype, device)
                })));
            }
        }
        cells
    };
    table(&head, expected.fixtures.keys().map(|op| row(op)))
}

fn laws(expected: &Expected, record: &Record, device: &str) -> String {
    let columns = || super::expected::PARTS.into_iter().chain(LAYOUTS);
    let head: Vec<String> =
        std::iter::once("operator").chain(columns()).map(str::to_owned).collect();
    let row = |operator: &str| {
        let proves = |proof: &Proof, what: &str| {
            proof.kind == "law"
                && proof.what == what
                && proof.device == device
                && proof.calls(operator)
        };
        let cells = columns().map(|what| cell(record.largest(|proof| proves(proof, what))));
        std::iter::once(format!("`{operator}`")).chain(cells).collect()
    };
    table(&head, expected.with_law().map(row))
}

fn cell(error: Option<f64>) -> String {
    match error {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(error) => format!("{error:.0e}"),
    }
}

fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let mut text = format!("\n{}{}", line(head), line(&rule));
    rows.for_each(|row| text += &line(&row));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_by_its_size_and_none_by_a_dash() {
        assert_eq!([cell(Some(2.3e-11)), cell(Some(0.0)), cell(None)], ["2e-11", "0", "-"]);
    }
}
