//! Images to rows.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path};

/// Everything but the batch in one dimension: `[N, C, H, W]` to `[N, C H W]`, in NCHW order
/// whatever the memory's layout. Means what `torch.nn.Flatten` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Flatten, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let flatten = Flatten::new(&Init::new(&device, Rng::new(1)))?;
/// let x = Array::zeros(&device, DType::F32, [2, 3, 4, 5])?.into();
/// assert_eq!(flatten.forward(&Pass::eval(&device), &x)?.shape().dims(), [2, 60]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Flatten {
    path: Path,
}

impl Flatten {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Flatten, Init, Layer, LinearConfig, Pass, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(48, 10))?;
    /// let x = Array::zeros(&device, DType::F32, [2, 3, 4, 4])?.into();
    /// assert_eq!(model.forward(&Pass::eval(&device), &x)?.shape().dims(), [2, 10]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init) -> Result<Self> {
        Ok(Flatten { path: init.path().clone() })
    }
}

impl Layer for Flatten {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.flatten(1))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
