//! What optimizers do beside their formulas, which the crate `ferrotape-parity` holds against PyTorch's
//! numbers.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Device, reference::Reference};
use ferrotape_nn::optim::{
    Adam, AdamConfig, NAdam, NAdamConfig, Optimizer, ReduceOnPlateau, ReduceOnPlateauConfig,
    RmsProp, RmsPropConfig, Rule, Sgd, SgdConfig,
};
use ferrotape_nn::{Parameter, Pass, Path, StateDict};

/// A step with this gradient: that of the product with it.
fn step(optimizer: &mut dyn Optimizer, parameter: &Parameter, gradient: &[f64]) {
    let device = parameter.device();
    let cx = Pass::eval(&device).with_grad();
    let gradient: Tensor = Array::from_slice(&device, gradient, parameter.shape()).unwrap().into();
    let product = cx.param(parameter).unwrap().mul(&gradient).unwrap().sum_all().unwrap();
    optimizer.step(&product.backward().unwrap()).unwrap();
}

fn start(device: &Device) -> Parameter {
    let array = Array::from_slice(device, &[0.5f64, -2.0, 1.5], [3]).unwrap();
    Parameter::new(Path::new("p"), array).unwrap()
}

#[test]
fn parameters_without_a_gradient_stay_and_are_listed() {
    let device = Device::new(Reference::new());
    let make = |name: &str| {
        let array = Array::from_slice(&device, &[1.0f64], [1]).unwrap();
        Parameter::new(Path::new(name), array).unwrap()
    };
    let (used, unused, frozen) = (make("used"), make("unused"), make("frozen"));
    frozen.set_trainable(false);
    let all = vec![used.clone(), unused.clone(), frozen.clone()];
    let mut sgd = Sgd::new(all, SgdConfig { lr: 0.5, weight_decay: 1.0, ..Default::default() });
    let sgd = sgd.as_mut().unwrap();
    let cx = Pass::eval(&device).with_grad();
    let loss = cx.param(&used).unwrap().mul(&cx.param(&frozen).unwrap()).unwrap();
    sgd.step(&loss.sum_all().unwrap().backward().unwrap()).unwrap();
    let values = [&used, &unused, &frozen].map(|p| p.value().item().unwrap());
    assert_eq!(values, [0.0, 1.0, 1.0]);
    assert_eq!(sgd.missing(), [Path::new("unused")]);
}

#[test]
fn gradients_of_another_model_are_an_error() {
    let device = Device::new(Reference::new());
    let (own, other, frozen) = (start(&device), start(&device), start(&device));
    frozen.set_trainable(false);
    let gradients = |parameter: &Parameter| {
        let cx = Pass::eval(&device).with_grad();
        cx.param(parameter).unwrap().square().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let config = SgdConfig { lr: 0.5, ..SgdConfig::default() };
    let mut sgd = Sgd::new(vec![own.clone(), frozen.clone()], config).unwrap();
    let error = sgd.step(&gradients(&other)).unwrap_err().to_string();
    assert!(
        error.starts_with("none of the gradients are of this optimizer's parameters"),
        "{error}"
    );
    assert!(error.contains("p is the first"), "{error}");
    sgd.step(&gradients(&own)).unwrap();

    // Where nothing is to be trained, nothing is missing.
    let mut idle = Sgd::new(vec![frozen], config).unwrap();
    idle.step(&gradients(&other)).unwrap();
    Sgd::new(Vec::new(), config).unwrap().step(&gradients(&other)).unwrap();
}

#[test]
fn a_state_of_another_model_is_refused_and_changes_nothing() {
    let device = Device::new(Reference::new());
    let parameter = start(&device);
    let config = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
    let mut optimizer = Sgd::new(vec![parameter.clone()], config).unwrap();
    step(&mut optimizer, &parameter, &[1.0, 0.5, -3.0]);
    let before = optimizer.state_dict().unwrap().to_bytes().unwrap();

    let mut other = StateDict::new();
    other.insert("lr", Array::from_slice(&device, &[0.7f64], []).unwrap());
    other.insert("q.step", Array::from_slice(&device, &[3i64], []).unwrap());
    assert!(optimizer.load_state_dict(&other).is_err());
    let mut short = optimizer.state_dict().unwrap();
    short.insert("p.momentum_buffer", Array::from_slice(&device, &[0.7f64], [1]).unwrap());
    assert!(optimizer.load_state_dict(&short).is_err());
    assert_eq!(optimizer.state_dict().unwrap().to_bytes().unwrap(), before);
}

#[test]
fn options_out_of_range_are_errors() {
    let config = SgdConfig { lr: f64::NAN, ..SgdConfig::default() };
    assert!(Sgd::new(Vec::new(), config).is_err());
    let config = SgdConfig { nesterov: true, ..SgdConfig::default() };
    assert!(Sgd::new(Vec::new(), config).is_err());
    let config = AdamConfig { betas: [1.0, 0.9], ..AdamConfig::default() };
    assert!(Adam::new(Vec::new(), config).is_err());
    let config = RmsPropConfig { alpha: 1.0, ..RmsPropConfig::default() };
    assert!(RmsProp::new(Vec::new(), config).is_err());
    let config = NAdamConfig { momentum_decay: -1.0, ..NAdamConfig::default() };
    assert!(NAdam::new(Vec::new(), config).is_err());
    let parameter = start(&Device::new(Reference::new()));
    let twice = vec![parameter.clone(), parameter];
    assert!(Sgd::new(twice, SgdConfig::default()).is_err());
}

#[test]
fn a_plateau_of_an_accuracy_is_where_it_stops_to_rise() {
    let config = ReduceOnPlateauConfig {
        factor: 0.5,
        patience: 0,
        threshold: 0.1,
        maximize: true,
        absolute: true,
        ..ReduceOnPlateauConfig::default()
    };
    let mut plateau = ReduceOnPlateau::new(config).unwrap();
    let rates = [0.2, 0.4, 0.45, 0.6].map(|accuracy| plateau.lr(1.0, accuracy));
    assert_eq!(rates, [1.0, 1.0, 0.5, 1.0]);
    assert_eq!(plateau.lr(1.0, f64::NAN), 0.5);
}

#[test]
fn nadam_computes_a_late_step_as_its_formula_says() {
    // The product of the momenta is computed anew at each step, and only as far as it matters.
    let rule = NAdamConfig::default();
    let momentum = |t: u64| 0.9 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * rule.momentum_decay));
    let product: f64 = (1..=60).map(momentum).product();
    let scalars = rule.scalars(60, 1.0);
    assert!((scalars[8] - (1.0 - momentum(60)) / (1.0 - product)).abs() < 1e-15);
    assert_eq!(rule.scalars(u64::MAX, 1.0)[8], 1.0 - momentum(u64::MAX));
}
