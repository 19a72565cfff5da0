//! `ferrotape doctor`.

use std::io::Write;

#[cfg(target_arch = "x86_64")]
use ferrotape::cpu::Level;
use ferrotape::cpu::{Cpu, CpuOptions};
use serde_json::json;

use crate::error::Result;
use crate::shown::stdout;

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Threads to compute on [default: one a core].
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What the processor calls itself.
pub(crate) fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.and_then(|line| line.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The number of cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The instruction sets of this processor that matter to networks.
#[cfg(target_arch = "x86_64")]
fn processor_features() -> Vec<&'static str> {
    [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ("avx512fp16", is_x86_feature_detected!("avx512fp16")),
        ("amx", Level::Amx.is_available()),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect()
}

/// The instruction sets of this processor that matter to networks: none that are told apart.
#[cfg(not(target_arch = "x86_64"))]
fn processor_features() -> Vec<&'static str> {
    Vec::new()
}

/// The devices of CUDA, and what of it was found.
#[cfg(feature = "cuda")]
fn cuda() -> (Vec<String>, String) {
    let found = ferrotape::cuda::probe();
    (found.devices(), found.to_string())
}

/// The devices of CUDA, and what of it was found: nothing was looked for.
#[cfg(not(feature = "cuda"))]
fn cuda() -> (Vec<String>, String) {
    let why = "not in this build (the feature `cuda` adds it): it computes on the CPU alone";
    (Vec::new(), why.to_owned())
}

/// Prints what of the machine is used.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::model::check_threads(arguments.threads)?;
    let cpu = Cpu::new(CpuOptions { threads: arguments.threads, ..CpuOptions::default() })?;
    let (gpus, cuda) = cuda();
    let devices: Vec<String> = ["cpu".to_owned()].into_iter().chain(gpus).collect();
    let mut out = stdout();
    if arguments.json {
        let line = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": cpu_model(),
            "cores": cores(),
            "threads": cpu.threads(),
            "level": cpu.level().name(),
            "features": processor_features(),
            "devices": devices,
            "cuda": cuda.lines().collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(out, "ferrotape  {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "processor  {} ({} cores for this process)", cpu_model(), cores())?;
    writeln!(out, "threads    {} (--threads changes it)", cpu.threads())?;
    writeln!(out, "kernels    {} (FERROTAPE_CPU chooses others)", cpu.features())?;
    writeln!(out, "features   {}", processor_features().join(" "))?;
    writeln!(out, "devices    {}", devices.join(", "))?;
    for (index, line) in cuda.lines().enumerate() {
        writeln!(out, "{:<10} {line}", if index == 0 { "cuda" } else { "" })?;
    }
    Ok(())
}
