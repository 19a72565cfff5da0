//! Local response normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::layers::IntoLayer;
use crate::{Init, Layer, Module, Pass, Path};

/// What a [`LocalResponseNorm`] is made from.
///
/// ```
/// use ferrotape_nn::LocalResponseNormConfig;
///
/// let alexnet = LocalResponseNormConfig { k: 2.0, alpha: 5e-4, ..LocalResponseNormConfig::new(5) };
/// assert_eq!(alexnet.beta, 0.75);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalResponseNormConfig {
    /// How many neighbouring channels are summed over.
    pub size: usize,
    /// The factor of their mean square. The paper's alpha is `1 / size` of this one.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// What is added to the mean square.
    pub k: f64,
}

impl LocalResponseNormConfig {
    /// PyTorch's defaults: alpha 1e-4, beta 0.75, k 1.
    ///
    /// ```
    /// use ferrotape_nn::LocalResponseNormConfig;
    ///
    /// let config = LocalResponseNormConfig::new(5);
    /// assert_eq!((config.alpha, config.beta, config.k), (1e-4, 0.75, 1.0));
    /// ```
    #[must_use]
    pub const fn new(size: usize) -> Self {
        LocalResponseNormConfig { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}

/// Divides each element by what its neighbours in other channels respond:
/// `y = x / (k + alpha / size sum x^2)^beta` (Krizhevsky et al. 2012, section 3.3, whose alpha is not
/// divided by the size).
///
/// `[N, C, ..]` of at least three dimensions, to the same. Means what `torch.nn.LocalResponseNorm`
/// means.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, LocalResponseNorm, LocalResponseNormConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let config = LocalResponseNormConfig { alpha: 3.0, beta: 1.0, k: 0.0, size: 3 };
/// let norm = LocalResponseNorm::new(&Init::new(&device, Rng::new(1)), config)?;
/// let x = Array::from_slice(&device, &[1.0, 2.0], [1, 2, 1])?.into();
/// assert_eq!(norm.forward(&Pass::eval(&device), &x)?.to_vec::<f64>()?, [0.2, 0.4]);
/// assert_eq!(norm.config(), &config);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct LocalResponseNorm {
    #[module(skip)]
    config: LocalResponseNormConfig,
    path: Path,
}

impl LocalResponseNorm {
    /// A layer of this path.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LocalResponseNorm, LocalResponseNormConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = LocalResponseNorm::new(&init.at("norm"), LocalResponseNormConfig::new(0));
    /// assert_eq!(wrong.unwrap_err().to_string(), "norm: size is 0, it must be at least 1");
    /// ```
    ///
    /// # Errors
    /// A size of 0.
    pub fn new(init: &Init, config: LocalResponseNormConfig) -> Result<Self> {
        if config.size == 0 {
            let wrong = Error::argument("size is 0, it must be at least 1");
            return Err(wrong.at(init.path().as_str()));
        }
        Ok(LocalResponseNorm { config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &LocalResponseNormConfig {
        &self.config
    }
}

impl Layer for LocalResponseNorm {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        let LocalResponseNormConfig { size, alpha, beta, k } = self.config;
        cx.within(self, || x.local_response_norm(size, alpha, beta, k))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for LocalResponseNormConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(LocalResponseNorm::new(init, self)?))
    }
}
