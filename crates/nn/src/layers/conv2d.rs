//! Two-dimensional convolution.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Context, Error, Result, Shape};

use crate::layers::{IntoLayer, first_values};
use crate::pass::Window;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What a [`Conv2d`] is made from. Sizes are `[vertical, horizontal]`.
///
/// ```
/// use ferrotape_nn::Conv2dConfig;
///
/// let stem = Conv2dConfig::new(3, 64, 7).stride(2).padding(3).bias(false);
/// assert_eq!(stem.kernel, [7, 7]);
/// let separable = Conv2dConfig { kernel: [1, 5], groups: 8, ..Conv2dConfig::new(8, 8, 1) };
/// assert_eq!(separable.stride, [1, 1]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2dConfig {
    /// Channels of the input, C.
    pub in_channels: usize,
    /// Channels of the output, O.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Pixels from one output's window to the next.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Pixels from one kernel element to the next.
    pub dilation: [usize; 2],
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// The weight's first values; PyTorch's default if `None`
    /// ([`Distribution::layer_default`]).
    pub weight_init: Option<Distribution>,
    /// The bias's first values; if `None`, 0 where `weight_init` is given and PyTorch's default
    /// where it is not.
    pub bias_init: Option<Distribution>,
}

impl Conv2dConfig {
    /// A square kernel with stride 1, no padding and a bias.
    ///
    /// ```
    /// use ferrotape_nn::Conv2dConfig;
    ///
    /// let config = Conv2dConfig::new(3, 64, 7);
    /// assert_eq!((config.kernel, config.stride, config.padding), ([7, 7], [1, 1], [0, 0]));
    /// assert!(config.bias && config.groups == 1);
    /// ```
    #[must_use]
    pub const fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Conv2dConfig {
            in_channels,
            out_channels,
            kernel: [kernel, kernel],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            bias: true,
            weight_init: None,
            bias_init: None,
        }
    }

    /// The same stride in both directions.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let patches = Conv2d::new(&init, Conv2dConfig::new(3, 8, 4).stride(4))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 3, 32, 32])?.into();
    /// assert_eq!(patches.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 8, 8, 8]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride, stride];
        self
    }

    /// The same padding on all sides.
    ///
    /// With `(kernel - 1) / 2` of an odd kernel, and stride 1, the size stays.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let same = Conv2d::new(&init, Conv2dConfig::new(1, 1, 5).padding(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 9, 9])?.into();
    /// assert_eq!(same.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 9, 9]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn padding(mut self, padding: usize) -> Self {
        self.padding = [padding, padding];
        self
    }

    /// The same dilation in both directions.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// // Nine elements over 5x5 pixels.
    /// let wide = Conv2d::new(&init, Conv2dConfig::new(1, 1, 3).dilation(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 9, 9])?.into();
    /// assert_eq!(wide.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 5, 5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = [dilation, dilation];
        self
    }

    /// The number of groups.
    ///
    /// As many groups as channels make it depthwise.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let depthwise = Conv2d::new(&init, Conv2dConfig::new(8, 8, 3).groups(8))?;
    /// assert_eq!(depthwise.weight.shape().dims(), [8, 1, 3, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// With or without a bias.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let before_a_norm = Conv2d::new(&init, Conv2dConfig::new(1, 6, 5).bias(false))?;
    /// assert_eq!(before_a_norm.count_parameters(), 150);
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
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Scaling};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let he = Scaling::FanOut.normal(2f64.sqrt());
    /// let conv = Conv2d::new(&init, Conv2dConfig::new(3, 4, 3).weight_init(he))?;
    /// assert_eq!(conv.bias.map(|bias| bias.value().to_vec::<f32>()).transpose()?, Some(vec![0.0; 4]));
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
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Distribution, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let conv = Conv2d::new(&init, Conv2dConfig::new(3, 4, 3).bias_init(Distribution::Ones))?;
    /// assert_eq!(conv.bias.map(|bias| bias.value().to_vec::<f32>()).transpose()?, Some(vec![1.0; 4]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias_init(mut self, distribution: Distribution) -> Self {
        self.bias_init = Some(distribution);
        self
    }

    pub(super) fn weight_shape(&self) -> Result<Shape> {
        let [kh, kw] = self.kernel;
        for (name, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("groups", self.groups),
            ("the kernel's height", kh),
            ("the kernel's width", kw),
        ] {
            if value == 0 {
                return Err(Error::argument(format!("{name} is 0, it must be at least 1")));
            }
        }
        for (name, channels) in
            [("in_channels", self.in_channels), ("out_channels", self.out_channels)]
        {
            if channels % self.groups != 0 {
                return Err(Error::argument(format!(
                    "{name} {channels} does not split into {} groups",
                    self.groups
                )));
            }
        }
        Shape::new(&[self.out_channels, self.in_channels / self.groups, kh, kw])
    }
}

/// Two-dimensional convolution (cross-correlation) of images with learned kernels:
/// `y[n,o,i,j] = bias[o] + sum_{c,k,l} weight[o,c,k,l] x[n,c, i s - p + k d, j s - p + l d]`.
///
/// `[N, C, H, W]` to `[N, O, OH, OW]`, where
/// `OH = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1`. Weight `[O, C / groups, KH, KW]`,
/// bias `[O]`. Means what `torch.nn.Conv2d` means. Under autocast it computes in the shorter type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2d, Conv2dConfig, Init, Layer, Module, Pass};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let conv1 = Conv2d::new(&init.at("conv1"), Conv2dConfig::new(1, 6, 5).padding(2))?;
/// assert_eq!(conv1.count_parameters(), 156);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 1, 28, 28])?)?;
/// assert_eq!(conv1.forward(&cx, &x)?.shape().dims(), [2, 6, 28, 28]);
/// assert_eq!((conv1.config().kernel, conv1.params().padding), ([5, 5], [2, 2]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Conv2d {
    /// `[O, C / groups, KH, KW]`.
    pub weight: Parameter,
    /// `[O]`.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: Conv2dConfig,
    path: Path,
}

impl Conv2d {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2d, Conv2dConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// assert_eq!(
    ///     Conv2d::new(&init.at("stem"), Conv2dConfig::new(3, 8, 3).groups(2)).unwrap_err().to_string(),
    ///     "stem: in_channels 3 does not split into 2 groups"
    /// );
    /// ```
    ///
    /// # Errors
    /// A size of 0, channels that do not split into the groups; out of memory.
    pub fn new(init: &Init, config: Conv2dConfig) -> Result<Self> {
        let path = init.path().clone();
        let shape = config.weight_shape().at(|| path.as_str())?;
        let default = Distribution::layer_default(shape[1..].iter().product());
        let (weight, bias) = first_values(config.weight_init, config.bias_init, default);
        Ok(Conv2d {
            weight: init.parameter("weight", shape, weight)?,
            bias: match config.bias {
                true => Some(init.parameter("bias", [config.out_channels], bias)?),
                false => None,
            },
            config,
            path,
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }

    /// Stride, padding, dilation and groups, as the operator takes them.
    #[must_use]
    pub fn params(&self) -> ferrotape_backend::Conv2d {
        let Conv2dConfig { stride, padding, dilation, groups, .. } = self.config;
        ferrotape_backend::Conv2d { stride, padding, dilation, groups }
    }
}

impl Layer for Conv2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let bias = self.bias.as_ref().map(|bias| cx.weight(bias)).transpose()?;
            cx.compute(x)?.conv2d(&cx.weight(&self.weight)?, bias.as_ref(), &self.params())
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn window(&self) -> Option<Window> {
        let Conv2dConfig { kernel, stride, padding, dilation, .. } = self.config;
        Some(Window { kernel, stride, padding, dilation })
    }
}

impl IntoLayer for Conv2dConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Conv2d::new(init, self)?))
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};

    use super::*;

    #[test]
    fn first_values_lie_within_one_over_the_root_of_fan_in() {
        let device = Device::new(Reference::new());
        let conv = Conv2d::new(&Init::new(&device, Rng::new(1)), Conv2dConfig::new(4, 8, 5));
        let conv = conv.unwrap();
        for parameter in conv.parameters() {
            let values = parameter.value().to_f64_vec().unwrap();
            assert!(values.iter().all(|v| v.abs() <= 0.1));
            assert!(values.iter().any(|v| v.abs() > 0.05));
        }
    }

    #[test]
    fn a_bias_starts_at_zero_beside_a_given_weight_unless_it_is_given_too() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        let bias = |config| {
            let conv = Conv2d::new(&init, config).unwrap();
            conv.bias.unwrap().value().to_f64_vec().unwrap()
        };
        let given = Conv2dConfig::new(4, 2, 5).weight_init(Distribution::Ones);
        assert_eq!(bias(given), [0.0; 2]);
        assert_eq!(bias(given.bias_init(Distribution::Constant(3.0))), [3.0; 2]);
        let drawn = bias(Conv2dConfig::new(4, 2, 5));
        assert!(drawn.iter().all(|value| *value != 0.0));
    }

    #[test]
    fn impossible_configurations_are_errors_that_name_the_layer() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1)).at("stem");
        for config in [
            Conv2dConfig::new(0, 8, 3),
            Conv2dConfig::new(3, 8, 0),
            Conv2dConfig::new(3, 8, 3).groups(2),
            Conv2dConfig::new(4, 7, 3).groups(2),
            Conv2dConfig::new(4, 8, 3).groups(0),
            Conv2dConfig::new(usize::MAX, usize::MAX, 3),
        ] {
            let error = Conv2d::new(&init, config).unwrap_err().to_string();
            assert!(error.starts_with("stem: "), "{error}");
        }
        let conv = Conv2d::new(&init, Conv2dConfig::new(3, 8, 3)).unwrap();
        let cx = Pass::eval(&device);
        let x = cx.input(Array::zeros(&device, DType::F32, [1, 4, 9, 9]).unwrap()).unwrap();
        let error = conv.forward(&cx, &x).unwrap_err().to_string();
        assert!(error.starts_with("stem: conv2d(f32 [1, 4, 9, 9]"), "{error}");
        let cx = Pass::eval(&device).autocast(DType::BF16);
        let x = Array::zeros(&device, DType::F32, [1, 3, 9, 9]).unwrap();
        assert_eq!(conv.forward(&cx, &x.into()).unwrap().dtype(), DType::BF16);
    }
}
