//! The `Backend` trait, verb by verb handed to where each is done.

use ferrotape_backend::{Array, Backend, DType, Memory, MemoryStats, Result};

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

    fn fill(&self, dst: &mut Array, value: f64) -> Result<()> {
        verbs::transfer::fill(self, dst, value)
    }
}
