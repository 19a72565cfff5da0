//! The classic convolutional networks, by name: [LeNet-5](LeNet5), [AlexNet], [VGG](Vgg),
//! [GoogLeNet].
//!
//! A network that torchvision has is torchvision's under torchvision's name, down to the names and
//! the order of its parameters, so that published weights fit: [`alexnet`], [`vgg16_bn`]. Where the
//! paper's network is another one, it has a name of its own: [`lenet5_1998`],
//! [`alexnet_2012`], [`vgg_c`], [`googlenet_2014`].
//!
//! Each network is a file that reads like its paper's table, and is held against the numbers that
//! PyTorch computes for it: names and shapes of its parameters, logits, loss, gradients,
//! multiply-adds. [`models`] lists what there is, [`build`] makes one by name.
//!
//! ```
//! use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
//! use ferrotape_nn::{Init, Layer, Module, Pass};
//!
//! let device = Device::new(Reference::new());
//! let model = ferrotape_zoo::lenet5(&Init::new(&device, Rng::new(42)), 10)?;
//! assert_eq!(model.count_parameters(), 61_706);
//! let cx = Pass::eval(&device);
//! let x = cx.input(Array::zeros(&device, DType::F32, [1, 1, 28, 28])?)?;
//! assert_eq!(model.forward(&cx, &x)?.shape().dims(), [1, 10]);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```

mod alexnet;
mod googlenet;
mod lenet;
mod lenet_1998;
mod registry;
mod vgg;

pub use alexnet::{AlexNet, alexnet, alexnet_2012};
pub use googlenet::{GoogLeNet, GoogLeNetConfig, googlenet, googlenet_2014};
pub use lenet::{LeNet5, lenet5};
pub use lenet_1998::{LeNet1998, LeNet1998Loss, lenet5_1998};
pub use registry::{Model, build, find, models};
pub use vgg::{
    Vgg, vgg_a_lrn, vgg_c, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn,
};
