//! A VGG for small images: the blocks of Simonyan and Zisserman, narrow, with batch norm.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    BatchNormConfig, Classifier, Conv2dConfig, DropoutConfig, Flatten, Init, Layer, LinearConfig,
    Module, Pass, Path, PoolConfig, Scaling, Sequential, activation, max_pool2d,
};

/// Images `[N, 1, 28, 28]` to logits `[N, classes]`, by three of VGG's stages (Simonyan and Zisserman 2015) of two
/// 3x3 convolutions each, half as wide as theirs, with batch norm, and one hidden layer.
///
/// | stage | output | layers |
/// | --- | --- | --- |
/// | features | 14 x 14 | 2 of conv3-32, batch norm, ReLU; maxpool |
/// | | 7 x 7 | 2 of conv3-64, batch norm, ReLU; maxpool |
/// | | 3 x 3 | 2 of conv3-128, batch norm, ReLU; maxpool |
/// | classifier | | FC-256, ReLU, dropout 0.5, FC-classes |
///
/// It is not in the paper: the paper's networks need images of 32 pixels at least and have 130 million
/// parameters, made for ImageNet. With 10 classes it has 584,618 parameters.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::slim_vgg_bn(&Init::new(&device, Rng::new(42)), 10)?;
/// assert_eq!(model.count_parameters(), 584_618);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 1, 28, 28])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 10]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct SlimVgg {
    features: Sequential,
    classifier: Sequential,
    path: Path,
}

/// The channels of the stages.
const CHANNELS: [usize; 3] = [32, 64, 128];
/// The size of the hidden layer.
const HIDDEN: usize = 256;

/// A [`SlimVgg`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let model = ferrotape_zoo::slim_vgg_bn(&Init::new(&Device::new(Meta::new()), Rng::new(42)), 10)?;
/// let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names[0], "features.0.weight");
/// assert_eq!(names.last().map(String::as_str), Some("classifier.4.bias"));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn slim_vgg_bn(init: &Init, classes: usize) -> Result<SlimVgg> {
    let (mut features, mut inputs) = (Sequential::new(&init.at("features")), 1);
    for channels in CHANNELS {
        for _ in 0..2 {
            let he = Scaling::FanOut.normal(2f64.sqrt());
            let conv = Conv2dConfig::new(inputs, channels, 3).padding(1).bias(false);
            features = features
                .add(conv.weight_init(he))?
                .add(BatchNormConfig::new(channels))?
                .add(activation("relu", Tensor::relu))?;
            inputs = channels;
        }
        features = features.add(max_pool2d(PoolConfig::new(2)))?;
    }
    let classifier = Sequential::new(&init.at("classifier"))
        .add(Flatten::new)?
        .add(LinearConfig::new(inputs * 3 * 3, HIDDEN))?
        .add(activation("relu", Tensor::relu))?
        .add(DropoutConfig::default())?
        .add(LinearConfig::new(HIDDEN, classes))?;
    Ok(SlimVgg { features, classifier, path: init.path().clone() })
}

impl Layer for SlimVgg {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || self.classifier.forward(cx, &self.features.forward(cx, x)?))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for SlimVgg {}
