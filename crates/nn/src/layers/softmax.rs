//! Scores to probabilities.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path};

/// `exp(x_i) / sum_j exp(x_j)` along the last dimension, the classes. Means what
/// `torch.nn.Softmax(dim=-1)` means.
///
/// A model that is trained ends in its logits, without this: cross entropy takes logits.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Pass, Softmax};
///
/// let device = Device::new(Reference::new());
/// let softmax = Softmax::new(&Init::new(&device, Rng::new(1)))?;
/// let x = Array::full(&device, DType::F32, [1, 4], 3.0)?.into();
/// assert_eq!(softmax.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [0.25; 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Softmax {
    path: Path,
}

impl Softmax {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Pass, Softmax};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let softmax = Softmax::new(&init)?;
    /// let x = Array::from_slice(&device, &[0.0f64, 3f64.ln()], [1, 2])?.into();
    /// let y = softmax.forward(&Pass::eval(&device), &x)?.to_vec::<f64>()?;
    /// assert!((y[0] - 0.25).abs() < 1e-12 && (y[1] - 0.75).abs() < 1e-12);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init) -> Result<Self> {
        Ok(Softmax { path: init.path().clone() })
    }
}

impl Layer for Softmax {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.softmax(-1))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
