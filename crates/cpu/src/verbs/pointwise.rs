//! Pointwise programs.

use ferrotape_backend::pointwise::{Instr, Program, UnaryOp};
use ferrotape_backend::{Array, DType, Layout, Result, check};
use smallvec::SmallVec;

use crate::Cpu;
use crate::kernels::pointwise::{Input, OutputParts, Stretch, workspace};
use crate::kernels::real::Real;
use crate::kernels::split::for_each_part;
use crate::memory::{nothing_to_write, open_all};
use crate::verbs::copy::copy;
use crate::walk::Walk;

/// What a task may cost, in simple operations on one element each: some tens of microseconds.
const TASK_COST: usize = 1 << 18;

/// See [`ferrotape_backend::Backend::pointwise`].
pub(crate) fn pointwise(
    cpu: &Cpu,
    program: &Program,
    scalars: &[f64],
    inputs: &[&Array],
    outputs: &mut [&mut Array],
) -> Result<()> {
    check::pointwise(program, scalars, inputs, outputs)?;
    let wide = inputs.iter().any(|input| input.dtype() == DType::F64)
        || outputs.iter().any(|output| output.dtype() == DType::F64);
    match wide {
        true => run::<f64>(cpu, program, scalars, inputs, outputs),
        false => run::<f32>(cpu, program, scalars, inputs, outputs),
    }
}

/// As [`pointwise`], computed in `R`; the operands were checked.
pub(crate) fn run<R: Real>(
    cpu: &Cpu,
    program: &Program,
    scalars: &[f64],
    inputs: &[&Array],
    outputs: &mut [&mut Array],
) -> Result<()> {
    let Some(shape) = outputs.first().map(|output| *output.shape()) else { return Ok(()) };
    let writes: SmallVec<[&Array; 4]> = outputs.iter().map(|output| &**output).collect();
    if nothing_to_write(&writes)? {
        return Ok(());
    }
    let mut layouts: SmallVec<[Layout; 8]> = SmallVec::new();
    layouts.extend(outputs.iter().map(|output| *output.layout()));
    for input in inputs {
        layouts.push(input.layout().broadcast_to(shape)?);
    }
    let walk = Walk::new(&shape, &layouts);
    if !(0..outputs.len()).all(|index| walk.is_dense(index)) {
        drop(writes);
        return by_way_of_temporaries::<R>(cpu, program, scalars, inputs, outputs);
    }
    let scalars: SmallVec<[R; 8]> = scalars.iter().map(|&value| R::of(value)).collect();
    open_all(inputs, &writes, |ins, mut outs| {
        let mut inputs: SmallVec<[Input<'_, R>; 8]> = SmallVec::new();
        for (index, operand) in ins.iter().enumerate() {
            inputs.push(Input::new(*operand, walk.pattern(writes.len() + index), walk.len())?);
        }
        let cost = cost(program);
        let chunk = (TASK_COST / cost).next_multiple_of(1024);
        let parts = OutputParts::new(outs.as_mut_slice(), walk.len(), chunk)?;
        for_each_part(cpu.team_for(walk.len() * cost), &parts, |index, outputs| {
            let start = index * chunk;
            let len = chunk.min(walk.len() - start);
            let mut memory = cpu.workspace::<R>(workspace(program, len))?;
            let (scalars, inputs, workspace) = (&scalars, &inputs, memory.as_mut_slice());
            let stretch = Stretch { program, scalars, inputs, outputs, start, len, workspace };
            cpu.level.run(stretch);
            Ok(())
        })
    })
}

/// Runs with outputs that all are dense in the same order, and copies them to where they belong.
fn by_way_of_temporaries<R: Real>(
    cpu: &Cpu,
    program: &Program,
    scalars: &[f64],
    inputs: &[&Array],
    outputs: &mut [&mut Array],
) -> Result<()> {
    let Some(first) = outputs.first() else { return Ok(()) };
    let order = first.layout().like(*first.shape());
    let mut temporaries: SmallVec<[Option<Array>; 4]> = SmallVec::new();
    for (index, output) in outputs.iter().enumerate() {
        if output.layout().is_dense_like(&order) {
            temporaries.push(None);
            continue;
        }
        let mut temporary = Array::empty(output.device(), output.dtype(), order)?;
        if program.reads_previous(index) {
            copy(cpu, output, &mut temporary)?;
        }
        temporaries.push(Some(temporary));
    }
    let mut dense: SmallVec<[&mut Array; 4]> = SmallVec::new();
    for (output, temporary) in outputs.iter_mut().zip(&mut temporaries) {
        dense.push(temporary.as_mut().unwrap_or(output));
    }
    run::<R>(cpu, program, scalars, inputs, &mut dense)?;
    drop(dense);
    for (output, temporary) in outputs.iter_mut().zip(&temporaries) {
        if let Some(temporary) = temporary {
            copy(cpu, temporary, output)?;
        }
    }
    Ok(())
}

/// The cost of a program at one element, in simple operations.
fn cost(program: &Program) -> usize {
    let of = |instr: &Instr| match instr {
        Instr::Unary { op: UnaryOp::Neg | UnaryOp::Abs, .. } => 1,
        Instr::Unary { .. } => 12,
        _ => 1,
    };
    program.instrs().iter().map(of).sum::<usize>().max(1)
}
