//! `cargo xtask api`: the public items of every library crate, a text a crate under `api/`, so that a change
//! of what others build on is seen in review.
//!
//! The list comes from `cargo public-api`, which reads the compiler's documentation as data. Only a nightly
//! compiler writes that, so this is no part of `cargo xtask ci`.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// What `cargo xtask api` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the texts in place of comparing with them.
    #[arg(long)]
    bless: bool,
}

/// The folder of the texts.
const FOLDER: &str = "api";

/// The crates whose items others build on; the rest are programs, tests and chores.
const CRATES: &[&str] = &[
    "ferrotape",
    "ferrotape-autograd",
    "ferrotape-backend",
    "ferrotape-cpu",
    "ferrotape-cuda",
    "ferrotape-data",
    "ferrotape-gradcheck",
    "ferrotape-mnist",
    "ferrotape-nn",
    "ferrotape-nn-derive",
    "ferrotape-onnx",
    "ferrotape-train",
    "ferrotape-zoo",
];

/// Compares, or writes.
///
/// # Errors
/// The items are others than those of the texts; the message has the first of them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    if args.bless {
        fs::create_dir_all(root.join(FOLDER))?;
    }
    let mut changed = Vec::new();
    for name in CRATES {
        eprintln!("api: {name} ...");
        // Without the traits that every type has, which say nothing about the crate.
        let call =
            Call::cargo(&format!("public-api --simplified --simplified --all-features -p {name}"));
        let items = call.read(&root).map_err(|error| {
            format!("{error}\nThis needs a nightly toolchain and cargo install cargo-public-api.")
        })?;
        if args.bless {
            fs::write(text_of(&root, name), items)?;
            continue;
        }
        let text = fs::read_to_string(text_of(&root, name)).unwrap_or_default();
        changed.extend(difference(&text, &items).into_iter().map(|line| format!("{name}: {line}")));
    }
    if changed.is_empty() {
        println!("{} crates have the items that {FOLDER}/ lists", CRATES.len());
        return Ok(());
    }
    Err(format!(
        "what others build on has changed; if it is meant to, write it with cargo xtask api --bless:\n    {}",
        changed.join("\n    ")
    )
    .into())
}

fn text_of(root: &Path, name: &str) -> std::path::PathBuf {
    root.join(FOLDER).join(format!("{name}.txt"))
}

/// The lines that only one of two sorted texts has.
fn difference(before: &str, after: &str) -> Vec<String> {
    let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    let gone = gone.map(|line| format!("- {line}"));
    gone.chain(new.map(|line| format!("+ {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_came_or_went_is_told() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
        assert!(difference("a\n", "a\n").is_empty());
    }
}
