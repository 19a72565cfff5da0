//! Optimizers and schedules: files of the form of `optim.json`.
//!
//! `optimizers[i]` has `optimizer` (PyTorch's class in lower case), `options`, the parameter's `start`
//! and, for each step, `grads` and the `params` that follow. `schedules[i]` has `schedule`,
//! `base_lr`, `options` and the `lr` in force at each step; `reduce_on_plateau` also the `metric` that
//! it is given after each.

use ferrotape::autograd::Tensor;
use ferrotape::backend::{Array, Context, DType, Device, Error, Result};
use ferrotape::nn::optim::{
    Adadelta, AdadeltaConfig, Adagrad, AdagradConfig, Adam, AdamConfig, AdamW, AdamWConfig, Adamax,
    AdamaxConfig, NAdam, NAdamConfig, Optimizer, RAdam, RAdamConfig, ReduceOnPlateau,
    ReduceOnPlateauConfig, RmsProp, RmsPropConfig, Schedule, Sgd, SgdConfig,
};
use ferrotape::nn::{Parameter, Pass, Path};
use serde_json::Value;

use crate::options::Options;
use crate::{Outcome, Verdict};

/// The tolerance in a float type, relative to the larger of the largest value expected and 0.01.
///
/// ```
/// assert_eq!(ferrotape_parity::optim::tolerance(ferrotape::backend::DType::F64), 1e-12);
/// ```
#[must_use]
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-4,
        DType::F16 => 1e-2,
        _ => 5e-2,
    }
}

/// Every case, or nothing if there are neither optimizers nor schedules.
pub(crate) fn check(json: &Value, device: &Device, dtype: DType) -> Option<Vec<Outcome>> {
    let optimizers = json.get("optimizers").and_then(Value::as_array);
    let schedules = json.get("schedules").and_then(Value::as_array);
    if optimizers.is_none() && schedules.is_none() {
        return None;
    }
    let mut outcomes = Vec::new();
    for (index, case) in optimizers.into_iter().flatten().enumerate() {
        let compared = steps(case, device, dtype);
        outcomes.push(outcome(format!("optimizers/{index}"), case, "optimizer", compared, dtype));
    }
    for (index, case) in schedules.into_iter().flatten().enumerate() {
        let compared = rates(case);
        outcomes.push(outcome(
            format!("schedules/{index}"),
            case,
            "schedule",
            compared,
            DType::F64,
        ));
    }
    Some(outcomes)
}

/// What was found and what is expected, a name each.
type Compared = Vec<(String, Vec<f64>, Vec<f64>)>;

fn outcome(
    place: String,
    case: &Value,
    kind: &str,
    compared: Result<Compared>,
    dtype: DType,
) -> Outcome {
    let name = case.get(kind).and_then(Value::as_str).unwrap_or("unnamed");
    let verdict = match compared {
        Ok(compared) => verdict(&compared, tolerance(dtype)),
        Err(error) => Verdict::Impossible(error.to_string()),
    };
    Outcome { id: format!("{place}/{name}"), verdict }
}

fn verdict(compared: &Compared, relative: f64) -> Verdict {
    let mut worst = (0.0, None);
    for (tensor, found, expected) in compared {
        if found.len() != expected.len() {
            let (found, expected) = (found.len(), expected.len());
            let why = format!("{tensor} has {found} values, the fixture {expected}");
            return Verdict::Impossible(why);
        }
        let tolerance = relative * expected.iter().fold(0.01f64, |m, e| m.max(e.abs()));
        let error = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
        // A NaN is as wrong as can be.
        let error = error.fold(0.0, |m, e| if e.is_nan() { f64::INFINITY } else { e.max(m) });
        if error / tolerance > worst.0 {
            worst = (error / tolerance, Some((tensor.clone(), error, tolerance)));
        }
    }
    match worst {
        (ratio, Some((tensor, error, tolerance))) if ratio > 1.0 => {
            Verdict::Differs { tensor, error, tolerance }
        }
        (ratio, _) => Verdict::Passed(ratio),
    }
}

/// The optimizer of a case over these parameters.
///
/// ```
/// use serde_json::json;
///
/// let case = json!({ "optimizer": "sgd", "options": { "lr": 0.5 } });
/// let optimizer = ferrotape_parity::optim::optimizer(&case, Vec::new())?;
/// assert_eq!(optimizer.lr(), 0.5);
/// # Ok::<(), ferrotape::backend::Error>(())
/// ```
///
/// # Errors
/// An unknown optimizer or option, or a value out of range.
pub fn optimizer(case: &Value, parameters: Vec<Parameter>) -> Result<Box<dyn Optimizer>> {
    let options = Options::of(case);
    let number = |name: &str, default: f64| options.number(name, default);
    let flag = |name: &str| options.flag(name);
    let adam = |decay: f64| -> Result<AdamConfig> {
        let default = AdamConfig::default();
        Ok(AdamConfig {
            lr: number("lr", default.lr)?,
            betas: options.betas()?,
            eps: number("eps", default.eps)?,
            weight_decay: number("weight_decay", decay)?,
            amsgrad: flag("amsgrad")?,
            maximize: flag("maximize")?,
        })
    };
    let made: Box<dyn Optimizer> = match text(case, "optimizer")? {
        "sgd" => {
            let config = SgdConfig {
                lr: number("lr", SgdConfig::default().lr)?,
                momentum: number("momentum", 0.0)?,
                dampening: number("dampening", 0.0)?,
                nesterov: flag("nesterov")?,
                weight_decay: number("weight_decay", 0.0)?,
                maximize: flag("maximize")?,
            };
            Box::new(Sgd::new(parameters, config)?)
        }
        "adam" if flag("decoupled_weight_decay")? => {
            Box::new(AdamW::new(parameters, AdamWConfig(adam(0.0)?))?)
        }
        "adam" => Box::new(Adam::new(parameters, adam(0.0)?)?),
        "adamw" => {
            let decay = AdamWConfig::default().0.weight_decay;
            Box::new(AdamW::new(parameters, AdamWConfig(adam(decay)?))?)
        }
        "rmsprop" => {
            let default = RmsPropConfig::default();
            let config = RmsPropConfig {
                lr: number("lr", default.lr)?,
                alpha: number("alpha", default.alpha)?,
                eps: number("eps", default.eps)?,
                weight_decay: number("weight_decay", 0.0)?,
                momentum: number("momentum", 0.0)?,
                centered: flag("centered")?,
                maximize: flag("maximize")?,
            };
            Box::new(RmsProp::new(parameters, config)?)
        }
        "adagrad" => {
            let default = AdagradConfig::default();
            let config = AdagradConfig {
                lr: number("lr", default.lr)?,
                lr_decay: number("lr_decay", 0.0)?,
                weight_decay: number("weight_decay", 0.0)?,
                initial_accumulator_value: number("initial_accumulator_value", 0.0)?,
                eps: number("eps", default.eps)?,
                maximize: flag("maximize")?,
            };
            Box::new(Adagrad::new(parameters, config)?)
        }
        "adadelta" => {
            let default = AdadeltaConfig::default();
            let config = AdadeltaConfig {
                lr: number("lr", default.lr)?,
                rho: number("rho", default.rho)?,
                eps: number("eps", default.eps)?,
                weight_decay: number("weight_decay", 0.0)?,
                maximize: flag("maximize")?,
            };
            Box::new(Adadelta::new(parameters, config)?)
        }
        "adamax" => {
            let default = AdamaxConfig::default();
            let config = AdamaxConfig {
                lr: number("lr", default.lr)?,
                betas: options.betas()?,
                eps: number("eps", default.eps)?,
                weight_decay: number("weight_decay", 0.0)?,
                maximize: flag("maximize")?,
            };
            Box::new(Adamax::new(parameters, config)?)
        }
        "nadam" => {
            let default = NAdamConfig::default();
            let config = NAdamConfig {
                lr: number("lr", default.lr)?,
                betas: options.betas()?,
                eps: number("eps", default.eps)?,
                weight_decay: number("weight_decay", 0.0)?,
                momentum_decay: number("momentum_decay", default.momentum_decay)?,
                decoupled_weight_decay: flag("decoupled_weight_decay")?,
                maximize: flag("maximize")?,
            };
            Box::new(NAdam::new(parameters, config)?)
        }
        "radam" => {
            let default = RAdamConfig::default();
            let config = RAdamConfig {
                lr: number("lr", default.lr)?,
                betas: options.betas()?,
                eps: number("eps", default.eps)?,
                weight_decay: number("weight_decay", 0.0)?,
                decoupled_weight_decay: flag("decoupled_weight_decay")?,
                maximize: flag("maximize")?,
            };
            Box::new(RAdam::new(parameters, config)?)
        }
        other => return Err(Error::argument(format!("there is no optimizer {other}"))),
    };
    options.done(made)
}

/// One step of an optimizer of one parameter with this gradient: that of the product with it.
///
/// # Errors
/// The gradient has another number of elements than the parameter.
pub fn step(optimizer: &mut dyn Optimizer, parameter: &Parameter, gradient: &[f64]) -> Result<()> {
    let device = parameter.device();
    let dtype = parameter.value().dtype();
    let gradient: Tensor = Array::from_f64(&device, gradient, dtype, parameter.shape())?.into();
    let cx = Pass::eval(&device).with_grad();
    let product = cx.param(parameter)?.mul(&gradient)?.sum_all()?;
    optimizer.step(&product.backward()?)
}

/// A parameter that holds a case's start.
///
/// # Errors
/// The case has none.
pub fn start(case: &Value, device: &Device, dtype: DType) -> Result<Parameter> {
    let start = numbers(case, "start")?;
    Parameter::new(Path::new("p"), Array::from_f64(device, &start, dtype, [start.len()])?)
}

fn steps(case: &Value, device: &Device, dtype: DType) -> Result<Compared> {
    let parameter = start(case, device, dtype)?;
    let mut optimizer = optimizer(case, vec![parameter.clone()])?;
    let (gradients, expected) = (table(case, "grads")?, table(case, "params")?);
    if gradients.len() != expected.len() {
        return Err(Error::argument("grads and params have different numbers of steps"));
    }
    let mut compared = Compared::new();
    for (index, (gradient, expected)) in gradients.iter().zip(expected).enumerate() {
        let name = format!("params/{index}");
        step(&mut *optimizer, &parameter, gradient).at(|| name.clone())?;
        compared.push((name, parameter.value().to_f64_vec()?, expected));
    }
    Ok(compared)
}

fn rates(case: &Value) -> Result<Compared> {
    let options = Options::of(case);
    let base = case.get("base_lr").and_then(Value::as_f64);
    let base = base.ok_or_else(|| Error::argument("base_lr is not a number"))?;
    let expected = numbers(case, "lr")?;
    let number = |name: &str| options.number(name, None);
    let count = |name: &str| options.count(name, None);
    let schedule = match text(case, "schedule")? {
        "constant" => Schedule::Constant,
        "step" => {
            Schedule::Step { step_size: count("step_size")?, gamma: options.number("gamma", 0.1)? }
        }
        "multi_step" => Schedule::MultiStep {
            milestones: options.counts("milestones")?,
            gamma: options.number("gamma", 0.1)?,
        },
        "exponential" => Schedule::Exponential { gamma: number("gamma")? },
        "polynomial" => Schedule::Polynomial {
            steps: options.count("total_iters", 5)?,
            power: options.number("power", 1.0)?,
        },
        "linear_warmup" => Schedule::Warmup {
            steps: options.count("total_iters", 5)?,
            start_factor: options.number("start_factor", 1.0 / 3.0)?,
        },
        "cosine" => {
            Schedule::Cosine { steps: count("t_max")?, min_lr: options.number("eta_min", 0.0)? }
        }
        "cosine_warm_restarts" => Schedule::CosineRestarts {
            steps: count("t_0")?,
            factor: options.count("t_mult", 1)?,
            min_lr: options.number("eta_min", 0.0)?,
        },
        "one_cycle" => Schedule::OneCycle {
            max_lr: number("max_lr")?,
            steps: count("total_steps")?,
            pct_start: options.number("pct_start", 0.3)?,
            div_factor: options.number("div_factor", 25.0)?,
            final_div_factor: options.number("final_div_factor", 1e4)?,
        },
        "reduce_on_plateau" => {
            let default = ReduceOnPlateauConfig::default();
            let config = ReduceOnPlateauConfig {
                factor: options.number("factor", default.factor)?,
                patience: options.count("patience", default.patience)?,
                threshold: options.number("threshold", default.threshold)?,
                cooldown: options.count("cooldown", default.cooldown)?,
                min_lr: options.number("min_lr", default.min_lr)?,
                maximize: options.second_of("mode", ["min", "max"])?,
                absolute: options.second_of("threshold_mode", ["rel", "abs"])?,
                eps: options.number("eps", default.eps)?,
            };
            let mut plateau = options.done(ReduceOnPlateau::new(config)?)?;
            let metric = numbers(case, "metric")?;
            let mut found = vec![base];
            for metric in metric.into_iter().take(expected.len().saturating_sub(1)) {
                found.push(plateau.lr(*found.last().unwrap_or(&base), metric));
            }
            return Ok(vec![("lr".to_owned(), found, expected)]);
        }
        other => return Err(Error::argument(format!("there is no schedule {other}"))),
    };
    let schedule = options.done(schedule)?;
    let found = (0..expected.len() as u64).map(|step| schedule.lr(base, step)).collect();
    Ok(vec![("lr".to_owned(), found, expected)])
}

fn text<'a>(case: &'a Value, name: &str) -> Result<&'a str> {
    let text = case.get(name).and_then(Value::as_str);
    text.ok_or_else(|| Error::argument(format!("{name} is not a text")))
}

fn list(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

fn numbers(case: &Value, name: &str) -> Result<Vec<f64>> {
    let numbers = case.get(name).and_then(list);
    numbers.ok_or_else(|| Error::argument(format!("{name} is not a list of numbers")))
}

fn table(case: &Value, name: &str) -> Result<Vec<Vec<f64>>> {
    let rows = case.get(name).and_then(Value::as_array);
    let rows = rows.and_then(|rows| rows.iter().map(list).collect());
    rows.ok_or_else(|| Error::argument(format!("{name} is not a list of lists of numbers")))
}
