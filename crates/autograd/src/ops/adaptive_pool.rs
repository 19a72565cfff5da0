//! Pooling to a given size.

use ferrotape_backend::{Error, Pool2d, Result, Taps};

use super::resample::room;
use crate::tensor::Tensor;

fn not_empty(size: [usize; 2]) -> Result<()> {
    if !size.contains(&0) {
        return Ok(());
    }
    Err(Error::argument(format!("images cannot be pooled to {size:?}: both must be at least 1")))
}

/// The size of all windows along an axis, if each window is as large and they follow each other.
fn tiles(inputs: usize, outputs: usize) -> Option<usize> {
    (inputs > 0 && inputs.is_multiple_of(outputs)).then_some(inputs / outputs)
}

/// The positions of all windows one after the other, as many of each: short ones repeat their last
/// position. Gives the number too.
fn spread(inputs: usize, outputs: usize) -> Result<(Taps, usize)> {
    if let Some(kernel) = tiles(inputs, outputs) {
        return Ok((Taps::identity(inputs)?, kernel));
    }
    // Checks the sizes, and that memory holds this many windows.
    let means = Taps::average(inputs, outputs)?;
    let longest = (0..outputs).map(|output| means.row(output).count()).max().unwrap_or(1);
    let window = |output| Taps::adaptive_window(inputs, outputs, output);
    let rows = (0..outputs)
        .map(window)
        .flat_map(|range| (0..longest).map(move |k| [((range.start + k).min(range.end - 1), 1.0)]));
    Ok((Taps::new(inputs, rows)?, longest))
}

/// # Adaptive pooling
impl Tensor {
    /// Images `[N, C, H, W]` to `[N, C, size[0], size[1]]`, smaller or larger: each output is the
    /// mean over rows `floor(i H / OH) .. ceil((i + 1) H / OH)` and the columns alike
    /// (`torch.nn.functional.adaptive_avg_pool2d`).
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0, 6.0], [1, 1, 1, 3])?);
    /// assert_eq!(x.adaptive_avg_pool2d([1, 2])?.to_vec::<f64>()?, [1.5, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Not images of floats; a size of 0, or images without pixels.
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Result<Tensor> {
        let [_, _, h, w] = self.shape().nchw()?;
        not_empty(size)?;
        room(self, size)?;
        match (tiles(h, size[0]), tiles(w, size[1])) {
            (Some(down), Some(across)) => self.avg_pool2d(&Pool2d::new([down, across])),
            _ => self.resample2d(Taps::average(h, size[0])?, Taps::average(w, size[1])?),
        }
    }

    /// As [`Tensor::adaptive_avg_pool2d`], with the largest element of each window
    /// (`torch.nn.functional.adaptive_max_pool2d`). Among equals the first has the gradient.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::from_slice(&device, &[1.0, 2.0, 6.0], [1, 1, 1, 3])?);
    /// assert_eq!(x.adaptive_max_pool2d([1, 2])?.to_vec::<f64>()?, [2.0, 6.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn adaptive_max_pool2d(&self, size: [usize; 2]) -> Result<Tensor> {
        let [_, _, h, w] = self.shape().nchw()?;
        not_empty(size)?;
        room(self, size)?;
        let ((rows, down), (columns, across)) = (spread(h, size[0])?, spread(w, size[1])?);
        let moved = !(rows.is_identity() && columns.is_identity());
        let x = if moved { self.resample2d(rows, columns)? } else { self.clone() };
        x.max_pool2d(&Pool2d::new([down, across]))
    }
}
