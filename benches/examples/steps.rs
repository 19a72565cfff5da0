//! Steps of whole networks on a device that works behind the caller's back, such as a GPU:
//! `steps DEVICE ROW...`, where a row is `train/resnet50/b256/bf16` or `infer/...`.
//!
//! Work is timed from one wait for the device to the next, a few steps at a time, so that the queue never
//! runs empty; criterion would wait after each. One JSON object a row, as the peers' script prints them.

use std::time::{Duration, Instant};

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::rows::Row;
use serde_json::json;

/// How long a row is warmed up and then timed, at the least.
const WARM_UP: Duration = Duration::from_secs(2);
const TIMED: Duration = Duration::from_secs(4);

fn main() -> Result<()> {
    let mut names = std::env::args().skip(1);
    let device = Device::open(&names.next().unwrap_or_else(|| "cpu".to_owned()))?;
    for name in names {
        match row(&device, &name) {
            Ok(line) => println!("{line}"),
            // An error's sentence may quote what it met.
            Err(error) => println!("{}", json!({"name": name, "error": error.to_string()})),
        }
    }
    Ok(())
}

fn row(device: &Device, name: &str) -> Result<String> {
    let started = Instant::now();
    let Row { batch, mut step } = Row::of(device, name)?;
    // Kernels are compiled and convolutions measured in the first steps.
    step()?;
    device.synchronize()?;
    let first = started.elapsed();
    let mut steps = 1;
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP || steps < 4 {
        step()?;
        device.synchronize()?;
        steps += 1;
    }
    let one = warm.elapsed() / steps;
    let per_sample = (0.25 / one.as_secs_f64()).clamp(1.0, 2000.0) as u32;
    let mut samples = Vec::new();
    let timed = Instant::now();
    while timed.elapsed() < TIMED || samples.len() < 5 {
        let start = Instant::now();
        for _ in 0..per_sample {
            step()?;
        }
        device.synchronize()?;
        samples.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(per_sample));
    }
    samples.sort_by(f64::total_cmp);
    let median = samples[samples.len() / 2];
    let memory = device.memory();
    Ok(format!(
        "{{\"name\": \"{name}\", \"value\": {:.1}, \"unit\": \"img/s\", \"median_ms\": {median:.4}, \
         \"min_ms\": {:.4}, \"max_ms\": {:.4}, \"runs\": {}, \"iters\": {per_sample}, \"first_s\": {:.2}, \
         \"peak_mib\": {}}}",
        batch as f64 * 1e3 / median,
        samples[0],
        samples[samples.len() - 1],
        samples.len(),
        first.as_secs_f64(),
        memory.peak_bytes >> 20,
    ))
}
