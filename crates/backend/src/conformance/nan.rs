//! A NaN among the inputs: what the reference makes NaN of it must be NaN on the device.

use proptest::prelude::*;

use super::case::Call;
use super::harness::{Bench, Trouble, coordinates, preparing};
use super::operand::{Operand, Role};
use crate::ErrorKind;

/// The same cases, each with one element of one of its inputs of floats NaN, if it has one.
pub(super) fn planted(cases: impl Strategy<Value = Call>) -> impl Strategy<Value = Call> {
    (cases, any::<usize>().no_shrink(), any::<usize>().no_shrink()).prop_map(
        |(mut call, which, element)| {
            let holds = |operand: &&mut Operand| {
                operand.role != Role::Index && operand.dtype.is_float() && operand.numel() > 0
            };
            let mut inputs: Vec<&mut Operand> = call.inputs.iter_mut().filter(holds).collect();
            if !inputs.is_empty() {
                let which = which % inputs.len();
                inputs[which].nan = Some(element % inputs[which].numel());
            }
            call
        },
    )
}

impl Bench<'_> {
    /// Runs the case and looks at those elements that the reference says are NaN. The others may be
    /// NaN too: a device may multiply a NaN by the zero of a padding, where the reference skips it.
    pub(super) fn keeps_nan(&self, call: &Call) -> Result<(), String> {
        if call.inputs.iter().all(|operand| operand.nan.is_none()) {
            return Ok(());
        }
        let table = match self.table(call) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            table => table.map_err(preparing)?,
        };
        match self.call(call, &table) {
            Err(Trouble::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            outcome => outcome.map_err(|trouble| trouble.to_string())?,
        }
        let (expected, bounds) = self.expected(call)?;
        let results = self.read_back(call, &table)?;
        for (which, operand) in call.outputs.iter().enumerate().filter(|(_, o)| o.dtype.is_float())
        {
            for (nth, got) in table.outputs[which].elements(&results[which]).into_iter().enumerate()
            {
                let doubtful = bounds[which][nth] == f64::INFINITY;
                if expected[which][nth].is_nan() && !got.is_nan() && !doubtful {
                    return Err(format!(
                        "element {:?} of {} is {got:e}, the reference says NaN, for there is one \
                         among the inputs",
                        coordinates(nth, &operand.shape),
                        operand.name
                    ));
                }
            }
        }
        Ok(())
    }
}
