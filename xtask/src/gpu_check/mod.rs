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
