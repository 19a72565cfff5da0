//! Optimizers on the CPU as on the reference backend.

use ferrotape_backend::{Array, Device};
use ferrotape_nn::{Parameter, Path};
use ferrotape_parity::optim;
use serde_json::{Map, Value, json};

use crate::draw::Draw;
use crate::verdict::{Operand, Outcome, agree};

const NAMES: &[&str] =
    &["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam"];

/// The settings that are numbers, and what they may be, the default's neighbourhood first.
const NUMBERS: &[(&str, &[f64])] = &[
    ("lr", &[0.01, 0.1, 1.0, 0.0, -1.0, f64::MAX]),
    ("momentum", &[0.9, 0.0, 0.5, 1.0, -0.5]),
    ("dampening", &[0.0, 0.5, 1.0]),
    ("weight_decay", &[0.0, 0.01, 0.5, -0.1]),
    ("eps", &[1e-8, 1e-3, 0.0, -1.0]),
    ("alpha", &[0.99, 0.5, 0.0, 1.0, 2.0]),
    ("lr_decay", &[0.0, 0.1, -1.0]),
    ("initial_accumulator_value", &[0.0, 0.5, -1.0]),
    ("rho", &[0.9, 0.0, 1.0, 2.0]),
    ("momentum_decay", &[0.004, 0.0, 1.0]),
];

const FLAGS: &[&str] = &["nesterov", "maximize", "amsgrad", "centered", "decoupled_weight_decay"];

/// The bytes are a float type, an optimizer with some of all settings, right and wrong, the number of elements
/// and the gradient of each step.
pub fn optimizers(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let dtype = draw.float();
    let mut options = Map::new();
    for &(name, values) in NUMBERS {
        if draw.count(3) == 1 {
            options.insert(name.to_owned(), draw.pick(values).into());
        }
    }
    for &name in FLAGS {
        if draw.count(3) == 1 {
            options.insert(name.to_owned(), draw.flag().into());
        }
    }
    if draw.flag() {
        let betas = [draw.pick(&[0.9, 0.5, 0.0, 1.0]), draw.pick(&[0.999, 0.5, 0.0, -1.0])];
        options.insert("betas".to_owned(), json!(betas));
    }
    // Most settings belong to one optimizer alone, and are refused by the others.
    let case = json!({ "optimizer": draw.pick(NAMES), "options": options });
    let sizes = [1 + draw.count(40)];
    let steps = 1 + draw.count(4);
    let operands: Vec<Operand> =
        (0..=steps).map(|_| Operand { input: draw.input(&sizes), dtype }).collect();
    agree(&case, &operands, &|_: &Device, arrays, _| taken(&case, arrays));
}

/// The parameter after each step.
fn taken(case: &Value, mut arrays: Vec<Array>) -> Outcome {
    let start = arrays.remove(0).contiguous()?;
    let parameter = Parameter::new(Path::new("p"), start)?;
    let mut optimizer = optim::optimizer(case, vec![parameter.clone()])?;
    let mut found = Vec::new();
    for (index, gradient) in arrays.iter().enumerate() {
        optim::step(&mut *optimizer, &parameter, &gradient.to_f64_vec()?)?;
        found.push((format!("the parameter after step {index}"), parameter.value().copy()?));
    }
    Ok(found)
}
