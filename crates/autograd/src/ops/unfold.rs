//! Windows of an image as columns (im2col), and their sum back into an image.

use ferrotape_backend::{Array, Device, Error, Result, Shape};

use super::index::ScatterAdd;
use super::pad::Padding;
use crate::tensor::Tensor;

/// The windows that [`Tensor::unfold`] and [`Tensor::fold`] slide over images; each pair is for
/// height and width.
///
/// ```
/// use ferrotape_autograd::{Tensor, ops::Unfold};
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::zeros(&device, DType::F64, [1, 3, 8, 8])?);
/// let windows = Unfold { stride: [2, 2], padding: [1, 1], ..Unfold::new([4, 4]) };
/// // (8 + 2 - 4) / 2 + 1 = 4 windows each way, of 3 channels of 4x4 pixels.
/// assert_eq!(x.unfold(&windows)?.shape().dims(), [1, 3 * 4 * 4, 4 * 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfold {
    /// The window's size.
    pub kernel: [usize; 2],
    /// The step from window to window.
    pub stride: [usize; 2],
    /// Zeros around the image.
    pub padding: [usize; 2],
    /// The step from pixel to pixel within a window.
    pub dilation: [usize; 2],
}

impl Unfold {
    /// Windows of this size, at every position.
    ///
    /// ```
    /// use ferrotape_autograd::ops::Unfold;
    ///
    /// let windows = Unfold::new([3, 3]);
    /// assert_eq!((windows.stride, windows.padding, windows.dilation), ([1, 1], [0, 0], [1, 1]));
    /// ```
    #[must_use]
    pub fn new(kernel: [usize; 2]) -> Self {
        Unfold { kernel, stride: [1, 1], padding: [0, 0], dilation: [1, 1] }
    }

    /// How many windows there are along an axis of this size.
    fn count(&self, axis: usize, size: usize) -> Result<usize> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        let (padding, dilation) = (self.padding[axis], self.dilation[axis]);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(Error::argument(format!(
                "kernel {:?}, stride {:?} and dilation {:?} of windows must be at least 1",
                self.kernel, self.stride, self.dilation
            )));
        }
        let padded = padding.checked_mul(2).and_then(|p| p.checked_add(size));
        let reach = (kernel - 1).checked_mul(dilation).and_then(|r| r.checked_add(1));
        let room = padded.zip(reach).and_then(|(padded, reach)| padded.checked_sub(reach));
        room.map(|room| room / stride + 1).ok_or_else(|| {
            Error::argument(format!("windows of {self:?} do not fit into an axis of {size} pixels"))
        })
    }

    /// The padded pixel that each pixel of each window is: `[kernel, windows]`.
    fn positions(&self, axis: usize, count: usize, device: &Device) -> Result<Array> {
        let total = Shape::new(&[self.kernel[axis], count])?.numel();
        let pixel = |at: usize| {
            let (within, window) = (at / count, at % count);
            (within * self.dilation[axis] + window * self.stride[axis]) as i64
        };
        let positions = super::index::positions(total, pixel)?;
        Array::from_slice(device, &positions, [positions.len()])
    }
}

/// # Windows
impl Tensor {
    /// The windows of images as columns: `[N, C, H, W]` or `[C, H, W]` becomes `[N, C kh kw, L]` or
    /// `[C kh kw, L]` for `L` windows in row-major order (`torch.nn.functional.unfold`).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Unfold};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0], [1, 1, 1, 3])?);
    /// let y = x.unfold(&Unfold::new([1, 2]))?;
    /// assert_eq!(y.shape().dims(), [1, 2, 2]);
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 2.0, 2.0, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of dimensions; a kernel, stride or dilation of 0; windows that do not fit into
    /// the padded image; not a float.
    pub fn unfold(&self, windows: &Unfold) -> Result<Tensor> {
        if self.shape().rank() == 3 {
            let columns = self.unsqueeze(0)?.unfold(windows)?;
            let shape = Shape::new(&columns.shape()[1..])?;
            return columns.view(shape);
        }
        let [n, c, h, w] = self.shape().nchw()?;
        let [rows, columns] = [windows.count(0, h)?, windows.count(1, w)?];
        let [kh, kw] = windows.kernel;
        let [ph, pw] = windows.padding;
        let device = self.device();
        self.pad(&[pw, pw, ph, ph], Padding::Constant(0.0))?
            .index_select(2, &windows.positions(0, rows, device)?)?
            .index_select(3, &windows.positions(1, columns, device)?)?
            .view(Shape::new(&[n, c, kh, rows, kw, columns])?)?
            .permute(&[0, 1, 2, 4, 3, 5])?
            .view(Shape::new(&[n, c * kh * kw, rows * columns])?)
    }

    /// Images of `size` pixels into which columns `[N, C kh kw, L]` are added window by window: the
    /// transpose of [`Tensor::unfold`] (`torch.nn.functional.fold`). `[C kh kw, L]` gives one image.
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Unfold};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [1, 2, 2])?);
    /// let y = x.fold([1, 3], &Unfold::new([1, 2]))?;
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 5.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of dimensions; columns that are not those of such an image; windows as for
    /// [`Tensor::unfold`].
    pub fn fold(&self, size: [usize; 2], windows: &Unfold) -> Result<Tensor> {
        if self.shape().rank() == 2 {
            let images = self.unsqueeze(0)?.fold(size, windows)?;
            let shape = Shape::new(&images.shape()[1..])?;
            return images.view(shape);
        }
        let [rows, columns] = [windows.count(0, size[0])?, windows.count(1, size[1])?];
        let [kh, kw] = windows.kernel;
        let fits = |&(_, channels, windows): &(usize, usize, usize)| {
            rows.checked_mul(columns) == Some(windows)
                && kh.checked_mul(kw).is_some_and(|area| channels.is_multiple_of(area))
        };
        let sizes = match *self.shape().dims() {
            [n, channels, windows] => Some((n, channels, windows)).filter(fits),
            _ => None,
        };
        let Some((n, channels, _)) = sizes else {
            return Err(Error::shape(format!(
                "fold into {size:?} pixels wants [N, C * {kh} * {kw}, {rows} * {columns}], got {}",
                self.shape()
            )));
        };
        let c = channels / (kh * kw);
        let blocks = Shape::new(&[n, c, kh, kw, rows, columns])?;
        let padded = [size[0] + 2 * windows.padding[0], size[1] + 2 * windows.padding[1]];
        let device = self.device();
        let wide = Shape::new(&[n, c, kh * rows, padded[1]])?;
        let high = Shape::new(&[n, c, padded[0], padded[1]])?;
        self.view(blocks)?
            .permute(&[0, 1, 2, 4, 3, 5])?
            .view(Shape::new(&[n, c, kh * rows, kw * columns])?)?
            .index_add(3, &windows.positions(1, columns, device)?, wide)?
            .index_add(2, &windows.positions(0, rows, device)?, high)?
            .narrow(2, windows.padding[0], size[0])?
            .narrow(3, windows.padding[1], size[1])
    }

    /// Zeros of `shape` with this added at a list of positions along `dim`.
    fn index_add(&self, dim: usize, index: &Array, shape: Shape) -> Result<Tensor> {
        let index = super::index::along(self.shape(), dim, index)?;
        Tensor::apply(ScatterAdd { dim, shape }, &[self, &Tensor::from(index)])
    }
}
