//! Padding of images.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Padding;
use ferrotape_backend::Result;

use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Pass, Path};

/// What a [`Pad2d`] is made from.
///
/// ```
/// use ferrotape_autograd::ops::Padding;
/// use ferrotape_nn::Pad2dConfig;
///
/// assert_eq!(Pad2dConfig::new(1, Padding::Reflect).padding, [1, 1, 1, 1]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pad2dConfig {
    /// Pixels at the left, right, top and bottom, in PyTorch's order.
    pub padding: [usize; 4],
    /// What they are.
    pub mode: Padding,
}

impl Pad2dConfig {
    /// The same padding on all sides.
    ///
    /// ```
    /// use ferrotape_autograd::ops::Padding;
    /// use ferrotape_nn::Pad2dConfig;
    ///
    /// let config = Pad2dConfig::new(2, Padding::Constant(0.0));
    /// assert_eq!(config.padding, [2; 4]);
    /// ```
    #[must_use]
    pub const fn new(padding: usize, mode: Padding) -> Self {
        Pad2dConfig { padding: [padding; 4], mode }
    }
}

/// Images with margins: `[.., H, W]` to `[.., H + top + bottom, W + left + right]`.
///
/// Means what `torch.nn.ZeroPad2d`, `ConstantPad2d`, `ReflectionPad2d`, `ReplicationPad2d` and
/// `CircularPad2d` mean.
///
/// ```
/// use ferrotape_autograd::ops::Padding;
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Pad2d, Pad2dConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let config = Pad2dConfig { padding: [1, 1, 0, 0], mode: Padding::Reflect };
/// let pad = Pad2d::new(&Init::new(&device, Rng::new(1)), config)?;
/// let x = Array::from_slice(&device, &[1.0f32, 2.0, 3.0], [1, 1, 1, 3])?.into();
/// let y = pad.forward(&Pass::eval(&device), &x)?;
/// assert_eq!(y.to_vec::<f32>()?, [2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Pad2d {
    #[module(skip)]
    config: Pad2dConfig,
    path: Path,
}

impl Pad2d {
    /// A layer of this path. A padding that does not fit its input is an error of `forward`.
    ///
    /// ```
    /// use ferrotape_autograd::ops::Padding;
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Pad2d, Pad2dConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// // One pixel more at the right and at the bottom.
    /// let config = Pad2dConfig { padding: [0, 1, 0, 1], mode: Padding::Constant(0.0) };
    /// let pad = Pad2d::new(&init, config)?;
    /// let x = Array::zeros(&device, DType::F32, [1, 3, 7, 7])?.into();
    /// assert_eq!(pad.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 3, 8, 8]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init, config: Pad2dConfig) -> Result<Self> {
        Ok(Pad2d { config, path: init.path().clone() })
    }
}

impl Layer for Pad2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.pad(&self.config.padding, self.config.mode))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for Pad2dConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Pad2d::new(init, self)?))
    }
}
