//! The learned scale and shift that end a normalization.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Result, Shape};

use crate::{Distribution, Init, Parameter, Pass};

/// A weight that starts at 1 and a bias that starts at 0, as far as they are wanted.
pub(super) fn parameters(
    init: &Init,
    shape: Shape,
    [weight, bias]: [bool; 2],
) -> Result<[Option<Parameter>; 2]> {
    let weight = weight.then(|| init.parameter("weight", shape, Distribution::Ones)).transpose()?;
    let bias = bias.then(|| init.parameter("bias", shape, Distribution::Zeros)).transpose()?;
    Ok([weight, bias])
}

/// The parameter in a pass, of the accumulator type: kernels take no other, 16-bit ones are widened.
pub(super) fn wide(cx: &Pass, parameter: Option<&Parameter>) -> Result<Option<Tensor>> {
    let Some(parameter) = parameter else { return Ok(None) };
    let tensor = cx.param(parameter)?;
    tensor.cast(tensor.dtype().accumulator()).map(Some)
}

/// Checks what the constructors of normalizations have in common.
pub(super) fn check(init: &Init, sizes: &[(&str, usize)], eps: f64) -> Result<()> {
    let zero = sizes.iter().find(|(_, size)| *size == 0);
    let wrong = match zero {
        Some((name, _)) => format!("{name} is 0, it must be at least 1"),
        None if eps >= 0.0 && eps.is_finite() => return Ok(()),
        None => format!("eps is {eps}, it must be a small number of at least 0"),
    };
    Err(Error::argument(wrong).at(init.path().as_str()))
}
