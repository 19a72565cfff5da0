//! The `Backend` trait, verb by verb handed to where each is done.

use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{Array, Backend, DType, Memory, MemoryStats, Random, Reduce, Result, Rng};

use crate::{Cuda, verbs};

impl Backend for Cuda {
    fn name(&self) -> String {
        self.device_name()
    }

    fn memory(&self) -> MemoryStats {
        self.pool.stats()
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<Box<dyn Memory>> {
        Ok(Box::new(self.pool.allocate(len.saturating_mul(dtype.size()))?))
    }

    fn synchronize(&self) -> Result<()> {
        self.wait()
    }

    fn upload(&self, src: &[u8], dst: &mut Array) -> Result<()> {
        verbs::transfer::upload(self, src, dst)
    }

    fn download(&self, src: &Array, dst: &mut [u8]) -> Result<()> {
        verbs::transfer::download(self, src, dst)
    }

    fn copy(&self, src: &Array, dst: &mut Array) -> Result<()> {
        verbs::copy::copy(self, src, dst)
    }

    fn fill(&self, dst: &mut Array, value: f64) -> Result<()> {
        verbs::copy::fill(self, dst, value)
    }

    fn pointwise(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&Array],
        outputs: &mut [&mut Array],
    ) -> Result<()> {
        verbs::pointwise::pointwise(self, program, scalars, inputs, outputs)
    }

    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Result<()> {
        verbs::reduce::reduce(self, kind, src, dst, index.as_deref())
    }

    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        verbs::index::gather(self, src, dim, index, dst)
    }

    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        verbs::index::scatter_add(self, src, dim, index, dst)
    }

    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
        verbs::random::random(self, kind, rng, dst)
    }
}
