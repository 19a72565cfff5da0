//! Gradients of lists of smooth operations against differences.

use ferrotape_autograd::Tensor;
use ferrotape_backend::DType;
use ferrotape_gradcheck::{Input, Options, check_op};

use crate::draw::Draw;
use crate::tape::Program;
use crate::verdict::{Shake, reference};

/// The most operations of a list: second derivatives of more bend within any step of a difference.
const STEPS: usize = 4;

/// The most elements of a tensor that a list begins with.
const ELEMENTS: usize = 8;

/// The bytes are whether to look at second derivatives and layouts too, tensors to begin with, and operations.
pub fn gradients(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let twice = draw.count(3) == 0;
    let operands = Program::operands(&mut draw, DType::F64, ELEMENTS);
    let inputs: Vec<Input> = operands.into_iter().map(|operand| operand.input).collect();
    let program = Program::draw(&mut draw, STEPS, true);
    // Everything begins with every input, so that none has no gradient.
    let op = |x: &[Tensor]| {
        let results = program.run(x, Shake::none(), &mut |weight| Ok(Tensor::from(weight)));
        let mut last = results.into_iter().flatten().last().unwrap_or_else(|| x[0].clone());
        for input in x {
            last = last.add(&input.square()?.mean_all()?)?;
        }
        Ok(last)
    };
    let options = Options {
        tolerance: 1e-5,
        rounding: 1e-8,
        second_derivative: twice,
        layouts: twice,
        ..Options::default()
    };
    if let Err(failure) = check_op(&reference(), "the program", &inputs, &options, op) {
        panic!("{failure}\n{program:?}");
    }
}
