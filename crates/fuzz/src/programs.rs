//! Lists of operations on a tape: values and gradients on the CPU as on the reference backend.

use ferrotape_autograd::{Tape, Tensor};
use ferrotape_backend::{Array, Device, Result, Rng};

use crate::draw::Draw;
use crate::tape::Program;
use crate::verdict::{Outcome, Shake, agree};

/// The most operations of a list.
const STEPS: usize = 12;

/// The most elements of a tensor that a list begins with.
const ELEMENTS: usize = 192;

/// The bytes are a float type, tensors to begin with, and operations.
pub fn programs(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let dtype = draw.float();
    let operands = Program::operands(&mut draw, dtype, ELEMENTS);
    let program = Program::draw(&mut draw, STEPS, false);
    agree(&program, &operands, &|device, arrays, shake| recorded(&program, device, arrays, shake));
}

/// What each operation gives, and the gradients of the last of them.
fn recorded(program: &Program, device: &Device, arrays: Vec<Array>, shake: Shake) -> Outcome {
    let tape = Tape::new();
    let start: Vec<Tensor> =
        arrays.into_iter().map(|array| tape.variable(array)).collect::<Result<_>>()?;
    let mut leaves = start.clone();
    let results = program.run(&start, shake, &mut |array| {
        let weight = tape.variable(array)?;
        leaves.push(weight.clone());
        Ok(weight)
    });
    let mut found = Vec::new();
    let mut last = None;
    for (at, result) in results.into_iter().enumerate() {
        match result {
            Ok(tensor) => {
                found.push((format!("the result of step {at}"), tensor.array().clone()));
                last = Some(tensor).filter(Tensor::is_tracked).or(last);
            }
            Err(error) => {
                assert!(!error.message().is_empty());
                let nothing = Array::full(device, ferrotape_backend::DType::U8, [1], 0.0)?;
                found.push((format!("{:?} of step {at}", error.kind()), nothing));
            }
        }
    }
    let Some(last) = last else { return Ok(found) };
    let rng = Rng::new(3);
    let weights: Vec<f64> =
        (0..last.shape().numel() as u64).map(|at| rng.uniform_f64(at) - 0.25).collect();
    let weights = Array::from_f64(device, &weights, last.dtype(), *last.shape())?;
    let gradients = last.mul(&weights.into())?.sum_all()?.backward()?;
    for (index, leaf) in leaves.iter().enumerate() {
        if let Some(gradient) = gradients.get(leaf) {
            found.push((format!("the gradient of leaf {index}"), gradient.array().clone()));
        }
    }
    Ok(found)
}
