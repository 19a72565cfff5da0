//! Transposed convolution: the gradient of a convolution in its input, as an operator of its own.

use std::sync::LazyLock;

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::{Array, Conv2d, Error, Result, Shape};

use super::conv1d::{flat, sequence};
use super::conv2d::weight_grad;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// The attributes of a two-dimensional transposed convolution, `[vertical, horizontal]`.
///
/// Output size along each axis:
/// `(size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`.
///
/// ```
/// use ferrotape_autograd::ops::ConvTranspose2d;
///
/// let double = ConvTranspose2d { stride: [2, 2], ..ConvTranspose2d::default() };
/// assert_eq!(double.output_shape([1, 8, 7, 7], [8, 4, 2, 2])?, [1, 4, 14, 14]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvTranspose2d {
    /// Pixels of the output from one input's window to the next.
    pub stride: [usize; 2],
    /// Pixels cut off from the output on each side.
    pub padding: [usize; 2],
    /// Pixels added to the output on the far sides; smaller than the stride or the dilation.
    pub output_padding: [usize; 2],
    /// Pixels from one kernel element to the next.
    pub dilation: [usize; 2],
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
}

impl Default for ConvTranspose2d {
    fn default() -> Self {
        ConvTranspose2d {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

impl ConvTranspose2d {
    /// The convolution that this is the transpose of.
    fn transposed(&self) -> Conv2d {
        let ConvTranspose2d { stride, padding, dilation, groups, .. } = *self;
        Conv2d { stride, padding, dilation, groups }
    }

    /// Checks that input `[N, C, H, W]` and weight `[C, O / groups, KH, KW]` fit and gives the
    /// output's sizes `[N, O, OH, OW]`.
    ///
    /// ```
    /// use ferrotape_autograd::ops::ConvTranspose2d;
    ///
    /// // (7 - 1) 2 - 2 * 1 + (3 - 1) + 1 + 1 = 14
    /// let double = ConvTranspose2d {
    ///     stride: [2, 2],
    ///     padding: [1, 1],
    ///     output_padding: [1, 1],
    ///     ..ConvTranspose2d::default()
    /// };
    /// assert_eq!(double.output_shape([1, 8, 7, 7], [8, 4, 3, 3])?, [1, 4, 14, 14]);
    /// let error = double.output_shape([1, 6, 7, 7], [8, 4, 3, 3]).unwrap_err().to_string();
    /// assert!(error.starts_with("the input has 6 channels"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What does not fit, with what would.
    pub fn output_shape(&self, input: [usize; 4], weight: [usize; 4]) -> Result<[usize; 4]> {
        let [n, c, h, w] = input;
        let [wanted, per_group, kh, kw] = weight;
        if self.groups == 0 {
            return Err(Error::argument("groups is 0, it must be at least 1"));
        }
        if c != wanted {
            return Err(Error::shape(format!(
                "the input has {c} channels, but the weight of a transposed convolution is for \
                 {wanted}, its first size"
            )));
        }
        if c % self.groups != 0 {
            return Err(Error::shape(format!(
                "{c} input channels do not split into {} groups",
                self.groups
            )));
        }
        let channels = per_group.checked_mul(self.groups).ok_or_else(|| {
            Error::argument(format!("{} groups are too many to compute with", self.groups))
        })?;
        let oh = self.output_size(0, h, kh)?;
        let ow = self.output_size(1, w, kw)?;
        Ok([n, channels, oh, ow])
    }

    fn output_size(&self, axis: usize, size: usize, kernel: usize) -> Result<usize> {
        let (stride, dilation) = (self.stride[axis], self.dilation[axis]);
        let (padding, extra) = (self.padding[axis], self.output_padding[axis]);
        for (name, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return Err(Error::argument(format!("{name} is 0, it must be at least 1")));
            }
        }
        if extra >= stride.max(dilation) {
            return Err(Error::argument(format!(
                "output_padding is {extra}, it must be smaller than the stride {stride} or the \
                 dilation {dilation}"
            )));
        }
        if size == 0 {
            return Err(Error::shape("an input without pixels has no transposed convolution"));
        }
        let too_large =
            || Error::argument("stride, kernel or padding is too large to compute with");
        let reach = (size - 1)
            .checked_mul(stride)
            .and_then(|s| (kernel - 1).checked_mul(dilation)?.checked_add(s))
            .and_then(|s| s.checked_add(extra)?.checked_add(1))
            .filter(|&s| s <= isize::MAX as usize)
            .ok_or_else(too_large)?;
        let cut = padding.checked_mul(2).ok_or_else(too_large)?;
        reach.checked_sub(cut).filter(|&size| size > 0).ok_or_else(|| {
            Error::shape(format!(
                "an input of {size} with kernel {kernel} and stride {stride} gives {reach} pixels, \
                 and padding {padding} cuts off all of them"
            ))
        })
    }
}

/// The attributes of a one-dimensional transposed convolution; see [`ConvTranspose2d`].
///
/// ```
/// use ferrotape_autograd::ops::ConvTranspose1d;
///
/// let double = ConvTranspose1d { stride: 2, ..ConvTranspose1d::default() };
/// assert_eq!((double.output_padding, double.groups), (0, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvTranspose1d {
    /// Elements of the output from one input's window to the next.
    pub stride: usize,
    /// Elements cut off from the output on each side.
    pub padding: usize,
    /// Elements added to the output at its end; fewer than the stride or the dilation.
    pub output_padding: usize,
    /// Elements from one kernel element to the next.
    pub dilation: usize,
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
}

impl Default for ConvTranspose1d {
    fn default() -> Self {
        ConvTranspose1d { stride: 1, padding: 0, output_padding: 0, dilation: 1, groups: 1 }
    }
}

/// `y = bias + ` the gradient in its input of the convolution `params` of images of shape `output`,
/// where the gradient of its output is `x`. Linear in input and weight.
#[derive(Debug)]
struct Transposed {
    params: Conv2d,
    output: Shape,
}

impl Op for Transposed {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        static SHIFT: LazyLock<Program> =
            LazyLock::new(|| Program::new(&[Expr::previous(0) + Expr::input(0)]));
        let dtype = super::common_float(inputs)?;
        let (x, w) = (inputs[0], inputs[1]);
        let mut y = super::image_output(x, dtype, &self.output)?;
        let backend = x.device().backend();
        backend.conv2d_input_grad(x, w, &mut y, &self.params)?;
        if let Some(bias) = inputs.get(2) {
            let channels = self.output[1];
            if bias.shape().dims() != [channels] {
                return Err(Error::shape(format!(
                    "the bias has shape {}, but [{channels}] is wanted",
                    bias.shape()
                )));
            }
            let bias = bias.reshape([1, channels, 1, 1])?;
            backend.pointwise(&SHIFT, &[], &[&bias], &mut [&mut y])?;
        }
        if cx.needs(1) {
            cx.save_input(0);
        }
        if cx.needs(0) {
            cx.save_input(1);
        }
        Ok(y)
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let of_x = || grad.conv2d(&cx.input(1)?, None, &self.params);
        let of_w = || weight_grad(grad, &cx.input(0)?, cx.input_shape(1), self.params);
        let of_bias = || grad.wide_sum(&[0, 2, 3], false);
        let x = cx.needs(0).then(of_x).transpose()?;
        let w = cx.needs(1).then(of_w).transpose()?;
        let bias = cx.needs(2).then(of_bias).transpose()?;
        Ok([x, w, bias].into_iter().collect())
    }

    fn multiply_adds(&self, inputs: &[Shape], _: &Shape) -> u64 {
        let taps: usize = inputs[1][1..].iter().product();
        (inputs[0].numel() as u64).saturating_mul(taps as u64)
    }
}

/// # Transposed convolution
impl Tensor {
    /// Transposed convolution of images `[N, C, H, W]` with `weight [C, O / groups, KH, KW]` and
    /// `bias [O]`: each pixel adds its multiple of the kernel to the output `[N, O, OH, OW]`,
    /// `y[n, o, i s + k d - p, j s + l d - p] += w[c,o,k,l] x[n,c,i,j]`
    /// (`torch.nn.functional.conv_transpose2d`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::ConvTranspose2d};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0], [1, 1, 1, 2])?);
    /// let w = Tensor::from(Array::from_slice(&device, &[1.0, 10.0], [1, 1, 1, 2])?);
    /// let y = x.conv_transpose2d(&w, None, &ConvTranspose2d::default())?;
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 12.0, 20.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`ConvTranspose2d::output_shape`]; a mix of data types.
    pub fn conv_transpose2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &ConvTranspose2d,
    ) -> Result<Tensor> {
        let shape = params.output_shape(self.shape().nchw()?, weight.shape().nchw()?)?;
        let mut x = self.channels_last()?;
        for axis in 0..2 {
            // More output padding than a stride holds is room for further inputs, which are zero.
            let further = params.output_padding[axis] / params.stride[axis];
            if further > 0 {
                let size = x.shape()[2 + axis] + further;
                x = super::shape::widen(&x, 2 + axis, 0, size)?;
            }
        }
        let op = Transposed { params: params.transposed(), output: Shape::new(&shape)? };
        match bias {
            Some(bias) => Tensor::apply(op, &[&x, weight, bias]),
            None => Tensor::apply(op, &[&x, weight]),
        }
    }

    /// Transposed convolution of sequences `[N, C, L]` with `weight [C, O / groups, K]` and
    /// `bias [O]`, to `[N, O, OL]` (`torch.nn.functional.conv_transpose1d`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::ConvTranspose1d};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [1, 1, 2])?);
    /// let w = Tensor::from(Array::from_slice(&device, &[1.0f64, 10.0], [1, 1, 2])?);
    /// let double = ConvTranspose1d { stride: 2, ..ConvTranspose1d::default() };
    /// assert_eq!(x.conv_transpose1d(&w, None, &double)?.to_vec::<f64>()?, [1.0, 10.0, 2.0, 20.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::conv_transpose2d`].
    pub fn conv_transpose1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &ConvTranspose1d,
    ) -> Result<Tensor> {
        let (x, weight) = (flat("the input", self)?, flat("the weight", weight)?);
        let params = ConvTranspose2d {
            stride: [1, params.stride],
            padding: [0, params.padding],
            output_padding: [0, params.output_padding],
            dilation: [1, params.dilation],
            groups: params.groups,
        };
        sequence(&x.conv_transpose2d(&weight, bias, &params)?)
    }
}
