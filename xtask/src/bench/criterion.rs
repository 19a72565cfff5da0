//! Reading back what criterion measured.
//!
//! Criterion keeps a folder a benchmark. In its folder `new`, `benchmark.json` has the id and the
//! declared throughput, and `sample.json` the iterations and nanoseconds of each sample.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// What one benchmark measured.
#[derive(Debug, PartialEq)]
pub(super) struct Measurement {
    /// The criterion id.
    pub(super) name: String,
    /// The work of one iteration, when the benchmark declares it.
    pub(super) work: Option<Work>,
    /// Milliseconds of one iteration, a value a sample, ascending and never empty.
    pub(super) times_ms: Vec<f64>,
}

/// The throughput that a benchmark declares, as criterion writes it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(super) enum Work {
    /// Bits moved.
    Bits(u64),
    /// Bytes moved.
    Bytes(u64),
    /// Bytes moved, to be shown in powers of ten.
    BytesDecimal(u64),
    /// Things done: images, or floating-point operations.
    Elements(u64),
    /// Both at once.
    ElementsAndBytes {
        /// Things done.
        elements: u64,
    },
}

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Work>,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// The measurement of the benchmark `name` under criterion's folder `home`.
///
/// # Errors
/// There is none that was written after `began`, or its files are not what criterion 0.8 writes.
pub(super) fn find(home: &Path, name: &str, began: SystemTime) -> Result<Measurement> {
    // A file system may keep coarser times than the clock has.
    let began = began.checked_sub(Duration::from_secs(2)).unwrap_or(began);
    for folder in folders(home) {
        let Ok(benchmark) = read::<Benchmark>(&folder.join("benchmark.json")) else { continue };
        if benchmark.full_id != name {
            continue;
        }
        let samples = folder.join("sample.json");
        if fs::metadata(&samples)?.modified()? < began {
            continue;
        }
        let times_ms = times_ms(&read(&samples)?)
            .ok_or_else(|| format!("{} holds no usable sample", samples.display()))?;
        return Ok(Measurement { name: benchmark.full_id, work: benchmark.throughput, times_ms });
    }
    Err(format!("criterion left no result of {name}; look at its output above").into())
}

/// Every folder `new` below `home`.
fn folders(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![home.to_owned()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                if path.ends_with("new") {
                    found.push(path.clone());
                }
                waiting.push(path);
            }
        }
    }
    found
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Milliseconds an iteration, ascending; `None` for a sample that measured nothing.
fn times_ms(sample: &Sample) -> Option<Vec<f64>> {
    let pairs = sample.iters.iter().zip(&sample.times);
    let mut times: Vec<_> = pairs.map(|(iters, nanos)| nanos / iters / 1e6).collect();
    times.sort_by(f64::total_cmp);
    let usable =
        times.first().is_some_and(|&time| time > 0.0) && times.iter().all(|t| t.is_finite());
    usable.then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(home: &Path, folder: &str, benchmark: &str, sample: &str) {
        let folder = home.join(folder).join("new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("benchmark.json"), benchmark).unwrap();
        fs::write(folder.join("sample.json"), sample).unwrap();
    }

    const SAMPLE: &str =
        r#"{"sampling_mode":"Linear","iters":[1.0,2.0,4.0],"times":[3e6,2e6,8e6]}"#;

    fn benchmark(id: &str, throughput: &str) -> String {
        format!(
            r#"{{"group_id":"g","function_id":"f","value_str":null,"throughput":{throughput},"full_id":"{id}","directory_name":"d","title":"t"}}"#
        )
    }

    #[test]
    fn a_result_is_found_by_its_id_wherever_criterion_put_it() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "a_b/c", &benchmark("a/b/c", r#"{"Elements":64}"#), SAMPLE);
        write(home.path(), "a_b/d", &benchmark("a/b/d", "null"), SAMPLE);
        let found = find(home.path(), "a/b/c", SystemTime::now()).unwrap();
        assert_eq!(found.work, Some(Work::Elements(64)));
        assert_eq!(found.times_ms, [1.0, 2.0, 3.0]);
        assert_eq!(find(home.path(), "a/b/d", SystemTime::now()).unwrap().work, None);
    }

    #[test]
    fn both_throughputs_at_once_are_understood() {
        let home = tempfile::tempdir().unwrap();
        let both = r#"{"ElementsAndBytes":{"elements":3,"bytes":12}}"#;
        write(home.path(), "a", &benchmark("a", both), SAMPLE);
        let found = find(home.path(), "a", SystemTime::now()).unwrap();
        assert_eq!(found.work, Some(Work::ElementsAndBytes { elements: 3 }));
    }

    #[test]
    fn a_missing_or_older_result_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "a", &benchmark("a", "null"), SAMPLE);
        assert!(find(home.path(), "b", SystemTime::now()).is_err());
        assert!(find(&home.path().join("none"), "a", SystemTime::now()).is_err());
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(find(home.path(), "a", later).is_err());
    }

    #[test]
    fn a_sample_that_measured_nothing_is_an_error() {
        for sample in [
            r#"{"iters":[],"times":[]}"#,
            r#"{"iters":[1.0],"times":[0.0]}"#,
            r#"{"iters":[0.0],"times":[1.0]}"#,
            "{",
        ] {
            let home = tempfile::tempdir().unwrap();
            write(home.path(), "a", &benchmark("a", "null"), sample);
            assert!(find(home.path(), "a", SystemTime::now()).is_err(), "{sample}");
        }
    }
}
