//! The laws of every operator, on generated inputs and attributes, a file an operator family.

mod activations;
mod arithmetic;
mod batch_norm;
mod convolution;
mod cross_entropy;
mod dropout;
mod fixtures;
mod index;
mod logsumexp;
mod losses;
mod matmul;
mod padding;
mod pixels;
mod pooling;
mod reductions;
mod shape;
mod softmax;
mod tape;
mod threads;

use ferrotape_backend::{Device, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::strategy;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

/// The devices that the laws are checked on. Each test has its own, as live bytes are counted.
fn devices() -> Vec<Device> {
    let cpu = |threads| Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() });
    vec![
        Device::new(Reference::new()),
        Device::new(cpu(1).expect("one thread can be had, and the level that the machine has")),
        Device::new(cpu(2).expect("two threads can be had, and the level that the machine has")),
    ]
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
