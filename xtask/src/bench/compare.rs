//! Rows kept under a name, and what has changed since.
//!
//! A row's time is its median. Its noise is half of the sum of the two spreads, each (max - min) /
//! median: as far apart as two medians may be whose samples still reach each other. A change is
//! marked only where it is larger than that.

use std::fs;
use std::path::{Path, PathBuf};

use super::line::{self, Line};
use super::machine::Machine;
use super::passes::Entry;
use super::text::{Table, three_digits};
use crate::Result;

/// Where the rows of a name are kept, below the target folder.
pub(super) fn place(target: &Path, name: &str) -> PathBuf {
    target.join("ferrotape-bench").join(format!("{name}.jsonl"))
}

/// Keeps the lines.
///
/// # Errors
/// The file cannot be written.
pub(super) fn save(path: &Path, lines: &[Line]) -> Result<()> {
    let text = line::json(lines)?;
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| fs::write(path, text));
    Ok(written.map_err(|error| format!("{} was not written: {error}", path.display()))?)
}

/// The lines that were kept under a name.
///
/// # Errors
/// There are none, and which names there are.
pub(super) fn load(target: &Path, name: &str) -> Result<Vec<Line>> {
    let path = place(target, name);
    if path.exists() {
        return line::read(&path);
    }
    let files = fs::read_dir(path.parent().unwrap_or(target)).into_iter().flatten().flatten();
    let mut known: Vec<_> = files
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    known.sort();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(format!("nothing was saved as \"{name}\"; there is {known}. Save rows with --save {name}")
        .into())
}

/// One row then and now.
#[derive(Debug, PartialEq)]
struct Change<'a> {
    name: &'a str,
    old_ms: f64,
    new_ms: f64,
    noise: f64,
}

impl<'a> Change<'a> {
    /// The change of a row; none where one side was not measured.
    fn of(old: &[Entry], new: &'a Entry) -> Option<Self> {
        let same =
            |old: &&Entry| (&old.peer, &old.mode, &old.name) == (&new.peer, &new.mode, &new.name);
        let old = old.iter().find(same)?;
        Some(Self {
            name: &new.name,
            old_ms: old.median_ms?,
            new_ms: new.median_ms?,
            noise: (old.spread()? + new.spread()?) / 2.0,
        })
    }

    /// New time over old time.
    fn ratio(&self) -> f64 {
        self.new_ms / self.old_ms
    }

    /// `faster` or `slower` where the change is larger than the noise. Twice as fast and half as fast
    /// are changes of the same size.
    fn mark(&self) -> &'static str {
        let ratio = self.ratio();
        match ratio.max(1.0 / ratio) - 1.0 > self.noise {
            false => "",
            true if ratio < 1.0 => "faster",
            true => "slower",
        }
    }
}

/// Old and new time of each row that both have, their ratio, and a mark where it is no noise.
pub(super) fn table(name: &str, old: &[Line], new: &[Line]) -> String {
    let (before, after) = (Entry::all(old), Entry::all(new));
    let mut table =
        Table::new(&["name", "old ms", "new ms", "new / old", "noise", "change"], &[0, 5]);
    let mut missing = 0;
    for entry in after.iter().filter(|entry| entry.is_ours()) {
        let Some(change) = Change::of(&before, entry) else {
            missing += 1;
            continue;
        };
        table.row(vec![
            change.name.to_owned(),
            three_digits(change.old_ms),
            three_digits(change.new_ms),
            format!("{:.3}", change.ratio()),
            format!("{:.1} %", change.noise * 100.0),
            change.mark().to_owned(),
        ]);
    }
    let mut text = format!("\nbeside \"{name}\": {}\n{table}", Machine::of(old));
    if missing > 0 {
        text += &format!("\"{name}\" has no figure for {missing} of these rows\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn change(old_ms: f64, new_ms: f64, noise: f64) -> Change<'static> {
        Change { name: "x", old_ms, new_ms, noise }
    }

    #[test]
    fn only_a_change_larger_than_the_noise_is_marked() {
        assert_eq!(change(10.0, 10.9, 0.1).mark(), "");
        assert_eq!(change(10.0, 11.1, 0.1).mark(), "slower");
        assert_eq!(change(10.0, 8.9, 0.1).mark(), "faster");
        assert_eq!(change(10.0, 9.2, 0.1).mark(), "");
    }

    #[test]
    fn the_noise_is_half_of_both_spreads() {
        let old = [line("ferrotape", "default", "x", 100.0)];
        let mut new = old.clone();
        new[0].max_ms = new[0].min_ms;
        let (old, new) = (Entry::all(&old), Entry::all(&new));
        let change = Change::of(&old, &new[0]).unwrap();
        assert!((change.noise - 0.1).abs() < 1e-9, "{change:?}");
    }

    #[test]
    fn what_was_saved_is_compared_and_what_was_not_is_said() {
        let target = tempfile::tempdir().unwrap();
        let error = load(target.path(), "before").unwrap_err().to_string();
        assert!(error.contains("there is none"), "{error}");
        let old = [line("ferrotape", "default", "x", 100.0)];
        save(&place(target.path(), "before"), &old).unwrap();
        assert_eq!(load(target.path(), "before").unwrap(), old);
        assert!(load(target.path(), "after").unwrap_err().to_string().contains("before"));
        let new =
            [line("ferrotape", "default", "x", 200.0), line("ferrotape", "default", "y", 1.0)];
        let text = table("before", &old, &new);
        assert!(text.contains("0.500") && text.contains("faster"), "{text}");
        assert!(text.contains("no figure for 1"), "{text}");
    }
}
