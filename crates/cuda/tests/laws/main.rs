//! What holds for the CUDA backend: on a GPU where there is one, and with the kernels run on the host.

mod alone_on_a_gpu;
mod conformance;
mod infinite;
mod missing;

use ferrotape_backend::{Device, Error};
use ferrotape_cuda::{Cuda, CudaOptions, emulated};

/// Bytes of memory that the emulated device has.
const ROOM: usize = 1 << 30;

/// Says that a test is skipped and why. Where `FERROTAPE_NO_SKIP` is set, as on a machine that is to have a GPU, that is
/// a failure.
fn skip(why: &Error) {
    assert!(
        std::env::var_os("FERROTAPE_NO_SKIP").is_none(),
        "skipped although it must not be: {why}"
    );
    println!("skipped: {why}");
}

/// A device whose kernels run on the host; none, with the reason printed, where there is no compiler.
fn emulator() -> Option<Device> {
    emulated(CudaOptions::default(), ROOM).map(Device::new).map_err(|error| skip(&error)).ok()
}

/// The first GPU; none, with the reason printed, where there is no GPU.
fn gpu(options: CudaOptions) -> Option<Device> {
    Cuda::new(options).map(Device::new).map_err(|error| skip(&error)).ok()
}
