//! The `Backend` trait, verb by verb handed to where each is done.

use ferrotape_backend::pointwise::Program;
use ferrotape_backend::{
    Array, Backend, BatchNormGrads, Conv2d, CrossEntropy, DType, Epilogue, Memory, MemoryStats,
    Pool2d, Random, Reduce, Result, Rng, Taps,
};

use crate::Cpu;
use crate::memory::Held;
use crate::verbs;

impl Backend for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn memory(&self) -> MemoryStats {
        self.allocator.stats()
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<Box<dyn Memory>> {
        let block = self.allocator.allocate(len.saturating_mul(dtype.size()))?;
        Ok(Box::new(Held::new(block)))
    }

    fn upload(&self, src: &[u8], dst: &mut Array) -> Result<()> {
        verbs::copy::upload(src, dst)
    }

    fn download(&self, src: &Array, dst: &mut [u8]) -> Result<()> {
        verbs::copy::download(src, dst)
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
        verbs::reduce::reduce(self, kind, src, dst, index)
    }

    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Result<()> {
        verbs::gemm::gemm(self, a, b, c, accumulate)
    }

    fn conv2d(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        self.conv2d_act(x, w, bias, Epilogue::default(), y, params)
    }

    fn conv2d_act(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        epilogue: Epilogue<'_>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        verbs::conv::conv2d_act(self, [x, w], bias, epilogue, y, params)
    }

    fn conv2d_input_grad(
        &self,
        gy: &Array,
        w: &Array,
        gx: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        verbs::conv::conv2d_input_grad(self, gy, w, gx, params)
    }

    fn conv2d_weight_grad(
        &self,
        x: &Array,
        gy: &Array,
        gw: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        verbs::conv::conv2d_weight_grad(self, x, gy, gw, params)
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

    fn max_pool2d_values(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        verbs::pool::max_pool2d_values(self, x, y, params)
    }

    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
        verbs::pool::max_pool2d_grad(self, gy, index, gx)
    }

    fn max_pool2d_window_grad(
        &self,
        gy: &Array,
        index: &Array,
        gx: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        verbs::pool::max_pool2d_window_grad(self, gy, index, gx, params)
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

    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Result<()> {
        verbs::resample::resample2d(self, x, rows, columns, y)
    }

    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Result<()> {
        verbs::norm::channel_moments(self, x, mean, var)
    }

    fn batch_norm(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        y: &mut Array,
    ) -> Result<()> {
        self.batch_norm_act(x, stats, affine, eps, Epilogue::default(), y)
    }

    fn batch_norm_act(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        epilogue: Epilogue<'_>,
        y: &mut Array,
    ) -> Result<()> {
        verbs::norm::batch_norm_act(self, x, stats, affine, eps, epilogue, y)
    }

    fn batch_norm_grad(
        &self,
        gy: &Array,
        x: &Array,
        stats: [&Array; 2],
        weight: Option<&Array>,
        eps: f64,
        gx: &mut Array,
        gw: &mut Array,
        gb: &mut Array,
    ) -> Result<()> {
        let grads = BatchNormGrads { x: gx, weight: gw, bias: gb, residual: None };
        self.batch_norm_act_grad(gy, x, None, stats, weight, eps, grads)
    }

    fn batch_norm_act_grad(
        &self,
        gy: &Array,
        x: &Array,
        y: Option<&Array>,
        stats: [&Array; 2],
        weight: Option<&Array>,
        eps: f64,
        grads: BatchNormGrads<'_>,
    ) -> Result<()> {
        verbs::norm::batch_norm_act_grad(self, [gy, x], y, stats, weight, eps, grads)
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
        verbs::index::gather(src, dim, index, dst)
    }

    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        verbs::index::scatter_add(src, dim, index, dst)
    }

    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
        verbs::random::random(self, kind, rng, dst)
    }
}
