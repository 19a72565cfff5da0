//! What the Rust peers share: options, a process a row, timing, memory, one JSON object a line.
//!
//! A program knows its rows and modes ([`Peer`]). With `--list` it names them, with `--row NAME
//! --mode MODE` it measures one in this process, and without either it measures all that are
//! selected, each in a child process of itself, so that peak memory is the row's own.

mod line;
mod memory;
mod options;
mod timing;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

pub use line::{Line, Rate};
pub use memory::{gradients_and_momentum_mib, peak_mib, start_count};
pub use options::{Options, Row};
pub use timing::{Timing, measure};

/// A failure, as a sentence.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The variables that tell the peers' thread pools how many threads to start.
const THREADS: [&str; 5] = [
    "RAYON_NUM_THREADS",
    "CANDLE_NUM_THREADS",
    "MATMUL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
];

/// A row and the modes in which it is measured.
pub type Modes = (&'static str, &'static [&'static str]);

/// One program of a peer: what it can measure, and how.
pub struct Peer {
    /// Every row with its modes.
    pub rows: &'static [Modes],
    /// Measures one row in one mode in this process.
    pub measure: fn(row: &Row, mode: &str, options: &Options) -> Result<Line>,
    /// The line of a row that could not be measured.
    pub failed: fn(name: &str, mode: &str, options: &Options, why: &str) -> Line,
}

impl Peer {
    /// Does what the command line asks for.
    pub fn main(&self) -> ExitCode {
        let done = Options::read(std::env::args().skip(1)).and_then(|options| self.run(&options));
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(&self, options: &Options) -> Result<()> {
        if options.list {
            for (name, modes) in self.rows {
                modes.iter().for_each(|mode| println!("{name} {mode}"));
            }
            return Ok(());
        }
        let mut file = options.json.as_ref().map(|path| append(path)).transpose()?;
        if let Some(row) = &options.row {
            let name = row.name();
            let first = self.rows.iter().find(|(known, _)| *known == name).map(|row| row.1[0]);
            let mode = options.mode.as_deref().or(first);
            let mode = mode.ok_or_else(|| format!("{name} is no row here; --list names them"))?;
            let line = (self.measure)(row, mode, options)
                .unwrap_or_else(|error| (self.failed)(&name, mode, options, &one_line(&error)));
            return report(&line, &mut file);
        }
        for (name, modes) in self.rows {
            if !options.selects(&Row::parse(name)?) {
                continue;
            }
            for mode in
                modes.iter().filter(|mode| options.mode.as_deref().is_none_or(|m| m == **mode))
            {
                let line = self.in_a_process(name, mode, options)?;
                report(&line, &mut file)?;
            }
        }
        Ok(())
    }

    /// Measures a row in a child process that has `threads` set for every thread pool.
    fn in_a_process(&self, name: &str, mode: &str, options: &Options) -> Result<Line> {
        let threads = options.threads.to_string();
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--row", name, "--mode", mode, "--threads", &threads]);
        if options.quick {
            child.arg("--quick");
        }
        child.envs(THREADS.map(|variable| (variable, &threads)));
        let output = child.stderr(Stdio::piped()).output()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        if let Some(line) = stdout.lines().find(|line| line.starts_with('{')) {
            return Ok(serde_json::from_str(line)?);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status.to_string();
        let why = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(&status);
        Ok((self.failed)(name, mode, options, why))
    }
}

fn append(path: &String) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(file.map_err(|error| format!("{path} cannot be written: {error}"))?)
}

fn report(line: &Line, file: &mut Option<File>) -> Result<()> {
    let text = serde_json::to_string(line)?;
    println!("{text}");
    if let Some(file) = file {
        writeln!(file, "{text}")?;
    }
    Ok(())
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or("error").to_owned()
}

/// A fixed, roughly uniform sequence in [-1, 1).
pub fn noise(count: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The classes that the harness of PyTorch gives its images.
pub fn labels(batch: usize, classes: usize) -> Vec<u32> {
    (0..batch).map(|i| ((i * 7919 + 13) % classes) as u32).collect()
}
