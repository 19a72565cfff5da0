//! One measured row as a JSON line, and files of such lines.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::criterion::Measurement;
use super::facts::Fact;
use super::machine::Machine;
use super::rate::Rate;
use crate::Result;

/// What our own lines have as `peer`.
pub(super) const OURS: &str = "ferrotape";

/// A row measured once, by us or by a peer. The fields are those of `benches/peers/README.md`; what
/// was not measured is left out, but `value` is then null.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Line {
    /// `ferrotape`, or whose harness wrote the line.
    #[serde(default)]
    pub(super) peer: String,
    /// The way in which the peer was used.
    #[serde(default)]
    pub(super) mode: String,
    /// The row.
    pub(super) name: String,
    /// The figure; none where the row could not be measured.
    pub(super) value: Option<f64>,
    /// What the figure is counted in.
    pub(super) unit: String,
    /// The middle sample, in milliseconds an iteration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) median_ms: Option<f64>,
    /// The fastest sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_ms: Option<f64>,
    /// The slowest sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_ms: Option<f64>,
    /// Samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runs: Option<usize>,
    /// Iterations in each sample, where all have the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iters: Option<usize>,
    /// How often the row was measured until its spread was small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<usize>,
    /// Threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) threads: Option<usize>,
    /// The version of the peer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    /// Which of the turns this is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pass: Option<usize>,
    /// Whether fewer samples were taken than usual.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) quick: bool,
    /// The revision of this repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    /// The processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<String>,
    /// The device, where it is not the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<String>,
    /// Floating-point operations of an iteration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flops: Option<f64>,
    /// The least memory traffic of an iteration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<f64>,
    /// What was resident before the first measured step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rss_before_mib: Option<f64>,
    /// The most that was resident since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_rss_mib: Option<f64>,
    /// What of it are gradients and momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grad_and_momentum_mib: Option<f64>,
    /// How long `torch.compile` took, which is not in the timing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compile_s: Option<f64>,
    /// What a reader of the figure has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// Why there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Line {
    /// Our line of a row.
    pub(super) fn ours(measurement: &Measurement, fact: Option<&Fact>, machine: &Machine) -> Self {
        let times = &measurement.times_ms;
        let median_ms = median(times);
        let rate = Rate::new(&measurement.name, measurement.work, median_ms);
        let fact = fact.cloned().unwrap_or_default();
        Self {
            peer: OURS.to_owned(),
            mode: "default".to_owned(),
            name: measurement.name.clone(),
            value: Some(rate.value),
            unit: rate.unit.to_owned(),
            median_ms: Some(median_ms),
            min_ms: times.first().copied(),
            max_ms: times.last().copied(),
            runs: Some(times.len()),
            // All members share one version, this program included.
            version: env!("CARGO_PKG_VERSION").to_owned(),
            threads: Some(machine.threads),
            revision: Some(machine.revision.clone()),
            cpu: Some(machine.cpu.clone()),
            device: machine.device.clone(),
            quick: machine.quick,
            flops: fact.flops,
            bytes: fact.bytes,
            rss_before_mib: fact.rss_before_mib,
            peak_rss_mib: fact.peak_rss_mib,
            grad_and_momentum_mib: fact.grad_and_momentum_mib,
            ..Self::default()
        }
    }

    /// Whether we wrote the line.
    pub(super) fn is_ours(&self) -> bool {
        self.peer == OURS
    }

    /// Activations and workspace of a training step, in MiB: the peak less what was resident before
    /// the first step and less gradients and momentum.
    pub(super) fn working_mib(&self) -> Option<f64> {
        Some(self.peak_rss_mib? - self.rss_before_mib? - self.grad_and_momentum_mib?)
    }

    /// What makes two lines the same measurement.
    pub(super) fn key(&self) -> (&str, &str, &str, usize) {
        (&self.peer, &self.mode, &self.name, self.pass.unwrap_or(1))
    }
}

/// The middle of ascending values, or the mean of the two in the middle.
pub(super) fn median(ascending: &[f64]) -> f64 {
    let count = ascending.len();
    if count == 0 {
        return f64::NAN;
    }
    (ascending[(count - 1) / 2] + ascending[count / 2]) / 2.0
}

/// The lines of a run, each written to a file as soon as it is there.
pub(super) struct Log {
    /// What was measured, or read from the file that is continued.
    pub(super) lines: Vec<Line>,
    file: Option<(PathBuf, File)>,
}

impl Log {
    /// A log that replaces what the file holds; without a path it is kept in memory alone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn replace(path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| -> Result<_> {
            Ok((path.to_owned(), File::create(path).map_err(|error| unwritable(path, &error))?))
        };
        Ok(Self { lines: Vec::new(), file: path.map(open).transpose()? })
    }

    /// A log that goes on after what the file holds. A last line that a killed run left unfinished is
    /// cut off.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub(super) fn resume(path: &Path) -> Result<Self> {
        let text = if path.exists() { read_text(path)? } else { String::new() };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = parse(&text[..whole], path)?;
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            file.set_len(whole as u64)?;
            Ok(file)
        };
        let file = open().map_err(|error| unwritable(path, &error))?;
        Ok(Self { lines, file: Some((path.to_owned(), file)) })
    }

    /// Adds a line and writes it.
    ///
    /// # Errors
    /// A figure is not finite, or the file cannot be written.
    pub(super) fn add(&mut self, line: Line) -> Result<()> {
        if let Some((path, file)) = &mut self.file {
            let text = serde_json::to_string(&line)? + "\n";
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
            written.map_err(|error| unwritable(path, &error))?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// Whether such a measurement is there already, failed ones included.
    pub(super) fn has(&self, key: (&str, &str, &str, usize)) -> bool {
        self.lines.iter().any(|line| line.key() == key)
    }
}

/// The lines of a file.
///
/// # Errors
/// It cannot be read, or a line is not a row.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let lines = parse(&read_text(path)?, path)?;
    if lines.is_empty() {
        return Err(format!("{} has no line", path.display()).into());
    }
    Ok(lines)
}

/// The lines as JSON, one object a line.
///
/// # Errors
/// A figure is not finite, which a measurement cannot be.
pub(super) fn json(lines: &[Line]) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line)?;
        text.push('\n');
    }
    Ok(text)
}

fn read_text(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line = serde_json::from_str(line).map_err(|error| {
            format!(
                "{}, line {}, is no row of a benchmark ({error}); the file must have one JSON object \
                 a line, as --json writes them",
                path.display(),
                number + 1
            )
        })?;
        lines.push(line);
    }
    Ok(lines)
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!("{} was not written: {error}", path.display())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::criterion::Work;
    use super::*;

    /// A line with the least that reports need.
    pub(in super::super) fn line(peer: &str, mode: &str, name: &str, value: f64) -> Line {
        // The fastest sample of a ceiling is what counts, so it is the figure given.
        let fastest = if name.starts_with("ceiling/") { 1e3 } else { 0.9e3 };
        let unit = if name.starts_with("ceiling/copy") { "GB/s" } else { "img/s" };
        Line {
            peer: peer.to_owned(),
            mode: mode.to_owned(),
            name: name.to_owned(),
            value: Some(value),
            unit: unit.to_owned(),
            median_ms: Some(1e3 / value),
            min_ms: Some(fastest / value),
            max_ms: Some(1.1e3 / value),
            runs: Some(5),
            ..Line::default()
        }
    }

    fn machine() -> Machine {
        Machine {
            threads: 2,
            cpu: "A Processor".to_owned(),
            revision: "abc1234-dirty".to_owned(),
            device: None,
            quick: false,
        }
    }

    #[test]
    fn a_line_has_the_fields_of_the_other_harnesses() {
        let measurement = Measurement {
            name: "train/lenet5/b64/f32".to_owned(),
            work: Some(Work::Elements(64)),
            times_ms: vec![1.0, 2.0, 2.0, 3.0],
        };
        let fact = Fact { flops: Some(5e9), rss_before_mib: Some(10.5), ..Fact::default() };
        let line = Line::ours(&measurement, Some(&fact), &machine());
        let expected = serde_json::json!({
            "peer": "ferrotape",
            "mode": "default",
            "name": "train/lenet5/b64/f32",
            "value": 32_000.0,
            "unit": "img/s",
            "median_ms": 2.0,
            "min_ms": 1.0,
            "max_ms": 3.0,
            "runs": 4,
            "threads": 2,
            "version": env!("CARGO_PKG_VERSION"),
            "revision": "abc1234-dirty",
            "cpu": "A Processor",
            "flops": 5e9,
            "rss_before_mib": 10.5,
        });
        assert_eq!(serde_json::to_value(&line).unwrap(), expected);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn memory_counts_what_is_above_the_start_and_is_no_gradient() {
        let mut line = line("torch", "contiguous", "train/x/b1/f32", 1.0);
        assert_eq!(line.working_mib(), None);
        line.peak_rss_mib = Some(500.0);
        line.rss_before_mib = Some(200.0);
        line.grad_and_momentum_mib = Some(90.0);
        assert_eq!(line.working_mib(), Some(210.0));
    }

    #[test]
    fn a_row_without_a_figure_says_null() {
        let failed = Line { value: None, error: Some("why".to_owned()), ..Line::default() };
        let text = json(&[failed]).unwrap();
        assert!(text.contains(r#""value":null"#) && text.ends_with("}\n"), "{text}");
    }

    #[test]
    fn a_log_is_on_disk_after_every_line_and_can_be_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut log = Log::replace(Some(&path)).unwrap();
        log.add(line("torch", "compile", "gemm/n8/f32", 2.0)).unwrap();
        assert_eq!(read(&path).unwrap(), log.lines);
        // A run was killed while it wrote.
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"peer\":\"bu");
        fs::write(&path, text).unwrap();
        let mut log = Log::resume(&path).unwrap();
        assert!(log.has(("torch", "compile", "gemm/n8/f32", 1)));
        assert!(!log.has(("torch", "compile", "gemm/n8/f32", 2)));
        log.add(line("burn", "flex", "gemm/n8/f32", 3.0)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
    }

    #[test]
    fn a_file_that_holds_something_else_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        for text in ["", "name,value\n", "{\"name\":\"x\",\"value\":1,\"unit\":\"s\"}\n[1]\n"] {
            fs::write(&path, text).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(read(&folder.path().join("none")).is_err());
        assert!(Log::replace(Some(&folder.path().join("no/a"))).is_err());
        fs::write(&path, "no row\n").unwrap();
        assert!(Log::resume(&path).is_err());
    }
}
