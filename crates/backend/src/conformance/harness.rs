//! Runs cases on a device and on the reference, and says what differs.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::case::{Call, Expect, Facts, Mistake};
use super::operand::{Operand, Placed, Role, round};
use super::{Failure, Options, VerbReport, mistakes, nan};
use crate::reference::Reference;
use crate::{Array, DType, Device, ErrorKind, Result};

/// Checks one verb: generated cases, then calls that must be refused.
pub(super) fn run(
    verb: &'static str,
    device: &Device,
    options: &Options,
    cases: impl Strategy<Value = Call>,
    refused: Vec<Mistake>,
) -> Result<VerbReport, Failure> {
    let reference = &Device::new(Reference::new());
    let bench = Bench { device, reference, values: options.values };
    let fail = |case: String, message: String| Failure { verb, case, message };
    let config = Config {
        cases: options.cases,
        failure_persistence: None,
        max_shrink_iters: 4096,
        // Cases of data types that the device lacks are drawn anew.
        max_local_rejects: u32::MAX,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let has = |call: &Call| call.operands().all(|o| options.dtypes.contains(&o.dtype));
    if !drawn(&cases, rng.clone(), has) {
        return Ok(VerbReport { verb, cases: options.cases, unsupported: options.cases });
    }
    let cases = cases.prop_filter("the device lacks a data type", has);
    let unsupported = Cell::new(0);
    let outcome = TestRunner::new_with_rng(config.clone(), rng.clone()).run(&cases, |call| {
        match bench.verify(&call) {
            Ok(Verdict::Passed) => Ok(()),
            Ok(Verdict::Unsupported) => {
                unsupported.set(unsupported.get() + 1);
                Ok(())
            }
            Err(message) => Err(TestCaseError::fail(message)),
        }
    });
    let failed = |error| match error {
        TestError::Fail(reason, call) => fail(format!("{call:?}"), reason.message().into()),
        TestError::Abort(reason) => fail(String::new(), reason.message().into()),
    };
    outcome.map_err(failed)?;
    if options.values {
        let config = Config { cases: options.cases.div_ceil(4), ..config };
        let outcome = TestRunner::new_with_rng(config, rng)
            .run(&nan::planted(cases), |call| bench.keeps_nan(&call).map_err(TestCaseError::fail));
        outcome.map_err(failed)?;
    }
    let report = VerbReport { verb, cases: options.cases, unsupported: unsupported.get() };
    if report.unsupported < report.cases {
        let seen = |call: &Call| options.values || !call.inputs.iter().any(Operand::is_misplaced);
        for (kind, call) in refused.into_iter().filter(|(_, call)| seen(call) && has(call)) {
            bench.refuses(&call, kind).map_err(|message| fail(format!("{call:?}"), message))?;
        }
    }
    Ok(report)
}

/// Whether there are cases like this: one of a thousand.
fn drawn(cases: &impl Strategy<Value = Call>, rng: TestRng, has: impl Fn(&Call) -> bool) -> bool {
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..1000).any(|_| cases.new_tree(&mut runner).is_ok_and(|tree| has(&tree.current())))
}

/// What became of a case that did not fail.
pub(super) enum Verdict {
    Passed,
    Unsupported,
}

/// The device under test and the one it is held against.
pub(super) struct Bench<'a> {
    pub(super) device: &'a Device,
    pub(super) reference: &'a Device,
    /// Whether the device computes values.
    values: bool,
}

/// The operands of a call on a device.
pub(super) struct Table {
    pub(super) inputs: Vec<Placed>,
    pub(super) outputs: Vec<Placed>,
}

/// The elements of several operands in row-major order.
pub(super) type Lists = Vec<Vec<f64>>;

/// A sentence about what should not fail.
pub(super) fn preparing(error: crate::Error) -> String {
    format!("the case could not be prepared: {error}")
}

impl Bench<'_> {
    /// Runs the case and all that can be derived from it.
    fn verify(&self, call: &Call) -> Result<Verdict, String> {
        let live = self.device.memory().live_bytes;
        let verdict = self.compare(call)?;
        let elements: usize = call.operands().map(Operand::numel).sum();
        if matches!(verdict, Verdict::Passed) && elements < 4000 {
            mistakes::provoke(self, call)?;
        }
        let left = self.device.memory().live_bytes;
        if left != live {
            return Err(format!(
                "{live} bytes were live before the case and {left} after everything was dropped"
            ));
        }
        Ok(verdict)
    }

    fn compare(&self, call: &Call) -> Result<Verdict, String> {
        let table = match self.table(call) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Verdict::Unsupported);
            }
            table => table.map_err(preparing)?,
        };
        let generations = |list: &[Placed]| -> Vec<u64> {
            list.iter().map(|placed| placed.array.buffer().generation()).collect()
        };
        let (read, written) = (generations(&table.inputs), generations(&table.outputs));
        match self.call(call, &table) {
            Ok(()) => {}
            Err(Trouble::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Verdict::Unsupported);
            }
            Err(trouble) => return Err(trouble.to_string()),
        }
        if generations(&table.inputs) != read {
            return Err("the verb bumped the generation of an input".to_owned());
        }
        let after = generations(&table.outputs);
        if after.iter().zip(&written).any(|(after, before)| after <= before) {
            return Err("the verb did not bump the generation of an output".to_owned());
        }
        if !self.values {
            return Ok(Verdict::Passed);
        }
        let results = self.read_back(call, &table)?;
        self.compare_elements(call, &table, &results)?;

        let again = self.table(call).map_err(preparing)?;
        self.call(call, &again).map_err(|trouble| format!("the second time, {trouble}"))?;
        if self.read_back(call, &again)? != results {
            return Err("the verb gave other bits the second time".to_owned());
        }
        Ok(Verdict::Passed)
    }

    /// Checks that the call fails as it must.
    pub(super) fn refuses(&self, call: &Call, kind: ErrorKind) -> Result<(), String> {
        let table = self.table(call).map_err(preparing)?;
        self.must_fail(call, table.arrays(), kind)
    }

    pub(super) fn must_fail(
        &self,
        call: &Call,
        (inputs, outputs): (Vec<Array>, Vec<Array>),
        kind: ErrorKind,
    ) -> Result<(), String> {
        match self.invoke(call, inputs, outputs) {
            Ok(()) => Err(format!("an error of the kind {kind:?} was expected, there was none")),
            Err(Trouble::Error(error)) if error.kind() == kind => Ok(()),
            // A device may say that it has not the data type before it sees that it does not fit.
            Err(Trouble::Error(error))
                if kind == ErrorKind::DType && error.kind() == ErrorKind::Unsupported =>
            {
                Ok(())
            }
            Err(trouble) => {
                Err(format!("an error of the kind {kind:?} was expected, but {trouble}"))
            }
        }
    }

    pub(super) fn table(&self, call: &Call) -> Result<Table> {
        let place = |list: &[Operand]| -> Result<Vec<Placed>> {
            list.iter().map(|operand| operand.place(self.device)).collect()
        };
        Ok(Table { inputs: place(&call.inputs)?, outputs: place(&call.outputs)? })
    }

    pub(super) fn call(&self, call: &Call, table: &Table) -> Result<(), Trouble> {
        let (inputs, outputs) = table.arrays();
        self.invoke(call, inputs, outputs)
    }

    fn invoke(
        &self,
        call: &Call,
        inputs: Vec<Array>,
        mut outputs: Vec<Array>,
    ) -> Result<(), Trouble> {
        let inputs: Vec<&Array> = inputs.iter().collect();
        let mut outputs: Vec<&mut Array> = outputs.iter_mut().collect();
        let backend = self.device.backend();
        let result = catch_unwind(AssertUnwindSafe(|| {
            (call.run)(backend, &inputs, &mut outputs)?;
            self.device.synchronize()
        }));
        match result {
            Ok(result) => result.map_err(Trouble::Error),
            Err(panic) => Err(Trouble::Panic(said(&*panic))),
        }
    }

    /// The bytes of the outputs, after a look at what should not have changed.
    pub(super) fn read_back(&self, call: &Call, table: &Table) -> Result<Vec<Vec<u8>>, String> {
        let bytes = |placed: &Placed| placed.bytes().map_err(preparing);
        for (operand, placed) in call.inputs.iter().zip(&table.inputs) {
            if let Some(at) = placed.trespass(&bytes(placed)?, false) {
                return Err(format!("the verb changed element {at} of the input {}", operand.name));
            }
        }
        let mut results = Vec::new();
        for (operand, placed) in call.outputs.iter().zip(&table.outputs) {
            let now = bytes(placed)?;
            if let Some(at) = placed.trespass(&now, true) {
                return Err(format!(
                    "the verb changed element {at} of the buffer of {}, which lies between the \
                     elements of the output",
                    operand.name
                ));
            }
            results.push(now);
        }
        Ok(results)
    }

    fn compare_elements(
        &self,
        call: &Call,
        table: &Table,
        results: &[Vec<u8>],
    ) -> Result<(), String> {
        let (expected, bounds) = self.expected(call)?;
        let results = table.outputs.iter().zip(results);
        for (which, (placed, bytes)) in results.enumerate() {
            let operand = &call.outputs[which];
            for (nth, got) in placed.elements(bytes).into_iter().enumerate() {
                let (want, bound) = (expected[which][nth], bounds[which][nth]);
                if !agrees(operand.dtype, got, want, bound) {
                    return Err(format!(
                        "element {:?} of {} is {got:e}, the reference says {want:e} within {bound:e}",
                        coordinates(nth, &operand.shape),
                        operand.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the outputs should hold, and how far off they may be before they are stored.
    pub(super) fn expected(&self, call: &Call) -> Result<(Lists, Lists), String> {
        let elements = |list: &[Operand]| -> Result<Lists, String> {
            list.iter().map(|o| o.elements().map_err(preparing)).collect()
        };
        let (inputs, previous) = (elements(&call.inputs)?, elements(&call.outputs)?);
        let exact = matches!(call.expect, Expect::Exact);
        let expected = self.on_reference(call, &inputs, &previous, exact)?;
        let unit = call.unit();
        // 16-bit floats and f32 are computed in f32, where the smallest numbers may be flushed.
        let tiny = if unit < 1e-10 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
        let bounds = match &call.expect {
            Expect::Exact => expected.iter().map(|values| vec![0.0; values.len()]).collect(),
            Expect::Sum(terms) => {
                let factor = (32 + terms) as f64 * unit;
                let [inputs, previous] = [(&call.inputs, &inputs), (&call.outputs, &previous)]
                    .map(|(operands, lists)| absolute(operands, lists));
                let magnitudes = self.on_reference(call, &inputs, &previous, false)?;
                let bound = |magnitude: f64| magnitude.abs() * factor + tiny;
                magnitudes.into_iter().map(|m| m.into_iter().map(bound).collect()).collect()
            }
            Expect::Within(bound) => {
                let facts =
                    Facts { inputs: &inputs, previous: &previous, expected: &expected, unit };
                let mut bounds = bound(&facts);
                bounds.iter_mut().flatten().for_each(|bound| *bound += tiny);
                bounds
            }
        };
        Ok((expected, bounds))
    }

    /// What the reference makes of row-major operands with these elements, in f64 or in the
    /// operands' own types.
    fn on_reference(
        &self,
        call: &Call,
        inputs: &[Vec<f64>],
        previous: &[Vec<f64>],
        own_types: bool,
    ) -> Result<Lists, String> {
        let make = |operand: &Operand, elements: &Vec<f64>| {
            let dtype = match operand.role {
                Role::Float | Role::Any if !own_types => DType::F64,
                _ => operand.dtype,
            };
            Array::from_f64(self.reference, elements, dtype, &operand.shape)
        };
        let all = |operands: &[Operand], lists: &[Vec<f64>]| -> Result<Vec<Array>> {
            operands.iter().zip(lists).map(|(operand, list)| make(operand, list)).collect()
        };
        let run = || -> Result<Lists> {
            let inputs = all(&call.inputs, inputs)?;
            let mut outputs = all(&call.outputs, previous)?;
            let inputs: Vec<&Array> = inputs.iter().collect();
            let mut targets: Vec<&mut Array> = outputs.iter_mut().collect();
            (call.run)(self.reference.backend(), &inputs, &mut targets)?;
            outputs.iter().map(Array::to_f64_vec).collect()
        };
        run().map_err(|error| format!("the reference could not run the case: {error}"))
    }
}

impl Table {
    fn arrays(&self) -> (Vec<Array>, Vec<Array>) {
        let arrays = |list: &[Placed]| list.iter().map(|placed| placed.array.clone()).collect();
        (arrays(&self.inputs), arrays(&self.outputs))
    }
}

/// How a call failed.
pub(super) enum Trouble {
    Error(crate::Error),
    /// With what it said.
    Panic(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Error(error) => write!(f, "the verb failed ({:?}): {error}", error.kind()),
            Trouble::Panic(said) => write!(f, "the verb panicked: {said}"),
        }
    }
}

/// The text of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a text").to_owned()
}

fn absolute(operands: &[Operand], lists: &[Vec<f64>]) -> Lists {
    let one = |(operand, list): (&Operand, &Vec<f64>)| match operand.role {
        Role::Index => list.clone(),
        _ => list.iter().map(|value| value.abs()).collect(),
    };
    operands.iter().zip(lists).map(one).collect()
}

/// Whether a value was computed within the bound and then rounded to its data type. A bound that is
/// not a number allows anything.
fn agrees(dtype: DType, got: f64, want: f64, bound: f64) -> bool {
    if bound.is_nan() || bound == f64::INFINITY {
        return true;
    }
    if want.is_nan() {
        let stored = round(dtype, want);
        return got == stored || got.is_nan() && stored.is_nan();
    }
    // Rounding keeps the order, so whatever lies between the ends is rounded to between them. The ends themselves are
    // rounded where they are large.
    let [low, high] = match bound == 0.0 || want.is_infinite() {
        true => [want, want],
        false => [(want - bound).next_down(), (want + bound).next_up()],
    };
    round(dtype, low) <= got && got <= round(dtype, high)
}

/// The index of the n-th element in row-major order.
pub(super) fn coordinates(mut nth: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &size) in index.iter_mut().zip(shape).rev() {
        *place = nth % size.max(1);
        nth /= size.max(1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_agrees_up_to_its_bound_and_not_beyond() {
        // The difference is 2^53 + 1, which f64 does not have.
        let large = -9_007_199_254_740_992.0;
        assert!(agrees(DType::I64, large, 1.0, 1.0 - large));
        assert!(agrees(DType::F64, 1.5, 1.0, 0.5) && !agrees(DType::F64, 1.500_001, 1.0, 0.5));
        assert!(
            agrees(DType::F32, 1.0, 1.0, 0.0) && !agrees(DType::F64, 1.0f64.next_up(), 1.0, 0.0)
        );
        assert!(!agrees(DType::F64, f64::MAX, f64::INFINITY, 1.0));
    }
}
