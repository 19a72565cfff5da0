//! Depthwise-separable convolution (Howard et al.: *MobileNets: efficient convolutional neural networks
//! for mobile vision applications*, 2017, figure 3).

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Init, Layer, Module, NormActivation, Pass,
    Path, conv_norm_act,
};

/// What a [`SeparableBlock`] is made from.
///
/// ```
/// use ferrotape_zoo::blocks::SeparableConfig;
///
/// assert_eq!(SeparableConfig::new(32, 64).kernel, 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeparableConfig {
    /// Channels of the input, C.
    pub in_channels: usize,
    /// Channels of the output, O.
    pub out_channels: usize,
    /// Height and width of the window, odd.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
}

impl SeparableConfig {
    /// A 3x3 window with stride 1.
    ///
    /// ```
    /// use ferrotape_zoo::blocks::SeparableConfig;
    ///
    /// let config = SeparableConfig::new(32, 64);
    /// assert_eq!((config.kernel, config.stride), (3, 1));
    /// ```
    #[must_use]
    pub const fn new(in_channels: usize, out_channels: usize) -> Self {
        SeparableConfig { in_channels, out_channels, kernel: 3, stride: 1 }
    }
}

/// A convolution in two steps: each channel by a window of its own, then a 1x1 convolution that mixes
/// them; batch norm and ReLU after both.
///
/// `[N, C, H, W]` to `[N, O, H / stride, W / stride]`, rounded up. For each pixel it multiplies
/// `K² C + C O` times where a full convolution does `K² C O`: by `1 / O + 1 / K²` less (equation 5 of the
/// paper).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
/// use ferrotape_zoo::blocks::{SeparableConfig, separable_block};
///
/// let device = Device::new(Reference::new());
/// let config = SeparableConfig { stride: 2, ..SeparableConfig::new(8, 16) };
/// let block = separable_block(&Init::new(&device, Rng::new(1)), config)?;
/// assert_eq!(block.count_parameters(), (8 * 9 + 2 * 8) + (8 * 16 + 2 * 16));
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [1, 8, 5, 6])?)?;
/// assert_eq!(block.forward(&cx, &x)?.shape().dims(), [1, 16, 3, 3]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct SeparableBlock {
    /// Each channel by itself.
    pub depthwise: Conv2d,
    /// Its norm.
    pub norm1: BatchNorm2d,
    /// What mixes the channels.
    pub pointwise: Conv2d,
    /// Its norm.
    pub norm2: BatchNorm2d,
    path: Path,
}

/// A [`SeparableBlock`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{blocks::SeparableConfig, blocks::separable_block};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
/// let block = separable_block(&init.at("block"), SeparableConfig::new(32, 64))?;
/// assert_eq!(block.depthwise.weight.shape().dims(), [32, 1, 3, 3]);
/// assert_eq!(block.pointwise.weight.path().as_str(), "block.pointwise.weight");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No channels, an empty window; out of memory.
pub fn separable_block(init: &Init, config: SeparableConfig) -> Result<SeparableBlock> {
    let SeparableConfig { in_channels, out_channels, kernel, stride } = config;
    let depthwise = Conv2dConfig::new(in_channels, in_channels, kernel)
        .stride(stride)
        .padding(kernel / 2)
        .groups(in_channels)
        .bias(false);
    let pointwise = Conv2dConfig::new(in_channels, out_channels, 1).bias(false);
    Ok(SeparableBlock {
        depthwise: Conv2d::new(&init.at("depthwise"), depthwise)?,
        norm1: BatchNorm2d::new(&init.at("norm1"), BatchNormConfig::new(in_channels))?,
        pointwise: Conv2d::new(&init.at("pointwise"), pointwise)?,
        norm2: BatchNorm2d::new(&init.at("norm2"), BatchNormConfig::new(out_channels))?,
        path: init.path().clone(),
    })
}

impl Layer for SeparableBlock {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let relu = NormActivation::Relu;
            let x = conv_norm_act(cx, &self.depthwise, &self.norm1, None, relu, x)?;
            conv_norm_act(cx, &self.pointwise, &self.norm2, None, relu, &x)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
