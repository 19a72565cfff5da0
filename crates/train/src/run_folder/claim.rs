//! The folder of a new run: claimed for one run alone, and taken away again if the run fails.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{CHECKPOINT, CONFIG, DEFAULT_BASE, METRICS, MODEL, RunFolder, names_in};
use crate::atomic::SCRAP;
use crate::{Error, Result};

/// What a [`RunFolder`] brought into being and answers for until it is kept.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Folders, outermost first.
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Best effort: this runs on the way out of a failure that has its own message. A folder
        // that is not empty does not let itself be removed, which protects what others put there.
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl RunFolder {
    /// Makes the folder of a new run: `out`, which must be missing, empty, or what is left of a run that
    /// was ended before its first checkpoint; or else `runs/<name>-<n>` with an `n` above every other
    /// there, counted from 1.
    ///
    /// Two runs that start at the same moment never get the same folder: one of them gets the next
    /// number, or the error that `out` is not empty. That the folder can be written is known when
    /// this returns.
    ///
    /// # Errors
    ///
    /// If `out` is a file or holds anything else (a run that can be gone on with is called one), `name` is no
    /// plain file name, or the folder cannot be made or written. Nothing is left behind then.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// std::fs::write(place.path().join("thesis.tex"), "...")?;
    /// let error = RunFolder::create(Some(place.path()), "lenet5").unwrap_err();
    /// assert!(error.to_string().contains("is not empty"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(out: Option<&Path>, name: &str) -> Result<Self> {
        match out {
            Some(path) => Self::create_at(path),
            None => Self::create_in(Path::new(DEFAULT_BASE), name),
        }
    }

    /// Makes the folder `<base>/<name>-<n>`; [`create`](Self::create) without `out` has the base
    /// `runs`.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let first = RunFolder::create_in(place.path(), "lenet5")?;
    /// let second = RunFolder::create_in(place.path(), "lenet5")?;
    /// assert!(first.path().ends_with("lenet5-1") && second.path().ends_with("lenet5-2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_in(base: &Path, name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
            return Err(Error::BadName { name: name.into() });
        }
        let mut made = Made::default();
        let mut number = last_number(base, name) + 1;
        loop {
            make_folders(base, &mut made)?;
            let path = base.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    made.folders.push(path.clone());
                    return Self::claim(path, made);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                // Another run that failed has just taken the base away again.
                Err(e) if e.kind() == io::ErrorKind::NotFound && !base.is_dir() => {}
                Err(e) => return Err(Error::io("create the folder", path, e)),
            }
        }
    }

    /// Takes `path`, which is missing or empty.
    fn create_at(path: &Path) -> Result<Self> {
        let mut made = Made::default();
        make_folders(path, &mut made)?;
        let mut entries = fs::read_dir(path).map_err(|e| Error::io("read", path, e))?;
        if entries.next().is_none() {
            return Self::claim(path.into(), made);
        }
        let file = path.join(METRICS);
        // Nothing is locked, or even opened, in a folder that is somebody else's.
        if !names_in(path).iter().all(|name| is_of_a_start(name)) || !file.is_file() {
            return Err(not_empty(path.into()));
        }
        // Whoever holds the lock is between its first file and its first checkpoint.
        let (metrics, lock) = lock(path, &file)?;
        if !is_left_of_a_start(path, &metrics)? {
            return Err(not_empty(path.into()));
        }
        remove_scraps(path);
        let _ = fs::remove_file(path.join(CONFIG));
        made.files.push(file);
        Ok(Self { path: path.into(), metrics: Some(metrics), _lock: lock, made: Some(made) })
    }

    /// Makes the first file, which of several runs only one can do.
    fn claim(path: PathBuf, mut made: Made) -> Result<Self> {
        let file = path.join(METRICS);
        match File::options().append(true).create_new(true).open(&file) {
            Ok(metrics) => {
                let lock = hold(&metrics, &path)?;
                made.files.push(file);
                Ok(Self { path, metrics: Some(metrics), _lock: lock, made: Some(made) })
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(not_empty(path)),
            Err(e) => Err(Error::io("write into", path, e)),
        }
    }

    /// Says that the run has produced something worth keeping: from here on nothing is removed.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let [failed, kept] = ["failed", "kept"].map(|name| place.path().join(name));
    /// drop(RunFolder::create(Some(&failed), "lenet5")?);
    /// RunFolder::create(Some(&kept), "lenet5")?.keep();
    /// assert!(!failed.exists() && kept.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep(&mut self) {
        if let Some(mut made) = self.made.take() {
            // What the guard has forgotten, it does not remove.
            made.files.clear();
            made.folders.clear();
        }
    }
}

/// Whether a run may have left a file of this name before its first checkpoint.
fn is_of_a_start(name: &str) -> bool {
    [METRICS, CONFIG].contains(&name) || name.starts_with(SCRAP)
}

/// Whether a folder, whose metrics are held, has only what a run leaves that ended before its first checkpoint.
/// Figures follow that, so metrics with any in them are worth keeping.
pub(super) fn is_left_of_a_start(path: &Path, metrics: &File) -> Result<bool> {
    let held = metrics.metadata().map_err(|e| Error::io("read", path.join(METRICS), e))?;
    Ok(held.len() == 0 && names_in(path).iter().all(|name| is_of_a_start(name)))
}

/// Says what holds a folder that should be empty: somebody's files, or a run that can be gone on with.
fn not_empty(path: PathBuf) -> Error {
    match (path.join(CHECKPOINT).is_file(), path.join(MODEL).exists()) {
        (true, false) => Error::UnfinishedRun { path },
        _ => Error::FolderNotEmpty { path },
    }
}

/// Opens the metrics of a run and takes the locks on them and on the folder, which is open for that.
pub(super) fn lock(path: &Path, file: &Path) -> Result<(File, Option<File>)> {
    let metrics = File::options().append(true).read(true).open(file);
    let metrics = metrics.map_err(|e| Error::io("write", file, e))?;
    let folder = hold(&metrics, path)?;
    Ok((metrics, folder))
}

/// Takes the locks that end with this process: on the metrics, and on the folder, whose lock stays where the
/// metrics are replaced by another file. A file system without locks gives none, and then two processes that
/// train one run are not kept apart; a system where folders cannot be opened has the first alone.
fn hold(metrics: &File, path: &Path) -> Result<Option<File>> {
    let folder = File::open(path).ok();
    for held in [Some(metrics), folder.as_ref()].into_iter().flatten() {
        if let Err(TryLockError::WouldBlock) = held.try_lock() {
            return Err(Error::Busy { path: path.into() });
        }
    }
    Ok(folder)
}

/// Removes the temporary files that a killed process left.
pub(super) fn remove_scraps(path: &Path) {
    for name in names_in(path).iter().filter(|name| name.starts_with(SCRAP)) {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_file(path.join(name));
    }
}

/// Makes `path` and the folders above it, noting those that were not there.
fn make_folders(path: &Path, made: &mut Made) -> Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Ok(()) => made.folders.push(folder.into()),
            // Another process was faster, which serves as well.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(e) => return Err(Error::io("create the folder", folder, e)),
        }
    }
    if !path.as_os_str().is_empty() && !path.is_dir() {
        return Err(Error::NotAFolder { path: path.into() });
    }
    Ok(())
}

/// The highest `n` of the entries `<name>-<n>` in `base`; 0 if there are none.
fn last_number(base: &Path, name: &str) -> u64 {
    let number_of = |entry: &str| entry.strip_prefix(name)?.strip_prefix('-')?.parse().ok();
    names_in(base).iter().filter_map(|entry| number_of(entry)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, names};
    use super::*;
    use crate::{EpochRecord, Record};

    #[test]
    fn a_run_that_fails_early_leaves_nothing_not_even_the_folders_above() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(&place.path().join("a/b/c")), "x").unwrap();
        run.write_config(&config()).unwrap();
        run.append(&Record::Epoch(EpochRecord::default())).unwrap();
        run.write_model(b"1").unwrap();
        run.write_report("2").unwrap();
        assert_eq!(
            names(run.path()),
            ["config.toml", "metrics.jsonl", "model.safetensors", "report.html"]
        );
        drop(run);
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn a_failed_run_removes_neither_the_users_folder_nor_what_others_put_there() {
        let place = tempfile::tempdir().unwrap();
        drop(RunFolder::create(Some(place.path()), "x").unwrap());
        assert!(place.path().is_dir() && names(place.path()).is_empty());

        let run = RunFolder::create_in(place.path(), "x").unwrap();
        let folder = run.path().to_owned();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        drop(run);
        assert_eq!(names(&folder), ["notes.txt"]);
    }

    #[test]
    fn numbers_go_up_even_past_gaps_and_other_models() {
        let place = tempfile::tempdir().unwrap();
        for name in ["x-2", "x-7", "x-y-9", "x-", "xx-8", "x-07b"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let run = RunFolder::create_in(place.path(), "x").unwrap();
        assert!(run.path().ends_with("x-8"), "{:?}", run.path());
    }

    #[test]
    fn runs_that_start_together_never_share_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join("runs");
        let runs: Vec<RunFolder> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| RunFolder::create_in(&base, "x").unwrap());
            let threads: Vec<_> = (0..8).map(|_| start()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut paths: Vec<_> = runs.iter().map(|run| run.path().to_owned()).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 8);
    }

    #[test]
    fn of_two_runs_told_the_same_empty_folder_one_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let first = RunFolder::create(Some(place.path()), "x").unwrap();
        let second = RunFolder::create(Some(place.path()), "x");
        assert!(matches!(second, Err(Error::Busy { .. })));
        assert_eq!(names(first.path()), ["metrics.jsonl"], "the refused one touched nothing");
    }

    #[test]
    fn what_a_start_left_is_taken_over_and_a_run_that_began_is_not() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(place.path().join(name), "x").unwrap();
        ["config.toml", ".unfinished-a1"].into_iter().for_each(write);
        fs::write(place.path().join(METRICS), "").unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        assert_eq!(names(place.path()), ["metrics.jsonl"]);
        assert!(run.read_records().unwrap().is_empty());
        run.write_checkpoint(b"1").unwrap();
        run.keep();
        drop(run);
        let error = RunFolder::create(Some(place.path()), "x").unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        write("model.safetensors");
        let error = RunFolder::create(Some(place.path()), "x").unwrap_err();
        assert!(matches!(error, Error::FolderNotEmpty { .. }), "{error}");
    }

    #[test]
    fn figures_whose_checkpoint_is_gone_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        run.write_config(&config()).unwrap();
        run.append(&Record::Epoch(EpochRecord { epoch: 1, ..Default::default() })).unwrap();
        run.keep();
        let records = run.read_records().unwrap();
        drop(run);
        let error = RunFolder::create(Some(place.path()), "x").unwrap_err().to_string();
        assert!(error.contains("is not empty and a run would overwrite"), "{error}");
        let error = RunFolder::resume(place.path()).unwrap_err().to_string();
        assert!(error.contains("what it holds is kept"), "{error}");
        assert_eq!(names(place.path()), ["config.toml", "metrics.jsonl"]);
        assert_eq!(RunFolder::open_any(place.path()).unwrap().read_records().unwrap(), records);
    }

    #[test]
    fn a_run_is_gone_on_with_by_one_process_that_finds_no_scraps() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        run.write_config(&config()).unwrap();
        run.keep();
        drop(run);
        let error = RunFolder::resume(place.path()).unwrap_err();
        assert!(matches!(error, Error::NeverBegan { .. }), "{error}");
        for (name, text) in [
            ("checkpoint.safetensors", "1"),
            (".unfinished-b2", "2"),
            ("metrics.jsonl", "{\"event\":\"epo"),
        ] {
            fs::write(place.path().join(name), text).unwrap();
        }
        let run = RunFolder::resume(place.path()).unwrap();
        let left = ["checkpoint.safetensors", "config.toml", "metrics.jsonl"];
        assert_eq!(names(place.path()), left);
        assert!(run.read_records().unwrap().is_empty());
        assert!(matches!(RunFolder::resume(place.path()), Err(Error::Busy { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_run_stays_held_where_its_metrics_are_replaced() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        run.write_config(&config()).unwrap();
        run.write_checkpoint(b"1").unwrap();
        run.keep();
        let [file, copy] = [METRICS, "copy"].map(|name| place.path().join(name));
        fs::copy(&file, &copy).unwrap();
        fs::rename(&copy, &file).unwrap();
        assert!(matches!(RunFolder::resume(place.path()), Err(Error::Busy { .. })));
        drop(run);
        RunFolder::resume(place.path()).unwrap();
    }

    #[test]
    fn places_that_cannot_be_a_folder_are_refused_in_a_sentence() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();

        let at_file = RunFolder::create(Some(&file), "x").unwrap_err().to_string();
        assert!(at_file.contains("is not a folder"), "{at_file}");
        let below_file = RunFolder::create(Some(&file.join("run")), "x").unwrap_err().to_string();
        assert!(below_file.contains("a file stands where a folder is needed"), "{below_file}");
        let base_file = RunFolder::create_in(&file, "x").unwrap_err().to_string();
        assert!(base_file.contains("is not a folder"), "{base_file}");
        for name in ["", "..", "a/b", "a\\b", ".hidden", "naïve"] {
            let error = RunFolder::create_in(place.path(), name);
            assert!(matches!(error, Err(Error::BadName { .. })), "{name:?}");
        }
        assert_eq!(names(place.path()), ["file"]);
    }
}
