//! Pooling of images to a given size.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;

use crate::{Init, Layer, Module, Pass, Path};

/// The mean of each window, where windows are such that the output has a given size, whatever the
/// input's: `[N, C, H, W]` to `[N, C, size[0], size[1]]`. Means what `torch.nn.AdaptiveAvgPool2d`
/// means; see [`Tensor::adaptive_avg_pool2d`].
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{AdaptiveAvgPool2d, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let pool = AdaptiveAvgPool2d::new(&Init::new(&device, Rng::new(1)), [1, 2])?;
/// let x = Array::from_slice(&device, &[1.0f32, 4.0, 3.0, 2.0], [1, 1, 2, 2])?.into();
/// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct AdaptiveAvgPool2d {
    #[module(skip)]
    size: [usize; 2],
    path: Path,
}

/// An [`AdaptiveAvgPool2d`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Sequential, adaptive_avg_pool2d};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(adaptive_avg_pool2d([1, 1]))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn adaptive_avg_pool2d(size: [usize; 2]) -> impl FnOnce(&Init) -> Result<AdaptiveAvgPool2d> {
    move |init| AdaptiveAvgPool2d::new(init, size)
}

impl AdaptiveAvgPool2d {
    /// A layer of this path to this height and width. A size of 0 is an error of `forward`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{AdaptiveAvgPool2d, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let pool = AdaptiveAvgPool2d::new(&init, [1, 1])?;
    /// let x = Array::zeros(&device, DType::F32, [2, 8, 7, 5])?.into();
    /// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.shape().dims(), [2, 8, 1, 1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init, size: [usize; 2]) -> Result<Self> {
        Ok(AdaptiveAvgPool2d { size, path: init.path().clone() })
    }
}

impl Layer for AdaptiveAvgPool2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.adaptive_avg_pool2d(self.size))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The largest element of each window, where windows are such that the output has a given size,
/// whatever the input's: `[N, C, H, W]` to `[N, C, size[0], size[1]]`. Means what
/// `torch.nn.AdaptiveMaxPool2d` means; see [`Tensor::adaptive_max_pool2d`].
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{AdaptiveMaxPool2d, Init, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let pool = AdaptiveMaxPool2d::new(&Init::new(&device, Rng::new(1)), [1, 2])?;
/// let x = Array::from_slice(&device, &[1.0f32, 4.0, 3.0, 2.0], [1, 1, 2, 2])?.into();
/// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [3.0, 4.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct AdaptiveMaxPool2d {
    #[module(skip)]
    size: [usize; 2],
    path: Path,
}

/// An [`AdaptiveMaxPool2d`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Sequential, adaptive_max_pool2d};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(adaptive_max_pool2d([6, 6]))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn adaptive_max_pool2d(size: [usize; 2]) -> impl FnOnce(&Init) -> Result<AdaptiveMaxPool2d> {
    move |init| AdaptiveMaxPool2d::new(init, size)
}

impl AdaptiveMaxPool2d {
    /// A layer of this path to this height and width. A size of 0 is an error of `forward`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{AdaptiveMaxPool2d, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let pool = AdaptiveMaxPool2d::new(&init, [6, 6])?;
    /// let x = Array::zeros(&device, DType::F32, [2, 8, 13, 13])?.into();
    /// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.shape().dims(), [2, 8, 6, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init, size: [usize; 2]) -> Result<Self> {
        Ok(AdaptiveMaxPool2d { size, path: init.path().clone() })
    }
}

impl Layer for AdaptiveMaxPool2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.adaptive_max_pool2d(self.size))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
