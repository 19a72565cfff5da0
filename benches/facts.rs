//! What a row's work is, and the file that says so to `cargo xtask bench`.
//!
//! Criterion's own results have one throughput a row. A roofline needs operations and bytes, and a
//! row of a whole model has its memory besides; so every row that runs appends a line of JSON to the
//! file that the variable [`FILE`] names:
//!
//! ```json
//! {"name":"gemm/n256/f32","flops":33554432,"bytes":786432}
//! ```
//!
//! What is not known is left out.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use criterion::Throughput;
use serde::Serialize;

use crate::memory::Usage;

/// The variable that names the file which facts are appended to; without it nobody is told.
pub const FILE: &str = "FERROTAPE_BENCH_FACTS";

/// The work of one iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// How many things are done whose rate people ask for: images, or recorded operations.
    pub items: Option<u64>,
    /// Floating-point operations, two for each multiply-add.
    pub flops: Option<u64>,
    /// The least memory traffic in bytes: each operand read once, each result written once.
    pub bytes: Option<u64>,
}

impl Work {
    /// So many images or recorded operations.
    #[must_use]
    pub fn items(count: usize) -> Self {
        Work { items: Some(count as u64), ..Work::default() }
    }

    /// So many floating-point operations.
    #[must_use]
    pub fn flops(count: u64) -> Self {
        Work { flops: Some(count), ..Work::default() }
    }

    /// So many bytes of memory traffic.
    #[must_use]
    pub fn bytes(count: usize) -> Self {
        Work { bytes: Some(count as u64), ..Work::default() }
    }

    /// The same work, of so many floating-point operations.
    #[must_use]
    pub fn with_flops(self, count: u64) -> Self {
        Work { flops: Some(count), ..self }
    }

    /// The same work, of so many bytes of memory traffic.
    #[must_use]
    pub fn with_bytes(self, count: usize) -> Self {
        Work { bytes: Some(count as u64), ..self }
    }

    /// What a rate is counted in: items, else operations, else bytes.
    ///
    /// ```
    /// use criterion::Throughput;
    /// use ferrotape_benches::Work;
    ///
    /// let work = Work::items(16).with_flops(58_000_000_000);
    /// assert_eq!(work.throughput(), Some(Throughput::Elements(16)));
    /// assert_eq!(Work::bytes(8).throughput(), Some(Throughput::Bytes(8)));
    /// ```
    #[must_use]
    pub fn throughput(&self) -> Option<Throughput> {
        let elements = self.items.or(self.flops).map(Throughput::Elements);
        elements.or(self.bytes.map(Throughput::Bytes))
    }

    /// The seconds that a moderate CPU may need: at 100 GFLOP/s and 10 GB/s.
    #[must_use]
    pub fn guessed_seconds(&self) -> f64 {
        self.flops.unwrap_or(0) as f64 / 1e11 + self.bytes.unwrap_or(0) as f64 / 1e10
    }
}

/// A row's line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flops: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(flatten)]
    usage: Option<Usage>,
}

/// Appends the line of the row that ran to the file of the variable [`FILE`], if it is set.
///
/// # Errors
/// The file cannot be written.
pub fn tell(name: &str, work: &Work, usage: Option<Usage>) -> io::Result<()> {
    match std::env::var_os(FILE) {
        Some(file) => append(Path::new(&file), name, work, usage),
        None => Ok(()),
    }
}

/// Appends in one piece, so that lines of processes that run at once stay whole.
fn append(file: &Path, name: &str, work: &Work, usage: Option<Usage>) -> io::Result<()> {
    let line = Line { name, flops: work.flops, bytes: work.bytes, usage };
    let mut text = serde_json::to_string(&line)?;
    text.push('\n');
    let told = OpenOptions::new().create(true).append(true).open(file);
    told.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("the file {} that {FILE} names cannot be written: {error}", file.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_is_known_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("facts.jsonl");
        let usage =
            Usage { rss_before_mib: 120.5, peak_rss_mib: 300.0, grad_and_momentum_mib: Some(89.2) };
        append(&file, "conv2d/a", &Work::flops(7).with_bytes(9), None).unwrap();
        append(&file, "tape/recorded", &Work::items(3), None).unwrap();
        append(&file, "train/a", &Work::items(3).with_flops(5), Some(usage)).unwrap();
        append(
            &file,
            "infer/a",
            &Work::items(3),
            Some(Usage { grad_and_momentum_mib: None, ..usage }),
        )
        .unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"name":"conv2d/a","flops":7,"bytes":9}"#,
                r#"{"name":"tape/recorded"}"#,
                r#"{"name":"train/a","flops":5,"rss_before_mib":120.5,"peak_rss_mib":300.0,"grad_and_momentum_mib":89.2}"#,
                r#"{"name":"infer/a","rss_before_mib":120.5,"peak_rss_mib":300.0}"#,
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = append(folder.path(), "a", &Work::default(), None).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
    }

    #[test]
    fn images_count_before_operations_and_operations_before_bytes() {
        let all = Work::items(1).with_flops(2).with_bytes(3);
        assert_eq!(all.throughput(), Some(Throughput::Elements(1)));
        assert_eq!(Work { items: None, ..all }.throughput(), Some(Throughput::Elements(2)));
        assert_eq!(Work::default().throughput(), None);
    }
}
