//! `cargo xtask fuzz`: runs the fuzz targets, keeps what they find, and writes down in `docs/reliability.md` for how
//! long each has found nothing.

mod build;
mod record;
mod session;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use serde::Deserialize;

use crate::metadata::Metadata;
use crate::shell::Call;
use crate::{Result, marked};

use record::Records;
use session::{Ended, Session};

/// What `cargo xtask fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The targets to run; all of them when none is named.
    targets: Vec<String>,
    /// For how long each is run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many are run at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

const PAGE: &str = "docs/reliability.md";

/// A row of the table of targets, as the example `targets` of `ferrotape-fuzz` prints it.
#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: String,
    feeds: String,
    /// The most bytes that are worth trying.
    longest: usize,
    /// The folders under `crates/` whose sources it runs.
    reaches: Vec<String>,
}

/// Runs the targets and writes down what came of it.
///
/// # Errors
/// Something is not installed, or a target found something; the message has the case and how to replay it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    let all = targets(root)?;
    let chosen = chosen(&all, &args.targets)?;
    let programs = build::build(root, &metadata.target_directory.join("fuzz"), &chosen)?;
    let session = Session { root, programs: &programs, seconds: args.seconds };
    let queue = Mutex::new(chosen.iter().collect::<VecDeque<_>>());
    let notes = Mutex::new(Notes { records: Records::read(root)?, found: Vec::new() });
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some(target) = next(&queue) {
                    let end = session.run(target).map_err(|error| error.to_string());
                    // At once: whatever ends this command must not take along what was run.
                    let mut notes = locked(&notes);
                    if let Err(error) = notes.take(root, &all, target, end) {
                        notes.found.push(format!("{} was not recorded: {error}", target.name));
                    }
                }
            });
        }
    });
    let notes = notes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if notes.found.is_empty() {
        print!("{}", notes.records.table(root, &all)?);
        return Ok(());
    }
    Err(notes.found.join("\n").into())
}

/// What came of the targets that have ended.
struct Notes {
    records: Records,
    found: Vec<String>,
}

impl Notes {
    /// Takes the end of a target in, and writes record and page.
    fn take(
        &mut self,
        root: &Path,
        all: &[Target],
        target: &Target,
        end: std::result::Result<Ended, String>,
    ) -> Result<()> {
        match end {
            Ok(Ended::Clean(run)) => self.records.add(root, target, run)?,
            Ok(Ended::Found(text)) => {
                self.records.forget(target);
                self.found.push(text);
            }
            Err(error) => self.found.push(format!("{} was not run: {error}", target.name)),
        }
        self.records.write(root)?;
        marked::write(root, PAGE, "fuzz", &self.records.table(root, all)?)
    }
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    locked(queue).pop_front()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The table of targets.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let call = Call::cargo("run --quiet --locked -p ferrotape-fuzz --example targets");
    let text = call.read(root)?;
    Ok(text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
}

/// Those of these names, or all.
fn chosen(all: &[Target], names: &[String]) -> Result<Vec<Target>> {
    let known = |name: &String| all.iter().any(|target| target.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        return Err(
            format!("there is no target {unknown}; name some of {}", known.join(", ")).into()
        );
    }
    let is_chosen = |target: &&Target| names.is_empty() || names.contains(&target.name);
    Ok(all.iter().filter(is_chosen).cloned().collect())
}

/// The files of a folder and of those in it, sorted.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(self::files(&path)?),
            false => files.push(path),
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn target(name: &str) -> Target {
        let reaches = vec!["data".to_owned()];
        Target { name: name.to_owned(), feeds: "a file".to_owned(), longest: 9, reaches }
    }

    #[test]
    fn all_targets_or_those_that_are_named() {
        let all = [target("a"), target("b")];
        assert_eq!(chosen(&all, &[]).unwrap().len(), 2);
        assert_eq!(chosen(&all, &["b".to_owned()]).unwrap()[0].name, "b");
        let error = chosen(&all, &["c".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no target c; name some of a, b"), "{error}");
    }
}
