//! `cargo xtask gpu-check`: what has to be seen on a GPU, built into a folder that can be copied to a machine
//! that has one and no Rust. `run.sh` in it runs everything and prints a table. With `--page` what it left is written
//! into `docs/performance.md`.

mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::metadata::Metadata;

/// Megabytes that the folder may have.
const MOST: u64 = 60;

/// Flags of `gpu-check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the folder goes.
    #[arg(long, default_value = "target/gpu-check")]
    out: PathBuf,
    /// Builds nothing, and writes the page from a folder with `speed.jsonl` and profiles that `run.sh` left.
    #[arg(long, value_name = "FOLDER")]
    page: Option<PathBuf>,
}

/// A binary of the folder: its name there, and what builds it.
struct Binary {
    name: &'static str,
    build: &'static [&'static str],
}

/// The tests, the command and the steps of whole networks.
const BINARIES: &[Binary] = &[
    Binary {
        name: "laws-cuda",
        build: &["test", "--no-run", "-p", "ferrotape-cuda", "--test", "laws"],
    },
    Binary {
        name: "laws-autograd",
        build: &["test", "--no-run", "-p", "ferrotape-autograd", "--test", "laws"],
    },
    Binary {
        name: "ferrotape-parity",
        build: &[
            "build",
            "-p",
            "ferrotape-parity",
            "--features",
            "cuda",
            "--bin",
            "ferrotape-parity",
        ],
    },
    Binary {
        name: "ferrotape",
        build: &["build", "-p", "ferrotape-cli", "--features", "cuda", "--bin", "ferrotape"],
    },
    Binary {
        name: "steps",
        build: &["build", "-p", "ferrotape-benches", "--features", "cuda", "--example", "steps"],
    },
    Binary {
        name: "profile",
        build: &["build", "-p", "ferrotape-benches", "--features", "cuda", "--example", "profile"],
    },
];

/// What is copied beside them.
const FILES: &[(&str, &str)] = &[
    ("xtask/gpu/run.sh", "run.sh"),
    ("benches/peers/torch_gpu.py", "torch_gpu.py"),
    ("benches/peers/torch_bench.py", "torch_bench.py"),
    ("crates/autograd/tests/fixtures/ops", "fixtures/ops"),
    ("crates/parity/tests/fixtures/optim.json", "fixtures/optim.json"),
    ("crates/parity/tests/fixtures/zoo.json", "fixtures/zoo.json"),
];

/// Builds and copies.
///
/// # Errors
/// Something does not build or cannot be written, or the folder becomes too large.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    if let Some(folder) = &args.page {
        return page::write(&root, &root.join(folder));
    }
    let out = root.join(&args.out);
    fs::create_dir_all(out.join("bin"))?;
    for binary in BINARIES {
        println!("building {}", binary.name);
        fs::copy(build(&root, binary)?, out.join("bin").join(binary.name))?;
    }
    for (from, to) in FILES {
        copy(&root.join(from), &out.join(to))?;
    }
    let megabytes = size(&out)?.div_ceil(1 << 20);
    if megabytes > MOST {
        return Err(format!("{} has {megabytes} MB, and {MOST} is the most", out.display()).into());
    }
    println!(
        "{} has {megabytes} MB; copy it to a machine with a GPU and run run.sh there",
        out.display()
    );
    Ok(())
}

/// Builds a binary without symbols and says where it is, as cargo's messages have it.
fn build(root: &Path, binary: &Binary) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(binary.build)
        .args(["--release", "--locked", "--message-format=json-render-diagnostics"])
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} does not build", binary.name).into());
    }
    let mut found = None;
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(path) = message["executable"].as_str() {
            found = Some(PathBuf::from(path));
        }
    }
    found.ok_or_else(|| format!("cargo names no executable for {}", binary.name).into())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to)?;
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;

    /// A folder as `gpu-check` makes it, whose binaries are these lines of a shell: one for all names, and others for some.
    fn folder(line: &str, others: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let tools = ["python3", "nvidia-smi", "compute-sanitizer"].map(|name| (name, "exit 1"));
        let binaries = BINARIES.iter().map(|binary| (binary.name, line)).chain(tools);
        for (name, line) in binaries.chain(others.iter().copied()) {
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/bash\n{line}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu/run.sh");
        fs::copy(script, folder.path().join("run.sh")).unwrap();
        folder
    }

    fn script(folder: &Path, groups: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.arg(folder.join("run.sh")).args(groups);
        command.env("PATH", format!("{}:{path}", folder.join("bin").display()));
        for variable in ["OUT", "DEADLINE", "ROWS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"] {
            command.env_remove(variable);
        }
        command
    }

    /// The verdicts by the names of steps, and whether the status was 0.
    fn run(command: &mut Command) -> (BTreeMap<String, String>, bool) {
        let output = command.output().unwrap();
        (table(&String::from_utf8(output.stdout).unwrap()), output.status.success())
    }

    fn table(text: &str) -> BTreeMap<String, String> {
        let words = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.next()?))
        };
        text.lines().filter_map(words).collect()
    }

    #[test]
    fn the_status_of_the_script_is_0_only_if_all_was_run_and_passed() {
        let says = "echo $FERROTAPE_NO_SKIP_GPU:$LD_LIBRARY_PATH:$*";
        let sound = folder(says, &[]);
        let (rows, ok) = run(&mut script(sound.path(), &["laws", "parity", "sanitize"]));
        let failed = ["memcheck", "racecheck"].map(|name| rows[name].as_str());
        assert_eq!((failed, ok), (["FAILED"; 2], false), "{rows:?}");
        let (rows, ok) =
            run(script(sound.path(), &["laws", "parity"]).env("LD_LIBRARY_PATH", "/nowhere"));
        assert!(
            ok && rows.values().filter(|verdict| *verdict == "passed").count() == 8,
            "{rows:?}"
        );
        let log = |name| fs::read_to_string(sound.path().join("logs").join(name)).unwrap();
        assert_eq!(log("conformance.log"), "1:/nowhere:conformance::on_a_gpu --test-threads=6\n");
        let (rows, ok) = run(script(sound.path(), &["laws"]).env("DEADLINE", "0"));
        assert!(!ok && rows["gpu"] == "not-run", "{rows:?}");
        let broken = folder(says, &[("laws-autograd", "exit 101")]);
        let (rows, ok) = run(&mut script(broken.path(), &["laws"]));
        assert_eq!(
            (rows["operators"].as_str(), rows["gpu"].as_str(), ok),
            ("FAILED", "passed", false)
        );
        let late = folder(says, &[("laws-cuda", "sleep 60")]);
        let (rows, ok) = run(script(late.path(), &["laws"]).env("DEADLINE", "2"));
        assert_eq!(
            (rows["conformance"].as_str(), rows["gpu"].as_str(), ok),
            ("timeout", "not-run", false)
        );
    }

    #[test]
    fn rows_of_the_benchmarks_fail_by_what_they_say_and_peers_never_do() {
        let line = "echo '{\"name\": \"row\", \"value\": 1.0}'";
        let error = "echo '{\"name\": \"row\", \"error\": \"no\"}'";
        for (steps, verdict) in [(line, "passed"), (error, "FAILED")] {
            let folder = folder(line, &[("steps", steps), ("python3", error)]);
            let (rows, ok) = run(script(folder.path(), &["speed"]).env("ROWS", "train/a/b1/f32"));
            assert_eq!(rows["speed-train-a-b1-f32"], verdict);
            assert_eq!(rows["torch-compile-train-a-b1-f32"], "no-row");
            assert_eq!(ok, verdict == "passed");
            let lines = fs::read_to_string(folder.path().join("logs/speed.jsonl")).unwrap();
            assert_eq!(lines.lines().filter(|line| line.contains("name")).count(), 3, "{lines}");
        }
    }

    #[test]
    fn a_script_that_is_ended_prints_its_table() {
        let folder = folder("exit 0", &[("laws-autograd", "sleep 60")]);
        let mut command = script(folder.path(), &["laws"]);
        let began = Instant::now();
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let rows = folder.path().join("logs/table");
        while !fs::read_to_string(&rows).is_ok_and(|rows| rows.contains("conformance")) {
            assert!(began.elapsed() < Duration::from_secs(40), "the first step does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let rows = table(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(
            (rows["conformance"].as_str(), rows["operators"].as_str()),
            ("passed", "stopped")
        );
        assert!(!output.status.success() && began.elapsed() < Duration::from_secs(50));
    }
}
