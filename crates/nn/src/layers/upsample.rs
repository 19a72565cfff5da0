//! Resizing of images.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Resize;
use ferrotape_backend::{Error, Result};

use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Pass, Path};

/// What size an [`Upsample`] gives images, `[vertical, horizontal]`.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Pass, Upsample, UpsampleConfig, UpsampleSize};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let x = Array::zeros(&device, DType::F32, [1, 3, 4, 5])?.into();
/// for (size, expected) in [
///     (UpsampleSize::To([6, 6]), [1, 3, 6, 6]),
///     (UpsampleSize::By([2, 3]), [1, 3, 8, 15]),
/// ] {
///     let layer = Upsample::new(&init, UpsampleConfig { size, ..UpsampleConfig::by(1) })?;
///     assert_eq!(layer.forward(&Pass::eval(&device), &x)?.shape().dims(), expected);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpsampleSize {
    /// This height and width.
    To([usize; 2]),
    /// So many times that of the input.
    By([usize; 2]),
}

/// What an [`Upsample`] is made from.
///
/// ```
/// use ferrotape_autograd::ops::Resize;
/// use ferrotape_nn::{UpsampleConfig, UpsampleSize};
///
/// let double = UpsampleConfig::by(2).mode(Resize::Bilinear { align_corners: false });
/// assert_eq!(double.size, UpsampleSize::By([2, 2]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpsampleConfig {
    /// The output's size.
    pub size: UpsampleSize,
    /// How pixels are made from those of the input.
    pub mode: Resize,
}

impl UpsampleConfig {
    /// To this height and width, each pixel that of the input that it falls on.
    ///
    /// ```
    /// use ferrotape_nn::{UpsampleConfig, UpsampleSize};
    ///
    /// assert_eq!(UpsampleConfig::to([224, 224]).size, UpsampleSize::To([224, 224]));
    /// ```
    #[must_use]
    pub const fn to(size: [usize; 2]) -> Self {
        UpsampleConfig { size: UpsampleSize::To(size), mode: Resize::Nearest }
    }

    /// To this many times the height and width, each pixel that of the input that it falls on.
    ///
    /// ```
    /// use ferrotape_nn::{UpsampleConfig, UpsampleSize};
    ///
    /// assert_eq!(UpsampleConfig::by(3).size, UpsampleSize::By([3, 3]));
    /// ```
    #[must_use]
    pub const fn by(factor: usize) -> Self {
        UpsampleConfig { size: UpsampleSize::By([factor, factor]), mode: Resize::Nearest }
    }

    /// Another way to make pixels.
    ///
    /// ```
    /// use ferrotape_autograd::ops::Resize;
    /// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Pass, Upsample, UpsampleConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let smooth = UpsampleConfig::to([1, 3]).mode(Resize::Bilinear { align_corners: true });
    /// let smooth = Upsample::new(&init, smooth)?;
    /// let x = Array::from_slice(&device, &[1.0f32, 4.0], [1, 1, 1, 2])?.into();
    /// assert_eq!(smooth.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [1.0, 2.5, 4.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn mode(mut self, mode: Resize) -> Self {
        self.mode = mode;
        self
    }
}

/// Resizes images: `[N, C, H, W]` to `[N, C, OH, OW]`. Means what `torch.nn.Upsample` means with a
/// size or with a whole factor.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Pass, Upsample, UpsampleConfig};
///
/// let device = Device::new(Reference::new());
/// let double = Upsample::new(&Init::new(&device, Rng::new(1)), UpsampleConfig::by(2))?;
/// let x = Array::from_slice(&device, &[1.0f32, 4.0], [1, 1, 1, 2])?.into();
/// let y = double.forward(&Pass::eval(&device), &x)?;
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.0, 4.0, 4.0, 1.0, 1.0, 4.0, 4.0]);
/// assert_eq!(double.config(), &UpsampleConfig::by(2));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Upsample {
    #[module(skip)]
    config: UpsampleConfig,
    path: Path,
}

impl Upsample {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Upsample, UpsampleConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// assert_eq!(
    ///     Upsample::new(&init.at("up"), UpsampleConfig::by(0)).unwrap_err().to_string(),
    ///     "up: the factor [0, 0] has a 0, both numbers must be at least 1"
    /// );
    /// ```
    ///
    /// # Errors
    /// A size or a factor of 0.
    pub fn new(init: &Init, config: UpsampleConfig) -> Result<Self> {
        let (UpsampleSize::To(numbers) | UpsampleSize::By(numbers)) = config.size;
        if numbers.contains(&0) {
            let what = match config.size {
                UpsampleSize::To(_) => "size",
                UpsampleSize::By(_) => "factor",
            };
            let wrong = format!("the {what} {numbers:?} has a 0, both numbers must be at least 1");
            return Err(Error::argument(wrong).at(init.path().as_str()));
        }
        Ok(Upsample { config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &UpsampleConfig {
        &self.config
    }
}

impl Layer for Upsample {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let [_, _, h, w] = x.shape().nchw()?;
            let size = match self.config.size {
                UpsampleSize::To(size) => size,
                UpsampleSize::By([down, across]) => {
                    [h.saturating_mul(down), w.saturating_mul(across)]
                }
            };
            x.interpolate(size, self.config.mode)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for UpsampleConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Upsample::new(init, self)?))
    }
}
