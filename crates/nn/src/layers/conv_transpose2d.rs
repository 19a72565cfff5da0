//! Two-dimensional transposed convolution.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::ConvTranspose2d as Params;
use ferrotape_backend::{Context, Result, Shape};

use super::conv2d::Conv2dConfig;
use crate::layers::IntoLayer;
use crate::{Distribution, Init, Layer, Module, Parameter, Pass, Path};

/// What a [`ConvTranspose2d`] is made from. Sizes are `[vertical, horizontal]`.
///
/// ```
/// use ferrotape_nn::ConvTranspose2dConfig;
///
/// let double = ConvTranspose2dConfig::new(64, 32, 2).stride(2);
/// assert_eq!((double.kernel, double.output_padding), ([2, 2], [0, 0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvTranspose2dConfig {
    /// Channels of the input, C.
    pub in_channels: usize,
    /// Channels of the output, O.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Pixels of the output from one input's window to the next.
    pub stride: [usize; 2],
    /// Pixels cut off from the output on each side.
    pub padding: [usize; 2],
    /// Pixels added to the output on the far sides; smaller than the stride or the dilation.
    pub output_padding: [usize; 2],
    /// Pixels from one kernel element to the next.
    pub dilation: [usize; 2],
    /// Into how many independent convolutions the channels are split.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// The weight's first values; PyTorch's default if `None`
    /// ([`Distribution::layer_default`]). The bias starts at 0 if this is given.
    pub weight_init: Option<Distribution>,
}

impl ConvTranspose2dConfig {
    /// A square kernel with stride 1, no padding and a bias.
    ///
    /// ```
    /// use ferrotape_nn::ConvTranspose2dConfig;
    ///
    /// let config = ConvTranspose2dConfig::new(64, 32, 3);
    /// assert_eq!((config.kernel, config.stride, config.padding), ([3, 3], [1, 1], [0, 0]));
    /// ```
    #[must_use]
    pub const fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        ConvTranspose2dConfig {
            in_channels,
            out_channels,
            kernel: [kernel, kernel],
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            bias: true,
            weight_init: None,
        }
    }

    /// The same stride in both directions.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let double = ConvTranspose2d::new(&init, ConvTranspose2dConfig::new(1, 1, 2).stride(2))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 7, 7])?.into();
    /// assert_eq!(double.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 14, 14]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride, stride];
        self
    }

    /// The same padding on all sides.
    ///
    /// It takes away from the output what the convolution of the same padding adds to its input.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let same = ConvTranspose2d::new(&init, ConvTranspose2dConfig::new(1, 1, 3).padding(1))?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 7, 7])?.into();
    /// assert_eq!(same.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 7, 7]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn padding(mut self, padding: usize) -> Self {
        self.padding = [padding, padding];
        self
    }

    /// The same output padding in both directions.
    ///
    /// With a stride, inputs of several sizes have an output of one size; this says which of them to go
    /// back to.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init, Layer, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let back = ConvTranspose2dConfig::new(1, 1, 3).stride(2).padding(1).output_padding(1);
    /// let back = ConvTranspose2d::new(&init, back)?;
    /// let x = Array::zeros(&device, DType::F32, [1, 1, 7, 7])?.into();
    /// assert_eq!(back.forward(&Pass::eval(&device), &x)?.shape().dims(), [1, 1, 14, 14]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn output_padding(mut self, output_padding: usize) -> Self {
        self.output_padding = [output_padding, output_padding];
        self
    }

    /// With or without a bias.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init, Module};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let up = ConvTranspose2d::new(&init, ConvTranspose2dConfig::new(4, 2, 2).bias(false))?;
    /// assert_eq!(up.count_parameters(), 4 * 2 * 2 * 2);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    fn weight_shape(&self) -> Result<Shape> {
        let plain = Conv2dConfig {
            kernel: self.kernel,
            groups: self.groups,
            ..Conv2dConfig::new(self.in_channels, self.out_channels, 1)
        };
        let shape = plain.weight_shape()?;
        Shape::new(&[self.in_channels, self.out_channels / self.groups, shape[2], shape[3]])
    }
}

/// Two-dimensional transposed convolution, which makes images larger: each pixel adds its multiple
/// of a learned kernel, `y[n, o, i s + k d - p, j s + l d - p] += weight[c,o,k,l] x[n,c,i,j]`.
///
/// `[N, C, H, W]` to `[N, O, OH, OW]`, where
/// `OH = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`. Weight
/// `[C, O / groups, KH, KW]`, bias `[O]`. Means what `torch.nn.ConvTranspose2d` means. Under autocast
/// it computes in the shorter type.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init, Layer, Module, Pass};
///
/// let device = Device::new(Reference::new());
/// let config = ConvTranspose2dConfig::new(4, 2, 2).stride(2);
/// let up = ConvTranspose2d::new(&Init::new(&device, Rng::new(42)), config)?;
/// assert_eq!(up.count_parameters(), 34);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [1, 4, 7, 7])?)?;
/// assert_eq!(up.forward(&cx, &x)?.shape().dims(), [1, 2, 14, 14]);
/// assert_eq!((up.config().kernel, up.params().stride), ([2, 2], [2, 2]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct ConvTranspose2d {
    /// `[C, O / groups, KH, KW]`.
    pub weight: Parameter,
    /// `[O]`.
    pub bias: Option<Parameter>,
    #[module(skip)]
    config: ConvTranspose2dConfig,
    path: Path,
}

impl ConvTranspose2d {
    /// A layer with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{ConvTranspose2d, ConvTranspose2dConfig, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let wrong = ConvTranspose2dConfig { groups: 3, ..ConvTranspose2dConfig::new(6, 4, 2) };
    /// assert_eq!(
    ///     ConvTranspose2d::new(&init.at("up"), wrong).unwrap_err().to_string(),
    ///     "up: out_channels 4 does not split into 3 groups"
    /// );
    /// ```
    ///
    /// # Errors
    /// A size of 0, channels that do not split into the groups; out of memory.
    pub fn new(init: &Init, config: ConvTranspose2dConfig) -> Result<Self> {
        let path = init.path().clone();
        let shape = config.weight_shape().at(|| path.as_str())?;
        let default = Distribution::layer_default(shape[1..].iter().product());
        let (weight, bias) = match config.weight_init {
            Some(distribution) => (distribution, Distribution::Zeros),
            None => (default, default),
        };
        let bias = || init.parameter("bias", [config.out_channels], bias);
        Ok(ConvTranspose2d {
            weight: init.parameter("weight", shape, weight)?,
            bias: config.bias.then(bias).transpose()?,
            config,
            path,
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &ConvTranspose2dConfig {
        &self.config
    }

    /// The attributes as the operator takes them.
    #[must_use]
    pub fn params(&self) -> Params {
        let ConvTranspose2dConfig { stride, padding, output_padding, dilation, groups, .. } =
            self.config;
        Params { stride, padding, output_padding, dilation, groups }
    }
}

impl Layer for ConvTranspose2d {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let bias = self.bias.as_ref().map(|bias| cx.weight(bias)).transpose()?;
            let weight = cx.weight(&self.weight)?;
            cx.compute(x)?.conv_transpose2d(&weight, bias.as_ref(), &self.params())
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl IntoLayer for ConvTranspose2dConfig {
    fn into_layer(self, init: &Init) -> Result<Box<dyn Layer>> {
        Ok(Box::new(ConvTranspose2d::new(init, self)?))
    }
}
