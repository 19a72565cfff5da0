//! Resampling: every output pixel a weighted sum over a grid of input pixels.

use ferrotape_backend::{Array, Error, Result, Shape, Taps};

use crate::form::Form;
use crate::op::{Backward, Forward, InputGrads, Op};
use crate::tensor::Tensor;

/// `y[n,c,i,j] = sum_{k,l} rows[i,k] columns[j,l] x[n,c,k,l]`. Linear; its transpose is of its kind.
#[derive(Debug)]
struct Resample {
    rows: Taps,
    columns: Taps,
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        "resample2d"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let dtype = super::common_float(inputs)?;
        let x = inputs[0];
        let [n, c, _, _] = x.shape().nchw()?;
        let shape = Shape::new(&[n, c, self.rows.outputs(), self.columns.outputs()])?;
        let mut y = super::output_like(x, dtype, shape)?;
        x.device().backend().resample2d(x, &self.rows, &self.columns, &mut y)?;
        Ok(y)
    }

    fn form(&self) -> Form<'_> {
        Form::Resample { rows: &self.rows, columns: &self.columns }
    }

    fn backward(&self, _: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        Ok(super::one(grad.resample2d(self.rows.transposed(), self.columns.transposed())?))
    }
}

/// How [`Tensor::interpolate`] makes pixels from those of an image of another size.
///
/// ```
/// use ferrotape_autograd::ops::Resize;
///
/// assert_ne!(Resize::Bilinear { align_corners: false }, Resize::Nearest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resize {
    /// The pixel at `floor(i I / O)`, for I pixels of the input and O of the output along an axis.
    Nearest,
    /// The pixel whose centre is nearest: that at `floor((i + 1/2) I / O)`.
    NearestExact,
    /// Between the two nearest pixels along each axis.
    Bilinear {
        /// Whether the centres of the corner pixels coincide, instead of their corners.
        align_corners: bool,
    },
    /// Cubic convolution of the four nearest pixels along each axis, with a = -3/4.
    Bicubic {
        /// Whether the centres of the corner pixels coincide, instead of their corners.
        align_corners: bool,
    },
    /// The mean of the pixels that an output covers, whole ones; see [`Taps::average`].
    Area,
}

impl Resize {
    fn taps(self, inputs: usize, outputs: usize) -> Result<Taps> {
        match self {
            Resize::Nearest => Taps::nearest(inputs, outputs),
            Resize::NearestExact => Taps::nearest_exact(inputs, outputs),
            Resize::Bilinear { align_corners } => Taps::linear(inputs, outputs, align_corners),
            Resize::Bicubic { align_corners } => Taps::cubic(inputs, outputs, align_corners),
            Resize::Area => Taps::average(inputs, outputs),
        }
    }
}

/// # Resampling
impl Tensor {
    /// `y[n,c,i,j] = sum_{k,l} rows[i,k] columns[j,l] x[n,c,k,l]` of images `[N, C, H, W]`, for `rows`
    /// of H inputs and `columns` of W inputs: `[N, C, OH, OW]`. Resizing, averages over windows of
    /// any kind and separable filters are of this form.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, Taps, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0, 4.0], [1, 1, 1, 3])?);
    /// let differences = Taps::new(3, (0..2).map(|i| [(i, -1.0), (i + 1, 1.0)]))?;
    /// let y = x.resample2d(Taps::identity(1)?, differences)?;
    /// assert_eq!(y.to_vec::<f64>()?, [1.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit, or not a float.
    pub fn resample2d(&self, rows: Taps, columns: Taps) -> Result<Tensor> {
        Tensor::apply(Resample { rows, columns }, &[self])
    }

    /// Images `[N, C, H, W]` resized to `[N, C, size[0], size[1]]`
    /// (`torch.nn.functional.interpolate` with a given size).
    ///
    /// ```
    /// use ferrotape_autograd::{Tensor, ops::Resize};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[0.0, 4.0], [1, 1, 1, 2])?);
    /// let y = x.interpolate([1, 4], Resize::Bilinear { align_corners: false })?;
    /// assert_eq!(y.to_vec::<f64>()?, [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not images of floats; a size of 0, or images without pixels.
    pub fn interpolate(&self, size: [usize; 2], mode: Resize) -> Result<Tensor> {
        let [_, _, h, w] = self.shape().nchw()?;
        if size.contains(&0) {
            return Err(Error::argument(format!(
                "images cannot be resized to {size:?}: both sizes must be at least 1"
            )));
        }
        room(self, size)?;
        self.resample2d(mode.taps(h, size[0])?, mode.taps(w, size[1])?)
    }
}

/// Whether an output of this size can be at all, before anything is computed for it.
pub(super) fn room(x: &Tensor, [h, w]: [usize; 2]) -> Result<()> {
    let [n, c, _, _] = x.shape().nchw()?;
    Shape::new(&[n, c, h, w]).map(|_| ())
}
