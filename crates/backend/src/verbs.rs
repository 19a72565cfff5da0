//! The `Backend` trait: what a device must be able to do, and the attributes of its verbs.

use std::any::Any;
use std::fmt;

use crate::pointwise::Program;
use crate::random::TruncatedNormal;
use crate::{Array, DType, Error, Memory, Result, Rng, Taps};

/// Stride, padding, dilation and groups of a two-dimensional convolution, `[vertical, horizontal]`.
///
/// Output size along each axis: `(size + 2 padding - dilation (kernel - 1) - 1) / stride + 1`.
///
/// ```
/// use ferrotape_backend::Conv2d;
///
/// let same = Conv2d { padding: [2, 2], ..Conv2d::default() };
/// assert_eq!(same.output_size([28, 28], [5, 5])?, [28, 28]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Pixels from one output's window to the next.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Pixels from one kernel element to the next.
    pub dilation: [usize; 2],
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2d {
    /// The height and width of the output.
    ///
    /// # Errors
    /// Stride, dilation or kernel 0, or a kernel larger than the padded input.
    pub fn output_size(&self, input: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2]> {
        let mut size = [0; 2];
        for axis in 0..2 {
            size[axis] = window_count(
                input[axis],
                kernel[axis],
                self.stride[axis],
                self.padding[axis],
                self.dilation[axis],
                false,
            )?;
        }
        Ok(size)
    }

    /// Checks that input `[N, C, H, W]`, weight `[O, C / groups, KH, KW]` fit and gives the output's
    /// sizes `[N, O, OH, OW]`.
    ///
    /// # Errors
    /// What does not fit, with what would.
    pub fn output_shape(&self, input: [usize; 4], weight: [usize; 4]) -> Result<[usize; 4]> {
        let [n, c, h, w] = input;
        let [o, per_group, kh, kw] = weight;
        if self.groups == 0 {
            return Err(Error::argument("groups is 0, it must be at least 1"));
        }
        if o % self.groups != 0 {
            return Err(Error::shape(format!(
                "{o} output channels do not split into {} groups",
                self.groups
            )));
        }
        if per_group.checked_mul(self.groups) != Some(c) {
            return Err(Error::shape(format!(
                "the input has {c} channels, but a weight of {per_group} channels a group with {} \
                 groups wants {}",
                self.groups,
                per_group.saturating_mul(self.groups)
            )));
        }
        let [oh, ow] = self.output_size([h, w], [kh, kw])?;
        Ok([n, o, oh, ow])
    }
}

/// Kernel, stride, padding and dilation of a two-dimensional pooling, `[vertical, horizontal]`.
///
/// The output size is the convolution's, rounded up instead of down with `ceil_mode`, where a
/// last window must still begin inside the input or its left padding (PyTorch's rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Pixels added on each side: minus infinity for a maximum, zero for an average.
    pub padding: [usize; 2],
    /// Pixels from one window element to the next; 1 for an average.
    pub dilation: [usize; 2],
    /// Round the output size up.
    pub ceil_mode: bool,
    /// Whether an average counts padding in its divisor.
    pub count_include_pad: bool,
}

impl Pool2d {
    /// A window of this size that moves by its own size.
    pub const fn new(kernel: [usize; 2]) -> Self {
        Pool2d {
            kernel,
            stride: kernel,
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// The height and width of the output.
    ///
    /// # Errors
    /// Stride, dilation or kernel 0, padding above half of the kernel, or a window larger than the
    /// padded input.
    pub fn output_size(&self, input: [usize; 2]) -> Result<[usize; 2]> {
        let mut size = [0; 2];
        for axis in 0..2 {
            if self.padding[axis] > self.kernel[axis] / 2 {
                return Err(Error::argument(format!(
                    "padding {} is more than half of the pooling window {}",
                    self.padding[axis], self.kernel[axis]
                )));
            }
            size[axis] = window_count(
                input[axis],
                self.kernel[axis],
                self.stride[axis],
                self.padding[axis],
                self.dilation[axis],
                self.ceil_mode,
            )?;
        }
        Ok(size)
    }

    /// The number that the sum over the window of output `index` is divided by in an average, along
    /// one axis, given the input's size there: the divisor is the product over both axes.
    ///
    /// A window that `ceil_mode` lets hang over the far padding is counted up to the padding's end
    /// when `count_include_pad` is set, as in PyTorch.
    pub fn divisor(&self, axis: usize, index: usize, input: usize) -> usize {
        let start = index * self.stride[axis];
        let end = start + self.kernel[axis];
        let padding = self.padding[axis];
        if self.count_include_pad {
            end.min(input + 2 * padding) - start
        } else {
            end.min(input + padding).saturating_sub(start.max(padding))
        }
    }
}

fn window_count(
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil: bool,
) -> Result<usize> {
    for (name, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
        if value == 0 {
            return Err(Error::argument(format!("{name} is 0, it must be at least 1")));
        }
    }
    let too_large = || Error::argument("kernel, padding or dilation is too large to compute with");
    let padded = padding
        .checked_mul(2)
        .and_then(|p| p.checked_add(size))
        .filter(|&p| p <= isize::MAX as usize)
        .ok_or_else(too_large)?;
    let reach =
        (kernel - 1).checked_mul(dilation).and_then(|r| r.checked_add(1)).ok_or_else(too_large)?;
    if reach > padded {
        return Err(Error::shape(format!(
            "a window of {reach} pixels (kernel {kernel}, dilation {dilation}) is larger than the \
             input of {size} with padding {padding}"
        )));
    }
    let free = padded - reach;
    let mut count = if ceil { free.div_ceil(stride) } else { free / stride } + 1;
    if ceil && (count - 1) * stride >= size + padding {
        count -= 1;
    }
    Ok(count)
}

/// Which reduction [`Backend::reduce`] computes. NaN in, NaN out for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// The sum; 0 of nothing. Accumulated in f32 for 16-bit floats, f64 for f64.
    Sum,
    /// The largest element.
    Max,
    /// The smallest element.
    Min,
}

/// Which numbers [`Backend::random`] draws. Element `i`, counted in row-major order of the logical
/// indices, is draw `i` of the key, whatever the layout; it is computed in f64 and rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Random {
    /// Uniform in `low..high`: `low + (high - low) u`, u of [`Rng::uniform_f64`].
    Uniform {
        /// Inclusive.
        low: f64,
        /// Exclusive.
        high: f64,
    },
    /// Normal with this mean and standard deviation, of [`Rng::normal_f64`].
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// Normal between two bounds: [`TruncatedNormal::at`] of [`Rng::uniform_f64`].
    TruncatedNormal(TruncatedNormal),
    /// `value` with probability `p` (where [`Rng::uniform_f32`] `< p`), else 0.
    Bernoulli {
        /// The probability.
        p: f64,
        /// What is stored where the draw succeeds.
        value: f64,
    },
}

/// What [`Backend::cross_entropy`] makes of the target classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropy {
    /// The share `s` of the target that is spread evenly over all K classes: the target
    /// distribution is `(1 - s) onehot + s / K`.
    pub label_smoothing: f64,
    /// Rows with this target have loss 0 and gradient 0.
    pub ignore_index: i64,
}

impl Default for CrossEntropy {
    /// No smoothing; -100 is ignored, as in PyTorch.
    fn default() -> Self {
        CrossEntropy { label_smoothing: 0.0, ignore_index: -100 }
    }
}

/// Bytes of a device's memory.
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
/// The feature `conformance` has a kit that checks an implementation verb by verb against the
/// reference backend of the feature `reference`.
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
    /// # Errors
    /// Shapes differ.
    fn copy(&self, src: &Array, dst: &mut Array) -> Result<()>;

    /// Sets every element.
    ///
    /// # Errors
    /// The device failed.
    fn fill(&self, dst: &mut Array, value: f64) -> Result<()>;

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
    ) -> Result<()>;

    /// Reduces `src` to the shape of `dst`, which has the same rank and size 1 where reduced, and
    /// the type of `src` or of its accumulator. With `index` (i64, shaped like `dst`; Max and Min
    /// only) the position of the first such element, or of the first NaN, in row-major order over
    /// the reduced dimensions.
    ///
    /// # Errors
    /// Shapes that do not fit; Max or Min over nothing.
    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Result<()>;

    /// Batched matrix product `c = a b`, or *accumulates* `c += a b`: `a [B, M, K]`, `b [B, K, N]`,
    /// `c [B, M, N]`; a batch of 1 in `a` or `b` is used for all. `c` may be f32 for 16-bit `a`, `b`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Result<()>;

    /// Cross-correlation `y[n,o,i,j] = bias[o] + sum_{c,k,l} w[o,c,k,l] x[n,c,i s - p + k d, ...]`
    /// of `x [N, C, H, W]` with `w [O, C / groups, KH, KW]` (`torch.nn.functional.conv2d`).
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
    ) -> Result<()>;

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
    ) -> Result<()>;

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
    ) -> Result<()>;

    /// The largest element of each window and its position `h W + w` in the plane (i64; the first
    /// in row-major order among equals, a NaN wins over numbers).
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`], or a window that lies wholly in padding.
    fn max_pool2d(
        &self,
        x: &Array,
        y: &mut Array,
        index: &mut Array,
        params: &Pool2d,
    ) -> Result<()>;

    /// Adds each element of `gy [N, C, OH, OW]` at its `index` of a plane of zeros: `gx` of shape
    /// `[N, C, H, W]`. The gradient of [`Backend::max_pool2d`].
    ///
    /// # Errors
    /// Shapes that do not fit, or an index past the plane.
    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Result<()>;

    /// Picks the element at `index` of each plane: `y[n,c,i,j] = x[n,c,index[n,c,i,j]]`. The
    /// gradient of [`Backend::max_pool2d_grad`].
    ///
    /// # Errors
    /// Shapes that do not fit, or an index past the plane.
    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Result<()>;

    /// The mean of each window; see [`Pool2d::divisor`].
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Pool2d::output_size`].
    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Result<()>;

    /// The gradient of [`Backend::avg_pool2d`].
    ///
    /// # Errors
    /// As there.
    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Result<()>;

    /// `y[n,c,i,j] = sum_{k,l} rows[i,k] columns[j,l] x[n,c,k,l]` of `x [N, C, H, W]`, for `rows` of
    /// H inputs and OH outputs and `columns` of W inputs and OW outputs; `y [N, C, OH, OW]`. The
    /// weights are rounded to the type that is accumulated in. Its gradient is the same with both
    /// matrices [transposed](Taps::transposed).
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Result<()>;

    /// Mean and biased variance of each channel of `x [N, C, H, W]`, into `mean [C]` and `var [C]`
    /// of the accumulator type; computed so that a large mean does not cancel the variance.
    ///
    /// # Errors
    /// Shapes that do not fit, or no elements in a channel.
    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Result<()>;

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
    ) -> Result<()>;

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
    ) -> Result<()>;

    /// Softmax along `dim`, or its logarithm, shifted by the maximum so that it cannot overflow.
    ///
    /// # Errors
    /// Shapes differ, or no such dimension.
    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, log: bool) -> Result<()>;

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
    ) -> Result<()>;

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
    ) -> Result<()>;

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
    ) -> Result<()>;

    /// `dst[i][j][k] = src[i][index[i][j][k]][k]` for `dim` = 1 (`torch.gather`): `index` (i64) is
    /// shaped like `dst`, and no larger than `src` in the other dimensions. Any one data type.
    ///
    /// # Errors
    /// Shapes that do not fit, or an index out of range.
    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()>;

    /// *Accumulates* `dst[i][index[i][j][k]][k] += src[i][j][k]` (`torch.scatter_add`), in row-major
    /// order for each element of `dst`. The gradient of [`Backend::gather`].
    ///
    /// # Errors
    /// As there.
    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Result<()>;

    /// Draws random numbers; see [`Random`].
    ///
    /// # Errors
    /// The data type is not a float.
    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Result<()>;
}
