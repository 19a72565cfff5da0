//! The backend passes the conformance kit.

use ferrotape_backend::conformance::{self, Options};
use ferrotape_backend::{Device, ErrorKind};
use ferrotape_cuda::{Cuda, CudaOptions};

use crate::{emulator, gpu};

fn passes(device: &Device, cases: u32) {
    let options = Options { cases, ..Options::default() };
    let mut failures = Vec::new();
    for verb in conformance::list() {
        match verb.check(device, &options) {
            Ok(report) if report.unsupported == 0 => {}
            Ok(report) => {
                failures.push(format!("{}: {} unsupported", verb.name(), report.unsupported))
            }
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What the kernels are compiled for: Ampere and Hopper.
const ARCHITECTURES: [&str; 2] = ["80", "90"];

#[test]
fn the_kernels_conform_when_they_run_on_the_host_and_compile_for_every_gpu() {
    let Some(device) = emulator() else { return };
    passes(&device, 40);
    let backend: &dyn std::any::Any = device.backend();
    let cuda = backend.downcast_ref::<Cuda>().expect("the emulator is this backend");
    let mut wrong = Vec::new();
    for (name, text) in cuda.compiled_sources() {
        for architecture in ARCHITECTURES {
            match ferrotape_cuda::compile(name, &text, architecture) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    println!("skipped: {error}");
                    return;
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_gpu_conforms() {
    let Some(device) = gpu(CudaOptions::default()) else { return };
    passes(&device, 256);
}
