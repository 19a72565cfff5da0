//! Maximum and average pooling of images.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Pool2d, Result};

use crate::pass::Window;
use crate::{Init, Layer, Module, Pass, Path};

/// What a [`MaxPool2d`] or [`AvgPool2d`] is made from.
///
/// ```
/// use ferrotape_nn::PoolConfig;
///
/// let stem = PoolConfig::new(3).stride(2).padding(1);
/// assert_eq!((stem.0.kernel, stem.0.stride), ([3, 3], [2, 2]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolConfig(
    /// The operator's attributes.
    pub Pool2d,
);

impl PoolConfig {
    /// A square window that moves by its own size.
    ///
    /// ```
    /// use ferrotape_nn::PoolConfig;
    ///
    /// assert_eq!(PoolConfig::new(2).0.stride, [2, 2]);
    /// ```
    #[must_use]
    pub const fn new(kernel: usize) -> Self {
        PoolConfig(Pool2d::new([kernel, kernel]))
    }

    /// The same stride in both directions.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, MaxPool2d, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let overlapping = MaxPool2d::new(&init, PoolConfig::new(3).stride(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 13, 13])?.into();
    /// assert_eq!(overlapping.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 6, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn stride(mut self, stride: usize) -> Self {
        self.0.stride = [stride, stride];
        self
    }

    /// The same padding on all sides.
    ///
    /// A maximum never is of the padding; an average counts it as zeros, unless it is told not to by
    /// [`PoolConfig::count_include_pad`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, MaxPool2d, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let stem = MaxPool2d::new(&init, PoolConfig::new(3).stride(2).padding(1))?;
    /// let x = Array::full(&device, DType::F32, [1, 1, 3, 3], -1.0)?.into();
    /// assert_eq!(stem.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [-1.0; 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn padding(mut self, padding: usize) -> Self {
        self.0.padding = [padding, padding];
        self
    }

    /// Whether the output's size is rounded up instead of down.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Error, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, MaxPool2d, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 5, 5])?.into();
    /// let sizes = [false, true].map(|ceil_mode| {
    ///     let pool = MaxPool2d::new(&init, PoolConfig::new(2).ceil_mode(ceil_mode))?;
    ///     Ok::<_, Error>(pool.forward(&Pass::eval(&device), &x)?.shape()[3])
    /// });
    /// assert_eq!(sizes.map(Result::ok), [Some(2), Some(3)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.0.ceil_mode = ceil_mode;
        self
    }

    /// Whether an average counts the padding.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{AvgPool2d, Init, Layer, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let x = Array::full(&device, DType::F32, [1, 1, 1, 1], 9.0)?.into();
    /// for (count, mean) in [(true, 1.0), (false, 9.0)] {
    ///     let pool = AvgPool2d::new(&init, PoolConfig::new(3).padding(1).count_include_pad(count))?;
    ///     assert_eq!(pool.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [mean]);
    /// }
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn count_include_pad(mut self, count_include_pad: bool) -> Self {
        self.0.count_include_pad = count_include_pad;
        self
    }

    fn window(&self) -> Window {
        let Pool2d { kernel, stride, padding, dilation, .. } = self.0;
        Window { kernel, stride, padding, dilation }
    }
}

/// The largest element of each window: `[N, C, H, W]` to `[N, C, OH, OW]`, sizes as in
/// [`Pool2d`]. Means what `torch.nn.MaxPool2d` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, MaxPool2d, Pass, PoolConfig};
///
/// let device = Device::new(Reference::new());
/// let pool = MaxPool2d::new(&Init::new(&device, Rng::new(1)), PoolConfig::new(2))?;
/// let x = Array::from_slice(&device, &[1.0f32, 4.0, 3.0, 2.0], [1, 1, 2, 2])?.into();
/// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [4.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct MaxPool2d {
    #[module(skip)]
    config: PoolConfig,
    path: Path,
}

/// A [`MaxPool2d`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, PoolConfig, Sequential, max_pool2d};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(max_pool2d(PoolConfig::new(2)))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn max_pool2d(config: PoolConfig) -> impl FnOnce(&Init) -> Result<MaxPool2d> {
    move |init| MaxPool2d::new(init, config)
}

impl MaxPool2d {
    /// A layer of this path. A window that does not fit its input is an error of `forward`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, MaxPool2d, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let pool = MaxPool2d::new(&init.at("pool"), PoolConfig::new(4))?;
    /// let small = Array::zeros(&device, DType::F32, [1, 1, 3, 3])?.into();
    /// let error = pool.forward(&Pass::eval(&device), &small).unwrap_err().to_string();
    /// assert!(error.starts_with("pool: max_pool2d("), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init, config: PoolConfig) -> Result<Self> {
        Ok(MaxPool2d { config, path: init.path().clone() })
    }
}

impl Layer for MaxPool2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.max_pool2d(&self.config.0))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn window(&self) -> Option<Window> {
        Some(self.config.window())
    }
}

/// The mean of each window: `[N, C, H, W]` to `[N, C, OH, OW]`, sizes and divisors as in
/// [`Pool2d`]. Means what `torch.nn.AvgPool2d` means.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{AvgPool2d, Init, Layer, Pass, PoolConfig};
///
/// let device = Device::new(Reference::new());
/// let pool = AvgPool2d::new(&Init::new(&device, Rng::new(1)), PoolConfig::new(2))?;
/// let x = Array::from_slice(&device, &[1.0f32, 4.0, 3.0, 2.0], [1, 1, 2, 2])?.into();
/// assert_eq!(pool.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [2.5]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct AvgPool2d {
    #[module(skip)]
    config: PoolConfig,
    path: Path,
}

/// An [`AvgPool2d`] for [`Sequential::add`](crate::Sequential::add), which knows the scope.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, PoolConfig, Sequential, avg_pool2d};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(avg_pool2d(PoolConfig::new(2)))?;
/// assert_eq!(model.len(), 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub fn avg_pool2d(config: PoolConfig) -> impl FnOnce(&Init) -> Result<AvgPool2d> {
    move |init| AvgPool2d::new(init, config)
}

impl AvgPool2d {
    /// A layer of this path. A window that does not fit its input is an error of `forward`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{AvgPool2d, Init, Layer, Pass, PoolConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let halve = AvgPool2d::new(&init, PoolConfig::new(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 3, 8, 6])?.into();
    /// assert_eq!(halve.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 3, 4, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// None; it is a constructor as the others are.
    pub fn new(init: &Init, config: PoolConfig) -> Result<Self> {
        Ok(AvgPool2d { config, path: init.path().clone() })
    }
}

impl Layer for AvgPool2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || x.avg_pool2d(&self.config.0))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn window(&self) -> Option<Window> {
        Some(self.config.window())
    }
}
