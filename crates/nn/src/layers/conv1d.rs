//! One-dimensional convolution.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Conv1d as Params;
use ferrotape_backend::{Context, Result, Shape};

use super::conv2d::Conv2dConfig;
use crate::layers::IntoLayer;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What a [`Conv1d`] is made from.
///
/// ```
/// use ferrotape_nn::Conv1dConfig;
///
/// let config = Conv1dConfig { dilation: 4, ..Conv1dConfig::new(16, 32, 3).padding(4) };
/// assert_eq!((config.kernel, config.stride), (3, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv1dConfig {
    /// Channels of the input, C.
    pub in_channels: usize,
    /// Channels of the output, O.
    pub out_channels: usize,
    /// Length of the kernel.
    pub kernel: usize,
    /// Elements from one output's window to the next.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Elements from one kernel element to the next.
    pub dilation: usize,
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// The weight's first values; PyTorch's default if `None`
    /// ([`Distribution::layer_default`]). The bias starts at 0 if this is given.
    pub weight_init: Option<Distribution>,
}

impl Conv1dConfig {
    /// Stride 1, no padding and a bias.
    ///
    /// ```
    /// use ferrotape_nn::Conv1dConfig;
    ///
    /// let config = Conv1dConfig::new(16, 32, 3);
    /// assert_eq!((config.stride, config.padding, config.dilation, config.groups), (1, 0, 1, 1));
    /// assert!(config.bias);
    /// ```
    #[must_use]
    pub const fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Conv1dConfig {
            in_channels,
            out_channels,
            kernel,
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: true,
            weight_init: None,
        }
    }

    /// Another stride.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv1d, Conv1dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let half = Conv1d::new(&init, Conv1dConfig::new(1, 1, 2).stride(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 20])?.into();
    /// assert_eq!(half.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 10]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// The same padding on both sides.
    ///
    /// With `(kernel - 1) / 2` of an odd kernel, and stride 1, the length stays.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv1d, Conv1dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let same = Conv1d::new(&init, Conv1dConfig::new(1, 1, 5).padding(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 20])?.into();
    /// assert_eq!(same.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 20]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// With or without a bias.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv1d, Conv1dConfig, Init, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let before_a_norm = Conv1d::new(&init, Conv1dConfig::new(2, 4, 3).bias(false))?;
    /// assert_eq!(before_a_norm.count_parameters(), 4 * 2 * 3);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    fn weight_shape(&self) -> Result<Shape> {
        let flat = Conv2dConfig {
            kernel: [1, self.kernel],
            groups: self.groups,
            ..Conv2dConfig::new(self.in_channels, self.out_channels, 1)
        };
        let shape = flat.weight_shape()?;
        Shape::new(&[shape[0], shape[1], shape[3]])
    }
}

/// One-dimensional convolution (cross-correlation) of sequences with learned kernels:
/// `y[n,o,i] = bias[o] + sum_{c,k} weight[o,c,k] x[n,c, i s - p + k d]`.
///
/// `[N, C, L]` to `[N, O, OL]`, where `OL = (L + 2 padding - dilation (kernel - 1) - 1) / stride + 1`.
/// Weight `[O, C / groups, K]`, bias `[O]`. Means what `torch.nn.Conv1d` means. Under autocast it
/// computes in the shorter type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv1d, Conv1dConfig, Init, Layer, Module, Pass};
///
/// let device = Device::new(Reference::new());
/// let conv = Conv1d::new(&Init::new(&device, Rng::new(42)), Conv1dConfig::new(2, 6, 5).padding(2))?;
/// assert_eq!(conv.count_parameters(), 66);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [3, 2, 20])?)?;
/// assert_eq!(conv.forward(&cx, &x)?.shape().dims(), [3, 6, 20]);
/// assert_eq!(conv.config().padding, 2);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Conv1d {
    /// `[O, C / groups, K]`.
    pub weight: Parameter,
    /// `[O]`.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: Conv1dConfig,
    path: Path,
}

impl Conv1d {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv1d, Conv1dConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = Conv1dConfig { groups: 2, ..Conv1dConfig::new(3, 4, 5) };
    /// assert_eq!(
    ///     Conv1d::new(&init.at("stem"), wrong).unwrap_err().to_string(),
    ///     "stem: in_channels 3 does not split into 2 groups"
    /// );
    /// ```
    ///
    /// # Errors
    /// A size of 0, channels that do not split into the groups; out of memory.
    pub fn new(init: &Init, config: Conv1dConfig) -> Result<Self> {
        let path = init.path().clone();
        let shape = config.weight_shape().at(|| path.as_str())?;
        let default = Distribution::layer_default(shape[1..].iter().product());
        let (weight, bias) = match config.weight_init {
            Some(distribution) => (distribution, Distribution::Zeros),
            None => (default, default),
        };
        let bias = || init.parameter("bias", [config.out_channels], bias);
        Ok(Conv1d {
            weight: init.parameter("weight", shape, weight)?,
            bias: config.bias.then(bias).transpose()?,
            config,
            path,
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &Conv1dConfig {
        &self.config
    }
}

impl Layer for Conv1d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let Conv1dConfig { stride, padding, dilation, groups, .. } = self.config;
            let params = Params { stride, padding, dilation, groups };
            let bias = self.bias.as_ref().map(|bias| cx.weight(bias)).transpose()?;
            cx.compute(x)?.conv1d(&cx.weight(&self.weight)?, bias.as_ref(), &params)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for Conv1dConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(Conv1d::new(init, self)?))
    }
}
