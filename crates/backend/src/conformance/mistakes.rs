//! Mistakes that can be made with the operands of any verb, and the errors they must give.

use super::case::Call;
use super::harness::Bench;
use super::operand::{Operand, Role, Values, View};
use crate::{Array, DType, ErrorKind, Layout, Result, Shape};

/// Turns a valid case into invalid ones, operand by operand, and checks that each is refused.
pub(super) fn provoke(bench: &Bench<'_>, call: &Call) -> Result<(), String> {
    let arrays: Vec<Array> = call
        .operands()
        .map(|operand| Ok(operand.place(bench.device)?.array))
        .collect::<Result<_>>()
        .map_err(|error| error.to_string())?;
    let mut mistakes = Vec::new();
    let collected = foreign(bench, call, &mut mistakes)
        .and_then(|()| shared(bench, call, &mut mistakes))
        .and_then(|()| folded(bench, call, &mut mistakes))
        .and_then(|()| mistyped(bench, call, &mut mistakes))
        .and_then(|()| misshapen(bench, call, &mut mistakes));
    collected.map_err(|error| format!("a mistake could not be prepared: {error}"))?;
    for Mistake { what, kind, swaps } in mistakes {
        let mut all = arrays.clone();
        for (which, array) in swaps {
            all[which] = array;
        }
        let outputs = all.split_off(call.inputs.len());
        bench
            .must_fail(call, (all, outputs), kind)
            .map_err(|message| format!("where {what}: {message}"))?;
    }
    Ok(())
}

/// Operands, counted through inputs and outputs, that are replaced.
struct Mistake {
    what: String,
    kind: ErrorKind,
    swaps: Vec<(usize, Array)>,
}

fn foreign(bench: &Bench<'_>, call: &Call, list: &mut Vec<Mistake>) -> Result<()> {
    let mut all = Vec::new();
    for (which, operand) in call.operands().enumerate() {
        let array = operand.place(bench.reference)?.array;
        all.push((which, array.clone()));
        list.push(Mistake {
            what: format!("{} is on another device", operand.name),
            kind: ErrorKind::DeviceMismatch,
            swaps: vec![(which, array)],
        });
    }
    let what = "all operands are on another device".to_owned();
    list.push(Mistake { what, kind: ErrorKind::DeviceMismatch, swaps: all });
    Ok(())
}

/// Outputs that share memory with an operand before them.
fn shared(bench: &Bench<'_>, call: &Call, list: &mut Vec<Mistake>) -> Result<()> {
    let operands: Vec<&Operand> = call.operands().collect();
    for (second, output) in operands.iter().enumerate().skip(call.inputs.len()) {
        for (first, other) in operands.iter().enumerate().take(second) {
            let length = output.numel().max(other.numel());
            if output.dtype != other.dtype || output.numel() == 0 || other.numel() == 0 {
                continue;
            }
            let zeros = Operand {
                shape: vec![length],
                view: View::default(),
                values: Values::Index(1, None),
                ..(*output).clone()
            };
            let zeros = zeros.place(bench.device)?.array;
            let seen_as = |operand: &Operand| {
                zeros.with_layout(Layout::contiguous(Shape::new(&operand.shape)?))
            };
            list.push(Mistake {
                what: format!("{} shares memory with {}", output.name, other.name),
                kind: ErrorKind::Overlap,
                swaps: vec![(first, seen_as(other)?), (second, seen_as(output)?)],
            });
        }
    }
    Ok(())
}

/// Outputs of which several elements are one.
fn folded(bench: &Bench<'_>, call: &Call, list: &mut Vec<Mistake>) -> Result<()> {
    for (nth, output) in call.outputs.iter().enumerate() {
        let Some(dim) = output.shape.iter().position(|&size| size > 1) else { continue };
        if output.numel() == 0 {
            continue;
        }
        let view = View { stretch: 1 << dim, ..View::default() };
        let broadcast = Operand { view, ..output.clone() }.place(bench.device)?.array;
        list.push(Mistake {
            what: format!("{} is broadcast along dimension {dim}", output.name),
            kind: ErrorKind::Overlap,
            swaps: vec![(call.inputs.len() + nth, broadcast)],
        });
    }
    Ok(())
}

fn mistyped(bench: &Bench<'_>, call: &Call, list: &mut Vec<Mistake>) -> Result<()> {
    let floats = call.operands().filter(|operand| operand.role == Role::Float).count();
    for (which, operand) in call.operands().enumerate() {
        let mut wrong = match operand.role {
            Role::Float => vec![DType::I64],
            Role::Index => vec![DType::F32],
            Role::Any => continue,
        };
        if operand.role == Role::Float && floats > 1 {
            wrong.push(if operand.dtype == DType::F64 { DType::F16 } else { DType::F64 });
        }
        for dtype in wrong {
            match (Operand { dtype, ..operand.clone() }).place(bench.device) {
                // A device without this type cannot be given it.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                placed => list.push(Mistake {
                    what: format!("{} is {dtype}", operand.name),
                    kind: ErrorKind::DType,
                    swaps: vec![(which, placed?.array)],
                }),
            }
        }
    }
    Ok(())
}

fn misshapen(bench: &Bench<'_>, call: &Call, list: &mut Vec<Mistake>) -> Result<()> {
    for (which, operand) in call.operands().enumerate().filter(|(_, o)| o.rank_matters) {
        let shape = [&operand.shape[..], &[1]].concat();
        let what = format!("{} has the shape {shape:?}", operand.name);
        let array = Operand { shape, ..operand.clone() }.place(bench.device)?.array;
        list.push(Mistake { what, kind: ErrorKind::Shape, swaps: vec![(which, array)] });
    }
    Ok(())
}
