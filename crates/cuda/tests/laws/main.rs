//! What holds for the CUDA backend: on a GPU where there is one, and with the kernels run on the host.

mod alone_on_a_gpu;
mod conformance;
mod infinite;
mod missing;

use ferrotape_backend::{Device, Error};
use ferrotape_cuda::{Cuda, CudaOptions, emulated};

/// Bytes of memory that the emulated device has.
const ROOM: usize = 1 << 30;

/// Says that a test is skipped and why. Where this variable is set, that is a failure.
fn skip(unless: &str, why: &Error) {
    assert!(std::env::var_os(unless).is_none(), "skipped although {unless} is set: {why}");
    println!("skipped: {why}");
}

/// A device whose kernels run on the host; none, with the reason printed, where there is no compiler. CI has one.
fn emulator() -> Option<Device> {
    let opened = emulated(CudaOptions::default(), ROOM).map(Device::new);
    opened.map_err(|error| skip("FERROTAPE_NO_SKIP", &error)).ok()
}

/// The first GPU; none, with the reason printed, where there is no GPU. `run.sh` of `cargo xtask gpu-check` wants one.
fn gpu(options: CudaOptions) -> Option<Device> {
    let opened = Cuda::new(options).map(Device::new);
    opened.map_err(|error| skip("FERROTAPE_NO_SKIP_GPU", &error)).ok()
}
