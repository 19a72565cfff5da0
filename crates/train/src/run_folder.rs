//! A run's folder: where its files go, written so that none is ever half there.
//!
//! | file | what |
//! | --- | --- |
//! | `config.toml` | the effective [`RunConfig`](crate::RunConfig) |
//! | `metrics.jsonl` | one [`Record`](crate::Record) a line: an epoch each, the final one last |
//! | `checkpoint.safetensors` | where the training stands: a [`Checkpoint`](crate::Checkpoint) |
//! | `best.safetensors` | the weights of the epoch with the lowest validation loss, if there is validation |
//! | `model.safetensors` | the weights, when training is over |
//! | `report.html` | the [report](crate::report) |
//!
//! `metrics.jsonl` is made first and grows by whole lines; the others appear at once and complete,
//! by renaming a temporary file of the same folder that was synced before. The process that trains holds a
//! lock on `metrics.jsonl`, and on Unix one on the folder too, which outlasts a file that somebody replaces. Both
//! end with the process, however it ends.

mod claim;
mod files;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use claim::Made;

use crate::reading::is_there;
use crate::{Error, Result};

/// The file of the effective configuration.
pub const CONFIG: &str = "config.toml";
/// The file of the records.
pub const METRICS: &str = "metrics.jsonl";
/// The file of the training's state.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The file of the weights of the best epoch.
pub const BEST: &str = "best.safetensors";
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
    /// The folder, held open for its lock.
    _lock: Option<File>,
    /// What to take away again, unless the run is kept.
    made: Option<Made>,
}

impl RunFolder {
    /// Opens the folder of a run to go on with it, for this process alone. What a killed process left half
    /// done is taken away: a line of `metrics.jsonl` without its end, temporary files.
    ///
    /// # Errors
    ///
    /// If there is no such folder, another process trains the run, or it lacks `config.toml`, `metrics.jsonl` or
    /// its checkpoint.
    ///
    /// ```
    /// use ferrotape_train::{Checkpoint, RunConfig, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.write_config(&RunConfig { model: "lenet5".into(), ..Default::default() })?;
    /// run.write_checkpoint(&Checkpoint::default().to_bytes()?)?;
    /// run.keep();
    /// assert!(RunFolder::resume(place.path()).unwrap_err().to_string().contains("another process"));
    /// drop(run);
    /// assert!(RunFolder::resume(place.path()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(path: &Path) -> Result<Self> {
        Self::look_at(path)?;
        for missing in [CONFIG, METRICS] {
            if !is_there(&path.join(missing))? {
                return Err(Error::NotARun { path: path.into(), missing });
            }
        }
        let (metrics, lock) = claim::lock(path, &path.join(METRICS))?;
        if !is_there(&path.join(CHECKPOINT))? {
            return Err(match claim::is_left_of_a_start(path, &metrics)? {
                true => Error::NeverBegan { path: path.into() },
                false => Error::NotARun { path: path.into(), missing: CHECKPOINT },
            });
        }
        claim::remove_scraps(path);
        Ok(Self { path: path.into(), metrics: Some(metrics), _lock: lock, made: None })
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
        Self::look_at(path)?;
        for missing in [CONFIG, MODEL] {
            if !path.join(missing).is_file() {
                if missing == MODEL && path.join(CHECKPOINT).is_file() {
                    return Err(Error::UnfinishedRun { path: path.into() });
                }
                return Err(Error::NotARun { path: path.into(), missing });
            }
        }
        Ok(Self { path: path.into(), metrics: None, _lock: None, made: None })
    }

    /// Opens the folder of a run, finished or not, to read its configuration and figures.
    ///
    /// ```
    /// use ferrotape_train::RunFolder;
    ///
    /// let place = tempfile::tempdir()?;
    /// let error = RunFolder::open_any(place.path()).unwrap_err();
    /// assert!(error.to_string().contains("holds no config.toml"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is no folder of a run.
    pub fn open_any(path: &Path) -> Result<Self> {
        Self::look_at(path)?;
        match path.join(CONFIG).is_file() {
            true => Ok(Self { path: path.into(), metrics: None, _lock: None, made: None }),
            false => Err(Error::NotARun { path: path.into(), missing: CONFIG }),
        }
    }

    /// Says what is wrong with a path that is no folder.
    fn look_at(path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoSuchRun { path: path.into(), suggestion: sibling_like(path) })
            }
            Err(e) => Err(Error::io("read", path, e)),
            Ok(found) if !found.is_dir() => Err(Error::NotAFolder { path: path.into() }),
            Ok(_) => Ok(()),
        }
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
mod testing {
    use std::path::Path;

    use crate::RunConfig;

    /// The names in a folder, sorted.
    pub(super) fn names(folder: &Path) -> Vec<String> {
        let mut names = super::names_in(folder);
        names.sort();
        names
    }

    /// A configuration that is valid.
    pub(super) fn config() -> RunConfig {
        RunConfig { model: "lenet5".into(), ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::config;
    use super::*;

    /// What is said to whoever wants to go on.
    fn refused(path: &Path) -> String {
        RunFolder::resume(path).unwrap_err().to_string()
    }

    #[test]
    fn going_on_says_what_is_missing_and_what_stands_in_its_place() {
        let place = tempfile::tempdir().unwrap();
        let run = place.path();
        let file = |name: &str, text: &str| fs::write(run.join(name), text).unwrap();
        file(METRICS, "");
        assert!(refused(run).contains("holds no config.toml"), "{}", refused(run));
        fs::remove_file(run.join(METRICS)).unwrap();
        file(CONFIG, "model = 'lenet5'");
        let said = refused(run);
        assert!(said.contains("holds no metrics.jsonl") && !said.contains("config"), "{said}");
        file(METRICS, "");
        assert!(refused(run).contains("ended before it wrote its first"), "{}", refused(run));
        // With figures, or anything that a start does not leave, something was lost.
        let lost = "holds no checkpoint.safetensors, so there is nothing to go on with";
        file(METRICS, "{}\n");
        assert!(refused(run).contains(lost), "{}", refused(run));
        file(METRICS, "");
        file(BEST, "");
        assert!(refused(run).contains(lost), "{}", refused(run));
        fs::create_dir(run.join(CHECKPOINT)).unwrap();
        let said = refused(run);
        assert!(said.contains("checkpoint.safetensors: it is no regular file"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_called_one() {
        let place = tempfile::tempdir().unwrap();
        for name in [CONFIG, METRICS] {
            fs::write(place.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("nothing", place.path().join(CHECKPOINT)).unwrap();
        let said = refused(place.path());
        assert!(said.contains("checkpoint.safetensors: it is a link to a file that is"), "{said}");
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
}
