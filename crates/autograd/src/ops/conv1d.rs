//! One-dimensional convolution: a two-dimensional one over images of height 1.

use ferrotape_backend::{Conv2d, Error, Result, Shape};

use crate::tensor::Tensor;

/// Stride, padding, dilation and groups of a one-dimensional convolution.
///
/// Output length: `(length + 2 padding - dilation (kernel - 1) - 1) / stride + 1`.
///
/// ```
/// use ferrotape_autograd::ops::Conv1d;
///
/// let same = Conv1d { padding: 2, ..Conv1d::default() };
/// assert_eq!((same.stride, same.dilation, same.groups), (1, 1, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv1d {
    /// Elements from one output's window to the next.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Elements from one kernel element to the next.
    pub dilation: usize,
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
}

impl Default for Conv1d {
    fn default() -> Self {
        Conv1d { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

impl Conv1d {
    /// The same convolution of images of height 1.
    fn flat(&self) -> Conv2d {
        Conv2d {
            stride: [1, self.stride],
            padding: [0, self.padding],
            dilation: [1, self.dilation],
            groups: self.groups,
        }
    }
}

/// `[A, B, L]` as `[A, B, 1, L]`.
pub(super) fn flat(name: &str, x: &Tensor) -> Result<Tensor> {
    let &[a, b, l] = x.shape().dims() else {
        return Err(Error::shape(format!(
            "{name} has shape {}, but a sequence of three dimensions is wanted",
            x.shape()
        )));
    };
    x.view(Shape::new(&[a, b, 1, l])?)
}

/// `[N, C, 1, L]` as `[N, C, L]`.
pub(super) fn sequence(x: &Tensor) -> Result<Tensor> {
    let [n, c, h, w] = x.shape().nchw()?;
    x.view(Shape::new(&[n, c, h * w])?)
}

/// # One-dimensional convolution
impl Tensor {
    /// Cross-correlation of sequences `[N, C, L]` with `weight [O, C / groups, K]` and `bias [O]`:
    /// `y[n,o,i] = bias[o] + sum_{c,k} w[o,c,k] x[n, c, i s + k d - p]`, of shape `[N, O, OL]`
    /// (`torch.nn.functional.conv1d`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Conv1d};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0, 4.0, 8.0], [1, 1, 4])?);
    /// let difference = Tensor::from(Array::from_slice(&device, &[-1.0, 1.0], [1, 1, 2])?);
    /// let y = x.conv1d(&difference, None, &Conv1d::default())?;
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 2.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, see [`Conv2d::output_shape`]; a mix of data types.
    pub fn conv1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        params: &Conv1d,
    ) -> Result<Tensor> {
        let (x, weight) = (flat("the input", self)?, flat("the weight", weight)?);
        sequence(&x.conv2d(&weight, bias, &params.flat())?)
    }
}
