//! Local response normalization over neighbouring channels.

use std::sync::{Arc, LazyLock};

use ferrotape_backend::pointwise::Expr;
use ferrotape_backend::{Error, Result, Shape, Taps};

use crate::ops::pointwise::PointwiseFn;
use crate::tensor::Tensor;

/// `1 / size` of the sum over the `size` channels around each; those past the ends are zeros.
fn channel_means(x: &Tensor, size: usize) -> Result<Tensor> {
    let dims = x.shape().dims();
    let (n, c, pixels) = (dims[0], dims[1], dims[2..].iter().product());
    let windows = Taps::sliding_mean(c, size)?;
    let keep = Taps::identity(pixels)?;
    if x.layout().pixel_pitch().is_some() {
        // The channels of a pixel are adjacent: a row of an image, as it lies.
        let rows = x.permute(&[0, 2, 3, 1])?;
        let shape = *rows.shape();
        let rows = rows.view(Shape::new(&[n, 1, pixels, c])?)?;
        return rows.resample2d(keep, windows)?.view(shape)?.permute(&[0, 3, 1, 2]);
    }
    let planes = x.view(Shape::new(&[n, 1, c, pixels])?)?;
    planes.resample2d(windows, keep)?.view(*x.shape())
}

/// # Local response normalization
impl Tensor {
    /// `y = x / (k + alpha / size sum x^2)^beta` over `size` neighbouring channels of `[N, C, ..]`:
    /// size / 2 before each and (size - 1) / 2 after, of which those past the ends are zeros
    /// (`torch.nn.functional.local_response_norm`).
    ///
    /// Krizhevsky et al. 2012, section 3.3, have alpha without the division: what is
    /// `alpha = 1e-4, size = 5` there is `alpha = 5e-4` here.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0], [1, 2, 1])?);
    /// let y = x.local_response_norm(3, 3.0, 1.0, 0.0)?;
    /// assert_eq!(y.to_vec::<f64>()?, [0.2, 0.4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than three dimensions, a size of 0, or not a float.
    pub fn local_response_norm(
        &self,
        size: usize,
        alpha: f64,
        beta: f64,
        k: f64,
    ) -> Result<Tensor> {
        static DIVIDED: LazyLock<Arc<PointwiseFn>> = LazyLock::new(|| {
            let [alpha, beta, k] = [0, 1, 2].map(Expr::scalar);
            PointwiseFn::binary("local_response_norm", |x, mean| x / (k + mean * alpha).pow(&beta))
        });
        if self.shape().rank() < 3 {
            return Err(Error::shape(format!(
                "local response norm wants [N, C, ..] of at least three dimensions, got {}",
                self.shape()
            )));
        }
        DIVIDED.apply(&[self, &channel_means(&self.square()?, size)?], &[alpha, beta, k])
    }
}
