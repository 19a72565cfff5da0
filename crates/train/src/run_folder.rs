//! A run's folder: where its files go, written so that none is ever half there.
//!
//! | file | what |
//! | --- | --- |
//! | `config.toml` | the effective [`RunConfig`] |
//! | `metrics.jsonl` | one [`Record`] a line: an epoch each, the final one last |
//! | `model.safetensors` | the weights |
//! | `report.html` | the [report](crate::report) |
//!
//! `metrics.jsonl` is made first and grows by whole lines; the others appear at once and complete,
//! by renaming a temporary file of the same folder that was synced before.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic::write_atomically;
use crate::{Error, Record, Result, RunConfig};

/// The file of the effective configuration.
pub const CONFIG: &str = "config.toml";
/// The file of the records.
pub const METRICS: &str = "metrics.jsonl";
/// The file of the weights.
pub const MODEL: &str = "model.safetensors";
/// The file of the report.
pub const REPORT: &str = "report.html";

/// Where runs go that name no folder of their own.
pub const DEFAULT_BASE: &str = "runs";

/// The folder of one run.
///
/// A folder that [`create`](Self::create) made is a guard: dropped before [`keep`](Self::keep) was
/// called, it takes its files and the folders it made away again, so that a run that fails early
/// leaves nothing behind. Files that someone else put there stay, and so does then the folder.
///
/// ```
/// use ferrotape_train::{EpochRecord, Record, RunConfig, RunFolder};
///
/// let place = tempfile::tempdir()?;
/// let out = place.path().join("first");
/// let config = RunConfig { model: "lenet5".into(), ..Default::default() };
///
/// let mut run = RunFolder::create(Some(&out), "lenet5")?;
/// run.write_config(&config)?;
/// run.append(&Record::Epoch(EpochRecord { epoch: 1, ..Default::default() }))?;
/// run.write_model(b"weights")?;
/// run.keep();
/// drop(run);
///
/// let run = RunFolder::open(&out)?;
/// assert_eq!(run.read_config()?, config);
/// assert_eq!(run.read_records()?.len(), 1);
/// assert_eq!(run.read_model()?, b"weights");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Open for appending in a folder that this value created; absent in one that was opened.
    metrics: Option<File>,
    /// What to take away again, unless the run is kept.
    made: Option<Made>,
}

/// What a [`RunFolder`] brought into being and answers for until it is kept.
#[derive(Debug, Default)]
struct Made {
    /// Folders, outermost first.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
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
    /// Makes the folder of a new run: `out`, which must be missing or empty, or else
    /// `runs/<name>-<n>` with an `n` above every other there, counted from 1.
    ///
    /// Two runs that start at the same moment never get the same folder: one of them gets the next
    /// number, or the error that `out` is not empty. That the folder can be written is known when
    /// this returns.
    ///
    /// # Errors
    ///
    /// If `out` is a file or holds anything, `name` is no plain file name, or the folder cannot be
    /// made or written. Nothing is left behind then.
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
        if entries.next().is_some() {
            return Err(Error::FolderNotEmpty { path: path.into() });
        }
        Self::claim(path.into(), made)
    }

    /// Makes the first file, which of several runs only one can do.
    fn claim(path: PathBuf, mut made: Made) -> Result<Self> {
        let file = path.join(METRICS);
        match File::options().append(true).create_new(true).open(&file) {
            Ok(metrics) => {
                made.files.push(file);
                Ok(Self { path, metrics: Some(metrics), made: Some(made) })
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::FolderNotEmpty { path })
            }
            Err(e) => Err(Error::io("write into", path, e)),
        }
    }

    /// Opens the folder of a finished run, to evaluate it or predict with it.
    ///
    /// # Errors
    ///
    /// If there is no such folder (one with almost the same name is suggested), it is a file, or it
    /// lacks `config.toml` or `model.safetensors`.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let empty = tempfile::tempdir()?;
    /// let error = RunFolder::open(empty.path()).unwrap_err();
    /// assert!(error.to_string().contains("holds no config.toml"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self> {
        match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let suggestion = sibling_like(path);
                return Err(Error::NoSuchRun { path: path.into(), suggestion });
            }
            Err(e) => return Err(Error::io("read", path, e)),
            Ok(found) if !found.is_dir() => return Err(Error::NotAFolder { path: path.into() }),
            Ok(_) => {}
        }
        for missing in [CONFIG, MODEL] {
            if !path.join(missing).is_file() {
                return Err(Error::NotARun { path: path.into(), missing });
            }
        }
        Ok(Self { path: path.into(), metrics: None, made: None })
    }

    /// Where the folder is, as it was named or counted.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// assert_eq!(RunFolder::create(Some(place.path()), "lenet5")?.path(), place.path());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Writes `config.toml`.
    ///
    /// # Errors
    ///
    /// If the configuration does not [validate](RunConfig::validate) or the file cannot be written;
    /// an earlier one is then still whole.
    ///
    /// ```
    /// use ferrotape_train::{RunConfig, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// let config = RunConfig { model: "lenet5".into(), ..Default::default() };
    /// run.write_config(&config)?;
    /// assert_eq!(run.read_config()?, config);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_config(&mut self, config: &RunConfig) -> Result<()> {
        config.validate()?;
        let version = env!("CARGO_PKG_VERSION");
        let text =
            format!("# The configuration of a run of ferrotape {version}.\n{}", config.to_toml());
        self.write(CONFIG, text.as_bytes())
    }

    /// Writes `model.safetensors` from the bytes that a state dict was serialised to.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; an earlier one is then still whole.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.write_model(b"weights")?;
    /// assert_eq!(run.read_model()?, b"weights");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_model(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(MODEL, bytes)
    }

    /// Writes `report.html`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; an earlier one is then still whole.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.write_report("<!doctype html><title>A run</title>")?;
    /// assert!(place.path().join("report.html").is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_report(&mut self, html: &str) -> Result<()> {
        self.write(REPORT, html.as_bytes())
    }

    /// Appends a line to `metrics.jsonl`; it is with the operating system when this returns, and on
    /// the disk too if it is the [final](Record::Final) one.
    ///
    /// # Errors
    ///
    /// If the line cannot be written. What was written of it is then cut off again, as far as the
    /// file allows.
    ///
    /// ```
    /// use ferrotape_train::{FinalRecord, Record, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.append(&Record::Final(FinalRecord::default()))?;
    /// assert_eq!(run.read_records()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let path = self.path.join(METRICS);
        let failed = |e| Error::io("write", &path, e);
        if self.metrics.is_none() {
            let opened = File::options().append(true).create(true).open(&path).map_err(failed)?;
            self.metrics = Some(opened);
        }
        let metrics = self.metrics.as_mut().expect("it was opened above");
        let whole = metrics.metadata().map_err(failed)?.len();

        let mut line = record.to_json();
        line.push('\n');
        let written = metrics.write_all(line.as_bytes()).and_then(|()| match record {
            Record::Final(_) => metrics.sync_all(),
            _ => Ok(()),
        });
        written.map_err(|e| {
            let _ = metrics.set_len(whole);
            failed(e)
        })
    }

    /// Reads `config.toml`.
    ///
    /// # Errors
    ///
    /// As for [`RunConfig::read`].
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// assert!(run.read_config().is_err(), "none was written yet");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_config(&self) -> Result<RunConfig> {
        RunConfig::read(&self.path.join(CONFIG))
    }

    /// Reads `model.safetensors`, as bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// assert!(run.read_model().unwrap_err().to_string().contains("model.safetensors"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_model(&self) -> Result<Vec<u8>> {
        let path = self.path.join(MODEL);
        fs::read(&path).map_err(|e| Error::io("read", path, e))
    }

    /// Reads `metrics.jsonl`. A last line without its end is what a killed run leaves, and is
    /// passed over.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or another line is no [`Record`].
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// assert!(run.read_records()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_records(&self) -> Result<Vec<Record>> {
        let path = self.path.join(METRICS);
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole]
            .lines()
            .enumerate()
            .map(|(i, line)| {
                Record::from_json(line).map_err(|e| Error::Metrics {
                    path: path.clone(),
                    line: i + 1,
                    message: e.to_string(),
                })
            })
            .collect()
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        if let Some(made) = &mut self.made
            && !made.files.contains(&path)
        {
            made.files.push(path.clone());
        }
        write_atomically(&path, bytes)
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

/// The folder beside `path` whose name is most like the one asked for.
fn sibling_like(path: &Path) -> Option<PathBuf> {
    let asked = path.file_name()?.to_str()?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let nearest = names_in(parent)
        .into_iter()
        .filter(|name| parent.join(name).is_dir())
        .map(|name| (strsim::normalized_damerau_levenshtein(asked, &name), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))?;
    Some(parent.join(nearest.1))
}

/// The names in a folder that are Unicode; none if it cannot be read.
fn names_in(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EpochRecord, FinalRecord};

    fn names(folder: &Path) -> Vec<String> {
        let mut names = names_in(folder);
        names.sort();
        names
    }

    fn config() -> RunConfig {
        RunConfig { model: "lenet5".into(), ..Default::default() }
    }

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
        assert!(matches!(second, Err(Error::FolderNotEmpty { .. })));
        assert_eq!(names(first.path()), ["metrics.jsonl"], "the refused one touched nothing");
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

    #[test]
    fn opening_says_what_is_missing_and_what_was_meant() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create_in(place.path(), "lenet5").unwrap();
        run.keep();
        let missing = |run: &RunFolder| RunFolder::open(run.path()).unwrap_err().to_string();
        assert!(missing(&run).contains("holds no config.toml"));
        run.write_config(&config()).unwrap();
        assert!(missing(&run).contains("holds no model.safetensors"));
        run.write_model(b"").unwrap();
        RunFolder::open(run.path()).unwrap();

        let mistyped = RunFolder::open(&place.path().join("lenet-1")).unwrap_err().to_string();
        assert!(mistyped.ends_with("lenet5-1?"), "{mistyped}");
        let file = RunFolder::open(&run.path().join(MODEL)).unwrap_err().to_string();
        assert!(file.contains("is not a folder"), "{file}");
    }

    #[test]
    fn a_write_that_fails_leaves_the_earlier_file_and_no_scrap() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        // A folder that is not empty in the file's place makes the rename fail on every system.
        fs::create_dir_all(place.path().join(REPORT).join("occupied")).unwrap();
        let error = run.write_report("new").unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("report.html"), "{error}");
        assert_eq!(names(place.path()), ["metrics.jsonl", "report.html"]);

        run.write_model(b"old").unwrap();
        run.write_model(b"new").unwrap();
        assert_eq!(run.read_model().unwrap(), b"new");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_called_one() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        run.metrics = Some(File::options().write(true).open("/dev/full").unwrap());
        let error = run.append(&Record::Epoch(EpochRecord::default())).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl: the disk is full"), "{error}");
    }

    #[test]
    fn records_survive_reopening_and_a_torn_last_line() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        let epoch = Record::Epoch(EpochRecord { epoch: 1, ..Default::default() });
        let last = Record::Final(FinalRecord { model: "x".into(), ..Default::default() });
        run.append(&epoch).unwrap();
        run.write_config(&config()).unwrap();
        run.write_model(b"").unwrap();
        run.keep();
        drop(run);

        let mut run = RunFolder::open(place.path()).unwrap();
        run.append(&last).unwrap();
        assert_eq!(run.read_records().unwrap(), [epoch, last]);

        let path = place.path().join(METRICS);
        let mut text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n"));
        text.push_str("{\"event\":\"ep");
        fs::write(&path, &text).unwrap();
        assert_eq!(run.read_records().unwrap().len(), 2);
        text.push('\n');
        fs::write(&path, &text).unwrap();
        let error = run.read_records().unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl, line 3 is not a record"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_permissions_that_any_new_file_would() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(&place.path().join("run")), "x").unwrap();
        run.write_report("").unwrap();
        let usual = place.path().join("usual");
        fs::write(&usual, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&run.path().join(REPORT)), mode(&usual));
    }
}
