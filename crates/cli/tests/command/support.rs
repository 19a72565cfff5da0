//! Running the command, and small data to run it on.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

/// What a call of the command came to.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The lines of the standard output as JSON, if the call succeeded.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        self.succeeded().lines().map(parse).collect()
    }

    /// The standard output, if the call succeeded.
    pub(crate) fn succeeded(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        &self.stdout
    }

    /// The sentence of a call that was refused: one line, exit code 1 and no panic.
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let mut errors = self.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
        let sentence = errors.next().unwrap_or_else(|| panic!("no error in {}", self.stderr));
        assert_eq!(errors.next(), None, "{}", self.stderr);
        sentence
    }
}

/// Calls the command in a folder.
pub(crate) fn ferrotape_in<S: AsRef<OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_ferrotape"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the command was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}

/// An IDX file of bytes.
pub(crate) fn idx(sizes: &[usize], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|&size| (size as u32).to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Images of `side` x `side` pixels, a bright bar each whose place is the label.
fn bars(count: usize, side: usize) -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
    let mut pixels = vec![0; count * side * side];
    for (image, &label) in pixels.chunks_exact_mut(side * side).zip(&labels) {
        let first = (usize::from(label) * side / 10) * side;
        image[first..first + 2 * side].fill(230);
    }
    (pixels, labels)
}

/// The four files of a data set of bars: 40 for training, 20 for the test. `test_side` is the size
/// of the test images, those for training have 28 x 28 pixels.
pub(crate) fn bar_files(test_side: usize) -> [(&'static str, Vec<u8>); 4] {
    let (train, train_labels) = bars(40, 28);
    let (test, test_labels) = bars(20, test_side);
    [
        ("train-images-idx3-ubyte", idx(&[40, 28, 28], &train)),
        ("train-labels-idx1-ubyte", idx(&[40], &train_labels)),
        ("t10k-images-idx3-ubyte", idx(&[20, test_side, test_side], &test)),
        ("t10k-labels-idx1-ubyte", idx(&[20], &test_labels)),
    ]
}

/// A folder for one test, with the bars in `bars`.
pub(crate) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("bars")).unwrap();
    for (name, bytes) in bar_files(28) {
        fs::write(place.path().join("bars").join(name), bytes).unwrap();
    }
    place
}

/// A run of two epochs on the bars, which all tests may read.
pub(crate) struct Trained {
    pub(crate) place: TempDir,
    pub(crate) lines: Vec<Value>,
}

impl Trained {
    pub(crate) fn folder(&self) -> PathBuf {
        self.place.path().join("run")
    }

    /// Calls the command where the run's data is.
    pub(crate) fn ferrotape(&self, arguments: &[&str]) -> Outcome {
        ferrotape_in(self.place.path(), arguments)
    }
}

pub(crate) fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let place = place();
        let arguments = "train lenet5 --data bars --epochs 2 --batch-size 8 --out run --json";
        let lines = ferrotape_in(place.path(), arguments.split(' ')).json_lines();
        Trained { place, lines }
    })
}
