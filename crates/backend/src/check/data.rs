//! Checks for the verbs that move, convert, combine and draw elements.

use std::collections::HashSet;

use super::{float, has_dim, of_shape, of_type, of_type_or_accumulator, operands, same_float};
use crate::pointwise::{Instr, Program};
use crate::{Array, DType, Error, ErrorKind, Reduce, Result, Shape};

/// Checks the operands of [`Backend::upload`](crate::Backend::upload).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [2, 3])?;
/// check::upload(&[0; 24], &x)?;
/// let error = check::upload(&[0; 6], &x).unwrap_err().to_string();
/// assert!(error.ends_with("the array has 24 bytes, the host's memory 6"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `Shape` if the number of bytes differs, `Argument` if `dst` is not contiguous.
pub fn upload(src: &[u8], dst: &Array) -> Result<()> {
    operands("upload", &[], &[dst], || transfer(src.len(), dst))
}

/// Checks the operands of [`Backend::download`](crate::Backend::download).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let turned = Array::zeros(&device, DType::F32, [2, 3])?.permute(&[1, 0])?;
/// let error = check::download(&turned, &[0; 24]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Argument, "it is not contiguous");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`upload`].
pub fn download(src: &Array, dst: &[u8]) -> Result<()> {
    operands("download", &[src], &[], || transfer(dst.len(), src))
}

fn transfer(bytes: usize, array: &Array) -> Result<()> {
    if bytes != array.bytes() {
        return Err(Error::shape(format!(
            "the array has {} bytes, the host's memory {bytes}",
            array.bytes()
        )));
    }
    if !array.layout().is_contiguous() {
        return Err(Error::argument(
            "only contiguous arrays are moved to and from the host; call contiguous() first",
        ));
    }
    Ok(())
}

/// Checks the operands of [`Backend::copy`](crate::Backend::copy).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::zeros(&device, DType::F32, [4])?;
/// let error = check::copy(&x.narrow(0, 0, 2)?, &x.narrow(0, 2, 2)?).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Overlap, "both are of one buffer");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, and `Shape` if the shapes differ.
pub fn copy(src: &Array, dst: &Array) -> Result<()> {
    operands("copy", &[src], &[dst], || of_shape("the target", dst, src.shape()))
}

/// Checks the operands of [`Backend::fill`](crate::Backend::fill).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let row = Array::zeros(&device, DType::F32, [1, 3])?;
/// check::fill(&row)?;
/// assert_eq!(check::fill(&row.broadcast_to([2, 3])?).unwrap_err().kind(), ErrorKind::Overlap);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `Overlap` if the array overlaps with itself.
pub fn fill(dst: &Array) -> Result<()> {
    operands("fill", &[], &[dst], || Ok(()))
}

/// Checks the operands of [`Backend::pointwise`](crate::Backend::pointwise) and gives the shape of
/// the outputs.
///
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, check, pointwise::Expr, pointwise::Program,
///     reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let sum = Program::new(&[Expr::input(0) + Expr::input(1)]);
/// let (x, bias) = (Array::zeros(&device, DType::F32, [2, 3])?, Array::zeros(&device, DType::F32, [3])?);
/// let mut y = Array::zeros(&device, DType::F32, [2, 3])?;
/// assert_eq!(check::pointwise(&sum, &[], &[&x, &bias], &[&mut y])?, [2, 3]);
/// let error = check::pointwise(&sum, &[], &[&x], &[&mut y]).unwrap_err().to_string();
/// assert!(error.ends_with("the program has 2 inputs, got 1"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`; `Argument` for a number of operands or scalars that the program
/// does not have; `Shape` if the outputs differ or an input does not broadcast to them.
pub fn pointwise(
    program: &Program,
    scalars: &[f64],
    inputs: &[&Array],
    outputs: &[&mut Array],
) -> Result<Shape> {
    let outputs: Vec<&Array> = outputs.iter().map(|output| &**output).collect();
    operands("pointwise", inputs, &outputs, || {
        let counts = [
            ("inputs", program.inputs(), inputs.len()),
            ("scalars", program.scalars(), scalars.len()),
            ("outputs", program.outputs(), outputs.len()),
        ];
        for (what, wanted, got) in counts {
            if wanted != got {
                return Err(Error::argument(format!("the program has {wanted} {what}, got {got}")));
            }
        }
        let Some(shape) = outputs.first().map(|output| *output.shape()) else {
            return Err(Error::argument("the program has no outputs, so it computes nothing"));
        };
        let previous = |instr: &Instr| match instr {
            Instr::Previous { index, .. } => *index,
            _ => 0,
        };
        if let Some(index) = program.instrs().iter().map(previous).find(|&i| i >= outputs.len()) {
            return Err(Error::argument(format!(
                "the program reads what output {index} held before, but has only {} outputs",
                outputs.len()
            )));
        }
        for output in &outputs {
            of_shape("an output", output, &shape)?;
        }
        match inputs.iter().find(|input| !input.shape().broadcasts_to(&shape)) {
            None => Ok(shape),
            Some(input) => Err(Error::shape(format!(
                "an input of shape {} does not broadcast to the outputs' {shape}",
                input.shape()
            ))),
        }
    })
}

/// Checks the operands of [`Backend::pointwise_each`](crate::Backend::pointwise_each) and gives the shape
/// of each call's outputs.
///
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, check, pointwise::Expr, pointwise::Program,
///     reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let double = Program::new(&[Expr::input(0) * 2.0]);
/// let x = Array::zeros(&device, DType::F32, [3])?;
/// let error = check::pointwise_each(&double, &[], &[&[&x], &[&x]], &[]).unwrap_err().to_string();
/// assert!(error.contains("2 lists of inputs and 0 of outputs"), "{error}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`pointwise`]; `Argument` for other than one list of inputs to each of outputs, `Overlap` for an
/// output that shares memory with an operand of any call, because calls may run at once.
pub fn pointwise_each(
    program: &Program,
    scalars: &[f64],
    inputs: &[&[&Array]],
    outputs: &[&mut [&mut Array]],
) -> Result<Vec<Shape>> {
    if inputs.len() != outputs.len() {
        let (reads, writes) = (inputs.len(), outputs.len());
        return Err(Error::argument(format!(
            "there are {reads} lists of inputs and {writes} of outputs; each call has one of both"
        ))
        .at("pointwise_each"));
    }
    let calls = inputs.iter().zip(outputs);
    let shapes = calls.map(|(inputs, outputs)| pointwise(program, scalars, inputs, outputs));
    let shapes = shapes.collect::<Result<Vec<Shape>>>()?;
    let mut written = HashSet::new();
    let shared = |array: &Array| {
        let message = format!("an operand of shape {} is written by another call", array.shape());
        Error::new(ErrorKind::Overlap, message).at("pointwise_each")
    };
    for output in outputs.iter().flat_map(|list| list.iter()) {
        if !written.insert(output.buffer().id()) {
            return Err(shared(output));
        }
    }
    match inputs.iter().flat_map(|list| *list).find(|a| written.contains(&a.buffer().id())) {
        Some(input) => Err(shared(input)),
        None => Ok(shapes),
    }
}

/// Checks the operands of [`Backend::reduce`](crate::Backend::reduce). Floats only; `dst` is of
/// the type of `src` or of its accumulator type.
///
/// ```
/// use ferrotape_backend::{
///     Array, DType, Device, ErrorKind, Reduce, check, reference::Reference,
/// };
///
/// let device = Device::new(Reference::new());
/// let [x, y, z] = [[2, 3], [2, 1], [1, 2]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let (x, y, z) = (x?, y?, z?);
/// check::reduce(Reduce::Sum, &x, &y, None)?;
/// assert_eq!(check::reduce(Reduce::Sum, &x, &z, None).unwrap_err().kind(), ErrorKind::Shape);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`; `Shape` for shapes that do not fit, and for the maximum or
/// minimum of nothing; `Argument` for a sum with an index.
pub fn reduce(kind: Reduce, src: &Array, dst: &Array, index: Option<&Array>) -> Result<()> {
    let outputs: &[&Array] = match &index {
        Some(index) => &[dst, index],
        None => &[dst],
    };
    operands("reduce", &[src], outputs, || {
        of_type_or_accumulator("the result", dst, float("the input", src)?)?;
        let fits = src.shape().rank() == dst.shape().rank()
            && src.shape().iter().zip(dst.shape().iter()).all(|(&s, &d)| d == s || d == 1);
        if !fits {
            return Err(Error::shape(format!(
                "{} does not reduce to {}: the rank must be the same, and each size the same or 1",
                src.shape(),
                dst.shape()
            )));
        }
        if kind != Reduce::Sum && src.shape().numel() == 0 && dst.shape().numel() > 0 {
            return Err(Error::shape(format!(
                "an array of shape {} has no largest or smallest element",
                src.shape()
            )));
        }
        let Some(index) = index else { return Ok(()) };
        if kind == Reduce::Sum {
            return Err(Error::argument("a sum has no index; give one to Max and Min only"));
        }
        of_type("the index", index, DType::I64)?;
        of_shape("the index", index, dst.shape())
    })
}

/// Checks the operands of [`Backend::gather`](crate::Backend::gather). `src` and `dst` may be of
/// any data type, the same for both.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let table = Array::zeros(&device, DType::U8, [10, 4])?;
/// let index = Array::zeros(&device, DType::I64, [20, 4])?;
/// check::gather(&table, 0, &index, &Array::zeros(&device, DType::U8, [20, 4])?)?;
/// let wrong = check::gather(&table, 1, &index, &Array::zeros(&device, DType::U8, [20, 4])?);
/// assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Shape);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DeviceMismatch`, `Overlap`, `DType`, `Shape`; `Argument` if there is no such dimension, or
/// nothing in it for an index to mean.
pub fn gather(src: &Array, dim: usize, index: &Array, dst: &Array) -> Result<()> {
    operands("gather", &[src, index], &[dst], || {
        of_type("the result", dst, src.dtype())?;
        of_type("the index", index, DType::I64)?;
        of_shape("the index", index, dst.shape())?;
        picks("the source", src, dim, index)
    })
}

/// Checks the operands of [`Backend::scatter_add`](crate::Backend::scatter_add). Floats only.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let [gy, table] = [[20, 4], [10, 4]].map(|shape| Array::zeros(&device, DType::F32, shape));
/// let index = Array::zeros(&device, DType::I64, [20, 4])?;
/// check::scatter_add(&gy?, 0, &index, &table?)?;
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`gather`].
pub fn scatter_add(src: &Array, dim: usize, index: &Array, dst: &Array) -> Result<()> {
    operands("scatter_add", &[src, index], &[dst], || {
        same_float(&[("the source", src), ("the result", dst)])?;
        of_type("the index", index, DType::I64)?;
        of_shape("the index", index, src.shape())?;
        picks("the result", dst, dim, index)
    })
}

/// Whether `index` is no larger than `table` in every dimension but `dim`.
fn picks(name: &str, table: &Array, dim: usize, index: &Array) -> Result<()> {
    has_dim(table, dim)?;
    let fits = table.shape().rank() == index.shape().rank()
        && table
            .shape()
            .iter()
            .zip(index.shape().iter())
            .enumerate()
            .all(|(axis, (&has, &wants))| axis == dim || wants <= has);
    if fits && table.shape()[dim] == 0 && index.shape().numel() > 0 {
        return Err(Error::argument(format!(
            "{name} of shape {} has nothing in dimension {dim} that an index could mean",
            table.shape()
        )));
    }
    if fits {
        return Ok(());
    }
    Err(Error::shape(format!(
        "the index of shape {} does not fit {name} of shape {}: it may be larger in dimension {dim} \
         only",
        index.shape(),
        table.shape()
    )))
}

/// Checks the operands of [`Backend::random`](crate::Backend::random).
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, ErrorKind, check, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// check::random(&Array::zeros(&device, DType::BF16, [4])?)?;
/// let error = check::random(&Array::zeros(&device, DType::I64, [4])?).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::DType);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// `DType` if the array does not hold floats, `Overlap` if it overlaps with itself.
pub fn random(dst: &Array) -> Result<()> {
    operands("random", &[], &[dst], || float("the array", dst).map(|_| ()))
}
