//! Where the time of a row goes: `profile ROW STEPS`, for `cargo xtask bench ROW --profile`.
//!
//! The device is that of the benchmarks' variables. Printed are the time of a step by phase, by operator, and
//! by operator with the shapes of its operands, and the share that nothing accounts for. On a GPU set
//! `CUDA_LAUNCH_BLOCKING=1`, else the times are those of asking for the work; it also has what does each
//! convolution.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use ferrotape::autograd::profile::{self, Entry};
use ferrotape::{Error, Result};
use ferrotape_benches::device;
use ferrotape_benches::rows::Row;

/// As `println!`, for a reader that may have gone away.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// How many of the operators with shapes are shown.
const SHOWN: usize = 40;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || Error::argument("profile ROW STEPS, such as train/lenet5/b64/f32 20");
    let name = arguments.next().ok_or_else(usage)?;
    let steps: u32 = arguments.next().and_then(|steps| steps.parse().ok()).ok_or_else(usage)?;
    let device = device::open()?;
    let mut row = Row::of(&device, &name)?;
    for _ in 0..3 {
        (row.step)()?;
    }
    profile::start();
    for _ in 0..steps {
        (row.step)()?;
    }
    let profile = profile::stop();
    let steps = steps.max(1);
    let total = profile.total.as_secs_f64();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / total.max(1e-12);
    let line = |time: Duration, calls: u64, what: &str| {
        let ms = time.as_secs_f64() * 1e3 / f64::from(steps);
        say!("{ms:>10.3}  {:>5.1}  {:>6.1}  {what}", share(time), calls as f64 / f64::from(steps));
    };
    say!("{name}: {:.3} ms a step, {steps} steps", total * 1e3 / f64::from(steps));
    say!("\n{:>10}  {:>5}  {:>6}  phase", "ms a step", "%", "calls");
    grouped(&profile.entries, |entry| entry.phase.to_owned())
        .iter()
        .for_each(|(w, t, c)| line(*t, *c, w));
    // The rows compute on one batch that is there already.
    line(Duration::ZERO, 0, "data wait");
    line(profile.total.saturating_sub(profile.accounted()), 0, "not accounted for");
    say!("\n{:>10}  {:>5}  {:>6}  operator", "ms a step", "%", "calls");
    let operator = |entry: &Entry| format!("{} {}", entry.phase, entry.name);
    grouped(&profile.entries, operator).iter().for_each(|(w, t, c)| line(*t, *c, w));
    say!("\n{:>10}  {:>5}  {:>6}  operator and operands", "ms a step", "%", "calls");
    let whole = |entry: &Entry| format!("{} {} {}", entry.phase, entry.name, entry.operands);
    grouped(&profile.entries, whole).iter().take(SHOWN).for_each(|(w, t, c)| line(*t, *c, w));
    #[cfg(feature = "cuda")]
    on_a_gpu(&device, &name, steps)?;
    Ok(())
}

/// What kernels took by the device's own clock, and which of cuDNN's engines does each convolution.
#[cfg(feature = "cuda")]
fn on_a_gpu(device: &ferrotape::Device, name: &str, steps: u32) -> Result<()> {
    use ferrotape::cuda::{Cuda, CudaOptions};
    use ferrotape::prelude::*;

    fn cuda(device: &Device) -> Option<&Cuda> {
        let backend: &dyn std::any::Any = device.backend();
        backend.downcast_ref()
    }
    if cuda(device).is_none() {
        return Ok(());
    }
    let timed = Device::new(Cuda::new(CudaOptions { timed: true, ..CudaOptions::default() })?);
    let mut row = Row::of(&timed, name)?;
    (row.step)()?;
    // What the first step took is not of interest: engines were chosen in it.
    drop(cuda(&timed).map(Cuda::times));
    (0..steps).try_for_each(|_| (row.step)())?;
    let times = cuda(&timed).map(Cuda::times).unwrap_or_default();
    let per_step = |value: f64| value / f64::from(steps);
    let all: f64 = times.iter().map(|time| time.milliseconds).sum();
    say!(
        "\n{:>10}  {:>5}  {:>6}  kernel, {:.3} ms in all",
        "ms a step",
        "%",
        "calls",
        per_step(all)
    );
    for time in times {
        let share = 100.0 * time.milliseconds / all.max(1e-12);
        let (ms, calls) = (per_step(time.milliseconds), per_step(time.calls as f64));
        say!("{ms:>10.4}  {share:>5.1}  {calls:>6.1}  {}", time.name);
    }
    if let Some(cuda) = cuda(device) {
        convolutions(cuda);
    }
    Ok(())
}

#[cfg(feature = "cuda")]
fn convolutions(cuda: &ferrotape::cuda::Cuda) {
    say!("\n{:>10}  {:>8}  {:>6}  {:>9}  convolution", "ms", "TFLOP/s", "engine", "workspace");
    for of in cuda.convolutions() {
        let ms = of.milliseconds.map_or(f64::NAN, f64::from);
        let rate = 2e-9 * of.multiply_adds as f64 / ms;
        let engine = of.engine.map_or_else(|| "none".to_owned(), |engine| engine.to_string());
        let mib = of.workspace >> 20;
        say!("{ms:>10.4}  {rate:>8.1}  {engine:>6}  {mib:>5} MiB  {}", of.convolution);
    }
}

/// Times and calls by what the entries have in common, the longest first.
fn grouped(entries: &[Entry], common: impl Fn(&Entry) -> String) -> Vec<(String, Duration, u64)> {
    let mut groups: BTreeMap<String, (Duration, u64)> = BTreeMap::new();
    for entry in entries {
        let group = groups.entry(common(entry)).or_default();
        group.0 += entry.time;
        group.1 += entry.calls;
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(what, (t, c))| (what, t, c)).collect();
    groups.sort_by_key(|(_, time, _)| std::cmp::Reverse(*time));
    groups
}
