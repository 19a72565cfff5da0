//! The device that has shapes and no elements.
//!
//! Every verb checks its operands as any backend does and then computes nothing; memory is counted
//! and never reserved. A model of any size can so be built, passed through and summed up at once, and
//! every mistake that does not depend on a value is found.

mod memory;

use std::sync::Arc;

use crate::pointwise::Program;
use crate::{
    Array, Backend, Conv2d, CrossEntropy, DType, Error, Memory, MemoryStats, Pool2d, Random,
    Reduce, Result, Rng, Taps, check,
};
use memory::Counters;

/// The device that has shapes and no elements.
///
/// What is uploaded is forgotten, and a download is an error of the kind `Unsupported`. Indices and
/// targets out of range are not noticed.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, meta::Meta};
///
/// let device = Device::new(Meta::new());
/// let weight = Array::zeros(&device, DType::F32, [1, 1_000_000, 1_000_000])?;
/// assert_eq!(device.memory().live_bytes, 4_000_000_000_000);
/// let mut product = Array::zeros(&device, DType::F32, [1, 1_000_000, 1_000_000])?;
/// device.backend().gemm(&weight, &weight, &mut product, false)?;
/// let narrow = weight.narrow(1, 0, 3)?;
/// assert!(device.backend().gemm(&weight, &narrow, &mut product, false).is_err());
/// assert_eq!(narrow.to_f64_vec().unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Meta {
    counters: Arc<Counters>,
}

impl Meta {
    /// A device of its own, with no memory in use.
    ///
    /// ```
    /// use ferrotape_backend::{Device, meta::Meta};
    ///
    /// let device = Device::new(Meta::new());
    /// assert_eq!((device.name().as_str(), device.memory().live_bytes), ("meta", 0));
    /// ```
    pub fn new() -> Self {
        Meta::default()
    }

    /// Does what a verb does to memory: inputs are opened, outputs too, and their generation bumped.
    fn touch(&self, inputs: &[&Array], outputs: &[&Array]) -> Result<()> {
        for input in inputs {
            self.owns(&**input.buffer().read())?;
        }
        for output in outputs {
            self.owns(&**output.buffer().write())?;
        }
        Ok(())
    }
}

impl Backend for Meta {
    fn name(&self) -> String {
        "meta".to_owned()
    }

    fn memory(&self) -> MemoryStats {
        self.counters.stats()
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<Box<dyn Memory>> {
        memory::allocate(&self.counters, dtype, len)
    }

    fn upload(&self, src: &[u8], dst: &mut Array) -> Result<()> {
        check::upload(src, dst)?;
        self.touch(&[], &[dst])
    }

    fn download(&self, src: &Array, dst: &mut [u8]) -> Result<()> {
        check::download(src, dst)?;
        self.touch(&[src], &[])?;
        Err(Error::unsupported(
            "an array on the meta device has a shape and no elements to read; compute on another \
             device",
        ))
    }

    fn copy(&self, src: &Array, dst: &mut Array) -> Result<()> {
        check::copy(src, dst)?;
        self.touch(&[src], &[dst])
    }

    fn fill(&self, dst: &mut Array, _: f64) -> Result<()> {
        check::fill(dst)?;
        self.touch(&[], &[dst])
    }

    fn pointwise(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&Array],
        outputs: &mut [&mut Array],
    ) -> Result<()> {
        check::pointwise(program, scalars, inputs, outputs)?;
        let outputs: Vec<&Array> = outputs.iter().map(|output| &**output).collect();
        self.touch(inputs, &outputs)
    }

    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Result<()> {
        check::reduce(kind, src, dst, index.as_deref())?;
        if let Some(index) = index {
            self.touch(&[], &[index])?;
        }
        self.touch(&[src], &[dst])
    }

    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, _: bool) -> Result<()> {
        check::gemm(a, b, c)?;
        self.touch(&[a, b], &[c])
    }

    fn conv2d(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        check::conv2d(x, w, bias, y, params)?;
        self.touch(bias.as_slice(), &[])?;
        self.touch(&[x, w], &[y])
    }

    fn conv2d_input_grad(
        &self,
        gy: &Array,
        w: &Array,
        gx: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        check::conv2d_input_grad(gy, w, gx, params)?;
        self.touch(&[gy, w], &[gx])
    }

    fn conv2d_weight_grad(
        &self,
        x: &Array,
        gy: &Array,
        gw: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        check::conv2d_weight_grad(x, gy, gw, params)?;
        self.touch(&[x, gy], &[gw])
    }

    fn max_pool2d(
        &self,
        x: &Array,
        y: &mut Array,
        index: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        check::max_pool2d(x, y, index, params)?;
        self.touch(&[x], &[y, index])
    }

    fn max_pool2d_values(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        check::max_pool2d_values(x, y, params)?;
        self.touch(&[x], &[y])
    }

    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
        check::max_pool2d_grad(gy, index, gx)?;
        self.touch(&[gy, index], &[gx])
    }

    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Result<()> {
        check::max_pool2d_pick(x, index, y)?;
        self.touch(&[x, index], &[y])
    }

    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        check::avg_pool2d(x, y, params)?;
        self.touch(&[x], &[y])
    }

    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Result<()> {
        check::avg_pool2d_grad(gy, gx, params)?;
        self.touch(&[gy], &[gx])
    }

    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Result<()> {
        check::resample2d(x, rows, columns, y)?;
        self.touch(&[x], &[y])
    }

    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Result<()> {
        check::channel_moments(x, mean, var)?;
        self.touch(&[x], &[mean, var])
    }

    fn batch_norm(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        y: &mut Array,
    ) -> Result<()> {
        check::batch_norm(x, stats, affine, eps, y)?;
        self.touch(affine.as_ref().map_or(&[], |pair| pair), &[])?;
        self.touch(&[x, stats[0], stats[1]], &[y])
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
        check::batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)?;
        self.touch(weight.as_slice(), &[])?;
        self.touch(&[gy, x, stats[0], stats[1]], &[gx, gw, gb])
    }

    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, _: bool) -> Result<()> {
        check::softmax(x, y, dim)?;
        self.touch(&[x], &[y])
    }

    fn softmax_grad(
        &self,
        gy: &Array,
        y: &Array,
        gx: &mut Array,
        dim: usize,
        _: bool,
    ) -> Result<()> {
        check::softmax_grad(gy, y, gx, dim)?;
        self.touch(&[gy, y], &[gx])
    }

    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Array,
        loss: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        check::cross_entropy(logits, targets, loss, params)?;
        self.touch(&[logits, targets], &[loss])
    }

    fn cross_entropy_grad(
        &self,
        gloss: &Array,
        logits: &Array,
        targets: &Array,
        gx: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        check::cross_entropy_grad(gloss, logits, targets, gx, params)?;
        self.touch(&[gloss, logits, targets], &[gx])
    }

    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        check::gather(src, dim, index, dst)?;
        self.touch(&[src, index], &[dst])
    }

    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        check::scatter_add(src, dim, index, dst)?;
        self.touch(&[src, index], &[dst])
    }

    fn random(&self, _: Random, _: Rng, dst: &mut Array) -> Result<()> {
        check::random(dst)?;
        self.touch(&[], &[dst])
    }
}
