//! Moving bytes to and from the host, and filling.

use ferrotape_backend::{Array, Result, check};

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source};

const FILL: Source = Source { name: "fill", text: include_str!("../../kernels/fill.cu") };

pub(crate) fn upload(cuda: &Cuda, src: &[u8], dst: &Array) -> Result<()> {
    check::upload(src, dst)?;
    cuda.open([], [dst], |[], [dst]| {
        // Work that waits may still use the memory that the bytes go to.
        cuda.queue.after(|| cuda.machine.upload(src, dst.address))
    })
}

pub(crate) fn download(cuda: &Cuda, src: &Array, dst: &mut [u8]) -> Result<()> {
    check::download(src, dst)?;
    cuda.open([src], [], |[src], []| cuda.queue.after(|| cuda.machine.download(src.address, dst)))?;
    cuda.verdict()
}

pub(crate) fn fill(cuda: &Cuda, dst: &Array, value: f64) -> Result<()> {
    check::fill(dst)?;
    let count = dst.shape().numel();
    cuda.open([], [dst], |[], [dst]| {
        if count == 0 {
            return Ok(());
        }
        let mut sizes = [1; 8];
        for (to, &from) in sizes.iter_mut().zip(dst.layout.shape().iter()) {
            *to = from as i64;
        }
        let args = Args::new()
            .pointer(dst.address)
            .longs(sizes)
            .longs(dst.strides::<8>())
            .size(count)
            .double(value);
        cuda.launch(&Kernel::new(FILL, "fill").with_type("T", dst.dtype), linear(count), args)
    })
}
