//! LeNet-5 (LeCun, Bottou, Bengio, Haffner: *Gradient-based learning applied to document
//! recognition*, 1998), in the form that is usual today: every map of C3 sees all maps of S2,
//! subsampling has no parameters, and the output is linear. The paper's own is
//! [`lenet5_1998`](crate::lenet5_1998).

use ferrotape_autograd::Tensor;
use ferrotape_backend::Result;
use ferrotape_nn::{
    AvgPool2d, Classifier, Conv2d, Conv2dConfig, Init, Layer, Linear, LinearConfig, Module, Pass,
    Path, PoolConfig,
};

/// LeNet-5: digits `[N, 1, 28, 28]` to logits `[N, classes]`.
///
/// | layer | output | parameters (10 classes) |
/// | --- | --- | --- |
/// | conv1: 5x5, padding 2, tanh | 6 x 28 x 28 | 156 |
/// | pool1: average 2x2 | 6 x 14 x 14 | |
/// | conv2: 5x5, tanh | 16 x 10 x 10 | 2,416 |
/// | pool2: average 2x2 | 16 x 5 x 5 | |
/// | fc1: tanh | 120 | 48,120 |
/// | fc2: tanh | 84 | 10,164 |
/// | fc3 | 10 | 850 |
///
/// The paper pads the digits to 32 x 32 beforehand; here the first convolution does.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, Module, Pass};
/// use ferrotape_zoo::LeNet5;
///
/// let init = Init::new(&Device::new(Reference::new()), Rng::new(42));
/// let model: LeNet5 = ferrotape_zoo::lenet5(&init, 10)?;
/// assert_eq!(model.count_parameters(), 61_706);
/// // The best of ten classes for each of two digits.
/// let digits = init.normal([2, 1, 28, 28], 0.0, 1.0)?.into();
/// let scores = model.forward(&Pass::eval(init.device()), &digits)?;
/// assert_eq!(scores.argmax(1, false)?.shape().dims(), [2]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct LeNet5 {
    conv1: Conv2d,
    pool1: AvgPool2d,
    conv2: Conv2d,
    pool2: AvgPool2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    path: Path,
}

/// A [`LeNet5`] with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Module};
///
/// let device = Device::new(Reference::new());
/// let model = ferrotape_zoo::lenet5(&Init::new(&device, Rng::new(42)), 10)?;
/// assert_eq!(model.named_parameters()[0].0, "conv1.weight");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// No classes; out of memory.
pub fn lenet5(init: &Init, classes: usize) -> Result<LeNet5> {
    Ok(LeNet5 {
        conv1: Conv2d::new(&init.at("conv1"), Conv2dConfig::new(1, 6, 5).padding(2))?,
        pool1: AvgPool2d::new(&init.at("pool1"), PoolConfig::new(2))?,
        conv2: Conv2d::new(&init.at("conv2"), Conv2dConfig::new(6, 16, 5))?,
        pool2: AvgPool2d::new(&init.at("pool2"), PoolConfig::new(2))?,
        fc1: Linear::new(&init.at("fc1"), LinearConfig::new(16 * 5 * 5, 120))?,
        fc2: Linear::new(&init.at("fc2"), LinearConfig::new(120, 84))?,
        fc3: Linear::new(&init.at("fc3"), LinearConfig::new(84, classes))?,
        path: init.path().clone(),
    })
}

impl Layer for LeNet5 {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || {
            let x = self.conv1.forward(cx, x)?.tanh()?;
            let x = self.pool1.forward(cx, &x)?;
            let x = self.conv2.forward(cx, &x)?.tanh()?;
            let x = self.pool2.forward(cx, &x)?.flatten(1)?;
            let x = self.fc1.forward(cx, &x)?.tanh()?;
            let x = self.fc2.forward(cx, &x)?.tanh()?;
            self.fc3.forward(cx, &x)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Classifier for LeNet5 {}
