//! The fully connected layer.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};

use crate::layers::{IntoLayer, first_values};
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What a [`Linear`] is made from.
///
/// ```
/// use ferrotape_nn::LinearConfig;
///
/// assert!(!LinearConfig::new(84, 10).bias(false).bias);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearConfig {
    /// Features of the input.
    pub in_features: usize,
    /// Features of the output.
    pub out_features: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// The weight's first values; PyTorch's default if `None`
    /// ([`Distribution::layer_default`]).
    pub weight_init: Option<Distribution>,
    /// The bias's first values; if `None`, 0 where `weight_init` is given and PyTorch's default
    /// where it is not.
    pub bias_init: Option<Distribution>,
}

impl LinearConfig {
    /// With a bias.
    ///
    /// ```
    /// use ferrotape_nn::LinearConfig;
    ///
    /// let config = LinearConfig::new(84, 10);
    /// assert_eq!((config.in_features, config.out_features, config.bias), (84, 10, true));
    /// ```
    #[must_use]
    pub const fn new(in_features: usize, out_features: usize) -> Self {
        LinearConfig { in_features, out_features, bias: true, weight_init: None, bias_init: None }
    }

    /// With or without a bias.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init, LinearConfig::new(84, 10).bias(false))?;
    /// assert_eq!(fc.count_parameters(), 840);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Other first values for the weight; the bias starts at 0 unless it is given its own.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init, Linear, LinearConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// // A last layer of zeros makes every class equally likely at first.
    /// let fc = Linear::new(&init, LinearConfig::new(3, 2).weight_init(Distribution::Zeros))?;
    /// assert_eq!(fc.weight.value().to_vec::<f32>()?, [0.0; 6]);
    /// assert_eq!(fc.bias.map(|bias| bias.value().to_vec::<f32>()).transpose()?, Some(vec![0.0; 2]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn weight_init(mut self, distribution: Distribution) -> Self {
        self.weight_init = Some(distribution);
        self
    }

    /// Other first values for the bias.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init, Linear, LinearConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init, LinearConfig::new(3, 2).bias_init(Distribution::Constant(-4.6)))?;
    /// assert_eq!(fc.bias.map(|bias| bias.value().to_vec::<f32>()).transpose()?, Some(vec![-4.6; 2]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias_init(mut self, distribution: Distribution) -> Self {
        self.bias_init = Some(distribution);
        self
    }
}

/// Every output a weighted sum of all inputs: `y = x weightᵀ + bias`.
///
/// `[.., in_features]` to `[.., out_features]`; weight `[out_features, in_features]`, bias
/// `[out_features]`. Means what `torch.nn.Linear` means. Under autocast it computes in the shorter
/// type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let fc = Linear::new(&init.at("fc"), LinearConfig::new(84, 10))?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 84])?)?;
/// assert_eq!(fc.forward(&cx, &x)?.shape().dims(), [2, 10]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Linear {
    /// `[out_features, in_features]`.
    pub weight: Parameter,
    /// `[out_features]`.
    pub bias: Option<Parameter>,
    /// Whether the weight is another layer's, of which this one uses the transpose.
    #[module(skip)]
    transposed: bool,
    path: Path,
}

impl Linear {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let error = Linear::new(&init.at("fc"), LinearConfig::new(84, 0)).unwrap_err().to_string();
    /// assert!(error.starts_with("fc: a linear layer from 84 to 0 features computes nothing"), "{error}");
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn new(init: &Init, config: LinearConfig) -> Result<Self> {
        let LinearConfig { in_features, out_features, .. } = config;
        if in_features == 0 || out_features == 0 {
            return Err(Error::argument(format!(
                "a linear layer from {in_features} to {out_features} features computes nothing; \
                 both must be at least 1"
            ))
            .at(init.path().as_str()));
        }
        let default = Distribution::layer_default(in_features);
        let (weight, bias) = first_values(config.weight_init, config.bias_init, default);
        Ok(Linear {
            weight: init.parameter("weight", [out_features, in_features], weight)?,
            bias: match config.bias {
                true => Some(init.parameter("bias", [out_features], bias)?),
                false => None,
            },
            transposed: false,
            path: init.path().clone(),
        })
    }

    /// The layer back: `y = x weight + bias` with the weight of `of`, `[out, in]`, tied to it, from
    /// `of`'s output features to its input features, as the decoder of an autoencoder is tied to its
    /// encoder. The bias is new, in the given scope. (A language model's output has the shape of its
    /// embedding, so that [`Module::tie`] ties the two.)
    ///
    /// The tied weight is one parameter with one gradient, of `of`'s shape in every state dict; see
    /// [`Module::tie`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let encoder = Linear::new(&init.at("encoder"), LinearConfig::new(8, 2))?;
    /// let decoder = Linear::transposed(&encoder, &init.at("decoder"), true)?;
    /// let cx = Pass::eval(&device);
    /// let code = cx.input(Array::zeros(&device, DType::F32, [5, 2])?)?;
    /// assert_eq!(decoder.forward(&cx, &code)?.shape().dims(), [5, 8]);
    /// assert_eq!(decoder.weight.id(), encoder.weight.id());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A scope of another device or data type than `of`'s weight; out of memory.
    pub fn transposed(of: &Linear, init: &Init, bias: bool) -> Result<Self> {
        let (weight, transposed) = (of.weight.clone(), !of.transposed);
        if *init.device() != weight.device() || init.data_type() != weight.dtype() {
            return Err(Error::argument(format!(
                "a layer of {} on {} cannot share a weight of {} on {}; make it in a scope like \
                 that of {}",
                init.data_type(),
                init.device(),
                weight.dtype(),
                weight.device(),
                weight.path()
            ))
            .at(init.path().as_str()));
        }
        let shape = weight.shape();
        let (inputs, outputs) =
            if transposed { (shape[0], shape[1]) } else { (shape[1], shape[0]) };
        let start = Distribution::layer_default(inputs);
        let bias = bias.then(|| init.parameter("bias", [outputs], start)).transpose()?;
        Ok(Linear { weight, bias, transposed, path: init.path().clone() })
    }
}

impl Layer for Linear {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let bias = self.bias.as_ref().map(|bias| cx.weight(bias)).transpose()?;
            let mut weight = cx.weight(&self.weight)?;
            if self.transposed {
                weight = weight.transpose(0, 1)?;
            }
            cx.compute(x)?.linear(&weight, bias.as_ref())
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for LinearConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Linear::new(init, self)?))
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Array, Device, Rng, reference::Reference};

    use super::*;

    #[test]
    fn the_output_is_the_weighted_sum_plus_the_bias() {
        let device = Device::new(Reference::new());
        let fc = Linear::new(&Init::new(&device, Rng::new(1)), LinearConfig::new(3, 2)).unwrap();
        let array =
            |values: &[f32], shape: &[usize]| Array::from_slice(&device, values, shape).unwrap();
        fc.weight.set(array(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])).unwrap();
        fc.bias.as_ref().unwrap().set(array(&[10.0, 20.0], &[2])).unwrap();
        let cx = Pass::eval(&device);
        let y = fc.forward(&cx, &array(&[1.0, 0.0, -1.0], &[1, 3]).into()).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), [8.0, 18.0]);
    }

    #[test]
    fn a_layer_of_nothing_is_an_error() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).at("fc");
        let error = Linear::new(&init, LinearConfig::new(0, 2)).unwrap_err().to_string();
        assert!(error.starts_with("fc: "), "{error}");
    }
}
