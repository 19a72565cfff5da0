//! First values of parameters.

use ferrotape_backend::{Device, Rng};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_nn::{Init, Module, Parameter};

/// Mean and standard deviation.
fn moments(parameter: &Parameter) -> (f64, f64) {
    let values = parameter.value().to_f64_vec().unwrap();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt())
}

fn cpu() -> Device {
    Device::new(Cpu::new(CpuOptions::default()).unwrap())
}

/// Five standard errors of a mean and of a standard deviation of so many normal draws.
fn assert_normal(parameter: &Parameter, std: f64) {
    let (mean, found) = moments(parameter);
    let error = 5.0 * std / (parameter.shape().numel() as f64).sqrt();
    assert!(mean.abs() < error, "{}: mean {mean}", parameter.path());
    assert!((found - std).abs() < error, "{}: {found} for {std}", parameter.path());
}

#[test]
fn alexnet_of_2012_begins_as_its_section_5_says() {
    let model = ferrotape_zoo::alexnet_2012(&Init::new(&cpu(), Rng::new(1)), 10).unwrap();
    for (name, parameter) in model.named_parameters() {
        let layer = name.split('.').nth(1).unwrap();
        if name.ends_with(".weight") {
            assert_normal(&parameter, 0.01);
        } else {
            let ones = ["conv2", "conv4", "conv5", "fc6", "fc7"].contains(&layer);
            assert_eq!(moments(&parameter), (f64::from(u8::from(ones)), 0.0), "{name}");
        }
    }
}

#[test]
fn vgg_begins_as_that_of_torchvision() {
    let model = ferrotape_zoo::vgg11_bn(&Init::new(&cpu(), Rng::new(1)), 10).unwrap();
    for (name, parameter) in model.named_parameters() {
        // A hundred million numbers would tell no more than the sixteen million of the layer after.
        if name == "classifier.0.weight" {
            continue;
        }
        match (parameter.shape().dims(), name.ends_with(".weight")) {
            ([outputs, _, 3, 3], _) => {
                assert_normal(&parameter, (2.0 / (9 * outputs) as f64).sqrt())
            }
            ([_, _], _) => assert_normal(&parameter, 0.01),
            (_, norm) => {
                assert_eq!(moments(&parameter), (f64::from(u8::from(norm)), 0.0), "{name}")
            }
        }
    }
}

#[test]
fn googlenet_begins_as_that_of_torchvision() {
    let model = ferrotape_zoo::googlenet(&Init::new(&cpu(), Rng::new(1)), 10).unwrap();
    for (name, parameter) in model.named_parameters() {
        match (parameter.shape().rank(), name.contains(".bn.")) {
            (1, true) => {
                let weight = f64::from(u8::from(name.ends_with(".weight")));
                assert_eq!(moments(&parameter), (weight, 0.0), "{name}");
            }
            // The bias of a linear layer, as PyTorch begins it.
            (1, false) => assert!(moments(&parameter).1 > 0.0, "{name}"),
            _ => assert_normal(&parameter, 0.01),
        }
    }
}

#[test]
fn googlenet_of_2014_begins_with_biases_of_zero() {
    let model = ferrotape_zoo::googlenet_2014(&Init::new(&cpu(), Rng::new(1)), 10).unwrap();
    for (name, parameter) in model.named_parameters() {
        let (_, std) = moments(&parameter);
        match name.ends_with(".bias") {
            true => assert_eq!(std, 0.0, "{name}"),
            false => {
                let [outputs, inputs] = [parameter.shape()[0], parameter.shape()[1]];
                let window: usize = parameter.shape()[2..].iter().product();
                let glorot = (2.0 / (window * (inputs + outputs)) as f64).sqrt();
                assert!((std / glorot - 1.0).abs() < 0.1, "{name}: {std} for {glorot}");
            }
        }
    }
}
