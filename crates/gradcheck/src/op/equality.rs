//! A fused operator beside its definition.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Device, Result};

use super::laws::{Checked, equal, on};
use super::problem::{Outcome, Problem};
use super::{Options, reproduction_of};
use crate::failure::{Failure, Law};
use crate::input::{Input, weights};

/// Checks that an operator equals its definition at these inputs: in value, in the gradients of all
/// tracked inputs, and in their second derivatives, by random projection. `sources` names both in
/// reproductions; [`check_equal!`](crate::check_equal!) fills it in.
///
/// It is for operators that do in one step what others do in several: the several are the definition.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Options, check_equal};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([2], [0.3, -0.7])?];
/// let sources = ["|x| x[0].square()", "|x| x[0].mul(&x[0])"];
/// check_equal(
///     &device, sources, &inputs, &Options::default(),
///     |x| x[0].square(), |x| x[0].mul(&x[0]),
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where the two differ, with code that shows it again.
pub fn check_equal(
    device: &Device,
    sources: [&str; 2],
    inputs: &[Input],
    options: &Options,
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
    definition: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<(), Failure> {
    let problem = Problem { device, op: &op, inputs, options };
    let definition = Problem { device, op: &definition, inputs, options };
    compare(&problem, &definition).map_err(|failure| {
        let source = sources.join(", ");
        let name = "check_equal!";
        failure.reproduced_by(reproduction_of(name, &source, inputs, options, &device.name()))
    })
}

/// Checks that an operator equals its definition:
/// `check_equal!(device, inputs, operator, definition, attribute ...)`.
///
/// As the function [`check_equal`](fn@crate::check_equal), but the reproduction of a failure shows
/// both sources and the values of the attributes that they name. Options other than the default
/// follow after a semicolon.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Law, check_equal};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([2], [0.3, -0.7])?];
/// check_equal!(&device, &inputs, |x| x[0].square(), |x| x[0].mul(&x[0]))?;
/// let failure = check_equal!(&device, &inputs, |x| x[0].square(), |x| x[0].abs()).unwrap_err();
/// assert_eq!(failure.law(), Law::Definition);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As the function.
#[macro_export]
macro_rules! check_equal {
    ($device:expr, $inputs:expr, $op:expr, $definition:expr $(, $attribute:ident)* $(,)?) => {
        $crate::check_equal!(
            $device, $inputs, $op, $definition $(, $attribute)*; $crate::Options::default()
        )
    };
    ($device:expr, $inputs:expr, $op:expr, $definition:expr $(, $attribute:ident)*; $options:expr) => {{
        let mut options: $crate::Options = $options;
        $(options.attributes.push_str(&::std::format!(
            "let {} = {:?};\n",
            ::std::stringify!($attribute),
            $attribute
        ));)*
        let sources = [::std::stringify!($op), ::std::stringify!($definition)];
        $crate::check_equal($device, sources, $inputs, &options, $op, $definition)
    }};
}

fn compare(problem: &Problem<'_>, definition: &Problem<'_>) -> Checked {
    let of_op = on(Law::Definition, "the operator");
    let of_definition = on(Law::Definition, "its definition");
    let (value, _) = problem.value(problem.inputs).map_err(&of_op)?;
    let (expected, _) = definition.value(problem.inputs).map_err(&of_definition)?;
    if value.shape() != expected.shape() {
        return Err(Failure::new(
            Law::Definition,
            format!(
                "the operator's value has shape {}, its definition's {}",
                value.shape(),
                expected.shape()
            ),
        ));
    }
    let cotangent = weights(problem.rng("cotangent", 0), value.shape().numel());
    if !problem.tracked().contains(&true) {
        let shape = *value.shape();
        let plain = |value: Vec<f64>| Outcome { shape, value, grads: Vec::new() };
        let found = plain(value.to_f64_vec().map_err(&of_op)?);
        let expected = plain(expected.to_f64_vec().map_err(&of_definition)?);
        return equal(problem, Law::Definition, "beside its definition", &found, &expected);
    }
    let found = problem.run(problem.inputs, &cotangent).map_err(&of_op)?;
    let expected = definition.run(problem.inputs, &cotangent).map_err(&of_definition)?;
    equal(problem, Law::Definition, "beside its definition", &found, &expected)?;
    if !problem.options.second_derivative {
        return Ok(());
    }
    let sized = |(index, input): (usize, &Input)| {
        let rng = problem.rng("gradient weight", index);
        if input.is_tracked() { weights(rng, input.shape().numel()) } else { Vec::new() }
    };
    let grad_weights: Vec<Vec<f64>> = problem.inputs.iter().enumerate().map(sized).collect();
    let second = |of: &Problem<'_>| -> Result<Outcome> {
        let second = of.second(&cotangent, &grad_weights, true)?;
        // A gradient that does not depend on an input has none there, or zeros.
        let filled = |(grad, like): (Option<Vec<f64>>, &Vec<f64>)| {
            Some(grad.unwrap_or_else(|| vec![0.0; like.len()]))
        };
        let grads = second.of_inputs.into_iter().zip(&grad_weights).map(filled).collect();
        let value = second.of_cotangent.unwrap_or_else(|| vec![0.0; cotangent.len()]);
        Ok(Outcome { shape: second.first.shape, value, grads })
    };
    let found = second(problem).map_err(&of_op)?;
    let expected = second(definition).map_err(&of_definition)?;
    let how = "in the second derivative, where the value is that in what is fed in,";
    equal(problem, Law::Definition, how, &found, &expected)
}
