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
