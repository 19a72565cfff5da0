//! Residual networks (He, Zhang, Ren, Sun: *Deep residual learning for image recognition*, 2016), in
//! torchvision's form and in the paper's.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    BatchNorm2d, Classifier, Conv2d, Init, Layer, Linear, LinearConfig, MaxPool2d, Module,
    NormActivation, Pass, Path, PoolConfig, Sequential, conv_norm_act,
};

use crate::residual::{BlockConfig, BlockKind, Shortcut, StrideIn, convolution, norm};

/// What a [`ResNet`] is made from. [`ResNetConfig::new`] is torchvision's form.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{BlockKind, ResNet, ResNetConfig, Shortcut, StrideIn};
///
/// // ResNet-14 as the paper would make it.
/// let config = ResNetConfig {
///     stride_in: StrideIn::First,
///     shortcut: Shortcut::Identity,
///     ..ResNetConfig::new(BlockKind::Bottleneck, [1, 1, 1, 1])
/// };
/// let device = Device::new(Reference::new());
/// let model = ResNet::new(&Init::new(&device, Rng::new(42)), &config, 10)?;
/// assert_eq!(model.named_parameters()[3].0, "layer1.0.conv1.weight");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetConfig {
    /// The kind of every block.
    pub block: BlockKind,
    /// How many blocks each stage has.
    pub blocks: [usize; 4],
    /// What leads around a block.
    pub shortcut: Shortcut,
    /// Which convolution of a bottleneck halves the image.
    pub stride_in: StrideIn,
}

impl ResNetConfig {
    /// Projections where the size changes, and the stride in the 3x3 convolution: torchvision's form.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{BlockKind, ResNet, ResNetConfig, Shortcut, StrideIn};
    ///
    /// // A ResNet-26 of bottlenecks.
    /// let config = ResNetConfig::new(BlockKind::Bottleneck, [2, 2, 2, 2]);
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
    /// let model = ResNet::new(&init, &config, 10)?;
    /// assert_eq!(model.named_parameters()[3].1.shape().dims(), [64, 64, 1, 1]);
    /// assert_eq!((config.shortcut, config.stride_in), (Shortcut::Projection, StrideIn::Middle));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub const fn new(block: BlockKind, blocks: [usize; 4]) -> Self {
        ResNetConfig { block, blocks, shortcut: Shortcut::Projection, stride_in: StrideIn::Middle }
    }

    /// ResNet-18.
    ///
    /// ```
    /// use ferrotape_zoo::ResNetConfig;
    ///
    /// // Two convolutions a block, the first one and the last layer.
    /// let config = ResNetConfig::resnet18();
    /// assert_eq!(config.blocks.iter().sum::<usize>() * 2 + 2, 18);
    /// ```
    #[must_use]
    pub const fn resnet18() -> Self {
        Self::new(BlockKind::Basic, [2, 2, 2, 2])
    }

    /// ResNet-34.
    ///
    /// ```
    /// use ferrotape_zoo::ResNetConfig;
    ///
    /// assert_eq!(ResNetConfig::resnet34().blocks.iter().sum::<usize>() * 2 + 2, 34);
    /// ```
    #[must_use]
    pub const fn resnet34() -> Self {
        Self::new(BlockKind::Basic, [3, 4, 6, 3])
    }

    /// ResNet-50.
    ///
    /// ```
    /// use ferrotape_zoo::{BlockKind, ResNetConfig};
    ///
    /// // Three convolutions a block.
    /// let config = ResNetConfig::resnet50();
    /// assert_eq!(config.block, BlockKind::Bottleneck);
    /// assert_eq!(config.blocks.iter().sum::<usize>() * 3 + 2, 50);
    /// ```
    #[must_use]
    pub const fn resnet50() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 4, 6, 3])
    }

    /// ResNet-101.
    ///
    /// ```
    /// use ferrotape_zoo::ResNetConfig;
    ///
    /// assert_eq!(ResNetConfig::resnet101().blocks.iter().sum::<usize>() * 3 + 2, 101);
    /// ```
    #[must_use]
    pub const fn resnet101() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 4, 23, 3])
    }

    /// ResNet-152.
    ///
    /// ```
    /// use ferrotape_zoo::ResNetConfig;
    ///
    /// assert_eq!(ResNetConfig::resnet152().blocks.iter().sum::<usize>() * 3 + 2, 152);
    /// ```
    #[must_use]
    pub const fn resnet152() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 8, 36, 3])
    }
}

/// A residual network for images: `[N, 3, H, W]`, made for 224 x 224, to logits `[N, classes]`.
///
/// The paper's table 1, for 224 x 224 (each convolution is followed by batch norm; *k x k, c* is a
/// convolution to c channels, *x n* the number of blocks):
///
/// | stage | output | 18 | 34 | 50 | 101 | 152 |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | conv1 | 112 x 112 | 7x7, 64, stride 2 | as 18 | as 18 | as 18 | as 18 |
/// | maxpool | 56 x 56 | 3x3, stride 2 | as 18 | as 18 | as 18 | as 18 |
/// | layer1 (conv2_x) | 56 x 56 | 3x3, 64; 3x3, 64; x 2 | x 3 | 1x1, 64; 3x3, 64; 1x1, 256; x 3 | x 3 | x 3 |
/// | layer2 (conv3_x) | 28 x 28 | 3x3, 128; 3x3, 128; x 2 | x 4 | 1x1, 128; 3x3, 128; 1x1, 512; x 4 | x 4 | x 8 |
/// | layer3 (conv4_x) | 14 x 14 | 3x3, 256; 3x3, 256; x 2 | x 6 | 1x1, 256; 3x3, 256; 1x1, 1024; x 6 | x 23 | x 36 |
/// | layer4 (conv5_x) | 7 x 7 | 3x3, 512; 3x3, 512; x 2 | x 3 | 1x1, 512; 3x3, 512; 1x1, 2048; x 3 | x 3 | x 3 |
/// | fc | 1 x 1 | average of the image, linear | as 18 | as 18 | as 18 | as 18 |
/// | parameters (1000 classes) | | 11,689,512 | 21,797,672 | 25,557,032 | 44,549,160 | 60,192,808 |
///
/// [`ResNetConfig`] chooses among the paper's forms. Convolutions begin with He's normal
/// distribution over the fan out, norms with weight 1 and bias 0, as in torchvision.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::resnet18(&Init::new(&device, Rng::new(42)), 1000)?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 224, 224])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 1000]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    maxpool: MaxPool2d,
    layer1: Sequential,
    layer2: Sequential,
    layer3: Sequential,
    layer4: Sequential,
    fc: Linear,
    path: Path,
}

impl ResNet {
    /// A network with new parameters in the given scope.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    /// use ferrotape_zoo::{ResNet, ResNetConfig, Shortcut};
    ///
    /// // ResNet-34 with the paper's shortcuts without parameters.
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
    /// let config = ResNetConfig { shortcut: Shortcut::Identity, ..ResNetConfig::resnet34() };
    /// assert_eq!(ResNet::new(&init, &config, 1000)?.count_parameters(), 21_623_848);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No classes; a stage with no blocks or more than 1,000; out of memory.
    pub fn new(init: &Init, config: &ResNetConfig, classes: usize) -> Result<Self> {
        let &ResNetConfig { block: kind, blocks, shortcut, stride_in } = config;
        let expansion = kind.expansion();
        let layer = |name, from, width, stride, blocks| {
            let config = BlockConfig { kind, from, width, stride, shortcut, stride_in };
            config.stage(&init.at(name), blocks)
        };
        Ok(ResNet {
            conv1: convolution(&init.at("conv1"), [3, 64], 7, 2)?,
            bn1: norm(&init.at("bn1"), 64)?,
            maxpool: MaxPool2d::new(&init.at("maxpool"), PoolConfig::new(3).stride(2).padding(1))?,
            layer1: layer("layer1", 64, 64, 1, blocks[0])?,
            layer2: layer("layer2", 64 * expansion, 128, 2, blocks[1])?,
            layer3: layer("layer3", 128 * expansion, 256, 2, blocks[2])?,
            layer4: layer("layer4", 256 * expansion, 512, 2, blocks[3])?,
            fc: Linear::new(&init.at("fc"), LinearConfig::new(512 * expansion, classes))?,
            path: init.path().clone(),
        })
    }
}

impl Layer for ResNet {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let x = conv_norm_act(cx, &self.conv1, &self.bn1, None, NormActivation::Relu, x)?;
            let x = self.maxpool.forward(cx, &x)?;
            let x = self.layer1.forward(cx, &x)?;
            let x = self.layer2.forward(cx, &x)?;
            let x = self.layer3.forward(cx, &x)?;
            let x = self.layer4.forward(cx, &x)?;
            self.fc.forward(cx, &x.adaptive_avg_pool2d([1, 1])?.flatten(1)?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for ResNet {}

/// ResNet-18 in torchvision's form.
///
/// ```
/// use ferrotape_backend::{DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::resnet18(&Init::new(&device, Rng::new(42)), 1000)?;
/// assert_eq!(model.count_parameters(), 11_689_512);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn resnet18(init: &Init, classes: usize) -> Result<ResNet> {
    ResNet::new(init, &ResNetConfig::resnet18(), classes)
}

/// ResNet-34 in torchvision's form.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::resnet34(&init, 1000)?.count_parameters(), 21_797_672);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn resnet34(init: &Init, classes: usize) -> Result<ResNet> {
    ResNet::new(init, &ResNetConfig::resnet34(), classes)
}

/// ResNet-50 in torchvision's form.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::resnet50(&init, 1000)?.count_parameters(), 25_557_032);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn resnet50(init: &Init, classes: usize) -> Result<ResNet> {
    ResNet::new(init, &ResNetConfig::resnet50(), classes)
}

/// ResNet-101 in torchvision's form.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::resnet101(&init, 1000)?.count_parameters(), 44_549_160);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn resnet101(init: &Init, classes: usize) -> Result<ResNet> {
    ResNet::new(init, &ResNetConfig::resnet101(), classes)
}

/// ResNet-152 in torchvision's form.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::resnet152(&init, 1000)?.count_parameters(), 60_192_808);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn resnet152(init: &Init, classes: usize) -> Result<ResNet> {
    ResNet::new(init, &ResNetConfig::resnet152(), classes)
}
