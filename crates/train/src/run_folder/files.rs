//! Writing and reading the files of a run's folder.

use std::fs::File;
use std::io::Write;

use ferrotape_backend::Device;

use super::{BEST, CHECKPOINT, CONFIG, METRICS, MODEL, REPORT, RunFolder};
use crate::atomic::write_atomically;
use crate::reading::{MOST_OF_METRICS, read_arrays, read_text};
use crate::{Checkpoint, EpochRecord, Error, FinalRecord, Record, Result, RunConfig};

impl RunFolder {
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

    /// Writes `checkpoint.safetensors` from the bytes of a [`Checkpoint`].
    ///
    /// # Errors
    ///
    /// If the file cannot be written; an earlier one is then still whole.
    ///
    /// ```
    /// use ferrotape_train::{Checkpoint, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.write_checkpoint(&Checkpoint::default().to_bytes()?)?;
    /// assert!(place.path().join("checkpoint.safetensors").is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_checkpoint(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(CHECKPOINT, bytes)
    }

    /// Writes `best.safetensors` from the bytes of a state dict.
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
    /// run.write_best(b"weights")?;
    /// assert_eq!(std::fs::read(place.path().join("best.safetensors"))?, b"weights");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_best(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(BEST, bytes)
    }

    /// Reads `checkpoint.safetensors`, its arrays onto a device.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no checkpoint.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_train::{Checkpoint, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// run.write_checkpoint(&Checkpoint::default().to_bytes()?)?;
    /// let device = Device::new(Reference::new());
    /// assert_eq!(run.read_checkpoint(&device)?.position.step, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_checkpoint(&self, device: &Device) -> Result<Checkpoint> {
        let path = self.path.join(CHECKPOINT);
        let bytes = read_arrays(&path)?;
        Checkpoint::from_bytes(device, &bytes)
            .map_err(|cause| Error::Checkpoint { path, cause: Box::new(cause) })
    }

    /// The figures of the run, if it is finished.
    ///
    /// ```
    /// use ferrotape_train::{FinalRecord, Record, RunFolder};
    ///
    /// let place = tempfile::tempdir()?;
    /// let mut run = RunFolder::create(Some(place.path()), "lenet5")?;
    /// assert!(run.finished()?.is_none());
    /// run.append(&Record::Final(FinalRecord::default()))?;
    /// assert!(run.finished()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`read_records`](Self::read_records).
    pub fn finished(&self) -> Result<Option<FinalRecord>> {
        match self.read_records()?.pop() {
            Some(Record::Final(record)) => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Cuts `metrics.jsonl` off after the records of the first so many epochs, which are returned.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or the records are not there.
    pub(crate) fn keep_epochs(&mut self, epochs: usize) -> Result<Vec<EpochRecord>> {
        let path = self.path.join(METRICS);
        let text = read_text(&path, MOST_OF_METRICS)?;
        let (mut kept, mut length) = (Vec::new(), 0);
        for line in text.split_inclusive('\n') {
            match Record::from_json(line) {
                Ok(Record::Epoch(record))
                    if record.epoch == kept.len() + 1 && kept.len() < epochs =>
                {
                    kept.push(record);
                }
                _ => break,
            }
            length += line.len();
        }
        if kept.len() < epochs {
            return Err(Error::Metrics {
                path,
                line: kept.len() + 1,
                message: format!("the checkpoint is of epoch {}", epochs + 1),
            });
        }
        if let Some(metrics) = &self.metrics {
            metrics.set_len(length as u64).map_err(|e| Error::io("write", &path, e))?;
        }
        Ok(kept)
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

    /// Appends a line to `metrics.jsonl`; it is on the disk when this returns.
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
        // A checkpoint that follows must not outlive it.
        let written = metrics.write_all(line.as_bytes()).and_then(|()| metrics.sync_all());
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
    /// If the file cannot be read, or begins as no file of weights does.
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
        read_arrays(&self.path.join(MODEL))
    }

    /// Reads `metrics.jsonl`. A last line without its end is what a killed run leaves, and is
    /// passed over.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, another line is no [`Record`], or the epochs do not count up from 1.
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
        let text = read_text(&path, MOST_OF_METRICS)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (mut records, mut epochs) = (Vec::new(), 0);
        for (i, line) in text[..whole].lines().enumerate() {
            let wrong = |message| Error::Metrics { path: path.clone(), line: i + 1, message };
            let record = Record::from_json(line).map_err(|e| wrong(e.to_string()))?;
            if let Record::Epoch(EpochRecord { epoch, .. }) = record {
                epochs += 1;
                if epoch != epochs {
                    return Err(wrong(format!("it is of epoch {epoch} in the place of {epochs}")));
                }
            }
            records.push(record);
        }
        Ok(records)
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::testing::{config, names};
    use super::*;

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

    #[test]
    fn epochs_that_do_not_count_up_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(Some(place.path()), "x").unwrap();
        run.append(&Record::Epoch(EpochRecord { epoch: 1, ..Default::default() })).unwrap();
        let (path, first) = (place.path().join(METRICS), run.read_records().unwrap());
        let whole = fs::read_to_string(&path).unwrap();
        for epoch in [0, 1, 3, isize::MAX as usize] {
            run.append(&Record::Epoch(EpochRecord { epoch, ..Default::default() })).unwrap();
            let error = run.read_records().unwrap_err().to_string();
            let said = format!(
                "line 2 is not a record of a run: it is of epoch {epoch} in the place of 2;"
            );
            assert!(error.contains(&said), "{error}");
            fs::write(&path, &whole).unwrap();
        }
        run.append(&Record::Epoch(EpochRecord { epoch: 2, ..Default::default() })).unwrap();
        assert_eq!(run.read_records().unwrap()[..1], first);
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
