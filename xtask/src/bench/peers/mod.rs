//! The other frameworks: their harnesses in `benches/peers/` are built, asked for their rows, and run
//! in turns with ours.

mod process;
pub(super) mod python;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::line::{Line, Log, OURS};
use super::machine::Machine;
use super::programs::Programs;
use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// Where the harnesses are.
const FOLDER: &str = "benches/peers";

/// How often a row is measured in turns; once with `--quick`.
const PASSES: usize = 3;

/// The variables that tell the thread pools of the peers how many threads to start.
const THREADS: [&str; 5] = [
    "RAYON_NUM_THREADS",
    "CANDLE_NUM_THREADS",
    "MATMUL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
];

/// Whose harness it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Peer {
    /// PyTorch and torchvision.
    Torch,
    /// candle.
    Candle,
    /// burn.
    Burn,
    /// The crates matrixmultiply and gemm, which have the matrix product alone.
    Crates,
}

impl Peer {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The package and the program of a peer that cargo builds.
    fn package(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Torch => None,
            Self::Candle => Some(("peer-models", "peer-candle")),
            Self::Burn => Some(("peer-models", "peer-burn")),
            Self::Crates => Some(("peer-gemm", "peer-gemm")),
        }
    }
}

/// What the value of `--peers` means beside the filter: a list of peers, or the filter itself where
/// there is none, so that `--peers train/` reads as it is meant. No list means all peers.
///
/// # Errors
/// The value names no peer, and a filter is there already.
pub(super) fn chosen(value: &str, filter: &mut Option<String>) -> Result<Vec<Peer>> {
    let all = || Peer::value_variants().to_vec();
    if value.is_empty() {
        return Ok(all());
    }
    let named: Vec<_> = value.split(',').map(|name| Peer::from_str(name, false)).collect();
    if filter.is_none() && named.iter().all(std::result::Result::is_err) {
        *filter = Some(value.to_owned());
        return Ok(all());
    }
    let known: Vec<_> = all().into_iter().map(Peer::name).collect();
    let wrong = || format!("--peers takes a list of {}, not \"{value}\"", known.join(", "));
    let mut peers =
        named.into_iter().collect::<std::result::Result<Vec<_>, _>>().map_err(|_| wrong())?;
    let mut seen = Vec::new();
    peers.retain(|peer| {
        !seen.contains(peer) && {
            seen.push(*peer);
            true
        }
    });
    Ok(peers)
}

/// One row in one mode of a peer.
#[derive(Clone, Debug, PartialEq)]
struct Job {
    peer: Peer,
    name: String,
    mode: String,
}

/// The peers, ready to run.
pub(super) struct Harnesses {
    jobs: Vec<Job>,
    folder: PathBuf,
    binaries: PathBuf,
    python: PathBuf,
}

impl Harnesses {
    /// Builds what cargo builds, looks for PyTorch, and asks each harness for its rows.
    ///
    /// # Errors
    /// A peer that was asked for cannot be built or is not there; the message says how to leave it
    /// out.
    pub(super) fn prepare(
        peers: &[Peer],
        metadata: &Metadata,
        python: Option<&Path>,
        compile: bool,
    ) -> Result<Self> {
        let target = metadata.target_directory.join("peers");
        let folder = metadata.workspace_root.join(FOLDER);
        let python = match python {
            Some(python) => python.to_owned(),
            None => python::own(&target),
        };
        if peers.contains(&Peer::Torch) {
            python::check(&python, &folder)?;
        }
        for package in packages(peers) {
            build(package, &folder, &target)?;
        }
        let mut harnesses =
            Self { jobs: Vec::new(), folder, binaries: target.join("release"), python };
        for &peer in peers {
            let call = harnesses.call(peer).arg("--list");
            let call =
                if peer == Peer::Torch && !compile { call.arg("--no-compile") } else { call };
            harnesses.jobs.extend(jobs(peer, &call.read(&harnesses.folder)?));
        }
        Ok(harnesses)
    }

    fn call(&self, peer: Peer) -> Call {
        match peer.package() {
            None => Call::new(&self.python.to_string_lossy(), "torch_bench.py"),
            Some((_, program)) => {
                let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
                Call::new(&self.binaries.join(file).to_string_lossy(), "")
            }
        }
    }

    /// Whether a peer has this row.
    pub(super) fn has(&self, row: &str) -> bool {
        self.jobs.iter().any(|job| job.name == row)
    }

    /// Measures rows by us and by every peer in turns, each time in a process of its own, and adds a
    /// line to the log for each. What the log has already is not measured again, and a mode that
    /// failed is not tried again.
    ///
    /// # Errors
    /// Ours fails, or the log cannot be written.
    pub(super) fn measure(
        &self,
        rows: &[String],
        programs: &Programs,
        machine: &Machine,
        log: &mut Log,
    ) -> Result<()> {
        let passes = if machine.quick { 1 } else { PASSES };
        for row in rows {
            for pass in 1..=passes {
                let turn = format!("bench: {row}, pass {pass} of {passes}");
                if !log.has((OURS, "default", row, pass)) {
                    eprintln!("{turn}: ours ...");
                    for line in programs.measure(std::slice::from_ref(row), machine)? {
                        log.add(Line { pass: Some(pass), ..line })?;
                    }
                }
                for job in self.jobs.iter().filter(|job| job.name == *row) {
                    let peer = job.peer.name();
                    let key = (peer.as_str(), job.mode.as_str(), row.as_str(), pass);
                    if log.has(key) || has_failed(log, job) {
                        continue;
                    }
                    eprintln!("{turn}: {peer} {} ...", job.mode);
                    let line = self.run(job, machine)?;
                    if let Some(error) = &line.error {
                        eprintln!("bench: {peer} {} has no figure: {error}", job.mode);
                    }
                    log.add(Line { pass: Some(pass), ..line })?;
                }
            }
        }
        Ok(())
    }

    /// Measures one row by a peer. What goes wrong is said in the line.
    fn run(&self, job: &Job, machine: &Machine) -> Result<Line> {
        let threads = machine.threads.to_string();
        let mut call = self.call(job.peer);
        for option in ["--row", &job.name, "--mode", &job.mode, "--threads", &threads] {
            call = call.arg(option);
        }
        if machine.quick {
            call = call.arg("--quick");
        }
        for variable in THREADS {
            call = call.variable(variable, &*threads);
        }
        let is_compiled = job.mode.starts_with("compile");
        // The harness gives a compilation up after 180 s by itself.
        let limit = Duration::from_secs(if is_compiled { 480 } else { 600 });
        let line = process::line(&call, &self.folder, limit, is_compiled)?;
        Ok(Line {
            peer: job.peer.name(),
            mode: job.mode.clone(),
            name: job.name.clone(),
            threads: Some(machine.threads),
            cpu: Some(machine.cpu.clone()),
            quick: machine.quick,
            unit: if job.name.starts_with("gemm/") { "GF/s" } else { "img/s" }.to_owned(),
            ..line
        })
    }
}

fn has_failed(log: &Log, job: &Job) -> bool {
    let peer = job.peer.name();
    let same = |line: &&Line| (&line.peer, &line.mode, &line.name) == (&peer, &job.mode, &job.name);
    log.lines.iter().filter(same).any(|line| line.error.is_some())
}

/// The packages that the peers need, each once. They are built one by one, because packages that are
/// built together lend each other features.
fn packages(peers: &[Peer]) -> Vec<&'static str> {
    let mut packages: Vec<_> = peers.iter().filter_map(|peer| Some(peer.package()?.0)).collect();
    packages.dedup();
    packages
}

fn build(package: &str, folder: &Path, target: &Path) -> Result<()> {
    eprintln!("bench: building {package}; the first time takes a while ...");
    let call = Call::cargo(&format!("build --quiet --release --locked -p {package}"))
        .variable("CARGO_TARGET_DIR", target.to_string_lossy());
    Ok(call.run_beside(folder).map_err(|error| {
        format!(
            "the peers of {FOLDER} were not built: {error}\nTo measure without them, name the others, \
             as in --peers torch"
        )
    })?)
}

/// The rows and modes in what a harness lists, `NAME MODE` a line.
fn jobs(peer: Peer, list: &str) -> Vec<Job> {
    let job = |line: &str| {
        let (name, mode) = line.split_once(' ')?;
        Some(Job { peer, name: name.to_owned(), mode: mode.trim().to_owned() })
    };
    list.lines().filter_map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_means_all_peers_and_a_list_some() {
        let mut filter = Some("train/".to_owned());
        assert_eq!(chosen("", &mut filter).unwrap(), Peer::value_variants());
        let list = "burn,torch,burn";
        assert_eq!(chosen(list, &mut filter).unwrap(), [Peer::Burn, Peer::Torch]);
        assert_eq!(filter.as_deref(), Some("train/"));
    }

    #[test]
    fn a_value_that_names_no_peer_is_the_filter_where_there_is_none() {
        let mut filter = None;
        assert_eq!(chosen("train/lenet5", &mut filter).unwrap().len(), 4);
        assert_eq!(filter.as_deref(), Some("train/lenet5"));
        for wrong in ["infer/", "torch,tch"] {
            let error = chosen(wrong, &mut filter).unwrap_err().to_string();
            assert!(error.contains("torch, candle, burn, crates"), "{error}");
        }
        assert!(chosen("torch,tch", &mut None).is_err());
    }

    #[test]
    fn a_harness_lists_a_row_and_a_mode_a_line() {
        let found = jobs(Peer::Burn, "train/x/b1/f32 flex\ntrain/x/b1/f32 ndarray\n\n");
        let modes: Vec<_> = found.iter().map(|job| job.mode.as_str()).collect();
        assert_eq!(modes, ["flex", "ndarray"]);
        assert_eq!(found[0].name, "train/x/b1/f32");
    }

    #[test]
    fn a_package_is_built_once_for_both_of_its_peers() {
        assert_eq!(packages(Peer::value_variants()), ["peer-models", "peer-gemm"]);
        assert!(packages(&[Peer::Torch]).is_empty());
    }

    #[test]
    fn a_mode_that_failed_is_not_tried_again() {
        let mut log = Log::replace(None).unwrap();
        let job = Job { peer: Peer::Torch, name: "x".to_owned(), mode: "compile".to_owned() };
        assert!(!has_failed(&log, &job));
        let line = super::super::line::tests::line("torch", "compile", "x", 1.0);
        log.add(line.clone()).unwrap();
        assert!(!has_failed(&log, &job));
        log.add(Line { value: None, error: Some("no".to_owned()), ..line }).unwrap();
        assert!(has_failed(&log, &job));
    }
}
