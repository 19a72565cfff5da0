//! Optimizers and schedules against the values that PyTorch computed, in f64.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Device, reference::Reference};
use ferrotape_nn::optim::{
    Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, ReduceOnPlateau, ReduceOnPlateauConfig,
    Schedule, Sgd, SgdConfig,
};
use ferrotape_nn::{Parameter, Pass, Path, StateDict};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/optim.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= 1e-12 * (1.0 + e.abs()))
}

fn make(case: &Value, parameters: Vec<Parameter>) -> Box<dyn Optimizer> {
    let options = &case["options"];
    let number = |name: &str, default: f64| options[name].as_f64().unwrap_or(default);
    let flag = |name: &str| options[name].as_bool().unwrap_or(false);
    let adam = |decay: f64| AdamConfig {
        lr: number("lr", 1e-3),
        betas: options["betas"]
            .as_array()
            .map_or([0.9, 0.999], |b| [b[0].as_f64().unwrap(), b[1].as_f64().unwrap()]),
        eps: number("eps", 1e-8),
        weight_decay: number("weight_decay", decay),
        amsgrad: flag("amsgrad"),
        maximize: flag("maximize"),
    };
    match case["optimizer"].as_str().unwrap() {
        "sgd" => {
            let config = SgdConfig {
                lr: number("lr", 1e-3),
                momentum: number("momentum", 0.0),
                dampening: number("dampening", 0.0),
                nesterov: flag("nesterov"),
                weight_decay: number("weight_decay", 0.0),
                maximize: flag("maximize"),
            };
            Box::new(Sgd::new(parameters, config).unwrap())
        }
        "adam" => Box::new(Adam::new(parameters, adam(0.0)).unwrap()),
        "adamw" => Box::new(AdamW::new(parameters, AdamWConfig(adam(0.01))).unwrap()),
        other => panic!("the fixture has {other}, which this test does not know"),
    }
}

/// A step with this gradient: that of the product with it.
fn step(optimizer: &mut dyn Optimizer, parameter: &Parameter, gradient: &Value) {
    let device = parameter.device();
    let cx = Pass::eval(&device).with_grad();
    let gradient: Tensor =
        Array::from_slice(&device, &numbers(gradient), parameter.shape()).unwrap().into();
    let product = cx.param(parameter).unwrap().mul(&gradient).unwrap().sum_all().unwrap();
    optimizer.step(&product.backward().unwrap()).unwrap();
}

fn start(device: &Device, case: &Value) -> Parameter {
    let start = numbers(&case["start"]);
    let array = Array::from_slice(device, &start, [start.len()]).unwrap();
    Parameter::new(Path::new("p"), array).unwrap()
}

#[test]
fn every_optimizer_takes_the_steps_that_pytorch_takes() {
    let device = Device::new(Reference::new());
    for case in fixture()["optimizers"].as_array().unwrap() {
        let parameter = start(&device, case);
        let mut optimizer = make(case, vec![parameter.clone()]);
        let steps =
            case["grads"].as_array().unwrap().iter().zip(case["params"].as_array().unwrap());
        for (index, (gradient, expected)) in steps.enumerate() {
            step(&mut *optimizer, &parameter, gradient);
            let found = parameter.value().to_vec::<f64>().unwrap();
            let what = (&case["optimizer"], &case["options"]);
            assert!(close(&found, &numbers(expected)), "{what:?} after step {index}: {found:?}");
        }
    }
}

#[test]
fn a_saved_optimizer_goes_on_to_the_bit() {
    let device = Device::new(Reference::new());
    for case in fixture()["optimizers"].as_array().unwrap() {
        let gradients = case["grads"].as_array().unwrap();
        let (first, second) = gradients.split_at(gradients.len() / 2);

        let whole = start(&device, case);
        let mut optimizer = make(case, vec![whole.clone()]);
        first.iter().for_each(|g| step(&mut *optimizer, &whole, g));
        optimizer.set_lr(0.5 * optimizer.lr());
        let saved = optimizer.state_dict().unwrap().to_bytes().unwrap();
        let resumed = Parameter::new(Path::new("p"), whole.value()).unwrap();
        second.iter().for_each(|g| step(&mut *optimizer, &whole, g));

        let mut optimizer = make(case, vec![resumed.clone()]);
        optimizer.load_state_dict(&StateDict::from_bytes(&device, &saved).unwrap()).unwrap();
        second.iter().for_each(|g| step(&mut *optimizer, &resumed, g));
        let bits = |p: &Parameter| p.value().to_vec::<f64>().unwrap();
        assert_eq!(bits(&resumed), bits(&whole), "{:?}", case["options"]);
    }
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
fn a_state_of_another_model_is_refused_and_changes_nothing() {
    let device = Device::new(Reference::new());
    let fixture = fixture();
    let case = &fixture["optimizers"][1];
    let parameter = start(&device, case);
    let mut optimizer = make(case, vec![parameter.clone()]);
    step(&mut *optimizer, &parameter, &case["grads"][0]);
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
    let parameter = start(&Device::new(Reference::new()), &fixture()["optimizers"][0]);
    let twice = vec![parameter.clone(), parameter];
    assert!(Sgd::new(twice, SgdConfig::default()).is_err());
}

#[test]
fn every_schedule_gives_the_rates_that_pytorch_gives() {
    for case in fixture()["schedules"].as_array().unwrap() {
        let options = &case["options"];
        let number = |name: &str| options[name].as_f64().unwrap();
        let count = |name: &str| options[name].as_u64().unwrap();
        let base = case["base_lr"].as_f64().unwrap();
        let expected = numbers(&case["lr"]);
        let schedule = match case["schedule"].as_str().unwrap() {
            "step" => Schedule::Step { step_size: count("step_size"), gamma: number("gamma") },
            "multi_step" => Schedule::MultiStep {
                milestones: numbers(&options["milestones"]).iter().map(|&m| m as u64).collect(),
                gamma: number("gamma"),
            },
            "exponential" => Schedule::Exponential { gamma: number("gamma") },
            "polynomial" => {
                Schedule::Polynomial { steps: count("total_iters"), power: number("power") }
            }
            "linear_warmup" => Schedule::Warmup {
                steps: count("total_iters"),
                start_factor: number("start_factor"),
            },
            "cosine" => Schedule::Cosine { steps: count("t_max"), min_lr: number("eta_min") },
            "cosine_warm_restarts" => Schedule::CosineRestarts {
                steps: count("t_0"),
                factor: count("t_mult"),
                min_lr: number("eta_min"),
            },
            "one_cycle" => Schedule::OneCycle {
                max_lr: number("max_lr"),
                steps: count("total_steps"),
                pct_start: number("pct_start"),
                div_factor: number("div_factor"),
                final_div_factor: number("final_div_factor"),
            },
            "reduce_on_plateau" => {
                let mut plateau = ReduceOnPlateau::new(ReduceOnPlateauConfig {
                    factor: number("factor"),
                    patience: count("patience"),
                    threshold: number("threshold"),
                    cooldown: count("cooldown"),
                    min_lr: number("min_lr"),
                })
                .unwrap();
                let mut lr = base;
                for (metric, expected) in numbers(&case["metric"]).into_iter().zip(&expected) {
                    assert!((lr - expected).abs() < 1e-12, "{lr} for {expected}");
                    lr = plateau.lr(lr, metric);
                }
                continue;
            }
            other => panic!("the fixture has {other}, which this test does not know"),
        };
        let found: Vec<f64> = (0..expected.len() as u64).map(|s| schedule.lr(base, s)).collect();
        assert!(close(&found, &expected), "{schedule:?}: {found:?}\nfor {expected:?}");
    }
}
