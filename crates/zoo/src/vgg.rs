//! VGG (Simonyan, Zisserman: *Very deep convolutional networks for large-scale image recognition*,
//! ICLR 2015): the configurations of the paper's table 1, with and without batch norm.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    AdaptiveAvgPool2d, BatchNormConfig, Classifier, Conv2dConfig, Distribution, DropoutConfig,
    Init, Layer, LinearConfig, Module, Pass, Path, PoolConfig, Scaling, Sequential, activation,
    max_pool2d,
};

use crate::alexnet::KRIZHEVSKY;

/// VGG: images `[N, 3, 224, 224]` to logits `[N, classes]`.
///
/// The paper's table 1, with the names that the networks have here:
///
/// | A | A-LRN | B | C | D | E |
/// | --- | --- | --- | --- | --- | --- |
/// | [`vgg11`] | [`vgg_a_lrn`] | [`vgg13`] | [`vgg_c`] | [`vgg16`] | [`vgg19`] |
/// | 11 weight layers | 11 | 13 | 16 | 16 | 19 |
/// | conv3-64 | conv3-64, LRN | conv3-64 x2 | conv3-64 x2 | conv3-64 x2 | conv3-64 x2 |
/// | maxpool | | | | | |
/// | conv3-128 | conv3-128 | conv3-128 x2 | conv3-128 x2 | conv3-128 x2 | conv3-128 x2 |
/// | maxpool | | | | | |
/// | conv3-256 x2 | conv3-256 x2 | conv3-256 x2 | conv3-256 x2, conv1-256 | conv3-256 x3 | conv3-256 x4 |
/// | maxpool | | | | | |
/// | conv3-512 x2 | conv3-512 x2 | conv3-512 x2 | conv3-512 x2, conv1-512 | conv3-512 x3 | conv3-512 x4 |
/// | maxpool | | | | | |
/// | conv3-512 x2 | conv3-512 x2 | conv3-512 x2 | conv3-512 x2, conv1-512 | conv3-512 x3 | conv3-512 x4 |
/// | maxpool | | | | | |
/// | FC-4096, FC-4096, FC-classes | the same | the same | the same | the same | the same |
/// | 132,863,336 parameters | 132,863,336 | 133,047,848 | 133,638,952 | 138,357,544 | 143,667,240 |
///
/// The counts are for 1000 classes; the paper rounds them to 133, 133, 133, 134, 138 and 144
/// million. Convolutions keep the size of the image, ReLU follows every layer but the last, max
/// pools are 2x2/2, and dropout of 0.5 follows the first two fully connected layers. The
/// normalization of A-LRN is that of Krizhevsky et al. 2012. The variants `_bn` have batch norm
/// between each convolution and its ReLU: Ioffe and Szegedy's idea came after the paper, the
/// networks are torchvision's.
///
/// Names of parameters are torchvision's, for the paper's A-LRN and C too, which torchvision does
/// not have: `features.0.weight`, `classifier.6.bias`. Before the first fully connected layer stands
/// torchvision's adaptive average pool to 7 x 7: it leaves images of 224 x 224 alone and lets others
/// from 32 x 32 on pass.
///
/// All begin as torchvision's do: weights of convolutions normal with the standard deviation of He
/// et al. 2015 by fan-out, those of linear layers normal with 0.01, biases 0. The paper drew A's
/// with a *variance* of 0.01 and let the deeper networks begin with A's trained layers.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::vgg16(&Init::new(&device, Rng::new(42)), 1000)?;
/// assert_eq!(model.count_parameters(), 138_357_544);
/// assert_eq!(model.named_parameters()[2].0, "features.2.weight");
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 224, 224])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 1000]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct Vgg {
    features: Sequential,
    avgpool: AdaptiveAvgPool2d,
    classifier: Sequential,
    path: Path,
}

/// A line of a stage in table 1.
#[derive(Clone, Copy)]
enum Step {
    /// 3x3, to the stage's channels.
    Conv3,
    /// 1x1, to the stage's channels.
    Conv1,
    /// Local response normalization.
    Lrn,
}

use Step::{Conv1, Conv3, Lrn};

/// A column of table 1: what each stage does before its max pool.
type Stages = [&'static [Step]; 5];

/// The channels of the stages.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

const ONE: &[Step] = &[Conv3];
const TWO: &[Step] = &[Conv3, Conv3];
const THREE: &[Step] = &[Conv3, Conv3, Conv3];
const FOUR: &[Step] = &[Conv3, Conv3, Conv3, Conv3];
const TWO_AND_A_POINT: &[Step] = &[Conv3, Conv3, Conv1];

const A: Stages = [ONE, ONE, TWO, TWO, TWO];
const A_LRN: Stages = [&[Conv3, Lrn], ONE, TWO, TWO, TWO];
const B: Stages = [TWO, TWO, TWO, TWO, TWO];
const C: Stages = [TWO, TWO, TWO_AND_A_POINT, TWO_AND_A_POINT, TWO_AND_A_POINT];
const D: Stages = [TWO, TWO, THREE, THREE, THREE];
const E: Stages = [TWO, TWO, FOUR, FOUR, FOUR];

impl Vgg {
    fn new(init: &Init, classes: usize, stages: Stages, batch_norm: bool) -> Result<Self> {
        Ok(Vgg {
            features: features(&init.at("features"), stages, batch_norm)?,
            avgpool: AdaptiveAvgPool2d::new(&init.at("avgpool"), [7, 7])?,
            classifier: classifier(&init.at("classifier"), classes)?,
            path: init.path().clone(),
        })
    }
}

fn features(init: &Init, stages: Stages, batch_norm: bool) -> Result<Sequential> {
    let (mut features, mut inputs) = (Sequential::new(init), 3);
    for (steps, channels) in stages.into_iter().zip(CHANNELS) {
        for step in steps {
            let kernel = match step {
                Lrn => {
                    features = features.add(KRIZHEVSKY)?;
                    continue;
                }
                Conv1 => 1,
                Conv3 => 3,
            };
            let he = Scaling::FanOut.normal(2f64.sqrt());
            let conv = Conv2dConfig::new(inputs, channels, kernel).padding(kernel / 2);
            features = features.add(conv.weight_init(he))?;
            if batch_norm {
                features = features.add(BatchNormConfig::new(channels))?;
            }
            features = features.add(activation("relu", Tensor::relu))?;
            inputs = channels;
        }
        features = features.add(max_pool2d(PoolConfig::new(2)))?;
    }
    Ok(features)
}

fn classifier(init: &Init, classes: usize) -> Result<Sequential> {
    let linear = |inputs, outputs| {
        let narrow = Distribution::Normal { mean: 0.0, std: 0.01 };
        LinearConfig::new(inputs, outputs).weight_init(narrow)
    };
    Sequential::new(init)
        .add(linear(512 * 7 * 7, 4096))?
        .add(activation("relu", Tensor::relu))?
        .add(DropoutConfig::default())?
        .add(linear(4096, 4096))?
        .add(activation("relu", Tensor::relu))?
        .add(DropoutConfig::default())?
        .add(linear(4096, classes))
}

impl Layer for Vgg {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let x = self.features.forward(cx, x)?;
            let x = self.avgpool.forward(cx, &x)?.flatten(1)?;
            self.classifier.forward(cx, &x)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for Vgg {}

/// Configuration A with new parameters: eleven weight layers. See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg11(&init, 1000)?.count_parameters(), 132_863_336);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg11(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, A, false)
}

/// [`vgg11`] with batch norm.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg11_bn(&init, 1000)?.count_parameters(), 132_868_840);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg11_bn(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, A, true)
}

/// Configuration B with new parameters: thirteen weight layers. See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg13(&init, 1000)?.count_parameters(), 133_047_848);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg13(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, B, false)
}

/// [`vgg13`] with batch norm.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg13_bn(&init, 1000)?.count_parameters(), 133_053_736);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg13_bn(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, B, true)
}

/// Configuration D with new parameters: sixteen weight layers. See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg16(&init, 1000)?.count_parameters(), 138_357_544);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg16(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, D, false)
}

/// [`vgg16`] with batch norm.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg16_bn(&init, 1000)?.count_parameters(), 138_365_992);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg16_bn(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, D, true)
}

/// Configuration E with new parameters: nineteen weight layers. See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg19(&init, 1000)?.count_parameters(), 143_667_240);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg19(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, E, false)
}

/// [`vgg19`] with batch norm.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg19_bn(&init, 1000)?.count_parameters(), 143_678_248);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg19_bn(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, E, true)
}

/// Configuration A-LRN with new parameters: A with local response normalization after the first
/// convolution, which the paper found to cost memory and time and to gain nothing. See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg_a_lrn(&init, 1000)?.count_parameters(), 132_863_336);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg_a_lrn(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, A_LRN, false)
}

/// Configuration C with new parameters: sixteen weight layers, three of them 1x1 where D has 3x3.
/// See [`Vgg`].
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::vgg_c(&init, 1000)?.count_parameters(), 133_638_952);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn vgg_c(init: &Init, classes: usize) -> Result<Vgg> {
    Vgg::new(init, classes, C, false)
}
