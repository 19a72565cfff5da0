//! The layer that changes nothing.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path};

/// The output is the input: what stands where a layer was taken out. Means what
/// `torch.nn.Identity` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Identity, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let identity = Identity::new(&Init::new(&device, Rng::new(1)))?;
/// let x = Array::full(&device, DType::F32, [2], 3.0)?.into();
/// assert_eq!(identity.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Identity {
    path: Path,
}

impl Identity {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Identity, Init, Module, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).named("fc", Identity::new)?;
    /// assert_eq!(model.get("fc").map(|layer| layer.kind()), Some("Identity"));
    /// assert_eq!(model.count_parameters(), 0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init) -> Result<Self> {
        Ok(Identity { path: init.path().clone() })
    }
}

impl Layer for Identity {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || Ok(x.clone()))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
