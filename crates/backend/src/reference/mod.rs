//! The reference backend: plain loops in f64 that say what each verb means.
//!
//! Every verb reads its operands into vectors in row-major order of the logical indices, computes a
//! new vector with the formula of its documentation, and writes that back. Nothing here is fast and
//! nothing depends on a layout, which makes it what other backends are held against.

mod data;
mod memory;
mod norm;
mod pool;
mod product;
mod resample;

use std::sync::Arc;

use crate::pointwise::Program;
use crate::{
    Array, Backend, Context, Conv2d, CrossEntropy, DType, Memory, MemoryStats, Pool2d, Random,
    Reduce, Result, Rng, Taps, check, describe,
};
use memory::Counters;

/// The reference backend. Numbers are kept in f64, rounded to the array's type at every store, so
/// integers beyond 2^53 are refused; everything is computed and summed in f64.
///
/// ```
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let a = Array::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0], [1, 2, 2])?;
/// let mut product = Array::zeros(&device, a.dtype(), [1, 2, 2])?;
/// device.backend().gemm(&a, &a, &mut product, false)?;
/// assert_eq!(product.to_vec::<f32>()?, [7.0, 10.0, 15.0, 22.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Reference {
    counters: Arc<Counters>,
}

impl Reference {
    /// A device of its own, with no memory in use.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let devices = [(); 2].map(|()| Device::new(Reference::new()));
    /// let x = Array::zeros(&devices[0], DType::F64, [4])?;
    /// assert_eq!(devices.map(|device| device.memory().live_bytes), [32, 0]);
    /// # drop(x);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn new() -> Self {
        Reference::default()
    }

    fn read_optional(&self, array: Option<&Array>) -> Result<Option<Vec<f64>>> {
        array.map(|array| self.read(array)).transpose()
    }

    fn read_pair(&self, arrays: [&Array; 2]) -> Result<[Vec<f64>; 2]> {
        Ok([self.read(arrays[0])?, self.read(arrays[1])?])
    }
}

impl Backend for Reference {
    fn name(&self) -> String {
        "reference".to_owned()
    }

    fn memory(&self) -> MemoryStats {
        self.counters.stats()
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<Box<dyn Memory>> {
        memory::allocate(&self.counters, dtype, len)
    }

    fn upload(&self, src: &[u8], dst: &mut Array) -> Result<()> {
        check::upload(src, dst)?;
        let values = memory::decode(dst.dtype(), src).at(|| describe("upload", &[dst]))?;
        self.write(dst, &values)
    }

    fn download(&self, src: &Array, dst: &mut [u8]) -> Result<()> {
        check::download(src, dst)?;
        memory::encode(src.dtype(), &self.read(src)?, dst);
        Ok(())
    }

    fn copy(&self, src: &Array, dst: &mut Array) -> Result<()> {
        check::copy(src, dst)?;
        self.write(dst, &self.read(src)?)
    }

    fn fill(&self, dst: &mut Array, value: f64) -> Result<()> {
        check::fill(dst)?;
        self.write(dst, &vec![value; dst.shape().numel()])
    }

    fn pointwise(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&Array],
        outputs: &mut [&mut Array],
    ) -> Result<()> {
        let shape = check::pointwise(program, scalars, inputs, outputs)?;
        let read = |array: &Array| self.read(array);
        let inputs = inputs
            .iter()
            .map(|input| read(&input.broadcast_to(shape)?))
            .collect::<Result<Vec<_>>>()?;
        let previous = outputs.iter().map(|output| read(output)).collect::<Result<Vec<_>>>()?;
        let results = data::pointwise(program, scalars, &inputs, &previous);
        outputs.iter().zip(&results).try_for_each(|(output, values)| self.write(output, values))
    }

    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Result<()> {
        check::reduce(kind, src, dst, index.as_deref())?;
        let (values, positions) = data::reduce(kind, &self.read(src)?, *src.shape(), *dst.shape())?;
        if let Some(index) = index {
            self.write(index, &positions)?;
        }
        self.write(dst, &values)
    }

    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Result<()> {
        let sizes = check::gemm(a, b, c)?;
        let start = if accumulate { self.read(c)? } else { vec![0.0; c.shape().numel()] };
        let batches = [a.shape()[0], b.shape()[0]];
        self.write(c, &product::gemm(&self.read(a)?, &self.read(b)?, start, sizes, batches))
    }

    fn conv2d(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        let shapes = check::conv2d(x, w, bias, y, params)?;
        let bias = self.read_optional(bias)?;
        let [x, w] = self.read_pair([x, w])?;
        self.write(y, &product::conv2d(&x, &w, bias.as_deref(), &shapes, params))
    }

    fn conv2d_input_grad(
        &self,
        gy: &Array,
        w: &Array,
        gx: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        let shapes = check::conv2d_input_grad(gy, w, gx, params)?;
        let [gy, w] = self.read_pair([gy, w])?;
        self.write(gx, &product::conv2d_input_grad(&gy, &w, &shapes, params))
    }

    fn conv2d_weight_grad(
        &self,
        x: &Array,
        gy: &Array,
        gw: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        let shapes = check::conv2d_weight_grad(x, gy, gw, params)?;
        let [x, gy] = self.read_pair([x, gy])?;
        self.write(gw, &product::conv2d_weight_grad(&x, &gy, &shapes, params))
    }

    fn max_pool2d(
        &self,
        x: &Array,
        y: &mut Array,
        index: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        let shapes = check::max_pool2d(x, y, index, params)?;
        let (values, positions) = pool::max_pool2d(&self.read(x)?, &shapes, params);
        self.write(y, &values)?;
        self.write(index, &positions)
    }

    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
        let shapes = check::max_pool2d_grad(gy, index, gx)?;
        let values = pool::max_pool2d_grad(&self.read(gy)?, &self.read(index)?, &shapes)
            .at(|| describe("max_pool2d_grad", &[gy, index, gx]))?;
        self.write(gx, &values)
    }

    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Result<()> {
        let shapes = check::max_pool2d_pick(x, index, y)?;
        let values = pool::max_pool2d_pick(&self.read(x)?, &self.read(index)?, &shapes)
            .at(|| describe("max_pool2d_pick", &[x, index, y]))?;
        self.write(y, &values)
    }

    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        let shapes = check::avg_pool2d(x, y, params)?;
        self.write(y, &pool::avg_pool2d(&self.read(x)?, &shapes, params))
    }

    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Result<()> {
        let shapes = check::avg_pool2d_grad(gy, gx, params)?;
        self.write(gx, &pool::avg_pool2d_grad(&self.read(gy)?, &shapes, params))
    }

    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Result<()> {
        let shapes = check::resample2d(x, rows, columns, y)?;
        self.write(y, &resample::resample2d(&self.read(x)?, rows, columns, &shapes))
    }

    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Result<()> {
        let sizes = check::channel_moments(x, mean, var)?;
        let [means, vars] = norm::channel_moments(&self.read(x)?, sizes);
        self.write(mean, &means)?;
        self.write(var, &vars)
    }

    fn batch_norm(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        y: &mut Array,
    ) -> Result<()> {
        let sizes = check::batch_norm(x, stats, affine, eps, y)?;
        let stats = self.read_pair(stats)?;
        let affine = affine.map(|pair| self.read_pair(pair)).transpose()?;
        self.write(y, &norm::batch_norm(&self.read(x)?, &stats, affine.as_ref(), eps, sizes))
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
        let sizes = check::batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)?;
        let stats = self.read_pair(stats)?;
        let weight = self.read_optional(weight)?;
        let operands = self.read_pair([gy, x])?;
        let grads = norm::batch_norm_grad(&operands, &stats, weight.as_deref(), eps, sizes);
        [gx, gw, gb].iter().zip(&grads).try_for_each(|(to, values)| self.write(to, values))
    }

    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, log: bool) -> Result<()> {
        let sizes = check::softmax(x, y, dim)?;
        self.write(y, &norm::softmax(&self.read(x)?, sizes, log))
    }

    fn softmax_grad(
        &self,
        gy: &Array,
        y: &Array,
        gx: &mut Array,
        dim: usize,
        log: bool,
    ) -> Result<()> {
        let sizes = check::softmax_grad(gy, y, gx, dim)?;
        let [gy, y] = self.read_pair([gy, y])?;
        self.write(gx, &norm::softmax_grad(&gy, &y, sizes, log))
    }

    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Array,
        loss: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        let sizes = check::cross_entropy(logits, targets, loss, params)?;
        let values = norm::cross_entropy(&self.read(logits)?, &self.read(targets)?, sizes, params)
            .at(|| describe("cross_entropy", &[logits, targets, loss]))?;
        self.write(loss, &values)
    }

    fn cross_entropy_grad(
        &self,
        gloss: &Array,
        logits: &Array,
        targets: &Array,
        gx: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        let sizes = check::cross_entropy_grad(gloss, logits, targets, gx, params)?;
        let weights = self.read(gloss)?;
        let values = norm::cross_entropy_grad(
            &weights,
            &self.read(logits)?,
            &self.read(targets)?,
            sizes,
            params,
        )
        .at(|| describe("cross_entropy_grad", &[gloss, logits, targets, gx]))?;
        self.write(gx, &values)
    }

    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        check::gather(src, dim, index, dst)?;
        let places = data::places(&self.read(index)?, *index.shape(), dim, *src.shape())
            .at(|| describe("gather", &[src, index, dst]))?;
        let table = self.read(src)?;
        self.write(dst, &places.into_iter().map(|place| table[place]).collect::<Vec<_>>())
    }

    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        check::scatter_add(src, dim, index, dst)?;
        let places = data::places(&self.read(index)?, *index.shape(), dim, *dst.shape())
            .at(|| describe("scatter_add", &[src, index, dst]))?;
        let mut table = self.read(dst)?;
        for (place, value) in places.into_iter().zip(self.read(src)?) {
            table[place] += value;
        }
        self.write(dst, &table)
    }

    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
        check::random(dst)?;
        self.write(dst, &data::random(kind, rng, dst.shape().numel()))
    }
}
