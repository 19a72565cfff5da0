//! The classic convolutional networks, by name.
//!
//! | family | networks |
//! | --- | --- |
//! | [LeNet-5](LeNet5) | [`lenet5`]; the paper's [`lenet5_1998`] |
//! | [AlexNet] | [`alexnet`]; the paper's [`alexnet_2012`] |
//! | [VGG](Vgg) | [`vgg11`], [`vgg13`], [`vgg16`], [`vgg19`], each with `_bn`; the paper's [`vgg_a_lrn`], [`vgg_c`] |
//! | [GoogLeNet] | [`googlenet`]; the paper's [`googlenet_2014`] |
//! | [ResNet] | [`resnet18`], [`resnet34`], [`resnet50`], [`resnet101`], [`resnet152`]; the paper's forms by [`ResNetConfig`] |
//! | [ResNet for CIFAR-10](CifarResNet) | [`cifar_resnet20`], [`cifar_resnet32`], [`cifar_resnet44`], [`cifar_resnet56`], [`cifar_resnet110`]; any depth 6n + 2 by [`cifar_resnet`] |
//! | [slim VGG](SlimVgg) | [`slim_vgg_bn`], ours, for images of 28 pixels |
//!
//! Each family is a file that reads like its paper's table. Fifteen of the networks are held against the numbers that
//! PyTorch computes for them: names and shapes of parameters, logits, loss, gradients, multiply-adds; the other VGGs
//! against its names, shapes and counts; the papers' forms, where torchvision has another, against the papers' counts.
//! [`models`] lists what there is, [`build`] makes one by name.
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
pub mod blocks;
mod cifar_resnet;
mod googlenet;
mod lenet;
mod lenet_1998;
mod registry;
mod residual;
mod resnet;
mod slim_vgg;
mod vgg;

pub use alexnet::{AlexNet, alexnet, alexnet_2012};
pub use cifar_resnet::{
    CifarResNet, cifar_resnet, cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56,
    cifar_resnet110,
};
pub use googlenet::{GoogLeNet, GoogLeNetConfig, googlenet, googlenet_2014};
pub use lenet::{LeNet5, lenet5};
pub use lenet_1998::{LeNet1998, LeNet1998Loss, lenet5_1998};
pub use registry::{Model, build, find, models};
pub use residual::{BlockKind, Shortcut, StrideIn};
pub use resnet::{ResNet, ResNetConfig, resnet18, resnet34, resnet50, resnet101, resnet152};
pub use slim_vgg::{SlimVgg, slim_vgg_bn};
pub use vgg::{
    Vgg, vgg_a_lrn, vgg_c, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn,
};
