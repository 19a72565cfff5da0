//! Instance normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Result, Shape};

use super::affine;
use super::group_norm::channels_are;
use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Parameter, Pass, Path};

/// What an [`InstanceNorm2d`] is made from.
///
/// ```
/// use ferrotape_nn::InstanceNormConfig;
///
/// let config = InstanceNormConfig { affine: true, ..InstanceNormConfig::new(64) };
/// assert_eq!(config.eps, 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstanceNormConfig {
    /// Channels of the input.
    pub features: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether the result is scaled and shifted by learned numbers.
    pub affine: bool,
}

impl InstanceNormConfig {
    /// PyTorch's defaults: eps 1e-5, not affine.
    ///
    /// ```
    /// use ferrotape_nn::InstanceNormConfig;
    ///
    /// let config = InstanceNormConfig::new(64);
    /// assert_eq!((config.features, config.affine), (64, false));
    /// ```
    #[must_use]
    pub const fn new(features: usize) -> Self {
        InstanceNormConfig { features, eps: 1e-5, affine: false }
    }
}

/// Normalizes each channel of each image by its own mean and biased variance, then scales and shifts
/// it if that is wanted: `y = (x - mean) / sqrt(var + eps) [* weight + bias]` (Ulyanov et al. 2016).
///
/// `[N, C, H, W]` to the same, H W above 1. The same in training and evaluation. Means what
/// `torch.nn.InstanceNorm2d` means without running statistics, its default. Parameters are kept in
/// f32 (f64 for f64) under autocast too; the output has the input's type.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, InstanceNorm2d, InstanceNormConfig, Layer, Pass};
///
/// let device = Device::new(Reference::new());
/// let norm = InstanceNorm2d::new(&Init::new(&device, Rng::new(1)), InstanceNormConfig::new(1))?;
/// let x = Array::from_slice(&device, &[1.0f32, 3.0], [1, 1, 1, 2])?.into();
/// let y = norm.forward(&Pass::train(&device, Rng::new(1)), &x)?.to_vec::<f32>()?;
/// assert!((y[1] - 1.0).abs() < 1e-4 && (y[0] + 1.0).abs() < 1e-4);
/// assert_eq!(norm.config().features, 1);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct InstanceNorm2d {
    /// `[C]`; starts at 1.
    pub weight: Option<Parameter>,
    /// `[C]`; starts at 0.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: InstanceNormConfig,
    path: Path,
}

impl InstanceNorm2d {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, InstanceNorm2d, InstanceNormConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let styled = InstanceNormConfig { affine: true, ..InstanceNormConfig::new(3) };
    /// let norm = InstanceNorm2d::new(&init, styled)?;
    /// assert_eq!(norm.weight.map(|weight| weight.shape().dims().to_vec()), Some(vec![3]));
    /// assert!(InstanceNorm2d::new(&init, InstanceNormConfig::new(0)).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No channels, or eps out of range; out of memory.
    pub fn new(init: &Init, config: InstanceNormConfig) -> Result<Self> {
        let InstanceNormConfig { features, eps, affine } = config;
        affine::check(init, &[("features", features)], eps)?;
        let [weight, bias] = affine::parameters(init, Shape::new(&[features])?, [affine, affine])?;
        Ok(InstanceNorm2d { weight, bias, config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &InstanceNormConfig {
        &self.config
    }
}

impl Layer for InstanceNorm2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            x.shape().nchw()?;
            channels_are(x, self.config.features, "instance norm")?;
            let weight = affine::wide(cx, self.weight.as_ref())?;
            let bias = affine::wide(cx, self.bias.as_ref())?;
            x.instance_norm(weight.as_ref(), bias.as_ref(), self.config.eps)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for InstanceNormConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(InstanceNorm2d::new(init, self)?))
    }
}
