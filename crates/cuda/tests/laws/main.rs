//! What holds for the CUDA backend: on a GPU where there is one, and with the kernels run on the host.

mod alone_on_a_gpu;
mod conformance;
mod missing;

use ferrotape_backend::Device;
use ferrotape_cuda::{Cuda, CudaOptions, emulated};

/// Bytes of memory that the emulated device has.
const ROOM: usize = 1 << 30;

/// A device whose kernels run on the host; none, with the reason printed, where there is no compiler.
fn emulator() -> Option<Device> {
    match emulated(CudaOptions::default(), ROOM) {
        Ok(cuda) => Some(Device::new(cuda)),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// The first GPU; none, with the reason printed, where there is no GPU.
fn gpu(options: CudaOptions) -> Option<Device> {
    match Cuda::new(options) {
        Ok(cuda) => Some(Device::new(cuda)),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}
