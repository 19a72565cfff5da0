//! The rules about the listings of the book: each is compiled and run, and so is each call that a table of
//! the pages for newcomers from another library shows.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::Violation;
use super::tree::{File, Tree};

/// The file whose documentation tests are the pages.
const RUNS_THEM: &str = "crates/ferrotape/src/lib.rs";

/// The pages whose tables show calls of another library beside ours.
const TABLES: &str = "docs/migrate/";

/// Every page of the book that has a Rust listing is among the documentation tests.
pub(super) fn are_run(tree: &Tree) -> Vec<Violation> {
    let run = tree.text(RUNS_THEM).unwrap_or_default();
    let pages = tree.files.iter().filter(|file| is_page(file) && !listings(&file.text).is_empty());
    pages
        .filter(|page| !run.contains(&format!("include_str!(\"../../../{}\")", page.path)))
        .map(|page| {
            let message = format!("has a listing that nothing runs; name the page in {RUNS_THEM}");
            Violation::whole(&page.path, message)
        })
        .collect()
}

/// What stands as code in the last column of a table of two is part of a listing of the page. A cell with a
/// link shows where else it is, and is left out.
pub(super) fn hold_what_tables_show(file: &File) -> Vec<Violation> {
    if !is_page(file) || !file.path.starts_with(TABLES) {
        return Vec::new();
    }
    let compiled = squeezed(&listings(&file.text).concat());
    let shown = shown(&file.text);
    let missing = shown.into_iter().filter(|(_, code)| !compiled.contains(&squeezed(code)));
    missing
        .map(|(line, code)| {
            let message =
                format!("{code} stands in a table and in no listing, so that nothing compiles it");
            Violation::at(&file.path, line, message)
        })
        .collect()
}

fn is_page(file: &File) -> bool {
    file.path.starts_with("docs/") && file.path.ends_with(".md")
}

/// Where a line breaks is no part of a call, nor is a comma before a bracket that closes.
fn squeezed(code: &str) -> String {
    let mut text: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    for bracket in [")", "]", "}"] {
        text = text.replace(&format!(",{bracket}"), bracket);
    }
    text
}

/// The Rust listings of a page.
fn listings(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                inside = language.split(',').next() == Some("rust");
                if inside {
                    found.push(String::new());
                }
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(line) if inside => found.last_mut().into_iter().for_each(|l| *l += &line),
            _ => {}
        }
    }
    found
}

/// The code in the last column of the tables of two columns, each with its line.
fn shown(text: &str) -> Vec<(usize, String)> {
    let line = |offset: usize| text[..offset].matches('\n').count() + 1;
    let (mut found, mut cell) = (Vec::new(), Vec::new());
    let (mut columns, mut column, mut is_head, mut has_link) = (0, 0, false, false);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Table(alignments)) => columns = alignments.len(),
            Event::Start(Tag::TableHead) => is_head = true,
            Event::End(TagEnd::TableHead) => is_head = false,
            Event::Start(Tag::TableRow) => column = 0,
            Event::Start(Tag::TableCell) => {
                column += 1;
                (cell, has_link) = (Vec::new(), false);
            }
            Event::Start(Tag::Link { .. }) => has_link = true,
            Event::Code(code) => cell.push((line(range.start), code.into_string())),
            Event::End(TagEnd::TableCell)
                if columns == 2 && column == 2 && !is_head && !has_link =>
            {
                found.append(&mut cell);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::{file, tree};
    use super::*;

    #[test]
    fn a_page_with_a_listing_that_is_not_run_is_reported() {
        let run = (RUNS_THEM, "#[doc = include_str!(\"../../../docs/a.md\")]");
        let listing = "```rust\nlet x = 1;\n```\n";
        let found = are_run(&tree(&[run, ("docs/a.md", listing), ("docs/b/c.md", listing)]));
        assert_eq!(found.iter().map(|v| v.file.as_str()).collect::<Vec<_>>(), ["docs/b/c.md"]);
        assert_eq!(are_run(&tree(&[run, ("docs/b.md", "```sh\nls\n```\n")])), []);
    }

    #[test]
    fn a_call_that_no_listing_has_is_reported_with_its_line() {
        let page = "| theirs | ours |\n| --- | --- |\n| `a` | `f(x, y)?`, `g(x)` |\n\n\
                    ```rust\nlet z = f(\n    x,\n    y,\n)?;\n```\n";
        let found = hold_what_tables_show(&file("docs/migrate/a.md", page));
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [Some(3)]);
        assert!(found[0].message.starts_with("g(x) "), "{found:?}");
        assert_eq!(hold_what_tables_show(&file("docs/other.md", page)), []);
    }

    #[test]
    fn heads_links_other_tables_and_escaped_bars_are_no_trouble() {
        let page = "| `x` | `ours` |\n| --- | --- |\n| a | the trait `Op`: [there](b.md) |\n\
                    | `b` | `g(\\|x\\| x)` |\n\n| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | `z` |\n\n\
                    ```rust\ng(|x| x);\n```\n";
        assert_eq!(hold_what_tables_show(&file("docs/migrate/a.md", page)), []);
    }
}
