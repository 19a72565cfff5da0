//! The rules about Rust sources: a stated purpose, a readable length, no leftovers, no stray `unsafe`.

use super::Violation;
use super::lexer::{code_only, lines_with};
use super::tree::{File, Tree};

/// Where `unsafe` may stand: kernels, the allocator, the map of a file, calls into other languages, what
/// measures the machine and calls the peers' kernels.
/// A name that ends with `/` allows a whole folder.
const UNSAFE: &[&str] = &[
    "benches/ceilings/",
    "benches/memory/trim.rs",
    "benches/peers/gemm/src/main.rs",
    "benches/peers/harness/src/memory.rs",
    "crates/cli/tests/command/bad_input/cost.rs",
    "crates/cpu/src/kernels/",
    "crates/cpu/src/alloc/",
    "crates/cpu/src/team.rs",
    "crates/cuda/src/emulator.rs",
    "crates/cuda/src/gpu.rs",
    "crates/cuda/src/graph.rs",
    "crates/cuda/src/library/",
    "crates/cuda/src/probe.rs",
    "crates/cuda/src/staging.rs",
    "crates/cuda/src/stopwatch.rs",
    "crates/nn/src/state_dict/mapped.rs",
];

/// The longest a source may be, in lines.
const MOST_LINES: usize = 600;

/// Sources that may be longer, each with the reason.
const LONG: &[(&str, &str)] = &[];

/// Macros that stand for work not done, as they are called.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// Notes to oneself, put together here so that this file does not hold them.
const NOTES: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

/// A source says in its first line why it exists.
pub(super) fn begins_with_its_purpose(file: &File) -> Vec<Violation> {
    let is_exempt = !file.is_rust() || file.path.ends_with("build.rs");
    if is_exempt || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![Violation::at(&file.path, 1, "must begin with a `//!` comment that says why it exists")]
}

/// A source has one subject and a length that shows it.
pub(super) fn is_not_too_long(file: &File) -> Vec<Violation> {
    let lines = file.text.lines().count();
    let is_listed = LONG.iter().any(|(path, _)| *path == file.path);
    if !file.is_rust() || lines <= MOST_LINES || is_listed {
        return Vec::new();
    }
    let message = format!(
        "has {lines} lines; above {MOST_LINES} look for its second subject, or list it with the \
         reason in xtask/src/tidy/sources.rs"
    );
    vec![Violation::whole(&file.path, message)]
}

/// No source waits for work that was put off.
pub(super) fn has_no_leftovers(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    if file.is_rust() {
        let code = code_only(&file.text);
        for name in UNFINISHED {
            for line in called(&code, name) {
                found.push(Violation::at(&file.path, line, format!("calls {name}!")));
            }
        }
    }
    if [".rs", ".md", ".toml"].iter().any(|ending| file.path.ends_with(ending)) {
        for note in NOTES {
            for line in lines_with(&file.text, note) {
                found.push(Violation::at(&file.path, line, format!("has the note {note}")));
            }
        }
    }
    found
}

/// No test and no example is switched off.
pub(super) fn has_no_ignored_test(file: &File) -> Vec<Violation> {
    if !file.is_rust() && !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        let options = line.strip_prefix("```").unwrap_or_default();
        if options.split([',', ' ']).any(|option| option.starts_with("ignore")) {
            let message = "an example that is not compiled goes stale; make it run";
            found.push(Violation::at(&file.path, number + 1, message));
        }
    }
    if file.is_rust() {
        for (number, line) in code_only(&file.text).lines().enumerate() {
            if line.contains("#[ignore") {
                let message = "a test that does not run proves nothing; run it or delete it";
                found.push(Violation::at(&file.path, number + 1, message));
            }
        }
    }
    found
}

/// `unsafe` stands in kernels, the allocator and foreign interfaces, nowhere else.
pub(super) fn is_unsafe_only_where_allowed(file: &File) -> Vec<Violation> {
    if !file.is_rust() || UNSAFE.iter().any(|allowed| covers(allowed, &file.path)) {
        return Vec::new();
    }
    let lines = lines_with(&code_only(&file.text), "unsafe");
    let message = "unsafe code belongs in a module of the list in xtask/src/tidy/sources.rs";
    lines.into_iter().map(|line| Violation::at(&file.path, line, message)).collect()
}

/// An allowance that nothing needs any more is taken back.
pub(super) fn allowances_are_used(tree: &Tree) -> Vec<Violation> {
    let is_long =
        |path: &str| tree.text(path).is_some_and(|text| text.lines().count() > MOST_LINES);
    let stale = LONG.iter().filter(|(path, _)| !is_long(path));
    let message = "is listed as a long file but is not one; take it off the list";
    stale.map(|(path, _)| Violation::whole(path, message)).collect()
}

fn covers(allowed: &str, path: &str) -> bool {
    if allowed.ends_with('/') { path.starts_with(allowed) } else { path == allowed }
}

/// The lines in which the macro is called.
fn called(code: &str, name: &str) -> Vec<usize> {
    lines_with(code, name)
        .into_iter()
        .filter(|&line| {
            let line = code.lines().nth(line - 1).unwrap_or_default();
            line.contains(&format!("{name}!"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    #[test]
    fn a_source_without_a_purpose_is_reported() {
        assert_eq!(begins_with_its_purpose(&file("a.rs", "fn main() {}")).len(), 1);
        assert_eq!(begins_with_its_purpose(&file("a.rs", "//! Why.\n")), []);
        assert_eq!(begins_with_its_purpose(&file("crates/x/build.rs", "fn main() {}")), []);
        assert_eq!(begins_with_its_purpose(&file("a.md", "text")), []);
    }

    #[test]
    fn a_source_is_too_long_at_one_line_above_the_limit() {
        let lines = |count| "a\n".repeat(count);
        assert_eq!(is_not_too_long(&file("a.rs", &lines(MOST_LINES))), []);
        assert_eq!(is_not_too_long(&file("a.rs", &lines(MOST_LINES + 1))).len(), 1);
        assert_eq!(is_not_too_long(&file("a.md", &lines(MOST_LINES + 1))), []);
    }

    #[test]
    fn unfinished_work_is_found_in_code_but_not_in_words() {
        for code in ["fn f() { todo!() }", "unimplemented!(\"x\")", "let x = dbg!(y);"] {
            assert_eq!(has_no_leftovers(&file("a.rs", code)).len(), 1, "{code}");
        }
        for code in ["// todo!()", "\"dbg!\"", "not_todo!()", "todo(list)"] {
            assert_eq!(has_no_leftovers(&file("a.rs", code)), [], "{code}");
        }
    }

    #[test]
    fn notes_to_oneself_are_found_in_comments_and_pages() {
        for note in NOTES {
            let text = format!("a\n// {note}: later");
            let found = has_no_leftovers(&file("a.rs", &text));
            assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [Some(2)]);
            assert_eq!(has_no_leftovers(&file("docs/a.md", &text)).len(), 1);
            assert_eq!(has_no_leftovers(&file("a.csv", &text)), []);
        }
    }

    #[test]
    fn examples_and_tests_that_do_not_run_are_found() {
        let fence = "```";
        for options in ["ignore", "rust,ignore", "ignore-wasm32", "rust ignore"] {
            for start in ["/// ", "//! ", "    /// "] {
                let text = format!("{start}{fence}{options}\n");
                assert_eq!(has_no_ignored_test(&file("a.rs", &text)).len(), 1, "{text}");
            }
        }
        assert_eq!(has_no_ignored_test(&file("a.md", "```rust,ignore")).len(), 1);
        assert_eq!(has_no_ignored_test(&file("a.rs", "#[ignore = \"slow\"]")).len(), 1);
        assert_eq!(has_no_ignored_test(&file("a.rs", "// #[ignore]\n/// ```should_panic")), []);
    }

    #[test]
    fn unsafe_is_found_outside_the_list_only() {
        let text = "//! x\nlet a = unsafe { b() };\n";
        let found = is_unsafe_only_where_allowed(&file("crates/nn/src/a.rs", text));
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [Some(2)]);
        for allowed in ["crates/cpu/src/kernels/gemm.rs", "crates/cpu/src/alloc/arena.rs"] {
            assert_eq!(is_unsafe_only_where_allowed(&file(allowed, text)), []);
        }
        assert_eq!(is_unsafe_only_where_allowed(&file("a.rs", "// unsafe")), []);
        assert_eq!(is_unsafe_only_where_allowed(&file("a.rs", "#![deny(unsafe_code)]")), []);
    }

    #[test]
    fn a_folder_is_allowed_whole_and_a_file_exactly() {
        assert!(covers("a/b/", "a/b/c/d.rs"));
        assert!(!covers("a/b/", "a/bc.rs"));
        assert!(!covers("a/b.rs", "a/b.rs.rs"));
    }
}
