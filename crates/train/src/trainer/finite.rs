//! Where a step first had a number that is not finite.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType};
use ferrotape_nn::{Classifier, Pass};

use crate::Result;
use crate::error::{IMAGES, LOSS};

/// Where a step that gave no finite loss first had a number that is not finite. `pass` is that of the step, and
/// `again` computes its loss from the images once more.
pub(crate) fn first_not_finite<E>(
    model: &dyn Classifier,
    pass: Pass,
    images: &Array,
    again: impl FnOnce(&Pass, &Tensor) -> std::result::Result<(), E>,
) -> Result<String>
where
    crate::Error: From<E>,
{
    for (name, parameter) in model.named_parameters() {
        if !is_finite(&parameter.value())? {
            return Ok(format!("the parameter {name}"));
        }
    }
    if !is_finite(images)? {
        return Ok(IMAGES.into());
    }
    // With everybody's output kept; states stay as they are.
    let pass = pass.without_effects().trace().probe("*");
    again(&pass, &pass.input(images.clone())?)?;
    for (path, output) in pass.probes() {
        if !is_finite(output.array())? {
            let call = pass.calls().into_iter().find(|call| call.path == path);
            let kind = call.map_or(String::new(), |call| format!(" ({})", call.kind));
            return Ok(format!("the output of {path}{kind}"));
        }
    }
    Ok(LOSS.into())
}

fn is_finite(array: &Array) -> Result<bool> {
    Ok(array.cast(DType::F32)?.to_vec::<f32>()?.iter().all(|value| value.is_finite()))
}
