//! Group normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result, Shape};

use super::affine;
use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Parameter, Pass, Path};

/// What a [`GroupNorm`] is made from.
///
/// ```
/// use ferrotape_nn::GroupNormConfig;
///
/// let config = GroupNormConfig { affine: false, ..GroupNormConfig::new(32, 256) };
/// assert_eq!(config.eps, 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormConfig {
    /// Into how many groups of neighbours the channels are split.
    pub groups: usize,
    /// Channels of the input.
    pub channels: usize,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether the result is scaled and shifted by learned numbers, two a channel.
    pub affine: bool,
}

impl GroupNormConfig {
    /// PyTorch's defaults: eps 1e-5, affine.
    ///
    /// ```
    /// use ferrotape_nn::GroupNormConfig;
    ///
    /// let config = GroupNormConfig::new(32, 256);
    /// assert_eq!((config.groups, config.channels, config.affine), (32, 256, true));
    /// ```
    #[must_use]
    pub const fn new(groups: usize, channels: usize) -> Self {
        GroupNormConfig { groups, channels, eps: 1e-5, affine: true }
    }
}

/// Normalizes each group of channels of each sample, then scales and shifts each channel:
/// `y = (x - mean) / sqrt(var + eps) * weight + bias` with the biased variance (Wu and He 2018).
///
/// `[N, C, ..]` to the same. The same in training and evaluation. Means what `torch.nn.GroupNorm`
/// means. Parameters are kept in f32 (f64 for f64) under autocast too; the output has the input's
/// type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{GroupNorm, GroupNormConfig, Init, Layer, Module, Pass};
///
/// let device = Device::new(Reference::new());
/// let norm = GroupNorm::new(&Init::new(&device, Rng::new(1)), GroupNormConfig::new(2, 6))?;
/// assert_eq!(norm.count_parameters(), 12);
/// let x = Array::full(&device, DType::F32, [1, 6, 2, 2], 3.0)?.into();
/// assert_eq!(norm.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [0.0; 24]);
/// assert_eq!(norm.config().groups, 2);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct GroupNorm {
    /// `[C]`; starts at 1.
    pub weight: Option<Parameter>,
    /// `[C]`; starts at 0.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: GroupNormConfig,
    path: Path,
}

impl GroupNorm {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{GroupNorm, GroupNormConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// assert_eq!(
    ///     GroupNorm::new(&init.at("norm"), GroupNormConfig::new(4, 6)).unwrap_err().to_string(),
    ///     "norm: 6 channels do not split into 4 groups"
    /// );
    /// ```
    ///
    /// # Errors
    /// No channels, channels that do not split into the groups, or eps out of range; out of memory.
    pub fn new(init: &Init, config: GroupNormConfig) -> Result<Self> {
        let GroupNormConfig { groups, channels, eps, affine } = config;
        affine::check(init, &[("groups", groups), ("channels", channels)], eps)?;
        if channels % groups != 0 {
            let wrong = format!("{channels} channels do not split into {groups} groups");
            return Err(Error::argument(wrong).at(init.path().as_str()));
        }
        let [weight, bias] = affine::parameters(init, Shape::new(&[channels])?, [affine, affine])?;
        Ok(GroupNorm { weight, bias, config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &GroupNormConfig {
        &self.config
    }
}

impl Layer for GroupNorm {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            channels_are(x, self.config.channels, "group norm")?;
            let weight = affine::wide(cx, self.weight.as_ref())?;
            let bias = affine::wide(cx, self.bias.as_ref())?;
            x.group_norm(self.config.groups, weight.as_ref(), bias.as_ref(), self.config.eps)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Checks the second size of `[N, C, ..]`.
pub(super) fn channels_are(x: &Tensor, wanted: usize, what: &str) -> Result<()> {
    match x.shape().get(1) {
        Some(&channels) if channels == wanted => Ok(()),
        Some(channels) => Err(Error::shape(format!(
            "the input has {channels} channels, this {what} is for {wanted}"
        ))),
        None => Err(Error::shape(format!("{what} wants [N, C, ..], got {}", x.shape()))),
    }
}

impl IntoLayer for GroupNormConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(GroupNorm::new(init, self)?))
    }
}
