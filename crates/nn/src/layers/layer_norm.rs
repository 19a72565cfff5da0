//! Layer normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Context, Error, Result, Shape};

use super::affine;
use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Parameter, Pass, Path};

/// What a [`LayerNorm`] is made from.
///
/// ```
/// use ferrotape_nn::LayerNormConfig;
///
/// let config = LayerNormConfig { eps: 1e-6, ..LayerNormConfig::new([96]) };
/// assert!(config.affine && config.bias);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormConfig {
    /// The sizes of the last dimensions, which are normalized together.
    pub normalized_shape: Vec<usize>,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether the result is scaled by learned numbers (`elementwise_affine`).
    pub affine: bool,
    /// Whether, if it is scaled, it is shifted by learned numbers too.
    pub bias: bool,
}

impl LayerNormConfig {
    /// PyTorch's defaults: eps 1e-5, scaled and shifted.
    ///
    /// ```
    /// use ferrotape_nn::LayerNormConfig;
    ///
    /// assert_eq!(LayerNormConfig::new([8, 8]).normalized_shape, [8, 8]);
    /// assert_eq!(LayerNormConfig::new(vec![96]).eps, 1e-5);
    /// ```
    #[must_use]
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> Self {
        LayerNormConfig {
            normalized_shape: normalized_shape.into(),
            eps: 1e-5,
            affine: true,
            bias: true,
        }
    }
}

/// Normalizes the last dimensions of each sample, then scales and shifts each of their elements:
/// `y = (x - mean) / sqrt(var + eps) * weight + bias` with the biased variance (Ba et al. 2016).
///
/// Any shape that ends with `normalized_shape`, to the same. The same in training and evaluation.
/// Means what `torch.nn.LayerNorm` means. Parameters are kept in f32 (f64 for f64) under autocast
/// too; the output has the input's type.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, LayerNorm, LayerNormConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let norm = LayerNorm::new(&Init::new(&device, Rng::new(1)), LayerNormConfig::new([2]))?;
/// let x = Array::from_slice(&device, &[1.0f32, 3.0], [1, 2])?.into();
/// let y = norm.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?;
/// assert!((y[1] - 1.0).abs() < 1e-4 && (y[0] + 1.0).abs() < 1e-4);
/// assert_eq!(norm.config().normalized_shape, [2]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct LayerNorm {
    /// `normalized_shape`; starts at 1.
    pub weight: Option<Parameter>,
    /// `normalized_shape`; starts at 0.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: LayerNormConfig,
    path: Path,
}

impl LayerNorm {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LayerNorm, LayerNormConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = LayerNorm::new(&init.at("norm"), LayerNormConfig::new([]));
    /// assert_eq!(
    ///     wrong.unwrap_err().to_string(),
    ///     "norm: normalized_shape is empty, it must name at least one size"
    /// );
    /// ```
    ///
    /// # Errors
    /// No sizes or one of 0, or eps out of range; out of memory.
    pub fn new(init: &Init, config: LayerNormConfig) -> Result<Self> {
        if config.normalized_shape.is_empty() {
            let wrong = "normalized_shape is empty, it must name at least one size";
            return Err(Error::argument(wrong).at(init.path().as_str()));
        }
        let sizes = config.normalized_shape.iter().map(|&size| ("a normalized size", size));
        affine::check(init, &sizes.collect::<Vec<_>>(), config.eps)?;
        let shape = Shape::new(&config.normalized_shape).at(|| init.path().as_str())?;
        let flags = [config.affine, config.affine && config.bias];
        let [weight, bias] = affine::parameters(init, shape, flags)?;
        Ok(LayerNorm { weight, bias, config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &LayerNormConfig {
        &self.config
    }
}

impl Layer for LayerNorm {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let weight = affine::wide(cx, self.weight.as_ref())?;
            let bias = affine::wide(cx, self.bias.as_ref())?;
            let LayerNormConfig { normalized_shape, eps, .. } = &self.config;
            x.layer_norm(normalized_shape, weight.as_ref(), bias.as_ref(), *eps)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for LayerNormConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(LayerNorm::new(init, self)?))
    }
}
