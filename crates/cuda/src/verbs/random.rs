//! Random numbers.

use ferrotape_backend::{Array, DType, Layout, Random, Result, Rng, check};

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{Kernel, Source};
use crate::verbs::copy;
use crate::walk::{RANK, Walk, padded, row_major, strides_of};

const RANDOM: Source = Source { name: "random", text: include_str!("../../kernels/random.cu") };

/// See [`ferrotape_backend::Backend::random`].
///
/// Uniform draws and masks are the bits of every other device. Normal draws take the GPU's logarithm, sine and
/// cosine of doubles, whose last bit may differ from the host's. Truncated normal draws, with which weights
/// begin, are made by the host.
pub(crate) fn random(cuda: &Cuda, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
    check::random(dst)?;
    let (number, a, b) = match kind {
        Random::Uniform { low, high } => (0, low, high),
        Random::Normal { mean, std } => (1, mean, std),
        Random::Bernoulli { p, value } => (2, p, value),
        Random::TruncatedNormal(distribution) => {
            let draws =
                (0..dst.shape().numel() as u64).map(|i| distribution.at(rng.uniform_f64(i)));
            let bytes: Vec<u8> = draws.flat_map(f64::to_le_bytes).collect();
            let layout = Layout::contiguous(*dst.shape());
            let mut drawn = Array::empty(dst.device(), DType::F64, layout)?;
            drawn.device().clone().backend().upload(&bytes, &mut drawn)?;
            return copy::copy(cuda, &drawn, dst);
        }
    };
    cuda.open([], [dst], |[], [y]| {
        let count = y.layout.shape().numel();
        if count == 0 {
            return Ok(());
        }
        let lists = [strides_of(y.layout), row_major(y.layout.shape())];
        let walk = Walk::sorted(y.layout.shape(), &lists);
        let args = Args::new()
            .pointer(y.address)
            .longs(padded::<RANK>(walk.sizes(), 1))
            .longs(padded::<RANK>(walk.strides(0), 0))
            .longs(padded::<RANK>(walk.strides(1), 0))
            .size(count)
            .int(number)
            .bits(rng.key())
            .double(a)
            .double(b);
        cuda.launch(&Kernel::new(RANDOM, "random").with_type("T", y.dtype), linear(count), args)
    })
}
