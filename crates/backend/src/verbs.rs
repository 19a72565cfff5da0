//! The `Backend` trait: what a device must be able to do.

use std::any::Any;
use std::fmt;

use crate::pointwise::Program;
use crate::{
    Array, BatchNormGrads, Conv2d, CrossEntropy, DType, Epilogue, Error, Memory, Pool2d, Random,
    Reduce, Result, Rng, Taps, fused,
};

/// Bytes of a device's memory.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, MemoryStats, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F64, [10])?;
/// let MemoryStats { live_bytes, peak_bytes, .. } = device.memory();
/// assert_eq!((live_bytes, peak_bytes), (80, 80));
/// # drop(x);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStats {
    /// Bytes of all live buffers.
    pub live_bytes: usize,
    /// The largest `live_bytes` so far.
    pub peak_bytes: usize,
    /// Bytes that the allocator keeps for reuse.
    pub cached_bytes: usize,
}

/// What a device must be able to do.
///
/// Verbs write into memory they are given. `&Array` operands are read, `&mut Array` operands are
/// written whole, or read and written where a verb says *accumulates* or *in place*. Unless a verb
/// says more, every operand may have any layout and outputs must not share memory with any other
/// operand (`Overlap`) nor with themselves. A verb checks its operands, by the functions of
/// [`check`](crate::check), and answers with an error that names them; it never panics on any
/// combination of operands. After an error the outputs hold anything. Empty arrays are no error.
///
/// Float verbs take f32, f64, bf16 and f16; 16-bit floats are converted to f32, computed and
/// accumulated there, and rounded once. Integer arrays are i64 unless a verb says otherwise.
///
/// A backend may leave out what it does not have, or not yet: every verb but those of memory then
/// answers `Unsupported`. Verbs that do the work of several ([`Backend::conv2d_act`],
/// [`Backend::batch_norm_act`], [`Backend::batch_norm_act_grad`], [`Backend::pointwise_each`]), or a part of
/// that of one ([`Backend::max_pool2d_values`], [`Backend::max_pool2d_window_grad`]), are there without being
/// written: each does what it means by the others, and a backend writes it where it can be faster.
///
/// The feature `conformance` has a kit that checks an implementation verb by verb against the
/// reference backend of the feature `reference`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::from_slice(&device, &[0.0f64, 3f64.ln()], [1, 2])?;
/// let mut y = Array::zeros(&device, DType::F64, [1, 2])?;
/// device.backend().softmax(&x, &mut y, 1, false)?;
/// let y = y.to_vec::<f64>()?;
/// assert!((y[0] - 0.25).abs() < 1e-12 && (y[1] - 0.75).abs() < 1e-12);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[allow(unused_variables, reason = "a verb that is left out does not look at its operands")]
pub trait Backend: Any + Send + Sync + fmt::Debug {
    /// The device's name, such as `cpu` or `cuda:0`.
    fn name(&self) -> String;

    /// Bytes in use.
    fn memory(&self) -> MemoryStats;

    /// Memory for `len` elements with unspecified contents.
    ///
    /// # Errors
    /// `OutOfMemory` with the size that was asked for.
    fn allocate(&self, dtype: DType, len: usize) -> Result<Box<dyn Memory>>;

    /// Waits until everything that was asked before is done.
    ///
    /// # Errors
    /// The device failed.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// Copies bytes from the host; `dst` is contiguous and of as many bytes.
    ///
    /// # Errors
    /// Sizes differ, or `dst` is not contiguous.
    fn upload(&self, src: &[u8], dst: &mut Array) -> Result<()>;

    /// Copies bytes to the host; `src` is contiguous and of as many bytes.
    ///
    /// # Errors
    /// Sizes differ, or `src` is not contiguous.
    fn download(&self, src: &Array, dst: &mut [u8]) -> Result<()>;

    /// Copies between equal shapes, converting layout and data type (any to any): floats round to
    /// the nearest, ties to even; to integers they truncate towards zero and saturate, NaN becomes 0.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.9f64, -1.9, f64::NAN], [3])?;
    /// let mut y = Array::zeros(&device, DType::I64, [3])?;
    /// device.backend().copy(&x, &mut y)?;
    /// assert_eq!(y.to_vec::<i64>()?, [1, -1, 0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes differ.
    fn copy(&self, src: &Array, dst: &mut Array) -> Result<()> {
        absent(self, "copy")
    }

    /// Sets every element.
    ///
    /// # Errors
    /// The device failed.
    fn fill(&self, dst: &mut Array, value: f64) -> Result<()> {
        absent(self, "fill")
    }

    /// Runs a program at every element: input `i` of the program is `inputs[i]`, broadcast to the
    /// shape of the outputs; scalar `k` is `scalars[k]`; output `j` is `outputs[j]`, all of one
    /// shape. *In place*: `Previous(j)` is the value of `outputs[j]` before. Operands may be of
    /// any data type, stored as [`Backend::copy`] converts; computed in f64 if any operand is f64,
    /// else in f32.
    ///
    /// # Errors
    /// Shapes that do not broadcast, a number of operands that the program does not have.
    fn pointwise(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&Array],
        outputs: &mut [&mut Array],
    ) -> Result<()> {
        absent(self, "pointwise")
    }

    /// Runs one program on several lists of operands, as [`Backend::pointwise`] on each: inputs and
    /// outputs of call `i` are `inputs[i]` and `outputs[i]`, and no output shares memory with an operand
    /// of any call. An optimizer steps all parameters so.
    ///
    /// # Errors
    /// As there; other than one list of inputs to each of outputs.
    fn pointwise_each(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&[&Array]],
        outputs: &mut [&mut [&mut Array]],
    ) -> Result<()> {
        crate::check::pointwise_each(program, scalars, inputs, outputs)?;
        for (inputs, outputs) in inputs.iter().zip(outputs) {
            self.pointwise(program, scalars, inputs, outputs)?;
        }
        Ok(())
    }

    /// Reduces `src` to the shape of `dst`, which has the same rank and size 1 where reduced, and
    /// the type of `src` or of its accumulator. With `index` (i64, shaped like `dst`; Max and Min
    /// only) the position of the first such element, or of the first NaN, in row-major order over
    /// the reduced dimensions.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Reduce, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 7.0, 7.0, 4.0, 2.0, 3.0], [2, 3])?;
    /// let mut largest = Array::zeros(&device, DType::F64, [2, 1])?;
    /// let mut index = Array::zeros(&device, DType::I64, [2, 1])?;
    /// device.backend().reduce(Reduce::Max, &x, &mut largest, Some(&mut index))?;
    /// assert_eq!((largest.to_f64_vec()?, index.to_vec::<i64>()?), (vec![7.0, 4.0], vec![1, 0]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit; Max or Min over nothing.
    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Result<()> {
        absent(self, "reduce")
    }

    /// Batched matrix product `c = a b`, or *accumulates* `c += a b`: `a [B, M, K]`, `b [B, K, N]`,
    /// `c [B, M, N]`; a batch of 1 in `a` or `b` is used for all. `c` may be f32 for 16-bit `a`, `b`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Result<()> {
        absent(self, "gemm")
    }

    /// Cross-correlation `y[n,o,i,j] = bias[o] + sum_{c,k,l} w[o,c,k,l] x[n,c,i s - p + k d, ...]`
    /// of `x [N, C, H, W]` with `w [O, C / groups, KH, KW]` (`torch.nn.functional.conv2d`).
    ///
    /// ```
    /// use ferrotape_backend::{Array, Conv2d, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [1, 1, 1, 3])?;
    /// let w = Array::from_slice(&device, &[10.0f64, 1.0], [1, 1, 1, 2])?;
    /// let mut y = Array::zeros(&device, DType::F64, [1, 1, 1, 2])?;
    /// device.backend().conv2d(&x, &w, None, &mut y, &Conv2d::default())?;
    /// assert_eq!(y.to_vec::<f64>()?, [12.0, 23.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Conv2d::output_shape`].
    fn conv2d(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        absent(self, "conv2d")
    }

    /// [`Backend::conv2d`] with an [`Epilogue`]: `y = relu(conv(x, w) + bias + residual)`, rounded to its type at
    /// the end or after the convolution too.
    ///
    /// # Errors
    /// As there; a residual of another shape or type than `y`.
    fn conv2d_act(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        epilogue: Epilogue<'_>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        fused::conv2d_act(self, [x, w], bias, epilogue, y, params)
    }

    /// The gradient of [`Backend::conv2d`] in `x`, given `gy` shaped like `y`.
    ///
    /// # Errors
    /// As there.
    fn conv2d_input_grad(
        &self,
        gy: &Array,
        w: &Array,
        gx: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        absent(self, "conv2d_input_grad")
    }

    /// The gradient of [`Backend::conv2d`] in `w`; `gw` may be f32 for 16-bit operands.
    ///
    /// # Errors
    /// As there.
    fn conv2d_weight_grad(
        &self,
        x: &Array,
        gy: &Array,
        gw: &mut Array,
        params: &Conv2d,
    ) -> Result<()> {
        absent(self, "conv2d_weight_grad")
    }

    /// The largest element of each window and its position `h W + w` in the plane (i64; the first
    /// in row-major order among equals, a NaN wins over numbers).
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Pool2d, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 4.0, 3.0, 2.0], [1, 1, 2, 2])?;
    /// let mut y = Array::zeros(&device, DType::F64, [1, 1, 1, 1])?;
    /// let mut index = Array::zeros(&device, DType::I64, [1, 1, 1, 1])?;
    /// device.backend().max_pool2d(&x, &mut y, &mut index, &Pool2d::new([2, 2]))?;
    /// assert_eq!((y.item()?, index.item()?), (4.0, 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`], or a window that lies wholly in padding.
    fn max_pool2d(
        &self,
        x: &Array,
        y: &mut Array,
        index: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        absent(self, "max_pool2d")
    }

    /// [`Backend::max_pool2d`] without the positions, which only a gradient needs.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Pool2d, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 4.0, 3.0, 2.0], [1, 1, 2, 2])?;
    /// let mut y = Array::zeros(&device, DType::F64, [1, 1, 1, 1])?;
    /// device.backend().max_pool2d_values(&x, &mut y, &Pool2d::new([2, 2]))?;
    /// assert_eq!(y.item()?, 4.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    fn max_pool2d_values(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        fused::max_pool2d_values(self, x, y, params)
    }

    /// Adds each element of `gy [N, C, OH, OW]` at its `index` of a plane of zeros: `gx` of shape
    /// `[N, C, H, W]`. The gradient of [`Backend::max_pool2d`].
    ///
    /// # Errors
    /// Shapes that do not fit, or an index past the plane.
    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()> {
        absent(self, "max_pool2d_grad")
    }

    /// [`Backend::max_pool2d_grad`] where every index lies in the window of its output, as
    /// [`Backend::max_pool2d`] makes it: a device may gather instead of scatter. An index in the plane
    /// that lies outside of its window may count or not.
    ///
    /// # Errors
    /// As there; windows that do not fit the shapes.
    fn max_pool2d_window_grad(
        &self,
        gy: &Array,
        index: &Array,
        gx: &mut Array,
        params: &Pool2d,
    ) -> Result<()> {
        crate::check::max_pool2d_window_grad(gy, index, gx, params)?;
        self.max_pool2d_grad(gy, index, gx)
    }

    /// Picks the element at `index` of each plane: `y[n,c,i,j] = x[n,c,index[n,c,i,j]]`. The
    /// gradient of [`Backend::max_pool2d_grad`].
    ///
    /// # Errors
    /// Shapes that do not fit, or an index past the plane.
    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Result<()> {
        absent(self, "max_pool2d_pick")
    }

    /// The mean of each window; see [`Pool2d::divisor`].
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`].
    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()> {
        absent(self, "avg_pool2d")
    }

    /// The gradient of [`Backend::avg_pool2d`].
    ///
    /// # Errors
    /// As there.
    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Result<()> {
        absent(self, "avg_pool2d_grad")
    }

    /// `y[n,c,i,j] = sum_{k,l} rows[i,k] columns[j,l] x[n,c,k,l]` of `x [N, C, H, W]`, for `rows` of
    /// H inputs and OH outputs and `columns` of W inputs and OW outputs; `y [N, C, OH, OW]`. The
    /// weights are rounded to the type that is accumulated in. Its gradient is the same with both
    /// matrices [transposed](Taps::transposed).
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Taps, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 3.0], [1, 1, 1, 2])?;
    /// let mut y = Array::zeros(&device, DType::F64, [1, 1, 1, 1])?;
    /// device.backend().resample2d(&x, &Taps::identity(1)?, &Taps::average(2, 1)?, &mut y)?;
    /// assert_eq!(y.item()?, 2.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Result<()> {
        absent(self, "resample2d")
    }

    /// Mean and biased variance of each channel of `x [N, C, H, W]`, into `mean [C]` and `var [C]`
    /// of the accumulator type; computed so that a large mean does not cancel the variance.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 3.0], [1, 1, 1, 2])?;
    /// let [mean, var] = [(); 2].map(|()| Array::zeros(&device, DType::F64, [1]));
    /// let (mut mean, mut var) = (mean?, var?);
    /// device.backend().channel_moments(&x, &mut mean, &mut var)?;
    /// assert_eq!((mean.item()?, var.item()?), (2.0, 1.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or no elements in a channel.
    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Result<()> {
        absent(self, "channel_moments")
    }

    /// `y = (x - mean) / sqrt(var + eps) * weight + bias` for each channel of `x [N, C, H, W]`; the
    /// parameters `[C]` are of the accumulator type.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn batch_norm(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        y: &mut Array,
    ) -> Result<()> {
        absent(self, "batch_norm")
    }

    /// The gradients of [`Backend::batch_norm`] with the batch's own moments as `stats`:
    /// `gx = w r (gy - (gb + xhat gw) / M)`, `gw = sum gy xhat`, `gb = sum gy`, where
    /// `r = 1 / sqrt(var + eps)`, `xhat = (x - mean) r` and M is the number of elements a channel.
    ///
    /// # Errors
    /// Shapes that do not fit.
    #[allow(clippy::too_many_arguments)]
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
        absent(self, "batch_norm_grad")
    }

    /// [`Backend::batch_norm`] with an [`Epilogue`]: `y = relu(norm(x) + residual)`.
    ///
    /// # Errors
    /// As there; a residual of another shape or type than `x`.
    fn batch_norm_act(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        epilogue: Epilogue<'_>,
        y: &mut Array,
    ) -> Result<()> {
        fused::batch_norm_act(self, x, stats, affine, eps, epilogue, y)
    }

    /// The gradients of [`Backend::batch_norm_act`] with the batch's own moments. With `y`, which is
    /// its result, there was a ReLU: where `y <= 0` no gradient passes (where it is NaN it does, as
    /// in PyTorch). The rest is [`Backend::batch_norm_grad`] of what passes.
    ///
    /// # Errors
    /// Shapes that do not fit.
    #[allow(clippy::too_many_arguments)]
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
        fused::batch_norm_act_grad(self, [gy, x], y, stats, weight, eps, grads)
    }

    /// Softmax along `dim`, or its logarithm, shifted by the maximum so that it cannot overflow.
    ///
    /// # Errors
    /// Shapes differ, or no such dimension.
    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, log: bool) -> Result<()> {
        absent(self, "softmax")
    }

    /// The gradient of [`Backend::softmax`] from its output: `y (gy - sum(gy y))`, or
    /// `gy - exp(y) sum(gy)` for the logarithm.
    ///
    /// # Errors
    /// Shapes differ, or no such dimension.
    fn softmax_grad(
        &self,
        gy: &Array,
        y: &Array,
        gx: &mut Array,
        dim: usize,
        log: bool,
    ) -> Result<()> {
        absent(self, "softmax_grad")
    }

    /// `loss[n] = -sum_k q[k] log softmax(logits[n])[k]`, q from `targets [N]` (i64) by
    /// [`CrossEntropy`]; `loss [N]` is of the accumulator type.
    ///
    /// # Errors
    /// Shapes that do not fit, or a target that is not a class.
    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Array,
        loss: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        absent(self, "cross_entropy")
    }

    /// The gradient of [`Backend::cross_entropy`]: `gx[n,k] = gloss[n] (softmax(logits[n])[k] - q[k])`.
    ///
    /// # Errors
    /// As there.
    fn cross_entropy_grad(
        &self,
        gloss: &Array,
        logits: &Array,
        targets: &Array,
        gx: &mut Array,
        params: &CrossEntropy,
    ) -> Result<()> {
        absent(self, "cross_entropy_grad")
    }

    /// `dst[i][j][k] = src[i][index[i][j][k]][k]` for `dim` = 1 (`torch.gather`): `index` (i64) is
    /// shaped like `dst`, and no larger than `src` in the other dimensions. Any one data type.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [2, 2])?;
    /// let index = Array::from_slice(&device, &[1i64, 0], [2, 1])?;
    /// let mut y = Array::zeros(&device, DType::F64, [2, 1])?;
    /// device.backend().gather(&x, 1, &index, &mut y)?;
    /// assert_eq!(y.to_vec::<f64>()?, [2.0, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or an index out of range.
    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        absent(self, "gather")
    }

    /// *Accumulates* `dst[i][index[i][j][k]][k] += src[i][j][k]` (`torch.scatter_add`), in row-major
    /// order for each element of `dst`. The gradient of [`Backend::gather`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let gy = Array::from_slice(&device, &[1.0f64, 2.0, 4.0], [3])?;
    /// let index = Array::from_slice(&device, &[1i64, 0, 1], [3])?;
    /// let mut gx = Array::zeros(&device, DType::F64, [2])?;
    /// device.backend().scatter_add(&gy, 0, &index, &mut gx)?;
    /// assert_eq!(gx.to_vec::<f64>()?, [2.0, 5.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()> {
        absent(self, "scatter_add")
    }

    /// Draws random numbers; see [`Random`].
    ///
    /// # Errors
    /// The data type is not a float.
    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Result<()> {
        absent(self, "random")
    }
}

/// What a verb answers that a backend does not have.
fn absent(backend: &(impl Backend + ?Sized), verb: &str) -> Result<()> {
    let name = backend.name();
    Err(Error::unsupported(format!("the device {name} does not have the operation {verb}")))
}
