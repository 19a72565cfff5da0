//! The laws of every operator, on generated inputs and attributes, a file an operator family.

mod activations;
mod arithmetic;
mod batch_norm;
mod conv_transpose;
mod convolution;
mod cross_entropy;
mod dropout;
mod fixtures;
mod fused;
mod index;
mod logsumexp;
mod losses;
mod matmul;
mod normalize;
mod padding;
mod pixels;
mod pooling;
mod reductions;
mod resample;
mod shape;
mod softmax;
mod tape;
mod threads;

use ferrotape_backend::{Device, Error, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_cuda::{Cuda, CudaOptions, emulated};
use ferrotape_gradcheck::strategy;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

/// The variable that names another device to check the laws on alone: `cuda:0`, or `cuda-on-host`, which
/// runs the kernels of the former on the host.
const DEVICE: &str = "FERROTAPE_LAWS_DEVICE";

/// The devices that the laws are checked on. Each test has its own, as live bytes are counted.
fn devices() -> Vec<Device> {
    if let Ok(name) = std::env::var(DEVICE) {
        let options = CudaOptions { deterministic: true, ..CudaOptions::default() };
        let cuda = match name.as_str() {
            "cuda:0" => Cuda::new(options),
            "cuda-on-host" => emulated(options, 1 << 30),
            _ => panic!("{DEVICE} is '{name}', it must be cuda:0 or cuda-on-host"),
        };
        return vec![Device::new(cuda.unwrap_or_else(|error| panic!("{error}")))];
    }
    let cpu = |threads| Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() });
    vec![
        Device::new(Reference::new()),
        Device::new(cpu(1).expect("one thread can be had, and the level that the machine has")),
        Device::new(cpu(2).expect("two threads can be had, and the level that the machine has")),
    ]
}

/// The error of a call, or that of the next wait: a device that works behind the caller's back finds values that are out
/// of range while it works.
fn refusal<T>(device: &Device, outcome: Result<T, Error>) -> String {
    let outcome = outcome.and_then(|_| device.synchronize());
    outcome.expect_err("it must be refused").to_string()
}

/// Checks a law on generated cases on every device.
#[track_caller]
fn for_all<S: Strategy<Value: Clone>>(
    cases: S,
    law: impl Fn(&Device, S::Value) -> Result<(), TestCaseError>,
) {
    let devices = devices();
    strategy::for_all(cases, |case| devices.iter().try_for_each(|d| law(d, case.clone())));
}
