//! Pointwise programs: each becomes a kernel of its own, written and compiled when it is first met.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use ferrotape_backend::pointwise::{BinaryOp, Compare, Instr, Program, UnaryOp};
use ferrotape_backend::{Array, DType, Result, check};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{c_type, digit};
use crate::machine::Module;
use crate::memory::{self, Operand};
use crate::verbs::copy::pack;
use crate::walk::{RANK, Walk, strides_of};

/// What a kernel is written for, beside the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Form {
    /// Inputs, then outputs.
    types: SmallVec<[DType; 8]>,
    /// For each operand, whether all elements of a pack are one and the same.
    splats: SmallVec<[bool; 8]>,
    /// Elements of a pack.
    pack: usize,
    /// Dimensions.
    rank: usize,
    /// Whether numbers of packs fit 32 bits.
    is_small: bool,
}

/// The kernels of programs that were met.
#[derive(Default)]
pub(crate) struct Programs {
    known: Mutex<HashMap<(u64, Form), Module>>,
}

/// So many programs are known at the most; programs that are made anew for every call must not fill memory.
/// Their modules stay, and equal texts share one.
const MOST_KNOWN: usize = 4096;

/// See [`ferrotape_backend::Backend::pointwise`].
pub(crate) fn pointwise(
    cuda: &Cuda,
    program: &Program,
    scalars: &[f64],
    inputs: &[&Array],
    outputs: &mut [&mut Array],
) -> Result<()> {
    let shape = check::pointwise(program, scalars, inputs, outputs)?;
    let views = inputs.iter().map(|input| input.layout().broadcast_to(shape));
    let views: SmallVec<[_; 6]> = views.collect::<Result<_>>()?;
    let outputs: SmallVec<[&Array; 4]> = outputs.iter().map(|output| &**output).collect();
    memory::open_all(&cuda.pool, inputs, &outputs, |ins, outs| {
        if shape.numel() == 0 {
            return Ok(());
        }
        let operands: SmallVec<[Operand<'_>; 8]> = outs.iter().chain(ins).copied().collect();
        let strides: SmallVec<[_; 8]> = outs
            .iter()
            .map(|out| strides_of(out.layout))
            .chain(views.iter().map(strides_of))
            .collect();
        let walk = Walk::sorted(&shape, &strides);
        let pack = pack(&walk, &operands);
        let count = walk.count() / pack;
        let form = Form {
            types: operands.iter().map(|operand| operand.dtype).collect(),
            splats: (0..operands.len()).map(|i| walk.strides(i).last() == Some(&0)).collect(),
            pack,
            rank: if walk.rank() <= 2 { walk.rank() } else { RANK },
            is_small: i32::try_from(count).is_ok(),
        };
        let module = cuda.programs.module(cuda, program, &form, outs.len())?;
        let args = Args::new().size(count);
        let args = match form.rank {
            1 => operand_args::<1>(args, &walk, pack, &operands),
            2 => operand_args::<2>(args, &walk, pack, &operands),
            _ => operand_args::<RANK>(args, &walk, pack, &operands),
        };
        let args = args.doubles(scalars, scalars.len().max(1));
        cuda.launch_module(module, "program", linear(count), args)
    })
}

fn operand_args<const R: usize>(
    args: Args,
    walk: &Walk,
    pack: usize,
    operands: &[Operand<'_>],
) -> Args {
    let args = args.longs(walk.sizes_in_packs::<R>(pack));
    operands.iter().enumerate().fold(args, |args, (index, operand)| {
        args.pointer(operand.address).longs(walk.strides_in_packs::<R>(index, pack))
    })
}

impl Programs {
    fn module(
        &self,
        cuda: &Cuda,
        program: &Program,
        form: &Form,
        outputs: usize,
    ) -> Result<Module> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (program.id(), form.clone());
        if let Some(module) = known.get(&key) {
            return Ok(Module::clone(module));
        }
        let module = cuda.generated(&text(program, form, outputs))?;
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, Module::clone(&module));
        Ok(module)
    }
}

/// The kernel. Operand `k` is `p{k}`, outputs first; slots are the variables `r{slot}`.
fn text(program: &Program, form: &Form, outputs: usize) -> String {
    let wide = form.types.contains(&DType::F64);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_kernel(&mut text, program, form, outputs, if wide { "double" } else { "float" });
    text
}

fn write_kernel(
    text: &mut String,
    program: &Program,
    form: &Form,
    outputs: usize,
    computed: &str,
) -> std::fmt::Result {
    let Form { types, splats, pack, rank, is_small } = form;
    let (pack, rank) = (digit(*pack), digit(*rank));
    let index = if *is_small { "u32" } else { "u64" };
    writeln!(text, "typedef {computed} A;\ntypedef {index} I;")?;
    write!(text, "KERNEL(program)(u64 count, Longs<{rank}> sizes")?;
    for (k, dtype) in types.iter().enumerate() {
        // Two inputs may be one array; an output is never another operand.
        let (qualifier, restrict) =
            if k < outputs { ("", " __restrict__") } else { ("const ", " __restrict__") };
        write!(text, ", {qualifier}{}*{restrict} p{k}, Longs<{rank}> s{k}", c_type(*dtype))?;
    }
    let scalars = program.scalars().max(1);
    writeln!(text, ", Doubles<{scalars}> scalars) {{")?;
    writeln!(
        text,
        "  for (u64 number = thread_number(); number < count; number += thread_count()) {{"
    )?;
    writeln!(text, "    I i = I(number);")?;
    for (k, dtype) in types.iter().enumerate() {
        let used = if k < outputs { program.reads_previous(k) } else { true };
        writeln!(text, "    i64 at{k} = locate<I, {rank}>(i, sizes, s{k});")?;
        let dtype = c_type(*dtype);
        match (k < outputs, splats[k]) {
            (false, true) => writeln!(text, "    {dtype} x{k} = p{k}[at{k}];")?,
            _ if used => writeln!(
                text,
                "    Pack<{dtype}, {pack}> x{k} = \
                 *reinterpret_cast<const Pack<{dtype}, {pack}>*>(p{k} + at{k});"
            )?,
            _ => {}
        }
        if k < outputs {
            writeln!(text, "    Pack<{dtype}, {pack}> y{k};")?;
        }
    }
    writeln!(text, "#ifndef EMULATOR\n#pragma unroll\n#endif")?;
    writeln!(text, "    for (int v = 0; v < {pack}; v++) {{")?;
    let slots: Vec<String> = (0..program.slots()).map(|slot| format!("r{slot}")).collect();
    if !slots.is_empty() {
        writeln!(text, "      A {};", slots.join(", "))?;
    }
    for instr in program.instrs() {
        match *instr {
            Instr::Input { dst, index } => {
                let k = outputs + index;
                let element = if splats[k] { format!("x{k}") } else { format!("x{k}.at[v]") };
                writeln!(text, "      r{dst} = widen<A>({element});")?;
            }
            Instr::Previous { dst, index } => {
                writeln!(text, "      r{dst} = widen<A>(x{index}.at[v]);")?;
            }
            Instr::Scalar { dst, index } => {
                writeln!(text, "      r{dst} = A(scalars.at[{index}]);")?;
            }
            Instr::Const { dst, value } => {
                writeln!(text, "      r{dst} = A(double_of({:#x}ULL));", value.to_bits())?;
            }
            Instr::Unary { dst, op, a } => {
                writeln!(text, "      r{dst} = {};", unary(op, &format!("r{a}")))?;
            }
            Instr::Binary { dst, op, a, b } => {
                writeln!(
                    text,
                    "      r{dst} = {};",
                    binary(op, &format!("r{a}"), &format!("r{b}"))
                )?;
            }
            Instr::Select { dst, op, a, b, then, otherwise } => {
                let sign = compare(op);
                writeln!(text, "      r{dst} = r{a} {sign} r{b} ? r{then} : r{otherwise};")?;
            }
            Instr::Store { index, a } => {
                let dtype = c_type(types[index]);
                writeln!(text, "      y{index}.at[v] = narrow<{dtype}>(r{a});")?;
            }
        }
    }
    writeln!(text, "    }}")?;
    for (k, dtype) in types.iter().enumerate().take(outputs) {
        let dtype = c_type(*dtype);
        writeln!(text, "    *reinterpret_cast<Pack<{dtype}, {pack}>*>(p{k} + at{k}) = y{k};")?;
    }
    writeln!(text, "  }}\n}}")
}

fn unary(op: UnaryOp, a: &str) -> String {
    match op {
        UnaryOp::Neg => format!("-{a}"),
        UnaryOp::Abs => format!("absolute({a})"),
        UnaryOp::Exp => format!("exp({a})"),
        UnaryOp::Expm1 => format!("expm1({a})"),
        UnaryOp::Log => format!("log({a})"),
        UnaryOp::Log1p => format!("log1p({a})"),
        UnaryOp::Sin => format!("sin({a})"),
        UnaryOp::Cos => format!("cos({a})"),
        UnaryOp::Tanh => format!("tanh({a})"),
        UnaryOp::Erf => format!("erf({a})"),
        UnaryOp::Sqrt => format!("sqrt({a})"),
        UnaryOp::Recip => format!("A(1) / {a}"),
        UnaryOp::Sigmoid => format!("sigmoid({a})"),
        UnaryOp::Softplus => format!("softplus({a})"),
    }
}

fn binary(op: BinaryOp, a: &str, b: &str) -> String {
    match op {
        BinaryOp::Add => format!("{a} + {b}"),
        BinaryOp::Sub => format!("{a} - {b}"),
        BinaryOp::Mul => format!("{a} * {b}"),
        BinaryOp::Div => format!("{a} / {b}"),
        BinaryOp::Max => format!("maximum({a}, {b})"),
        BinaryOp::Min => format!("minimum({a}, {b})"),
        BinaryOp::Pow => format!("pow({a}, {b})"),
    }
}

fn compare(op: Compare) -> &'static str {
    match op {
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Eq => "==",
        Compare::Ne => "!=",
    }
}
