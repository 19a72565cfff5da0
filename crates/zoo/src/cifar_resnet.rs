//! Residual networks for CIFAR-10 (He, Zhang, Ren, Sun: *Deep residual learning for image
//! recognition*, 2016, section 4.2).

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result};
use ferrotape_nn::{
    BatchNorm2d, Classifier, Conv2d, Init, Layer, Linear, LinearConfig, Module, NormActivation,
    Pass, Path, Sequential, conv_norm_act,
};

use crate::residual::{BlockConfig, BlockKind, Shortcut, StrideIn, convolution, norm};

/// A residual network of 6n + 2 layers for small images: `[N, 3, H, W]`, made for 32 x 32, to logits
/// `[N, classes]`.
///
/// The paper's table, where *k x k, c* is a convolution to c channels, followed by batch norm:
///
/// | stage | output | layers |
/// | --- | --- | --- |
/// | conv1 | 32 x 32 | 3x3, 16 |
/// | layer1 | 32 x 32 | n blocks of 3x3, 16; 3x3, 16 |
/// | layer2 | 16 x 16 | n blocks of 3x3, 32; 3x3, 32 |
/// | layer3 | 8 x 8 | n blocks of 3x3, 64; 3x3, 64 |
/// | fc | 1 x 1 | average of the image, linear |
///
/// Shortcuts have no parameters (option A, [`Shortcut::Identity`]). The paper's table 6, with 10
/// classes:
///
/// | layers | n | parameters | the paper says | error |
/// | --- | --- | --- | --- | --- |
/// | 20 | 3 | 269,722 | 0.27M | 8.75 % |
/// | 32 | 5 | 464,154 | 0.46M | 7.51 % |
/// | 44 | 7 | 658,586 | 0.66M | 7.17 % |
/// | 56 | 9 | 853,018 | 0.85M | 6.97 % |
/// | 110 | 18 | 1,727,962 | 1.7M | 6.43 % |
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Layer, Pass};
///
/// let device = Device::new(Meta::new());
/// let model = ferrotape_zoo::cifar_resnet20(&Init::new(&device, Rng::new(42)), 10)?;
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::zeros(&device, DType::F32, [2, 3, 32, 32])?)?;
/// assert_eq!(model.forward(&cx, &x)?.shape().dims(), [2, 10]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct CifarResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Sequential,
    layer2: Sequential,
    layer3: Sequential,
    fc: Linear,
    path: Path,
}

/// A [`CifarResNet`] of `depth` layers with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Reference::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet(&init, 20, 10)?.count_parameters(), 269_722);
/// let error = ferrotape_zoo::cifar_resnet(&init, 21, 10).unwrap_err().to_string();
/// assert!(error.contains("6n + 2"));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// A depth that is not 6n + 2 for an n from 1 to 1,000; no classes; out of memory.
pub fn cifar_resnet(init: &Init, depth: usize, classes: usize) -> Result<CifarResNet> {
    if depth < 8 || depth % 6 != 2 {
        return Err(Error::argument(format!(
            "a CIFAR ResNet has 6n + 2 layers for an n of at least 1, such as 20, 32, 44, 56 or \
             110, not {depth}"
        ))
        .at(init.path().as_str()));
    }
    let layer = |name, from, width, stride| {
        let (kind, shortcut) = (BlockKind::Basic, Shortcut::Identity);
        let stride_in = StrideIn::default();
        let config = BlockConfig { kind, from, width, stride, shortcut, stride_in };
        config.stage(&init.at(name), (depth - 2) / 6)
    };
    Ok(CifarResNet {
        conv1: convolution(&init.at("conv1"), [3, 16], 3, 1)?,
        bn1: norm(&init.at("bn1"), 16)?,
        layer1: layer("layer1", 16, 16, 1)?,
        layer2: layer("layer2", 16, 32, 2)?,
        layer3: layer("layer3", 32, 64, 2)?,
        fc: Linear::new(&init.at("fc"), LinearConfig::new(64, classes))?,
        path: init.path().clone(),
    })
}

impl Layer for CifarResNet {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let x = conv_norm_act(cx, &self.conv1, &self.bn1, None, NormActivation::Relu, x)?;
            let x = self.layer1.forward(cx, &x)?;
            let x = self.layer2.forward(cx, &x)?;
            let x = self.layer3.forward(cx, &x)?;
            self.fc.forward(cx, &x.adaptive_avg_pool2d([1, 1])?.flatten(1)?)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for CifarResNet {}

/// The [`CifarResNet`] of 20 layers.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet20(&init, 10)?.count_parameters(), 269_722);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn cifar_resnet20(init: &Init, classes: usize) -> Result<CifarResNet> {
    cifar_resnet(init, 20, classes)
}

/// The [`CifarResNet`] of 32 layers.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet32(&init, 10)?.count_parameters(), 464_154);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn cifar_resnet32(init: &Init, classes: usize) -> Result<CifarResNet> {
    cifar_resnet(init, 32, classes)
}

/// The [`CifarResNet`] of 44 layers.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet44(&init, 10)?.count_parameters(), 658_586);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn cifar_resnet44(init: &Init, classes: usize) -> Result<CifarResNet> {
    cifar_resnet(init, 44, classes)
}

/// The [`CifarResNet`] of 56 layers.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet56(&init, 10)?.count_parameters(), 853_018);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn cifar_resnet56(init: &Init, classes: usize) -> Result<CifarResNet> {
    cifar_resnet(init, 56, classes)
}

/// The [`CifarResNet`] of 110 layers.
///
/// ```
/// use ferrotape_backend::{Device, Rng, meta::Meta};
/// use ferrotape_nn::{Init, Module};
///
/// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
/// assert_eq!(ferrotape_zoo::cifar_resnet110(&init, 10)?.count_parameters(), 1_727_962);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn cifar_resnet110(init: &Init, classes: usize) -> Result<CifarResNet> {
    cifar_resnet(init, 110, classes)
}
