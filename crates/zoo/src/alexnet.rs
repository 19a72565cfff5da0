//! AlexNet, in torchvision's form and in that of the paper (Krizhevsky, Sutskever, Hinton:
//! *ImageNet classification with deep convolutional neural networks*, NIPS 2012).

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    AdaptiveAvgPool2d, Classifier, Conv2dConfig, Distribution, DropoutConfig, Init, Layer,
    LinearConfig, LocalResponseNormConfig, Module, Pass, Path, PoolConfig, Sequential, activation,
    max_pool2d,
};

/// AlexNet: images `[N, 3, 224, 224]` to logits `[N, classes]`.
///
/// Two networks are called so. The paper's was trained on two GPUs, which is why conv2, conv4 and
/// conv5 see only the maps of their own half: two groups. torchvision's is the one of *One weird
/// trick for parallelizing convolutional neural networks* (Krizhevsky 2014), for one GPU.
///
/// | layer | [`alexnet`] (torchvision) | [`alexnet_2012`] (the paper) | output of the paper's |
/// | --- | --- | --- | --- |
/// | conv1 | 64 of 11x11/4, padding 2 | 96 of 11x11/4, padding 2; norm | 96 x 55 x 55 |
/// | pool1 | max 3x3/2 | max 3x3/2 | 96 x 27 x 27 |
/// | conv2 | 192 of 5x5 | 256 of 5x5 in 2 groups; norm | 256 x 27 x 27 |
/// | pool2 | max 3x3/2 | max 3x3/2 | 256 x 13 x 13 |
/// | conv3 | 384 of 3x3 | 384 of 3x3 | 384 x 13 x 13 |
/// | conv4 | 256 of 3x3 | 384 of 3x3 in 2 groups | 384 x 13 x 13 |
/// | conv5 | 256 of 3x3 | 256 of 3x3 in 2 groups | 256 x 13 x 13 |
/// | pool5 | max 3x3/2 | max 3x3/2 | 256 x 6 x 6 |
/// | fc6 | dropout 0.5, 4096 | 4096, dropout 0.5 | 4096 |
/// | fc7 | dropout 0.5, 4096 | 4096, dropout 0.5 | 4096 |
/// | fc8 | classes | classes | classes |
/// | parameters (1000 classes) | 61,100,840 | 60,965,224 | |
/// | multiply-adds | 714,188,480 | 724,406,816 | |
///
/// ReLU follows every layer but the last; the paper's normalization follows the ReLU. Windows of 3
/// pixels that are 2 apart overlap, which the paper found to help. Before fc6 stands an adaptive
/// average pool to 6 x 6, as in torchvision: it leaves images of 224 x 224 alone and lets others
/// from 63 x 63 on pass.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::alexnet(&Init::new(&device, Rng::new(42)), 1000)?;
/// assert_eq!(model.count_parameters(), 61_100_840);
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 224, 224])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 1000]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct AlexNet {
    features: Sequential,
    avgpool: AdaptiveAvgPool2d,
    classifier: Sequential,
    path: Path,
}

/// Section 3.3 of the paper: five neighbouring maps, k = 2, beta = 0.75. The paper adds alpha = 1e-4
/// times each square, while [`Tensor::local_response_norm`] divides alpha by the five.
pub(crate) const KRIZHEVSKY: LocalResponseNormConfig =
    LocalResponseNormConfig { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };

const OVERLAPPING: PoolConfig = PoolConfig::new(3).stride(2);

/// torchvision's [`AlexNet`] with new parameters, drawn as PyTorch draws them by default.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::alexnet(&init, 1000)?.count_parameters(), 61_100_840);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn alexnet(init: &Init, classes: usize) -> Result<AlexNet> {
    let relu = || activation("relu", Tensor::relu);
    let features = Sequential::new(&init.at("features"))
        .add(Conv2dConfig::new(3, 64, 11).stride(4).padding(2))?
        .add(relu())?
        .add(max_pool2d(OVERLAPPING))?
        .add(Conv2dConfig::new(64, 192, 5).padding(2))?
        .add(relu())?
        .add(max_pool2d(OVERLAPPING))?
        .add(Conv2dConfig::new(192, 384, 3).padding(1))?
        .add(relu())?
        .add(Conv2dConfig::new(384, 256, 3).padding(1))?
        .add(relu())?
        .add(Conv2dConfig::new(256, 256, 3).padding(1))?
        .add(relu())?
        .add(max_pool2d(OVERLAPPING))?;
    let classifier = Sequential::new(&init.at("classifier"))
        .add(DropoutConfig::default())?
        .add(LinearConfig::new(256 * 6 * 6, 4096))?
        .add(relu())?
        .add(DropoutConfig::default())?
        .add(LinearConfig::new(4096, 4096))?
        .add(relu())?
        .add(LinearConfig::new(4096, classes))?;
    AlexNet::new(init, features, classifier)
}

/// The paper's [`AlexNet`] with new parameters, drawn as its section 5 says: weights normal with
/// standard deviation 0.01; biases 1 in conv2, conv4, conv5, fc6 and fc7, which gives their ReLUs
/// something to learn from at first, and 0 elsewhere.
///
/// The paper's images are 224 x 224, and 55 windows of 11 pixels 4 apart span 227: with a padding
/// of 2 they begin two pixels before the image and end one behind it.
///
/// Layers are named by the paper: `features.conv1.weight`, `classifier.fc8.bias`.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::alexnet_2012(&Init::new(&device, Rng::new(42)), 1000)?;
/// assert_eq!(model.count_parameters(), 60_965_224);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn alexnet_2012(init: &Init, classes: usize) -> Result<AlexNet> {
    const NARROW: Distribution = Distribution::Normal { mean: 0.0, std: 0.01 };
    let relu = || activation("relu", Tensor::relu);
    let conv = |inputs, outputs, kernel| {
        Conv2dConfig::new(inputs, outputs, kernel).padding(kernel / 2).weight_init(NARROW)
    };
    let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).weight_init(NARROW);
    let features = Sequential::new(&init.at("features"))
        .named("conv1", conv(3, 96, 11).stride(4).padding(2))?
        .named("relu1", relu())?
        .named("norm1", KRIZHEVSKY)?
        .named("pool1", max_pool2d(OVERLAPPING))?
        .named("conv2", conv(96, 256, 5).groups(2).bias_init(Distribution::Ones))?
        .named("relu2", relu())?
        .named("norm2", KRIZHEVSKY)?
        .named("pool2", max_pool2d(OVERLAPPING))?
        .named("conv3", conv(256, 384, 3))?
        .named("relu3", relu())?
        .named("conv4", conv(384, 384, 3).groups(2).bias_init(Distribution::Ones))?
        .named("relu4", relu())?
        .named("conv5", conv(384, 256, 3).groups(2).bias_init(Distribution::Ones))?
        .named("relu5", relu())?
        .named("pool5", max_pool2d(OVERLAPPING))?;
    let classifier = Sequential::new(&init.at("classifier"))
        .named("fc6", linear(256 * 6 * 6, 4096).bias_init(Distribution::Ones))?
        .named("relu6", relu())?
        .named("dropout6", DropoutConfig::default())?
        .named("fc7", linear(4096, 4096).bias_init(Distribution::Ones))?
        .named("relu7", relu())?
        .named("dropout7", DropoutConfig::default())?
        .named("fc8", linear(4096, classes))?;
    AlexNet::new(init, features, classifier)
}

impl AlexNet {
    fn new(init: &Init, features: Sequential, classifier: Sequential) -> Result<Self> {
        let avgpool = AdaptiveAvgPool2d::new(&init.at("avgpool"), [6, 6])?;
        Ok(AlexNet { features, avgpool, classifier, path: init.path().clone() })
    }
}

impl Layer for AlexNet {
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

impl Classifier for AlexNet {}
