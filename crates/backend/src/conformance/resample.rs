//! Cases for resampling.

use proptest::prelude::*;

use super::case::{Call, Expect, Maker, Mistake, maker, sizes};
use super::operand::Values;
use super::{Failure, Options, VerbReport, harness};
use crate::{DType, Device, ErrorKind, Result, Rng, Taps};

/// Checks [`Backend::resample2d`](crate::Backend::resample2d), with matrices of every kind that
/// [`Taps`] makes, their transposes, and random ones with empty rows.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::resample2d(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("resample2d", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails.
pub fn resample2d(device: &Device, options: &Options) -> std::result::Result<VerbReport, Failure> {
    let cases = (maker(), sizes::<6>(8_000), axis(), axis())
        .prop_map(|(maker, sizes, rows, columns)| resampled(maker, sizes, rows, columns));
    harness::run("resample2d", device, options, cases, refused())
}

/// How the outputs along an axis follow from the inputs.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Same,
    Average,
    Nearest,
    Linear(bool),
    Cubic(bool),
    Sliding(usize),
    Random(u64),
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    kind: Kind,
    transposed: bool,
}

fn axis() -> impl Strategy<Value = Axis> {
    let kind = prop_oneof![
        Just(Kind::Same),
        Just(Kind::Average),
        Just(Kind::Nearest),
        any::<bool>().prop_map(Kind::Linear),
        any::<bool>().prop_map(Kind::Cubic),
        (1..=6usize).prop_map(Kind::Sliding),
        (0..100u64).prop_map(Kind::Random),
    ];
    (kind, any::<bool>()).prop_map(|(kind, transposed)| Axis { kind, transposed })
}

impl Axis {
    fn taps(self, inputs: usize, outputs: usize) -> Result<Taps> {
        if self.transposed {
            let plain = Axis { transposed: false, ..self };
            return Ok(plain.taps(outputs.max(1), inputs)?.transposed());
        }
        // No output has an input to follow from.
        let outputs = if inputs == 0 { 0 } else { outputs };
        match self.kind {
            Kind::Same => Taps::identity(inputs),
            Kind::Average => Taps::average(inputs, outputs),
            Kind::Nearest => Taps::nearest(inputs, outputs),
            Kind::Linear(align_corners) => Taps::linear(inputs, outputs, align_corners),
            Kind::Cubic(align_corners) => Taps::cubic(inputs, outputs, align_corners),
            Kind::Sliding(size) => Taps::sliding_mean(inputs, size),
            Kind::Random(seed) => {
                let rng = Rng::new(seed);
                let draw = |at: usize| rng.uniform_f64(at as u64);
                let tap = |at: usize| ((draw(2 * at) * inputs as f64) as usize, draw(2 * at + 1));
                let count =
                    |output: usize| (rng.path("count").uniform_f64(output as u64) * 4.0) as usize;
                Taps::new(inputs, (0..outputs).map(|o| (0..count(o)).map(move |t| tap(4 * o + t))))
            }
        }
    }
}

/// What stands in for a matrix that could not be made: the case then fails for its shapes.
fn nothing() -> Taps {
    Taps::new(0, [[]; 0]).unwrap_or_else(|_| unreachable!("no row names an input"))
}

fn resampled(maker: Maker, sizes: [usize; 6], rows: Axis, columns: Axis) -> Call {
    let [n, c, h, w, oh, ow] = sizes;
    let taps =
        |axis: Axis, inputs, outputs| axis.taps(inputs, outputs).unwrap_or_else(|_| nothing());
    let (down, across) = (taps(rows, h, oh), taps(columns, w, ow));
    let x = [n, c, down.inputs(), across.inputs()];
    let y = [n, c, down.outputs(), across.outputs()];
    call(maker, x, y, [down, across]).with((rows, columns))
}

fn call(mut maker: Maker, x: [usize; 4], y: [usize; 4], [rows, columns]: [Taps; 2]) -> Call {
    let inputs = vec![maker.input("x", &x, Values::Normal(1.0, 0.0))];
    let outputs = vec![maker.output("y", &y)];
    let longest = |taps: &Taps| (0..taps.outputs()).map(|i| taps.row(i).count()).max().unwrap_or(0);
    // Weights of both signs cancel: the magnitude of a sum is that with their absolute values.
    let positive = |taps: &Taps| {
        let row = |i| taps.row(i).map(|(k, weight)| (k, weight.abs())).collect::<Vec<_>>();
        Taps::new(taps.inputs(), (0..taps.outputs()).map(row))
    };
    let terms = (longest(&rows) + longest(&columns)) as f64 + 4.0;
    let magnitude = (positive(&rows), positive(&columns));
    let bound = move |facts: &super::case::Facts<'_>| {
        let (Ok(rows), Ok(columns)) = &magnitude else { return vec![Vec::new()] };
        let [_, _, h, w] = x;
        let [n, c, oh, ow] = y;
        let mut bounds = Vec::new();
        for plane in 0..n * c {
            for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                let taps =
                    rows.row(i).flat_map(|(k, a)| columns.row(j).map(move |(l, b)| (k, l, a * b)));
                let element = |(k, l, weight): (usize, usize, f64)| {
                    weight * facts.inputs[0][(plane * h + k) * w + l].abs()
                };
                bounds.push(taps.map(element).sum::<f64>() * terms * facts.unit);
            }
        }
        vec![bounds]
    };
    Call::new(inputs, outputs, Expect::Within(Box::new(bound)), move |backend, inputs, outputs| {
        backend.resample2d(inputs[0], &rows, &columns, outputs[0])
    })
}

fn refused() -> Vec<Mistake> {
    let taps = || {
        let average =
            |inputs, outputs| Taps::average(inputs, outputs).unwrap_or_else(|_| nothing());
        [average(4, 2), average(5, 3)]
    };
    let with = |x, y| (ErrorKind::Shape, call(Maker::plain(DType::F32), x, y, taps()));
    vec![
        with([2, 3, 5, 5], [2, 3, 2, 3]),
        with([2, 3, 4, 4], [2, 3, 2, 3]),
        with([2, 3, 4, 5], [2, 3, 3, 3]),
        with([2, 3, 4, 5], [2, 3, 2, 2]),
        with([2, 3, 4, 5], [1, 3, 2, 3]),
        with([2, 3, 4, 5], [2, 2, 2, 3]),
    ]
}
