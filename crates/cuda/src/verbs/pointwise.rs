//! Pointwise programs: each becomes a kernel of its own, written and compiled when it is first met.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use ferrotape_backend::pointwise::{BinaryOp, Compare, Instr, Program, UnaryOp};
use ferrotape_backend::{Array, DType, Result, check};
use smallvec::SmallVec;

use crate::Cuda;
use crate::args::Args;
use crate::cuda::linear;
use crate::kernel::{c_type, digit};
use crate::machine::{Grid, Module};
use crate::memory::{self, Operand};
use crate::verbs::copy::pack;
use crate::walk::{RANK, Walk, strides_of};

/// What a kernel is written for, beside the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Form {
    types: Types,
    /// For each operand, whether all elements of a pack are one and the same.
    splats: SmallVec<[bool; 8]>,
    /// Elements of a pack.
    pack: usize,
    /// Dimensions.
    rank: usize,
    /// Whether numbers of packs fit 32 bits.
    is_small: bool,
}

/// The types of operands, outputs first.
type Types = SmallVec<[DType; 8]>;

/// The kernels of programs that were met.
#[derive(Default)]
pub(crate) struct Programs {
    known: Mutex<HashMap<(u64, Form), Module>>,
    /// Those that do many small calls.
    each: Mutex<HashMap<(u64, Types), Module>>,
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
        let key = (program.id(), form.clone());
        find(&self.known, key, || cuda.generated(&text(program, form, outputs)))
    }

    fn module_each(&self, cuda: &Cuda, program: &Program, types: &Types) -> Result<Module> {
        let key = (program.id(), types.clone());
        find(&self.each, key, || cuda.generated(&each_text(program, types, program.outputs())))
    }
}

fn find<K: Eq + Hash>(
    known: &Mutex<HashMap<K, Module>>,
    key: K,
    make: impl FnOnce() -> Result<Module>,
) -> Result<Module> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = known.get(&key) {
        return Ok(Module::clone(module));
    }
    let module = make()?;
    if known.len() >= MOST_KNOWN {
        known.clear();
    }
    known.insert(key, Module::clone(&module));
    Ok(module)
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
    write_steps(text, program, types, outputs, |k| match k >= outputs && splats[k] {
        true => format!("x{k}"),
        false => format!("x{k}.at[v]"),
    })?;
    writeln!(text, "    }}")?;
    for (k, dtype) in types.iter().enumerate().take(outputs) {
        let dtype = c_type(*dtype);
        writeln!(text, "    *reinterpret_cast<Pack<{dtype}, {pack}>*>(p{k} + at{k}) = y{k};")?;
    }
    writeln!(text, "  }}\n}}")
}

/// The steps of a program for one element: `element` names what operand `k` holds, and what output `k` is to
/// hold goes to `y{k}.at[v]`.
fn write_steps(
    text: &mut String,
    program: &Program,
    types: &[DType],
    outputs: usize,
    element: impl Fn(usize) -> String,
) -> std::fmt::Result {
    let slots: Vec<String> = (0..program.slots()).map(|slot| format!("r{slot}")).collect();
    if !slots.is_empty() {
        writeln!(text, "      A {};", slots.join(", "))?;
    }
    for instr in program.instrs() {
        match *instr {
            Instr::Input { dst, index } => {
                writeln!(text, "      r{dst} = widen<A>({});", element(outputs + index))?;
            }
            Instr::Previous { dst, index } => {
                writeln!(text, "      r{dst} = widen<A>({});", element(index))?;
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
    Ok(())
}

/// Elements that a block of [`pointwise_each`] takes.
const CHUNK: usize = 4096;

/// Words of the table that one launch carries; launches take at most 4 KiB of arguments.
const TABLE: usize = 448;

/// See [`ferrotape_backend::Backend::pointwise_each`]: one launch for many small calls, whose operands are
/// dense in one order. Other calls go by themselves.
pub(crate) fn pointwise_each(
    cuda: &Cuda,
    program: &Program,
    scalars: &[f64],
    inputs: &[&[&Array]],
    outputs: &mut [&mut [&mut Array]],
) -> Result<()> {
    check::pointwise_each(program, scalars, inputs, outputs)?;
    // In the order in which they are met: the same calls must make the same launches.
    let mut groups: Vec<(Types, Vec<u64>)> = Vec::new();
    for (ins, outs) in inputs.iter().zip(outputs.iter_mut()) {
        let Some(first) = outs.first() else { continue };
        let layout = *first.layout();
        let dense = layout.is_contiguous() || layout.is_dense_channels_last();
        let alike = |array: &Array| array.layout().is_dense_like(&layout);
        if !dense || !ins.iter().all(|a| alike(a)) || !outs.iter().all(|a| alike(a)) {
            pointwise(cuda, program, scalars, ins, outs)?;
            continue;
        }
        let outs: SmallVec<[&Array; 4]> = outs.iter().map(|output| &**output).collect();
        memory::open_all(&cuda.pool, ins, &outs, |ins, outs| {
            let operands = || outs.iter().chain(ins);
            let types: Types = operands().map(|operand| operand.dtype).collect();
            let known = groups.iter().position(|(known, _)| *known == types);
            let group = known.unwrap_or_else(|| {
                groups.push((types, Vec::new()));
                groups.len() - 1
            });
            let entries = &mut groups[group].1;
            entries.push(layout.shape().numel() as u64);
            entries.extend(operands().map(|operand| operand.address));
            Ok(())
        })?;
    }
    for (types, entries) in groups {
        let words = types.len() + 1;
        let module = cuda.programs.module_each(cuda, program, &types)?;
        for part in entries.chunks(TABLE / (words + 1) * words) {
            launch_each(cuda, &module, scalars, part, words)?;
        }
    }
    Ok(())
}

/// One launch for so many calls as fit its table: for each the first block, the count and the addresses.
fn launch_each(
    cuda: &Cuda,
    module: &Module,
    scalars: &[f64],
    entries: &[u64],
    words: usize,
) -> Result<()> {
    let mut table = Vec::with_capacity(TABLE);
    let mut blocks = 0;
    for entry in entries.chunks(words) {
        table.push(blocks as u64);
        table.extend_from_slice(entry);
        blocks += (entry[0] as usize).div_ceil(CHUNK);
    }
    if blocks == 0 {
        return Ok(());
    }
    let calls = (table.len() / (words + 1)) as i32;
    table.resize(TABLE, 0);
    let args = Args::new().int(calls).words(&table).doubles(scalars, scalars.len().max(1));
    let grid = Grid { blocks: [blocks as u32, 1, 1], threads: [256, 1], shared: 0 };
    cuda.launch_module(Module::clone(module), "program", grid, args)
}

fn each_text(program: &Program, types: &[DType], outputs: usize) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_each(&mut text, program, types, outputs);
    text
}

fn write_each(
    text: &mut String,
    program: &Program,
    types: &[DType],
    outputs: usize,
) -> std::fmt::Result {
    let computed = if types.contains(&DType::F64) { "double" } else { "float" };
    let (step, scalars) = (types.len() + 2, program.scalars().max(1));
    writeln!(text, "typedef {computed} A;")?;
    writeln!(
        text,
        "KERNEL(program)(int calls, Longs<{TABLE}> table, Doubles<{scalars}> scalars) {{\n\
         \x20 int e = 0;\n\
         \x20 while (e + 1 < calls && i64(blockIdx.x) >= table.at[(e + 1) * {step}]) e++;\n\
         \x20 i64 base = (i64(blockIdx.x) - table.at[e * {step}]) * {CHUNK}, count = table.at[e * {step} + 1];\n\
         \x20 i64 end = base + {CHUNK} < count ? base + {CHUNK} : count;"
    )?;
    for (k, dtype) in types.iter().enumerate() {
        let qualifier = if k < outputs { "" } else { "const " };
        let dtype = c_type(*dtype);
        writeln!(
            text,
            "  {qualifier}{dtype}* p{k} = reinterpret_cast<{qualifier}{dtype}*>(table.at[e * {step} + {}]);",
            k + 2
        )?;
    }
    writeln!(
        text,
        "  for (i64 i = base + threadIdx.x; i < end; i += blockDim.x) {{\n    const int v = 0;"
    )?;
    for (k, dtype) in types.iter().enumerate().take(outputs) {
        writeln!(text, "    Pack<{}, 1> y{k};", c_type(*dtype))?;
    }
    write_steps(text, program, types, outputs, |k| format!("p{k}[i]"))?;
    for k in 0..outputs {
        writeln!(text, "    p{k}[i] = y{k}.at[v];")?;
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
