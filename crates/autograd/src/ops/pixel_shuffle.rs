//! Channels that become pixels, and back (Shi et al., 2016).

use ferrotape_backend::{Error, Result, Shape};

use crate::tensor::Tensor;

/// # Channels and pixels
impl Tensor {
    /// Each `factor` by `factor` block of pixels is made of one pixel's channels:
    /// `y[n][c][h r + i][w r + j] = x[n][(c r + i) r + j][h][w]`, from `[.., C r r, H, W]` to
    /// `[.., C, H r, W r]` (`torch.nn.functional.pixel_shuffle`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [1, 4, 1, 1])?);
    /// let y = x.pixel_shuffle(2)?;
    /// assert_eq!(y.shape().dims(), [1, 1, 2, 2]);
    /// assert_eq!(y.pixel_unshuffle(2)?.shape(), x.shape());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than three dimensions; a factor of 0, or whose square does not divide the channels.
    pub fn pixel_shuffle(&self, factor: usize) -> Result<Tensor> {
        let [batch, c, h, w] = self.planes("pixel_shuffle")?;
        let square = factor.checked_mul(factor).filter(|&square| square > 0);
        let Some(square) = square.filter(|&square| c.is_multiple_of(square)) else {
            return Err(Error::argument(format!(
                "pixel_shuffle of {} wants a factor whose square divides the {c} channels, got \
                 {factor}",
                self.shape()
            )));
        };
        let blocks = Shape::new(&[batch, c / square, factor, factor, h, w])?;
        let y = self.view(blocks)?.permute(&[0, 1, 4, 2, 5, 3])?;
        y.view(self.with_planes([c / square, h * factor, w * factor])?)
    }

    /// Each `factor` by `factor` block of pixels becomes one pixel's channels: the inverse of
    /// [`Tensor::pixel_shuffle`], from `[.., C, H r, W r]` to `[.., C r r, H, W]`
    /// (`torch.nn.functional.pixel_unshuffle`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0, 3.0, 4.0], [1, 2, 2])?);
    /// let y = x.pixel_unshuffle(2)?;
    /// assert_eq!((y.shape().dims(), y.to_vec::<f64>()?), (&[4, 1, 1][..], vec![1.0, 2.0, 3.0, 4.0]));
    /// assert!(x.pixel_unshuffle(3).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than three dimensions; a factor of 0, or that does not divide height and width.
    pub fn pixel_unshuffle(&self, factor: usize) -> Result<Tensor> {
        let [batch, c, h, w] = self.planes("pixel_unshuffle")?;
        if factor == 0 || !h.is_multiple_of(factor) || !w.is_multiple_of(factor) {
            return Err(Error::argument(format!(
                "pixel_unshuffle of {} wants a factor that divides height and width, got {factor}",
                self.shape()
            )));
        }
        let (h, w) = (h / factor, w / factor);
        let blocks = Shape::new(&[batch, c, h, factor, w, factor])?;
        let y = self.view(blocks)?.permute(&[0, 1, 3, 5, 2, 4])?;
        // The square overflows only for arrays without elements.
        let channels = c.saturating_mul(factor).saturating_mul(factor);
        y.view(self.with_planes([channels, h, w])?)
    }

    /// The sizes as those of a batch of images, the leading dimensions merged.
    fn planes(&self, name: &str) -> Result<[usize; 4]> {
        match self.shape().dims() {
            [batch @ .., c, h, w] => Ok([batch.iter().product(), *c, *h, *w]),
            _ => Err(Error::shape(format!("{name} wants [.., C, H, W], got {}", self.shape()))),
        }
    }

    /// This shape with other channels, height and width.
    fn with_planes(&self, planes: [usize; 3]) -> Result<Shape> {
        let mut sizes = self.shape().to_vec();
        sizes.truncate(sizes.len() - planes.len());
        sizes.extend(planes);
        Shape::new(&sizes)
    }
}
