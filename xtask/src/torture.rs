//! `cargo xtask torture`: trainings that are killed again and again, and must end as one that was not.
//!
//! Half of the kills are a signal after a random time. The others come inside the writing of a file, at a
//! point that the variable `FERROTAPE_DIE_AT` counts to (`crates/train/src/fault.rs`), because a signal nearly
//! never hits those moments. A run that is dead is gone on with by `train --resume`, or begun again where
//! it had no checkpoint yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::shell::Call;

/// What `cargo xtask torture` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many times a training is killed.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Where the moments come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The training: short, with the recipe's moments, augmentation and schedule, and checkpoints in the middle of
/// epochs.
const JOB: &str =
    "lenet5 --data synthetic --limit 320 --epochs 2 --batch-size 32 --checkpoint-every 3";

/// How many points a run passes, about, and how many milliseconds it takes: the ranges that moments are drawn from.
struct Ranges {
    points: u64,
    milliseconds: u64,
}

/// The points that the writing of one file passes.
const POINTS_A_FILE: u64 = 6;

/// Runs it as the command line says.
///
/// # Errors
/// A run that ends otherwise than one that was never killed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = crate::metadata::Metadata::read()?.workspace_root;
    let counts = torture(&root, args.kills, args.seed)?;
    println!("{counts}");
    Ok(())
}

/// Kills trainings so many times, and says what came of it.
///
/// # Errors
/// As for [`run`].
pub(crate) fn torture(root: &Path, kills: usize, seed: u64) -> Result<String> {
    Call::cargo("build --quiet --release --locked --bin ferrotape").run_beside(root)?;
    let target = crate::metadata::Metadata::read()?.target_directory;
    let binary = target.join("release").join("ferrotape");
    let place = tempfile::tempdir()?;
    let whole = place.path().join("whole");
    let began = Instant::now();
    end(&mut begin(&binary, &whole), None)?;
    let milliseconds = u64::try_from(began.elapsed().as_millis())?;
    let expected = Outcome::of(&whole)?;
    let checkpoints = 2 + 2 * 10 / 3;
    let ranges = Ranges { points: (checkpoints + 3) * POINTS_A_FILE, milliseconds };

    let mut draws = Draws(seed);
    let (mut done, mut inside, mut runs) = (0, 0, 0);
    while done < kills {
        runs += 1;
        let folder = place.path().join(format!("run-{runs}"));
        let mut again = false;
        // Each run is killed up to four times.
        let planned = 1 + draws.below(4) as usize;
        let mut left = planned.min(kills - done);
        loop {
            let mut command = match again && folder.join("checkpoint.safetensors").exists() {
                true => resume(&binary, &folder),
                false => begin(&binary, &folder),
            };
            again = true;
            if left == 0 {
                end(&mut command, None)?;
                break;
            }
            left -= 1;
            let at_point = draws.below(2) == 0;
            let after = match at_point {
                true => {
                    let point = 1 + draws.below(ranges.points);
                    command.env("FERROTAPE_DIE_AT", point.to_string());
                    None
                }
                false => Some(Duration::from_millis(draws.below(ranges.milliseconds + 1))),
            };
            if end(&mut command, Some(after))? {
                done += 1;
                inside += usize::from(at_point);
            } else {
                // It was finished before its moment came.
                break;
            }
        }
        let found = Outcome::of(&folder)?;
        if found != expected {
            let kept = place.keep();
            return Err(format!(
                "{} differs from {}, which was never killed; both are kept in {}",
                folder.display(),
                whole.display(),
                kept.display()
            )
            .into());
        }
        let before = fs::metadata(folder.join("metrics.jsonl"))?.modified()?;
        end(&mut resume(&binary, &folder), None)?;
        if fs::metadata(folder.join("metrics.jsonl"))?.modified()? != before {
            return Err("a finished run was changed by --resume".into());
        }
        fs::remove_dir_all(&folder)?;
    }
    Ok(format!(
        "{done} kills in {runs} runs, {inside} of them inside the writing of a file: every run ended with the \
         weights and figures of one that was never killed ({:.0} s)",
        began.elapsed().as_secs_f64()
    ))
}

fn begin(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("train").args(JOB.split(' ')).arg("--out").arg(folder);
    command
}

fn resume(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("train").arg("--resume").arg(folder);
    command
}

/// Waits for the end of a process, which is killed after the time if there is one; says whether it was.
/// A process that is not to die must succeed.
fn end(command: &mut Command, kill: Option<Option<Duration>>) -> Result<bool> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(Some(after)) = kill {
        thread::sleep(after);
        // It may be over already.
        let _ = child.kill();
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(false);
    }
    // Killed from outside or by itself, a process has no exit code.
    if kill.is_some() && output.status.code().is_none() {
        return Ok(true);
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// What a run leaves, less times and places.
#[derive(Debug, PartialEq)]
struct Outcome {
    weights: Vec<u8>,
    records: Vec<serde_json::Value>,
    files: Vec<PathBuf>,
}

impl Outcome {
    fn of(folder: &Path) -> Result<Self> {
        let mut records = Vec::new();
        for line in fs::read_to_string(folder.join("metrics.jsonl"))?.lines() {
            let mut record: serde_json::Value = serde_json::from_str(line)?;
            if let Some(record) = record.as_object_mut() {
                record.retain(|key, _| {
                    !["seconds", "images_per_second", "data_wait"].contains(&key.as_str())
                });
            }
            records.push(record);
        }
        let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into()));
        let mut files = entries.collect::<std::io::Result<Vec<PathBuf>>>()?;
        files.sort();
        Ok(Self { weights: fs::read(folder.join("model.safetensors"))?, records, files })
    }
}

/// Numbers that look drawn: splitmix64.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
