//! Networks of the zoo that cannot be, and images that do not fit them.

use ferrotape::prelude::*;

use crate::layers::device;
use crate::{Case, Outcome, case};

fn build(name: &str, classes: usize) -> Outcome {
    zoo::build(name, &Init::new(&device(), Rng::new(1)), classes)?;
    Ok(())
}

/// Trains a network of ten classes for a step on zeros of this shape.
fn put(name: &str, shape: &[usize], labels: &[i64]) -> Outcome {
    let device = device();
    let model = zoo::build(name, &Init::new(&device, Rng::new(1)), 10)?;
    let cx = Pass::train(&device, Rng::new(1));
    let images = cx.input(Array::zeros(&device, DType::F32, shape)?)?;
    model.loss(&cx, &images, &Array::from_slice(&device, labels, [labels.len()])?)?;
    Ok(())
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("a network that there is not", || build("resnet19", 10)),
        case("a network without classes", || build("lenet5", 0)),
        case("a network of 2⁶⁴ - 1 classes", || build("lenet5", usize::MAX)),
        case("`lenet5_1998` for 11 classes", || build("lenet5_1998", 11)),
        case("`lenet5`, images in colour", || put("lenet5", &[2, 3, 28, 28], &[0, 1])),
        case("`lenet5`, images of 20 × 20", || put("lenet5", &[2, 1, 20, 20], &[0, 1])),
        case("`lenet5`, images of 4 × 4", || put("lenet5", &[2, 1, 4, 4], &[0, 1])),
        case("`lenet5`, a batch without its dimension", || put("lenet5", &[1, 28, 28], &[0])),
        case("`lenet5`, a label of 10", || put("lenet5", &[2, 1, 28, 28], &[0, 10])),
        case("`lenet5`, fewer labels than images", || put("lenet5", &[2, 1, 28, 28], &[0])),
        case("`cifar_resnet20` in training, no images", || {
            put("cifar_resnet20", &[0, 3, 32, 32], &[])
        }),
        case("`cifar_resnet20` in training, one image of one pixel", || {
            put("cifar_resnet20", &[1, 3, 1, 1], &[0])
        }),
    ]
}
