//! The attributes of verbs: windows of convolutions and pools, kinds of reductions and draws.

use crate::random::TruncatedNormal;
use crate::{Array, Error, Result};

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
    /// ```
    /// use ferrotape_backend::Conv2d;
    ///
    /// // (224 + 2 * 3 - 7) / 2 + 1 = 112, rounded down
    /// let stem = Conv2d { stride: [2, 2], padding: [3, 3], ..Conv2d::default() };
    /// assert_eq!(stem.output_size([224, 224], [7, 7])?, [112, 112]);
    /// assert!(Conv2d::default().output_size([4, 4], [5, 5]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// use ferrotape_backend::Conv2d;
    ///
    /// let depthwise = Conv2d { groups: 8, ..Conv2d::default() };
    /// assert_eq!(depthwise.output_shape([2, 8, 9, 9], [16, 1, 3, 3])?, [2, 16, 7, 7]);
    /// let error = depthwise.output_shape([2, 8, 9, 9], [16, 8, 3, 3]).unwrap_err().to_string();
    /// assert!(error.ends_with("of 8 channels a group with 8 groups wants 64"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
///
/// ```
/// use ferrotape_backend::Pool2d;
///
/// let pool = Pool2d { stride: [2, 2], ..Pool2d::new([3, 3]) };
/// assert_eq!(pool.output_size([28, 28])?, [13, 13]);
/// assert_eq!(Pool2d { ceil_mode: true, ..pool }.output_size([28, 28])?, [14, 14]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
    ///
    /// ```
    /// use ferrotape_backend::Pool2d;
    ///
    /// let halve = Pool2d::new([2, 2]);
    /// assert_eq!((halve.stride, halve.padding, halve.dilation), ([2, 2], [0, 0], [1, 1]));
    /// ```
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
    /// ```
    /// use ferrotape_backend::Pool2d;
    ///
    /// assert_eq!(Pool2d::new([2, 2]).output_size([7, 6])?, [3, 3]);
    /// let wide = Pool2d { padding: [2, 2], ..Pool2d::new([3, 3]) };
    /// let error = wide.output_size([7, 6]).unwrap_err().to_string();
    /// assert_eq!(error, "padding 2 is more than half of the pooling window 3");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    ///
    /// ```
    /// use ferrotape_backend::Pool2d;
    ///
    /// // The first window of three over an input of four with one pixel of padding.
    /// let with = Pool2d { stride: [1, 1], padding: [1, 1], ..Pool2d::new([3, 3]) };
    /// assert_eq!(with.divisor(0, 0, 4), 3);
    /// let without = Pool2d { count_include_pad: false, ..with };
    /// assert_eq!((without.divisor(0, 0, 4), without.divisor(0, 1, 4)), (2, 3));
    /// ```
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

/// Which reduction [`Backend::reduce`](crate::Backend::reduce) computes. NaN in, NaN out for all of them.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Reduce, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::from_slice(&device, &[1.0f64, 5.0, 3.0], [3])?;
/// for (kind, expected) in [(Reduce::Sum, 9.0), (Reduce::Max, 5.0), (Reduce::Min, 1.0)] {
///     let mut y = Array::zeros(&device, DType::F64, [1])?;
///     device.backend().reduce(kind, &x, &mut y, None)?;
///     assert_eq!(y.item()?, expected);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// The sum; 0 of nothing. Accumulated in f32 for 16-bit floats, f64 for f64.
    Sum,
    /// The largest element.
    Max,
    /// The smallest element.
    Min,
}

/// Which numbers [`Backend::random`](crate::Backend::random) draws. Element `i`, counted in row-major order of the logical
/// indices, is draw `i` of the key, whatever the layout; it is computed in f64 and rounded once.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Random, Rng, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let draw = |kind| {
///     let mut x = Array::zeros(&device, DType::F64, [100])?;
///     device.backend().random(kind, Rng::new(42), &mut x)?;
///     x.to_f64_vec()
/// };
/// let uniform = draw(Random::Uniform { low: -1.0, high: 1.0 })?;
/// assert!(uniform.iter().all(|x| (-1.0..1.0).contains(x)));
/// let mask = draw(Random::Bernoulli { p: 0.5, value: 2.0 })?;
/// assert!(mask.iter().all(|&x| x == 0.0 || x == 2.0));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Random {
    /// Uniform in `low..high`: `low + (high - low) u`, u of [`Rng::uniform_f64`](crate::Rng::uniform_f64).
    Uniform {
        /// Inclusive.
        low: f64,
        /// Exclusive.
        high: f64,
    },
    /// Normal with this mean and standard deviation, of [`Rng::normal_f64`](crate::Rng::normal_f64).
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// Normal between two bounds: [`TruncatedNormal::at`] of [`Rng::uniform_f64`](crate::Rng::uniform_f64).
    TruncatedNormal(TruncatedNormal),
    /// `value` with probability `p` (where [`Rng::uniform_f32`](crate::Rng::uniform_f32) `< p`), else 0.
    Bernoulli {
        /// The probability.
        p: f64,
        /// What is stored where the draw succeeds.
        value: f64,
    },
}

/// What [`Backend::cross_entropy`](crate::Backend::cross_entropy) makes of the target classes.
///
/// ```
/// use ferrotape_backend::{Array, CrossEntropy, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// // Of two classes, the wrong one gets half of the smoothing: 0.1 / 2.
/// let params = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
/// let logits = Array::from_slice(&device, &[0.0f64, 2.0], [1, 2])?;
/// let targets = Array::from_slice(&device, &[1i64], [1])?;
/// let mut loss = Array::zeros(&device, DType::F64, [1])?;
/// device.backend().cross_entropy(&logits, &targets, &mut loss, &params)?;
/// let log_sum = (1.0 + 2f64.exp()).ln();
/// assert!((loss.item()? - (log_sum - 0.95 * 2.0)).abs() < 1e-12);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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

/// What a verb does to its result in the same pass over memory: `y = relu(result + residual)`, each if
/// asked for. NaN stays NaN.
///
/// ```
/// use ferrotape_backend::{Array, Conv2d, DType, Device, Epilogue, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::from_slice(&device, &[1.0f64, -3.0], [1, 1, 1, 2])?;
/// let w = Array::full(&device, DType::F64, [1, 1, 1, 1], 2.0)?;
/// let residual = Array::full(&device, DType::F64, [1, 1, 1, 2], 0.5)?;
/// let mut y = Array::zeros(&device, DType::F64, [1, 1, 1, 2])?;
/// let epilogue = Epilogue { residual: Some(&residual), relu: true };
/// device.backend().conv2d_act(&x, &w, None, epilogue, &mut y, &Conv2d::default())?;
/// assert_eq!(y.to_vec::<f64>()?, [2.5, 0.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// What is added, of the result's shape and type.
    pub residual: Option<&'a Array>,
    /// Whether elements below 0 become 0, after the sum.
    pub relu: bool,
}

/// Where [`Backend::batch_norm_act_grad`](crate::Backend::batch_norm_act_grad) writes.
///
/// ```
/// use ferrotape_backend::{Array, BatchNormGrads, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let image = |values: &[f64]| Array::from_slice(&device, values, [1, 1, 1, 2]);
/// let one = |value| Array::full(&device, DType::F64, [1], value);
/// let (x, gy, mean, var) = (image(&[-1.0, 1.0])?, image(&[1.0, 3.0])?, one(0.0)?, one(1.0)?);
/// let (mut gx, mut gw, mut gb) = (image(&[0.0; 2])?, one(0.0)?, one(0.0)?);
/// let grads = BatchNormGrads { x: &mut gx, weight: &mut gw, bias: &mut gb, residual: None };
/// device.backend().batch_norm_act_grad(&gy, &x, None, [&mean, &var], None, 0.0, grads)?;
/// // The sums of gy times the normalized x, and of gy.
/// assert_eq!((gw.item()?, gb.item()?), (2.0, 4.0));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct BatchNormGrads<'a> {
    /// The gradient of the input.
    pub x: &'a mut Array,
    /// The gradient of the weight, `[C]` of the accumulator type.
    pub weight: &'a mut Array,
    /// The gradient of the bias, `[C]` of the accumulator type.
    pub bias: &'a mut Array,
    /// The gradient of the residual, if it is wanted: what of `gy` passes the ReLU.
    pub residual: Option<&'a mut Array>,
}
