//! Moving bytes to and from the host.

use ferrotape_backend::{Array, Result, check};

use crate::Cuda;

pub(crate) fn upload(cuda: &Cuda, src: &[u8], dst: &Array) -> Result<()> {
    check::upload(src, dst)?;
    cuda.open([], [dst], |[], [dst]| {
        // Work that waits may still use the memory that the bytes go to.
        cuda.queue.after(|| cuda.machine.upload(src, dst.address))
    })
}

pub(crate) fn download(cuda: &Cuda, src: &Array, dst: &mut [u8]) -> Result<()> {
    check::download(src, dst)?;
    cuda.open([src], [], |[src], []| cuda.wait_by(|| cuda.machine.download(src.address, dst)))
}
