//! Cases for the verbs that follow indices.

use proptest::prelude::*;

use super::case::{Call, Expect, Maker, Mistake, any_type, maker, shape, sizes};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{DType, Device, ErrorKind};

/// Checks [`Backend::gather`](crate::Backend::gather).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::gather(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("gather", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn gather(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases =
        (maker(), picks(), any_type()).prop_map(|(maker, picks, dtype)| pick(maker, picks, dtype));
    let refused = misplaced(|maker, picks| pick(maker, picks, DType::F32));
    harness::run("gather", device, options, cases, refused)
}

/// Checks [`Backend::scatter_add`](crate::Backend::scatter_add).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::scatter_add(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("scatter_add", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn scatter_add(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let cases = (maker(), picks()).prop_map(|(maker, picks)| scatter(maker, picks));
    harness::run("scatter_add", device, options, cases, misplaced(scatter))
}

/// A table, an index of its rank and the dimension that the index points along.
#[derive(Debug, Clone)]
struct Picks {
    table: Vec<usize>,
    index: Vec<usize>,
    dim: usize,
}

fn picks() -> impl Strategy<Value = Picks> {
    (shape(4_000), sizes::<5>(4_000), 0..5usize).prop_map(|(mut table, sizes, dim)| {
        if table.is_empty() {
            table.push(4);
        }
        let dim = dim % table.len();
        let smaller = |(axis, &size): (usize, &usize)| match axis {
            // There is nothing to point to in a dimension of size 0.
            axis if axis == dim => sizes[axis] * size.min(1),
            axis => sizes[axis].min(size),
        };
        let index = table.iter().enumerate().map(smaller).collect();
        Picks { table, index, dim }
    })
}

fn pick(mut maker: Maker, Picks { table, index, dim }: Picks, dtype: DType) -> Call {
    let inputs = vec![
        maker.input("src", &table, Values::Special).any(dtype),
        maker.index("index", &index, table[dim]),
    ];
    let outputs = vec![maker.output("dst", &index).any(dtype)];
    Call::new(inputs, outputs, Expect::Exact, move |backend, inputs, outputs| {
        backend.gather(inputs[0], dim, inputs[1], outputs[0])
    })
    .with(format_args!("dim {dim}"))
}

fn scatter(mut maker: Maker, Picks { table, index, dim }: Picks) -> Call {
    let normal = Values::Normal(1.0, 0.0);
    let inputs = vec![maker.input("src", &index, normal), maker.index("index", &index, table[dim])];
    let outputs = vec![maker.output("dst", &table).holding(normal)];
    Call::new(inputs, outputs, Expect::Sum(index[dim]), move |backend, inputs, outputs| {
        backend.scatter_add(inputs[0], dim, inputs[1], outputs[0])
    })
    .with(format_args!("dim {dim}"))
}

fn misplaced(call: impl Fn(Maker, Picks) -> Call) -> Vec<Mistake> {
    let with = |table: &[usize], index: &[usize], dim| {
        let picks = Picks { table: table.to_vec(), index: index.to_vec(), dim };
        call(Maker::plain(DType::F32), picks)
    };
    let pointing = |value| {
        let mut call = with(&[3, 4], &[3, 20], 1);
        call.inputs[1].values = Values::Index(4, Some(value));
        (ErrorKind::Argument, call)
    };
    let mut list = vec![
        pointing(4),
        pointing(-1),
        pointing(1 << 40),
        (ErrorKind::Shape, with(&[3, 4], &[4, 4], 1)),
        (ErrorKind::Shape, with(&[3, 4], &[3, 5], 0)),
        (ErrorKind::Argument, with(&[3, 0], &[3, 1], 1)),
    ];
    let mut differing = with(&[3, 4], &[3, 2], 1);
    differing.inputs[1].shape = vec![2, 2];
    list.push((ErrorKind::Shape, differing));
    // The dimension that the verb is told of is 2.
    let mut beyond = with(&[3, 4, 5], &[3, 4, 5], 2);
    for operand in beyond.inputs.iter_mut().chain(&mut beyond.outputs) {
        operand.shape = vec![3, 4];
    }
    list.push((ErrorKind::Argument, beyond));
    list
}
