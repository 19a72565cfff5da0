//! The blocks of residual networks (He et al. 2016, figure 5) and the ways around them, under
//! torchvision's names.

use ferrotape_autograd::{Tensor, ops::Padding};
use ferrotape_backend::{Error, Pool2d, Result};
use ferrotape_nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Init, Layer, Module, NormActivation, Pass,
    Path, Scaling, Sequential, conv_norm_act,
};

/// What a stage of a residual network is made of (the paper's figure 5).
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{BlockKind, ResNet, ResNetConfig};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// for (kind, features) in [(BlockKind::Basic, 512), (BlockKind::Bottleneck, 2048)] {
///     let model = ResNet::new(&init, &ResNetConfig::new(kind, [1, 1, 1, 1]), 10)?;
///     let last = model.parameters();
///     assert_eq!(last[last.len() - 2].shape().dims(), [10, features]);
/// }
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1 convolution, a 3x3 one, and a 1x1 one to four times the channels.
    Bottleneck,
}

impl BlockKind {
    /// How many times the block's width its output has.
    pub(crate) const fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }
}

/// What leads around a block: the paper's options A, B and C (section 3.3 and table 3).
///
/// ```
/// use ferrotape_backend::{Device, Error, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{ResNet, ResNetConfig, Shortcut};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// let count = |shortcut| {
///     let config = ResNetConfig { shortcut, ..ResNetConfig::resnet18() };
///     Ok::<_, Error>(ResNet::new(&init, &config, 1000)?.count_parameters())
/// };
/// // B has a 1x1 convolution and a norm at each of the three changes of size.
/// let projections = [(64, 128), (128, 256), (256, 512)].map(|(from, to)| from * to + 2 * to);
/// let more = count(Shortcut::Projection)? - count(Shortcut::Identity)?;
/// assert_eq!(more, projections.iter().sum::<usize>());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Shortcut {
    /// A: the input itself, without parameters. Where the size changes it is sliced by the stride,
    /// and the new channels are zero, half of them before the old ones and half after.
    Identity,
    /// B: a 1x1 convolution and a norm where the size changes, else the input itself.
    #[default]
    Projection,
    /// C: a 1x1 convolution and a norm around every block.
    ProjectionEverywhere,
}

/// Which convolution of a bottleneck has the stride.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
/// use ferrotape_zoo::{ResNet, ResNetConfig, StrideIn};
///
/// // Neither has other parameters than the other, so that weights fit both.
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// let [paper, torchvision] = [StrideIn::First, StrideIn::Middle].map(|stride_in| {
///     ResNet::new(&init, &ResNetConfig { stride_in, ..ResNetConfig::resnet50() }, 10)
/// });
/// paper?.load_state_dict(&torchvision?.state_dict()?, true)?;
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StrideIn {
    /// The first 1x1, as in the paper.
    First,
    /// The 3x3, as in torchvision (Goyal et al. 2017 and NVIDIA's ResNet-50 v1.5): a little more
    /// work, a little more exact.
    #[default]
    Middle,
}

/// What a block is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    pub(crate) kind: BlockKind,
    /// Channels of the input.
    pub(crate) from: usize,
    /// Channels of the 3x3 convolutions.
    pub(crate) width: usize,
    pub(crate) stride: usize,
    pub(crate) shortcut: Shortcut,
    pub(crate) stride_in: StrideIn,
}

/// More blocks in one stage than any network has: what is beyond is a slip of the finger, and would
/// be built until memory ends.
const MOST_BLOCKS: usize = 1000;

impl BlockConfig {
    /// Channels of the output.
    fn to(&self) -> usize {
        self.width * self.kind.expansion()
    }

    /// This block, and behind it others that keep the size.
    pub(crate) fn stage(self, init: &Init, blocks: usize) -> Result<Sequential> {
        if !(1..=MOST_BLOCKS).contains(&blocks) {
            return Err(Error::argument(format!(
                "a stage has 1 to {MOST_BLOCKS} residual blocks, not {blocks}"
            ))
            .at(init.path().as_str()));
        }
        let rest = BlockConfig { from: self.to(), stride: 1, ..self };
        let configs = std::iter::once(self).chain(std::iter::repeat_n(rest, blocks - 1));
        configs.into_iter().try_fold(Sequential::new(init), |stage, config| {
            stage.add(|init: &Init| -> Result<Box<dyn Layer>> {
                Ok(match config.kind {
                    BlockKind::Basic => Box::new(BasicBlock::new(init, &config)?),
                    BlockKind::Bottleneck => Box::new(Bottleneck::new(init, &config)?),
                })
            })
        })
    }
}

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Debug, Module)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    #[module(rename = "")]
    around: Around,
    path: Path,
}

impl BasicBlock {
    fn new(init: &Init, config: &BlockConfig) -> Result<Self> {
        let &BlockConfig { from, width, stride, .. } = config;
        Ok(BasicBlock {
            conv1: convolution(&init.at("conv1"), [from, width], 3, stride)?,
            bn1: norm(&init.at("bn1"), width)?,
            conv2: convolution(&init.at("conv2"), [width, width], 3, 1)?,
            bn2: norm(&init.at("bn2"), width)?,
            around: Around::new(init, config)?,
            path: init.path().clone(),
        })
    }
}

impl Layer for BasicBlock {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let y = conv_norm_act(cx, &self.conv1, &self.bn1, None, NormActivation::Relu, x)?;
            let x = self.around.forward(cx, x)?;
            conv_norm_act(cx, &self.conv2, &self.bn2, Some(&x), NormActivation::Relu, &y)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// `relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))`.
#[derive(Debug, Module)]
struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    #[module(rename = "")]
    around: Around,
    path: Path,
}

impl Bottleneck {
    fn new(init: &Init, config: &BlockConfig) -> Result<Self> {
        let &BlockConfig { from, width, stride, .. } = config;
        let [first, middle] = match config.stride_in {
            StrideIn::First => [stride, 1],
            StrideIn::Middle => [1, stride],
        };
        Ok(Bottleneck {
            conv1: convolution(&init.at("conv1"), [from, width], 1, first)?,
            bn1: norm(&init.at("bn1"), width)?,
            conv2: convolution(&init.at("conv2"), [width, width], 3, middle)?,
            bn2: norm(&init.at("bn2"), width)?,
            conv3: convolution(&init.at("conv3"), [width, config.to()], 1, 1)?,
            bn3: norm(&init.at("bn3"), config.to())?,
            around: Around::new(init, config)?,
            path: init.path().clone(),
        })
    }
}

impl Layer for Bottleneck {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let y = conv_norm_act(cx, &self.conv1, &self.bn1, None, NormActivation::Relu, x)?;
            let y = conv_norm_act(cx, &self.conv2, &self.bn2, None, NormActivation::Relu, &y)?;
            let x = self.around.forward(cx, x)?;
            conv_norm_act(cx, &self.conv3, &self.bn3, Some(&x), NormActivation::Relu, &y)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The way around a block.
#[derive(Debug, Module)]
struct Around {
    downsample: Option<Projection>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    channels: usize,
}

impl Around {
    fn new(init: &Init, config: &BlockConfig) -> Result<Self> {
        let (stride, channels) = (config.stride, config.to());
        let projects = match config.shortcut {
            Shortcut::Identity => false,
            Shortcut::Projection => stride != 1 || config.from != channels,
            Shortcut::ProjectionEverywhere => true,
        };
        let projection = || Projection::new(&init.at("downsample"), config);
        Ok(Around { downsample: projects.then(projection).transpose()?, stride, channels })
    }

    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        if let Some(projection) = &self.downsample {
            return projection.forward(cx, x);
        }
        let mut x = x.clone();
        if self.stride != 1 {
            // The average of one pixel is that pixel: a slice by the stride.
            let stride = [self.stride, self.stride];
            x = x.avg_pool2d(&Pool2d { stride, ..Pool2d::new([1, 1]) })?;
        }
        let [_, channels, _, _] = x.shape().nchw()?;
        // An input of too many channels is an error of the sum that follows.
        let new = self.channels.saturating_sub(channels);
        x.pad(&[0, 0, 0, 0, new / 2, new - new / 2], Padding::Constant(0.0))
    }
}

/// A 1x1 convolution and its norm.
#[derive(Debug, Module)]
struct Projection {
    #[module(rename = "0")]
    conv: Conv2d,
    #[module(rename = "1")]
    norm: BatchNorm2d,
    path: Path,
}

impl Projection {
    fn new(init: &Init, config: &BlockConfig) -> Result<Self> {
        Ok(Projection {
            conv: convolution(&init.at("0"), [config.from, config.to()], 1, config.stride)?,
            norm: norm(&init.at("1"), config.to())?,
            path: init.path().clone(),
        })
    }
}

impl Layer for Projection {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            conv_norm_act(cx, &self.conv, &self.norm, None, NormActivation::Identity, x)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// A convolution of odd width that keeps the size, but for the stride. It has no bias, as a norm
/// follows, and begins with a variance of 2 / fan out (He et al. 2015, equation 14;
/// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`).
pub(crate) fn convolution(
    init: &Init,
    [from, to]: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Result<Conv2d> {
    let config = Conv2dConfig::new(from, to, kernel).stride(stride).padding(kernel / 2).bias(false);
    Conv2d::new(init, config.weight_init(Scaling::FanOut.normal(std::f64::consts::SQRT_2)))
}

/// A batch norm with PyTorch's options.
pub(crate) fn norm(init: &Init, channels: usize) -> Result<BatchNorm2d> {
    BatchNorm2d::new(init, BatchNormConfig::new(channels))
}
