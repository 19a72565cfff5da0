//! The `Backend` trait, verb by verb handed to where each is done.

use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{
    Array, Backend, CrossEntropy, DType, Memory, MemoryStats, Pool2d, Random, Reduce, Result, Rng,
};

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

    fn max_pool2d(
        &self,
        x: &Array,
        y: &mut Array,
        index: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        verbs::pool::max_pool2d(self, x, y, index, params)
    }

    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
        verbs::pool::max_pool2d_grad(self, gy, index, gx)
    }

    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Result<()> {
        verbs::pool::max_pool2d_pick(self, x, index, y)
    }

    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        verbs::pool::avg_pool2d(self, x, y, params)
    }

    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Result<()> {
        verbs::pool::avg_pool2d_grad(self, gy, gx, params)
    }

    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, log: bool) -> Result<()> {
        verbs::softmax::softmax(self, x, y, dim, log)
    }

    fn softmax_grad(
        &self,
        gy: &Array,
        y: &Array,
        gx: &mut Array,
        dim: usize,
        log: bool,
    ) -> Result<()> {
        verbs::softmax::softmax_grad(self, gy, y, gx, dim, log)
    }

    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Array,
        loss: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        verbs::softmax::cross_entropy(self, logits, targets, loss, params)
    }

    fn cross_entropy_grad(
        &self,
        gloss: &Array,
        logits: &Array,
        targets: &Array,
        gx: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        verbs::softmax::cross_entropy_grad(self, gloss, logits, targets, gx, params)
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
