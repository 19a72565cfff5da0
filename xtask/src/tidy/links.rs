//! The rules about the book and the README: links lead to files that exist, no page is lost, and no part that a
//! command writes is empty.

use pulldown_cmark::{Event, Parser, Tag};

use super::Violation;
use super::tree::{File, Tree};

/// The page that lists the pages of the book.
const SUMMARY: &str = "docs/SUMMARY.md";

/// A relative link of a page leads to a file of the repository.
pub(super) fn lead_somewhere(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for page in &tree.files {
        if !is_page(&page.path) {
            continue;
        }
        for (line, target) in links(&page.text) {
            let Some(path) = resolve(&page.path, &target) else { continue };
            if !exists(tree, &path) {
                let message = format!("the link to {target} leads nowhere");
                found.push(Violation::at(&page.path, line, message));
            }
        }
    }
    found
}

/// Every page of the book is in its table of contents; mdBook leaves out the rest without a word.
pub(super) fn summary_lists_every_page(tree: &Tree) -> Vec<Violation> {
    let Some(summary) = tree.text(SUMMARY) else {
        return vec![Violation::whole(SUMMARY, "the book has no table of contents")];
    };
    let links = links(summary);
    let listed: Vec<_> = links.iter().filter_map(|(_, link)| resolve(SUMMARY, link)).collect();
    let pages = tree.paths.iter().filter(|path| {
        path.starts_with("docs/") && path.ends_with(".md") && path.as_str() != SUMMARY
    });
    let lost = pages.filter(|path| !listed.contains(path));
    lost.map(|path| Violation::whole(path, format!("is not listed in {SUMMARY}"))).collect()
}

/// What a command writes between two comments is there. The page around it speaks of it, and reads well enough
/// without it that nobody misses a table that was lost.
pub(super) fn written_parts_are_there(file: &File) -> Vec<Violation> {
    if !is_page(&file.path) {
        return Vec::new();
    }
    let lines = (1..).zip(file.text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let is_comment = |line: &str| line.starts_with("<!--") && line.ends_with("-->");
    let begins = |line: &str| {
        is_comment(line) && (line.contains("written by cargo") || line.contains("writes from here"))
    };
    lines
        .clone()
        .zip(lines.skip(1))
        .filter(|((_, line), (_, next))| begins(line) && is_comment(next))
        .map(|((number, _), _)| {
            Violation::at(&file.path, number, "nothing stands in what a command writes here")
        })
        .collect()
}

fn is_page(path: &str) -> bool {
    path.ends_with(".md") && (path.starts_with("docs/") || path.ends_with("README.md"))
}

/// The links and pictures of a page, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let events = Parser::new(text).into_offset_iter();
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url),
        _ => None,
    };
    let line = |offset: usize| text[..offset].matches('\n').count() + 1;
    events
        .filter_map(|(event, range)| Some((line(range.start), target(event)?.into_string())))
        .collect()
}

/// The path from the root that a link of `page` means; `None` for an address or a place in the page.
fn resolve(page: &str, link: &str) -> Option<String> {
    let path = link.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // A link that climbs above the root keeps its dots and so is not found.
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty() || tree.paths.iter().any(|known| known == path || known.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    #[test]
    fn a_link_to_a_missing_file_is_reported_with_its_line() {
        let page = "# A\n\n[there](b.md#part) and\n[not there](c.md)\n";
        let tree = tree(&[("docs/a.md", page), ("docs/b.md", "")]);
        let found = lead_somewhere(&tree);
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [Some(4)]);
    }

    #[test]
    fn addresses_anchors_folders_and_code_are_no_broken_links() {
        let page = "[a](https://a.example/x) [b](#b) [c](../crates/nn) `[d](e.md)`\n\n\
            ```text\n[f](g.md)\n```\n\n[h](../README.md)";
        let tree = tree(&[("docs/a.md", page), ("crates/nn/x.rs", ""), ("README.md", "")]);
        assert_eq!(lead_somewhere(&tree), []);
    }

    #[test]
    fn pictures_and_reference_links_are_followed() {
        let page = "![a](a.png) [b][c]\n\n[c]: d.md\n";
        assert_eq!(lead_somewhere(&tree(&[("README.md", page)])).len(), 2);
    }

    #[test]
    fn a_link_out_of_the_repository_is_reported() {
        assert_eq!(lead_somewhere(&tree(&[("docs/a.md", "[x](../../a.md)")])).len(), 1);
    }

    #[test]
    fn a_part_that_a_command_left_empty_is_reported() {
        let page = |inside: &str| {
            let text =
                format!("# A\n\n<!-- x: written by cargo xtask y -->\n{inside}<!-- end -->\n");
            let tree = tree(&[("docs/a.md", &text)]);
            written_parts_are_there(&tree.files[0]).iter().map(|v| v.line).collect::<Vec<_>>()
        };
        assert_eq!(page("\n| a |\n| --- |\n\n"), []);
        assert_eq!((page(""), page("\n\n")), (vec![Some(3)], vec![Some(3)]));
        let marked =
            "<!-- cargo xtask y writes from here -->\n<!-- cargo xtask y writes to here -->\n";
        let tree = tree(&[("README.md", marked)]);
        assert_eq!(written_parts_are_there(&tree.files[0]).len(), 1);
    }

    #[test]
    fn a_page_that_the_summary_does_not_list_is_reported() {
        let summary = ("docs/SUMMARY.md", "- [a](a.md)");
        let pages = tree(&[summary, ("docs/a.md", ""), ("docs/b.md", "")]);
        let found = summary_lists_every_page(&pages);
        assert_eq!(found.iter().map(|v| v.file.as_str()).collect::<Vec<_>>(), ["docs/b.md"]);
        assert_eq!(summary_lists_every_page(&tree(&[])).len(), 1);
    }
}
