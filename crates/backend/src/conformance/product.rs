//! Cases for the matrix product.

use proptest::prelude::*;

use super::case::{Call, Expect, Maker, Mistake, maker, shrink_to, sizes};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{DType, Device, ErrorKind};

/// Checks [`Backend::gemm`](crate::Backend::gemm).
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::gemm(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("gemm", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn gemm(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    harness::run("gemm", device, options, cases(), refused())
}

#[derive(Debug, Clone, Copy, Default)]
struct Gemm {
    accumulate: bool,
    /// `a` and `b` have a batch of 1.
    shared: [bool; 2],
    /// `c` is of the accumulator type.
    wide: bool,
}

fn cases() -> impl Strategy<Value = Call> {
    // Large ones cross the borders of cache blocks and of threads.
    let large =
        (1..=2usize, 50..=300usize, 50..=300usize, 50..=300usize).prop_map(|(b, m, k, n)| {
            let mut sizes = [b, m, k, n];
            shrink_to(&mut sizes, 2_000_000);
            sizes
        });
    let all = prop_oneof![15 => sizes::<4>(60_000), 1 => large];
    (maker(), all, any::<[bool; 4]>()).prop_map(|(maker, sizes, [accumulate, a, b, wide])| {
        gemm_call(maker, sizes, Gemm { accumulate, shared: [a, b], wide })
    })
}

fn gemm_call(mut maker: Maker, [batch, m, k, n]: [usize; 4], params: Gemm) -> Call {
    let batch_of = |shared| if shared { 1 } else { batch };
    let normal = Values::Normal(1.0, 0.0);
    let a = maker.input("a", &[batch_of(params.shared[0]), m, k], normal);
    let b = maker.input("b", &[batch_of(params.shared[1]), k, n], normal);
    let mut c = maker.output("c", &[batch, m, n]);
    if params.wide {
        c = c.accumulator();
    }
    let accumulate = params.accumulate;
    if accumulate {
        c = c.holding(normal);
    }
    Call::new(vec![a, b], vec![c], Expect::Sum(k), move |backend, inputs, outputs| {
        backend.gemm(inputs[0], inputs[1], outputs[0], accumulate)
    })
    .with(params)
}

fn refused() -> Vec<Mistake> {
    let with = |operand: usize, shape: [usize; 3]| {
        let mut call = gemm_call(Maker::plain(DType::F32), [2, 3, 4, 5], Gemm::default());
        match operand {
            0 | 1 => call.inputs[operand].shape = shape.to_vec(),
            _ => call.outputs[0].shape = shape.to_vec(),
        }
        (ErrorKind::Shape, call)
    };
    vec![
        with(0, [2, 3, 5]),
        with(0, [2, 4, 3]),
        with(0, [3, 3, 4]),
        with(1, [2, 4, 4]),
        with(1, [0, 4, 5]),
        with(2, [2, 5, 3]),
        with(2, [1, 3, 5]),
    ]
}
