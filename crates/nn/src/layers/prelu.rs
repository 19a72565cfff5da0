//! The activation with a learned slope.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::layers::IntoLayer;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What a [`PReLU`] is made from.
///
/// ```
/// use ferrotape_nn::PReLUConfig;
///
/// assert_eq!(PReLUConfig::default(), PReLUConfig { num_parameters: 1, init: 0.25 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PReLUConfig {
    /// 1 for a slope that all elements share, or the number of channels for one each.
    pub num_parameters: usize,
    /// The slope at the beginning.
    pub init: f64,
}

impl Default for PReLUConfig {
    /// One slope of 0.25.
    fn default() -> Self {
        PReLUConfig { num_parameters: 1, init: 0.25 }
    }
}

/// `x` where x > 0, else `weight x` with a slope that is learned (He et al., 2015).
///
/// `[..]` to `[..]`, with one slope for all or one for each index of dimension 1. Means what
/// `torch.nn.PReLU` means; as there, weight decay is best kept away from its weight.
///
/// ```
/// use ferrotape_backend::{Array, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, PReLU, PReLUConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let prelu = PReLU::new(&Init::new(&device, Rng::new(1)), PReLUConfig::default())?;
/// let x = Array::from_slice(&device, &[-2.0f32, 3.0], [2])?.into();
/// assert_eq!(prelu.forward(&Pass::eval(&device), &x)?.to_vec::<f32>()?, [-0.5, 3.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct PReLU {
    /// `[num_parameters]`.
    pub weight: Parameter,
    path: Path,
}

impl PReLU {
    /// A layer with a new parameter in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, PReLU, PReLUConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let per_channel = PReLU::new(&init, PReLUConfig { num_parameters: 3, init: 0.1 })?;
    /// assert_eq!(per_channel.weight.value().to_vec::<f32>()?, [0.1; 3]);
    /// assert!(PReLU::new(&init, PReLUConfig { num_parameters: 0, init: 0.1 }).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No parameters; out of memory.
    pub fn new(init: &Init, config: PReLUConfig) -> Result<Self> {
        if config.num_parameters == 0 {
            let why = "num_parameters is 0; give 1, or the number of channels";
            return Err(Error::argument(why).at(init.path().as_str()));
        }
        let first = Distribution::Constant(config.init);
        let weight = init.parameter("weight", [config.num_parameters], first)?;
        Ok(PReLU { weight, path: init.path().clone() })
    }
}

impl Layer for PReLU {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        // Under autocast the activation may be of a shorter type than the parameter.
        cx.within(self, || x.prelu(&cx.param(&self.weight)?.cast(x.dtype())?))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for PReLUConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(PReLU::new(init, self)?))
    }
}
