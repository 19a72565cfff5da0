//! A small network trained for many steps on batches and images of random sizes, with a line on memory now and
//! then: `cargo xtask endurance` runs it and writes down what it says.

use ferrotape::nn::{BatchNormConfig, Conv2dConfig, Flatten, LinearConfig, PoolConfig};
use ferrotape::nn::{activation, adaptive_avg_pool2d, max_pool2d};
use ferrotape::prelude::*;

/// How many lines are printed.
const LINES: u64 = 20;

/// Batches have 1 to so many images.
const MOST_IMAGES: u64 = 32;

/// Heights and widths are from the first of these up to, but not, the second.
const SIDES: (u64, u64) = (8, 40);

const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: u64 = std::env::args().nth(1).ok_or("name the number of steps")?.parse()?;
    let device = Device::open("cpu")?;
    let rng = Rng::new(42);
    let model = network(&Init::new(&device, rng))?;
    let config = SgdConfig { lr: 0.02, momentum: 0.9, ..SgdConfig::default() };
    let mut sgd = Sgd::new(model.parameters(), config)?;
    let pixels = noise(rng);
    let mut loss = f64::NAN;
    for step in 1..=steps {
        let (images, labels) = batch(&device, rng.path("batch").step(step), &pixels)?;
        let cx = Pass::train(&device, rng.step(step));
        let outcome = model.loss(&cx, &cx.input(images)?, &labels)?.loss;
        sgd.step(&outcome.backward()?)?;
        loss = outcome.item()?;
        drop((outcome, cx, labels));
        if step % (steps / LINES).max(1) == 0 {
            let memory = device.memory();
            println!(
                "{{\"step\":{step},\"resident\":{},\"live\":{},\"kept\":{},\"loss\":{loss:.3}}}",
                resident()?,
                memory.live_bytes,
                memory.cached_bytes
            );
        }
    }
    if loss.is_finite() { Ok(()) } else { Err("the loss is no finite number".into()) }
}

fn network(init: &Init) -> ferrotape::Result<Sequential> {
    Sequential::new(init)
        .add(Conv2dConfig::new(3, 8, 3).padding(1))?
        .add(BatchNormConfig::new(8))?
        .add(activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(2)))?
        .add(Conv2dConfig::new(8, 16, 3).padding(1))?
        .add(activation("relu", Tensor::relu))?
        .add(adaptive_avg_pool2d([1, 1]))?
        .add(Flatten::new)?
        .add(LinearConfig::new(16, CLASSES))
}

/// Enough noise for the largest batch.
fn noise(rng: Rng) -> Vec<f32> {
    let most = MOST_IMAGES * 3 * SIDES.1 * SIDES.1;
    (0..most).map(|i| rng.path("noise").uniform_f32(i) - 0.5).collect()
}

/// Noise whose brightness is the class, in a batch of random size.
fn batch(device: &Device, rng: Rng, pixels: &[f32]) -> ferrotape::Result<(Array, Array)> {
    let side = |call| (SIDES.0 + rng.below(call, SIDES.1 - SIDES.0)) as usize;
    let (count, height, width) = (1 + rng.below(0, MOST_IMAGES) as usize, side(1), side(2));
    let labels: Vec<i64> =
        (0..count as u64).map(|i| rng.below(3 + i, CLASSES as u64) as i64).collect();
    let volume = 3 * height * width;
    let mut images = pixels[..count * volume].to_vec();
    for (image, &label) in images.chunks_exact_mut(volume).zip(&labels) {
        let brightness = label as f32 / CLASSES as f32;
        image.iter_mut().for_each(|pixel| *pixel += brightness);
    }
    Ok((
        Array::from_slice(device, &images, [count, 3, height, width])?,
        Array::from_slice(device, &labels, [count])?,
    ))
}

/// The memory of this process that is in use, in bytes, as Linux counts it.
fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("resident memory is read from /proc, as Linux has it: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.split_whitespace().next()).ok_or("there is no VmRSS")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}
