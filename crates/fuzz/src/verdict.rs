//! Whether the CPU's kernels compute what the reference backend computes.
//!
//! How far off they may be is measured: the reference computes again from numbers that are moved by what
//! [`tolerance`] allows for the type, and no result may be further off than these moved. That is right also
//! where terms cancel, and where a small step of an input is a large one of the result. Each move is made in both
//! directions, so that what rounding may bring to the other side of a kink is seen there.

use std::fmt::Debug;

use ferrotape_autograd::Tensor;
use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, DType, Device, ErrorKind, Result, Rng};
use ferrotape_cpu::{Cpu, CpuOptions, Level};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::fixtures::tolerance;

use crate::memory::uncounted;

thread_local! {
    static REFERENCE: Device = Device::new(Reference::new());
    static CPUS: Vec<Device> = Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .map(|level| {
            // Two threads share what is worth sharing, in one of them: threads that wait take time.
            let threads = if level == Level::best() { 2 } else { 1 };
            let options = CpuOptions { threads: Some(threads), level: Some(level) };
            Device::new(Cpu::new(options).expect("the level is available"))
        })
        .collect();
}

/// The reference backend of this thread.
pub(crate) fn reference() -> Device {
    REFERENCE.with(Device::clone)
}

/// The CPU of this thread, once for each set of instructions that the machine has.
pub(crate) fn cpus() -> Vec<Device> {
    CPUS.with(Vec::clone)
}

/// The CPU with the most instructions.
pub(crate) fn fastest() -> Device {
    cpus().pop().expect("every machine has the portable ones")
}

/// An operand: floats in a type, or indices.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) input: Input,
    pub(crate) dtype: DType,
}

/// Moves numbers, or leaves them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shake(Option<(Rng, f64)>);

/// The moves that are made: a key and a direction each.
const MOVES: [(u64, f64); 4] = [(1, 1.0), (1, -1.0), (2, 1.0), (2, -1.0)];

impl Shake {
    /// Leaves them.
    pub(crate) fn none() -> Self {
        Shake(None)
    }

    /// The input as an array, its floats moved.
    fn array(self, device: &Device, operand: &Operand, at: u64) -> Result<Array> {
        let Operand { input, dtype } = operand;
        let (Some((rng, direction)), Some(values)) = (self.0, input.floats()) else {
            return input.on_as(device, *dtype);
        };
        let by_most = direction * tolerance(*dtype);
        let [by, rng] = [rng.path("by").call(at), rng.path("more").call(at)];
        let moved = values.iter().zip(0..).map(|(value, i)| {
            let [a, b] = [by, rng].map(|rng| 2.0 * rng.uniform_f64(i) - 1.0);
            value + by_most * (value.abs() * a + b)
        });
        let moved = Input::new(input.shape(), moved.collect::<Vec<f64>>())?;
        moved.laid_out(input.layout().clone()).on_as(device, *dtype)
    }

    /// The result of step `at`, its numbers moved; recorded, if it is.
    pub(crate) fn tensor(self, tensor: Tensor, at: u64) -> Result<Tensor> {
        let (shape, dtype) = (*tensor.shape(), tensor.dtype());
        let Some((rng, direction)) = self.0.filter(|_| dtype.is_float()) else { return Ok(tensor) };
        let by_most = direction * tolerance(dtype);
        let noise = |path: &str, offset: f64| -> Result<Tensor> {
            let rng = rng.path(path).call(at);
            let noise = (0..shape.numel() as u64)
                .map(|i| offset + by_most * (2.0 * rng.uniform_f64(i) - 1.0));
            let noise = Array::from_f64(tensor.device(), &noise.collect::<Vec<_>>(), dtype, shape)?;
            Ok(Tensor::from(noise))
        };
        tensor.mul(&noise("times", 1.0)?)?.add(&noise("plus", 0.0)?)
    }
}

/// Arrays of a computation by name, or that it failed.
pub(crate) type Outcome = Result<Vec<(String, Array)>>;

/// Computes on the reference and on each CPU, which must say the same.
///
/// # Panics
/// One fails and the other does not, or for another kind of reason; a number is further off than it may be.
pub(crate) fn agree(
    what: &dyn Debug,
    operands: &[Operand],
    compute: &dyn Fn(&Device, Vec<Array>, Shake) -> Outcome,
) {
    let on = |device: &Device, shake: Shake| -> Outcome {
        let arrays = operands.iter().zip(0..);
        let arrays = arrays.map(|(operand, at)| shake.array(device, operand, at));
        uncounted(|| compute(device, arrays.collect::<Result<_>>()?, shake))
    };
    let still = Shake::none();
    let expected = on(&reference(), still);
    let moved = MOVES.map(|(key, direction)| match &expected {
        Ok(_) => on(&reference(), Shake(Some((Rng::new(key), direction)))),
        Err(_) => Ok(Vec::new()),
    });
    for device in cpus() {
        match (&expected, on(&device, still)) {
            (Ok(expected), Ok(found)) => {
                let complain = |text: String| panic!("{text}\n{what:?}\n{operands:#?}");
                compare(expected, &found, &moved).unwrap_or_else(complain);
            }
            (Err(expected), Err(found)) => {
                assert!(!found.message().is_empty());
                let same = expected.kind() == found.kind();
                let either = [expected.kind(), found.kind()].contains(&ErrorKind::OutOfMemory);
                assert!(same || either, "{expected}, but {found}\n{what:?}\n{operands:#?}");
            }
            (Ok(_), Err(found)) => {
                panic!("only the CPU says: {found}\n{what:?}\n{operands:#?}")
            }
            (Err(expected), Ok(_)) => {
                panic!("only the reference says: {expected}\n{what:?}\n{operands:#?}")
            }
        }
    }
}

fn compare(
    expected: &[(String, Array)],
    found: &[(String, Array)],
    moved: &[Outcome],
) -> Result<(), String> {
    let names = |list: &[(String, Array)]| list.iter().map(|(name, _)| name.clone()).collect();
    let [expected_names, found_names]: [Vec<String>; 2] = [names(expected), names(found)];
    if expected_names != found_names {
        return Err(format!("there are {found_names:?} in place of {expected_names:?}"));
    }
    for (index, ((name, expected), (_, found))) in expected.iter().zip(found).enumerate() {
        let [a, b] = [expected, found].map(|array| (array.dtype(), array.shape()));
        if a != b {
            return Err(format!("{name} is {b:?} in place of {a:?}"));
        }
        let read = |array: &Array| array.to_f64_vec().map_err(|error| error.to_string());
        let (wanted, got) = (read(expected)?, read(found)?);
        let finite = wanted.iter().filter(|value| value.is_finite());
        let largest = finite.fold(1.0f64, |most, value| most.max(value.abs()));
        // Rounding of the result itself; the half of a unit, and one for what is rounded twice.
        let mut bound = if a.0.is_float() { 4.0 * unit(a.0) * largest } else { 0.0 };
        for moved in moved {
            let found = moved.as_ref().ok().and_then(|list| list.get(index));
            let same = found.filter(|(other, array)| other == name && array.shape() == a.1);
            bound += match same {
                Some((_, array)) => furthest(&wanted, &read(array)?).0,
                None => f64::INFINITY,
            };
        }
        let (distance, at) = furthest(&wanted, &got);
        if distance > bound {
            return Err(format!(
                "element {at} of {name} is {:e} in place of {:e}; it may be {bound:e} off",
                got[at], wanted[at]
            ));
        }
    }
    Ok(())
}

/// The largest difference of two elements, and where it is. What is no number differs from any number without
/// bounds.
fn furthest(wanted: &[f64], found: &[f64]) -> (f64, usize) {
    let mut worst = (0.0, 0);
    for (at, (wanted, found)) in wanted.iter().zip(found).enumerate() {
        let same = wanted == found || wanted.is_nan() && found.is_nan();
        let distance = match (wanted - found).abs() {
            _ if same => 0.0,
            distance if distance.is_nan() => f64::INFINITY,
            distance => distance,
        };
        if distance > worst.0 {
            worst = (distance, at);
        }
    }
    worst
}

/// Half the distance from 1 to the next number.
fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON / 2.0,
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => f64::from(f32::EPSILON) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::Error;

    use super::*;

    fn one(value: f64) -> [Operand; 1] {
        let input = Input::new([2], [value, 1.0]).unwrap();
        [Operand { input, dtype: DType::F64 }]
    }

    /// What a computation gives on the CPU and on the reference.
    fn differing(
        operands: &[Operand],
        cpu: impl Fn(&Tensor) -> Result<Tensor>,
        reference: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> std::thread::Result<()> {
        let compute = |device: &Device, arrays: Vec<Array>, _: Shake| -> Outcome {
            let x = Tensor::from(arrays[0].clone());
            let y = if device.name() == "cpu" { cpu(&x)? } else { reference(&x)? };
            Ok(vec![("y".to_owned(), y.into_array())])
        };
        let call = std::panic::AssertUnwindSafe(|| agree(&"a test", operands, &compute));
        std::panic::catch_unwind(call)
    }

    #[test]
    fn a_wrong_number_and_an_error_of_one_alone_are_seen() {
        let x = one(0.5);
        assert!(differing(&x, Tensor::exp, Tensor::exp).is_ok());
        assert!(differing(&x, |x| x.exp()?.add_scalar(1e-6), Tensor::exp).is_err());
        assert!(differing(&x, |_| Err(Error::shape("no")), Tensor::exp).is_err());
        assert!(differing(&x, Tensor::exp, |_| Err(Error::shape("no"))).is_err());
        let other = |_: &Tensor| Err(Error::argument("no"));
        assert!(differing(&x, other, |_| Err(Error::shape("no"))).is_err());
        assert!(differing(&x, |x| x.flip(0), Tensor::exp).is_err());
    }

    #[test]
    fn what_rounding_may_bring_across_a_kink_is_allowed_there_and_nowhere_else() {
        let step = |x: &Tensor| x.maximum(&x.mul_scalar(0.0)?)?.div(x);
        let other = |x: &Tensor| x.add_scalar(1e-13).and_then(|x| step(&x));
        assert!(differing(&one(0.0), other, step).is_ok());
        let wrong = |x: &Tensor| x.add_scalar(-2.0).and_then(|x| step(&x));
        assert!(differing(&one(0.5), wrong, step).is_err());
    }
}
