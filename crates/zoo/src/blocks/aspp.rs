//! Atrous spatial pyramid pooling (Chen, Papandreou, Schroff, Adam: *Rethinking atrous convolution for
//! semantic image segmentation*, 2017, figure 5).

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Resize;
use ferrotape_backend::{Error, Result};
use ferrotape_nn::{
    BatchNormConfig, Conv2dConfig, DropoutConfig, Init, Layer, Module, Pass, Path, Sequential,
    activation, adaptive_avg_pool2d,
};

/// What an [`Aspp`] is made from.
///
/// ```
/// use ferrotape_zoo::blocks::AsppConfig;
///
/// assert_eq!(AsppConfig::new(2048).rates, [12, 24, 36]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AsppConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of each branch and of the output.
    pub out_channels: usize,
    /// The dilations of the 3x3 branches.
    pub rates: Vec<usize>,
    /// The share of the output that training drops.
    pub dropout: f64,
}

impl AsppConfig {
    /// That of DeepLabv3 at an output stride of 8: 256 channels, rates 12, 24, 36, dropout 0.5.
    ///
    /// ```
    /// use ferrotape_zoo::blocks::AsppConfig;
    ///
    /// let config = AsppConfig::new(2048);
    /// assert_eq!((config.out_channels, config.dropout), (256, 0.5));
    /// ```
    #[must_use]
    pub fn new(in_channels: usize) -> Self {
        AsppConfig { in_channels, out_channels: 256, rates: vec![12, 24, 36], dropout: 0.5 }
    }
}

/// Looks at feature maps at several scales at once: a 1x1 convolution, a 3x3 convolution for each
/// dilation, and the mean of the whole image, side by side, then a 1x1 convolution over all.
///
/// `[N, C, H, W]` to `[N, O, H, W]`. A 3x3 window with dilation `r` sees `2 r + 1` pixels a side at the
/// cost of nine; each convolution is followed by batch norm and ReLU. Names and meaning are those of
/// torchvision's `ASPP` (`convs.0.0.weight`, .., `project.0.weight`).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
/// use ferrotape_zoo::blocks::{AsppConfig, aspp};
///
/// let device = Device::new(Reference::new());
/// let config = AsppConfig { out_channels: 4, rates: vec![1, 2], ..AsppConfig::new(3) };
/// let head = aspp(&Init::new(&device, Rng::new(1)), &config)?;
/// assert_eq!(head.named_parameters()[0].0, "convs.0.0.weight");
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 5, 6])?)?;
/// assert_eq!(head.forward(&cx, &x)?.shape().dims(), [2, 4, 5, 6]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Aspp {
    /// The 1x1 convolution, one for each dilation, and the mean of the image.
    pub convs: Vec<Sequential>,
    /// What makes one of all.
    pub project: Sequential,
    path: Path,
}

/// An [`Aspp`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::Init;
/// use ferrotape_zoo::{blocks::AsppConfig, blocks::aspp};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
/// // A 1x1 convolution, three dilations and the mean of the image.
/// assert_eq!(aspp(&init, &AsppConfig::new(8))?.convs.len(), 5);
/// assert!(aspp(&init, &AsppConfig::new(0)).is_err());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No channels; out of memory. A dilation of 0 is an error of `forward`.
pub fn aspp(init: &Init, config: &AsppConfig) -> Result<Aspp> {
    let AsppConfig { in_channels, out_channels, .. } = *config;
    let branches = init.at("convs");
    let scope = |index: usize| branches.at(&index.to_string());
    let pointwise = Conv2dConfig::new(in_channels, out_channels, 1).bias(false);
    let mut convs = vec![normed(Sequential::new(&scope(0)), pointwise)?];
    for &rate in &config.rates {
        let conv = Conv2dConfig::new(in_channels, out_channels, 3).padding(rate).dilation(rate);
        convs.push(normed(Sequential::new(&scope(convs.len())), conv.bias(false))?);
    }
    let mean = Sequential::new(&scope(convs.len())).add(adaptive_avg_pool2d([1, 1]))?;
    convs.push(normed(mean, pointwise)?);
    let wide = out_channels.checked_mul(convs.len()).ok_or_else(|| {
        Error::argument(format!("{out_channels} channels a branch are more than can be addressed"))
    })?;
    let project = Sequential::new(&init.at("project"));
    let project = normed(project, Conv2dConfig::new(wide, out_channels, 1).bias(false))?
        .add(DropoutConfig { p: config.dropout })?;
    Ok(Aspp { convs, project, path: init.path().clone() })
}

/// Convolution, batch norm, ReLU.
fn normed(layers: Sequential, conv: Conv2dConfig) -> Result<Sequential> {
    layers
        .add(conv)?
        .add(BatchNormConfig::new(conv.out_channels))?
        .add(activation("relu", Tensor::relu))
}

impl Layer for Aspp {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let [_, _, h, w] = x.shape().nchw()?;
            let mut seen =
                self.convs.iter().map(|conv| conv.forward(cx, x)).collect::<Result<Vec<_>>>()?;
            if let Some(mean) = seen.pop() {
                seen.push(mean.interpolate([h, w], Resize::Bilinear { align_corners: false })?);
            }
            self.project.forward(cx, &Tensor::cat(&seen.iter().collect::<Vec<_>>(), 1)?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
