//! Cases for pointwise programs, with a bound on the rounding of each.

use proptest::prelude::*;
use proptest::sample::select;

use super::case::{Call, Expect, Facts, Maker, Mistake, any_type, maker, shape};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::pointwise::{BinaryOp, Compare, Expr, Instr, Program, UnaryOp};
use crate::{Array, DType, Device, ErrorKind, Layout, Shape};

/// Checks [`Backend::pointwise`](crate::Backend::pointwise): every function and comparison alone,
/// and generated programs with several outputs, in place, over broadcast inputs of all data types.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::pointwise(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("pointwise", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn pointwise(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let inputs = prop::array::uniform4((any_type(), any::<bool>(), 0..32u8, 0..6usize));
    let scalars = prop::array::uniform2(select(vec![0.5, 0.1, -1.0, 3.0, 1e-8]));
    let values = select(vec![
        Values::Normal(2.0, 0.0),
        Values::Normal(1e-3, 0.0),
        Values::Uniform(0.1, 3.0),
        Values::Ties,
        Values::Special,
    ]);
    let cases = (maker(), shape(5_000), exprs(), inputs, scalars, values, any_type()).prop_map(
        |(maker, shape, exprs, inputs, scalars, values, out)| {
            let arguments = Arguments { inputs, scalars, values, out };
            program_call(maker, &shape, &exprs, &arguments)
        },
    );
    harness::run("pointwise", device, options, cases, refused())
}

/// Checks [`Backend::pointwise_each`](crate::Backend::pointwise_each) with the step of an optimizer on
/// several parameters of unequal shapes.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::pointwise_each(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("pointwise_each", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn pointwise_each(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let rate = select(vec![0.1, -1.0, 3.0]);
    let cases = (maker(), prop::collection::vec(shape(500), 1..=4), rate)
        .prop_map(|(maker, shapes, rate)| steps(maker, &shapes, rate));
    let mut misshapen = steps(Maker::plain(DType::F32), &[vec![2, 3], vec![4]], 0.1);
    misshapen.inputs[1].shape = vec![5];
    harness::run("pointwise_each", device, options, cases, vec![(ErrorKind::Shape, misshapen)])
}

/// `v = 0.9 v + g; p = p - rate v`, for each shape.
fn steps(mut maker: Maker, shapes: &[Vec<usize>], rate: f64) -> Call {
    let velocity = Expr::previous(1) * 0.9 + Expr::input(0);
    let program = Program::new(&[Expr::previous(0) - Expr::scalar(0) * &velocity, velocity]);
    let normal = Values::Normal(1.0, 0.0);
    let (dtype, wide) = (maker.dtype, maker.dtype.accumulator());
    let gradient = |shape: &Vec<usize>| maker.input("g", shape, normal).any(dtype);
    let inputs = shapes.iter().map(gradient).collect();
    let mut outputs = Vec::new();
    for shape in shapes {
        outputs.push(maker.output("p", shape).any(dtype).holding(normal));
        outputs.push(maker.output("v", shape).any(wide).holding(normal));
    }
    let bound = move |facts: &Facts<'_>| {
        let mut bounds = Vec::new();
        for (g, before) in facts.inputs.iter().zip(facts.previous.chunks(2)) {
            let size = |v: &f64, g: &f64| 8.0 * facts.unit * (v.abs() + g.abs());
            let velocity: Vec<f64> = before[1].iter().zip(g).map(|(v, g)| size(v, g)).collect();
            let of_p = |(p, v): (&f64, &f64)| 8.0 * facts.unit * p.abs() + 2.0 * rate.abs() * v;
            bounds.push(before[0].iter().zip(&velocity).map(of_p).collect());
            bounds.push(velocity);
        }
        bounds
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        let reads: Vec<&[&Array]> = inputs.chunks(1).collect();
        let mut writes: Vec<&mut [&mut Array]> = outputs.chunks_mut(2).collect();
        backend.pointwise_each(&program, &[rate], &reads, &mut writes)
    })
    .with(("rate", rate))
}

fn exprs() -> impl Strategy<Value = Vec<Expr>> {
    let x = || (0..4usize).prop_map(Expr::input);
    let unary = || select(UnaryOp::ALL.to_vec());
    let binary = || select(BinaryOp::ALL.to_vec());
    let compare = || select(Compare::ALL.to_vec());
    let side = || prop_oneof![x(), (0..2usize).prop_map(Expr::scalar), constant()];
    prop_oneof![
        3 => (unary(), x()).prop_map(|(op, x)| vec![x.unary(op)]),
        2 => (binary(), side(), side()).prop_map(|(op, a, b)| vec![Expr::binary(op, &a, &b)]),
        1 => (compare(), side(), side(), side(), side())
            .prop_map(|(op, a, b, then, or)| vec![a.select(op, &b, &then, &or)]),
        1 => side().prop_map(|x| vec![x]),
        4 => (1..=3usize).prop_flat_map(|outputs| prop::collection::vec(tree(outputs), outputs)),
    ]
}

fn constant() -> impl Strategy<Value = Expr> {
    select(vec![0.5, 2.0, -1.0, 0.1, 0.0, 1.0]).prop_map(Expr::constant)
}

fn tree(outputs: usize) -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        4 => (0..4usize).prop_map(Expr::input),
        1 => (0..2usize).prop_map(Expr::scalar),
        1 => constant(),
        1 => (0..outputs).prop_map(Expr::previous),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let compare = select(Compare::ALL.to_vec());
        prop_oneof![
            (select(UnaryOp::ALL.to_vec()), inner.clone()).prop_map(|(op, x)| x.unary(op)),
            (select(BinaryOp::ALL.to_vec()), inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| Expr::binary(op, &a, &b)),
            (compare, inner.clone(), inner.clone(), inner.clone(), inner)
                .prop_map(|(op, a, b, then, or)| a.select(op, &b, &then, &or)),
        ]
    })
}

#[derive(Debug, Clone)]
struct Arguments {
    /// A data type, whether it is used instead of the case's, which dimensions are 1 and how many
    /// leading ones are missing.
    inputs: [(DType, bool, u8, usize); 4],
    scalars: [f64; 2],
    values: Values,
    /// Now and then the type of the outputs.
    out: DType,
}

fn program_call(mut maker: Maker, shape: &[usize], exprs: &[Expr], arguments: &Arguments) -> Call {
    let program = Program::new(exprs);
    let scalars = arguments.scalars[..program.scalars().min(2)].to_vec();
    let mut inputs = Vec::new();
    for (dtype, own, ones, missing) in arguments.inputs.into_iter().take(program.inputs()) {
        let missing = missing.saturating_sub(3).min(shape.len());
        let stretched =
            |(axis, &size): (usize, &usize)| if ones >> axis & 1 == 1 { 1 } else { size };
        // Half of the inputs have the full shape.
        let full: Vec<usize> = match ones {
            16.. => shape.to_vec(),
            _ => shape.iter().enumerate().map(stretched).collect(),
        };
        let dtype = if own { dtype } else { maker.dtype };
        let input = maker.input("an input", &full[missing..], arguments.values).any(dtype);
        inputs.push(if missing == 0 { input } else { input.of_any_rank() });
    }
    let out = if arguments.inputs[0].1 { arguments.out } else { maker.dtype };
    let mut outputs = Vec::new();
    for index in 0..program.outputs() {
        let output = maker.output("an output", shape).any(out);
        let output = if program.outputs() == 1 { output.of_any_rank() } else { output };
        let reads = program.reads_previous(index);
        outputs.push(if reads { output.holding(arguments.values) } else { output });
    }
    let bound = {
        let (program, scalars, shape) = (program.clone(), scalars.clone(), shape.to_vec());
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape.clone()).collect();
        move |facts: &Facts<'_>| {
            let broadcast = |(list, from): (&Vec<f64>, &Vec<usize>)| stretched(list, from, &shape);
            let inputs: Vec<Vec<f64>> =
                facts.inputs.iter().zip(&shapes).filter_map(broadcast).collect();
            bounds(&program, &scalars, &Facts { inputs: &inputs, ..*facts })
        }
    };
    let attributes = format!("{exprs:?}, scalars {scalars:?}");
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.pointwise(&program, &scalars, inputs, outputs)
    })
    .with(format_args!("{attributes}"))
}

/// The elements of an input for every element of the outputs.
fn stretched(elements: &[f64], from: &[usize], to: &[usize]) -> Option<Vec<f64>> {
    let layout = Layout::contiguous(Shape::new(from).ok()?);
    let layout = layout.broadcast_to(Shape::new(to).ok()?).ok()?;
    Some(layout.positions().map(|position| elements[position]).collect())
}

fn bounds(program: &Program, scalars: &[f64], facts: &Facts<'_>) -> Vec<Vec<f64>> {
    let mut bounds = vec![Vec::new(); program.outputs()];
    for element in 0..facts.previous.first().map_or(0, Vec::len) {
        let at = |lists: &[Vec<f64>]| lists.iter().map(|list| list[element]).collect::<Vec<_>>();
        let errors = errors(program, scalars, &at(facts.inputs), &at(facts.previous), facts.unit);
        bounds.iter_mut().zip(errors).for_each(|(list, error)| list.push(error));
    }
    bounds
}

/// A value with the largest error that rounding may have given it.
#[derive(Debug, Clone, Copy)]
struct Inexact {
    value: f64,
    error: f64,
}

/// Follows the rounding errors through the steps of a program: first what the errors of the operands
/// can do to the result, then the rounding of the result itself.
fn errors(
    program: &Program,
    scalars: &[f64],
    inputs: &[f64],
    previous: &[f64],
    unit: f64,
) -> Vec<f64> {
    let mut slots = vec![Inexact { value: 0.0, error: 0.0 }; program.slots()];
    let mut outputs = vec![0.0; program.outputs()];
    // The unit roundoffs of f32 and f64 are 6e-8 and 1e-16.
    let single = unit > 1e-10;
    for instr in program.instrs() {
        let at = |slot: u16| slots[usize::from(slot)];
        let exact = |value: f64| Inexact { value, error: 0.0 };
        // Numbers of the program and of the call are rounded to f32 where that is computed in.
        let given = |value: f64| {
            let error = if single { (f64::from(value as f32) - value).abs() } else { 0.0 };
            Inexact { value, error }
        };
        let (dst, result) = match *instr {
            Instr::Input { dst, index } => (dst, exact(inputs[index])),
            Instr::Previous { dst, index } => (dst, exact(previous[index])),
            Instr::Scalar { dst, index } => (dst, given(scalars[index])),
            Instr::Const { dst, value } => (dst, given(value)),
            Instr::Unary { dst, op, a } => (dst, unary(op, at(a), unit)),
            Instr::Binary { dst, op, a, b } => (dst, binary(op, at(a), at(b), unit)),
            Instr::Select { dst, op, a, b, then, otherwise } => {
                (dst, choose(op, at(a), at(b), at(then), at(otherwise)))
            }
            Instr::Store { index, a } => {
                outputs[index] = at(a).error;
                continue;
            }
        };
        slots[usize::from(dst)] = settle(result, single);
    }
    outputs
}

/// Where f32 overflows or loses digits, anything may come out.
fn settle(Inexact { value, error }: Inexact, single: bool) -> Inexact {
    let magnitude = value.abs();
    let range = if single { (1e-36, 1e38) } else { (1e-300, 1e300) };
    let beyond = value.is_finite() && magnitude > range.1;
    let error = match error {
        _ if beyond => f64::INFINITY,
        error if error.is_nan() => f64::INFINITY,
        error if value != 0.0 && magnitude < range.0 => error + range.0,
        error => error,
    };
    Inexact { value, error }
}

fn unary(op: UnaryOp, x: Inexact, unit: f64) -> Inexact {
    let value = op.eval(x.value);
    let (low, high) = (x.value - x.error, x.value + x.error);
    let pole = match op {
        UnaryOp::Recip => low <= 0.0 && high >= 0.0,
        UnaryOp::Log | UnaryOp::Sqrt => low <= 0.0 && high >= 0.0,
        UnaryOp::Log1p => low <= -1.0 && high >= -1.0,
        _ => false,
    };
    let carried = match op {
        _ if x.error == 0.0 => 0.0,
        _ if pole => f64::INFINITY,
        // The rest are monotonic.
        UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Abs => x.error,
        op => (op.eval(low) - value).abs().max((op.eval(high) - value).abs()),
    };
    let own = match op {
        UnaryOp::Neg | UnaryOp::Abs => 0.0,
        UnaryOp::Sqrt | UnaryOp::Recip => 4.0 * value.abs(),
        // Near its roots other than 0 the result cannot be exact relative to itself.
        UnaryOp::Sin => 16.0 * value.abs().max(x.value.abs().min(1.0)),
        UnaryOp::Cos => 16.0,
        _ => 16.0 * value.abs(),
    };
    // Infinities and NaN of exact operands are exact.
    let own = if value.is_finite() { own * unit } else { 0.0 };
    Inexact { value, error: carried + own }
}

fn binary(op: BinaryOp, a: Inexact, b: Inexact, unit: f64) -> Inexact {
    let value = op.eval(a.value, b.value);
    let carried = match op {
        _ if a.error == 0.0 && b.error == 0.0 => 0.0,
        BinaryOp::Add | BinaryOp::Sub => a.error + b.error,
        BinaryOp::Max | BinaryOp::Min => a.error.max(b.error),
        BinaryOp::Mul => {
            let part = |error: f64, other: f64| if error == 0.0 { 0.0 } else { error * other };
            part(a.error, b.value.abs()) + part(b.error, a.value.abs()) + a.error * b.error
        }
        BinaryOp::Div if b.value.abs() <= b.error => f64::INFINITY,
        BinaryOp::Pow if a.value <= a.error => f64::INFINITY,
        BinaryOp::Div | BinaryOp::Pow => {
            let ends = |x: Inexact| [x.value - x.error, x.value + x.error];
            let mut worst: f64 = 0.0;
            for first in ends(a) {
                for second in ends(b) {
                    let off = (op.eval(first, second) - value).abs();
                    worst = if off.is_nan() { f64::INFINITY } else { worst.max(off) };
                }
            }
            worst
        }
    };
    let own = match op {
        BinaryOp::Max | BinaryOp::Min => 0.0,
        // The exponent of e is rounded, which counts as often as it is large.
        BinaryOp::Pow => 16.0 * value.abs() * (1.0 + value.abs().max(1e-300).ln().abs()),
        BinaryOp::Div => 4.0 * value.abs(),
        _ => value.abs(),
    };
    let own = if value.is_finite() { own * unit } else { 0.0 };
    Inexact { value, error: carried + own }
}

fn choose(op: Compare, a: Inexact, b: Inexact, then: Inexact, otherwise: Inexact) -> Inexact {
    let chosen = if op.eval(a.value, b.value) { then } else { otherwise };
    let doubt = a.error + b.error;
    let certain = doubt == 0.0 || doubt.is_finite() && (a.value - b.value).abs() > doubt;
    if certain {
        return chosen;
    }
    let apart = (then.value - otherwise.value).abs();
    Inexact { error: apart + then.error.max(otherwise.error), ..chosen }
}

fn refused() -> Vec<Mistake> {
    let (x, y) = (Expr::input(0), Expr::input(1));
    let with = |exprs: &[Expr]| {
        let arguments = Arguments {
            inputs: [(DType::F32, false, 31, 0); 4],
            scalars: [1.0; 2],
            values: Values::Ties,
            out: DType::F32,
        };
        program_call(Maker::plain(DType::F32), &[2, 3], exprs, &arguments)
    };
    let mut list = Vec::new();
    let mut add = |kind, change: &dyn Fn(&mut Call)| {
        let mut call = with(&[&x + &y, &x * Expr::scalar(0)]);
        change(&mut call);
        list.push((kind, call));
    };
    add(ErrorKind::Shape, &|call| call.inputs[0].shape = vec![3, 2]);
    add(ErrorKind::Shape, &|call| call.inputs[1].shape = vec![2, 3, 3]);
    add(ErrorKind::Shape, &|call| call.outputs[1].shape = vec![1, 3]);
    add(ErrorKind::Argument, &|call| drop(call.inputs.pop()));
    add(ErrorKind::Argument, &|call| drop(call.outputs.pop()));
    add(ErrorKind::Argument, &|call| {
        let program = Program::new(&[Expr::scalar(0), Expr::scalar(1)]);
        call.inputs.clear();
        call.run = Box::new(move |backend, inputs, outputs| {
            backend.pointwise(&program, &[1.0], inputs, outputs)
        });
    });
    add(ErrorKind::Argument, &|call| {
        let program = Program::new(&[Expr::previous(0), Expr::previous(2)]);
        call.inputs.clear();
        call.run = Box::new(move |backend, inputs, outputs| {
            backend.pointwise(&program, &[], inputs, outputs)
        });
    });
    list
}
