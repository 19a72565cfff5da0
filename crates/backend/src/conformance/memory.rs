//! Memory: allocation, transfers and the count of live bytes.

use super::operand::{Operand, Role, Values, View};
use super::{Failure, Options, VerbReport};
use crate::reference::Reference;
use crate::{Array, Device, Error, ErrorKind, Result, Rng};

/// Checks [`Backend::allocate`](crate::Backend::allocate): that live bytes follow the buffers, that
/// an impossible size is an error and not an abort.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::allocate(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("allocate", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The first that is wrong.
pub fn allocate(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let fail = |case: String, message: String| Failure { verb: "allocate", case, message };
    let mut declined = 0;
    for &dtype in options.dtypes {
        let case = format!("\n  elements of {dtype}");
        let start = device.memory().live_bytes;
        let mut unsupported = false;
        for length in [0, 1, 3, 1000, 1 << 20] {
            match device.allocate(dtype, length) {
                Ok(buffer) => {
                    let memory = device.memory();
                    let (live, peak) = (memory.live_bytes, memory.peak_bytes);
                    let least = start + length * dtype.size();
                    if live < least || peak < live || buffer.len() != length {
                        return Err(fail(
                            case,
                            format!(
                                "with {length} elements allocated, {live} bytes are live and \
                                 {peak} the peak, at least {least} were expected"
                            ),
                        ));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => unsupported = true,
                Err(error) => return Err(fail(case, format!("{length} elements: {error}"))),
            }
        }
        let impossible = isize::MAX as usize / 8;
        match device.allocate(dtype, impossible) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory || unsupported => {}
            Err(error) => {
                return Err(fail(case, format!("no room must be OutOfMemory, got {error:?}")));
            }
            // Where nothing is stored, any size has room.
            Ok(_) if !options.values => {}
            Ok(_) => return Err(fail(case, format!("{impossible} elements were granted"))),
        }
        declined += u32::from(unsupported);
        let left = device.memory().live_bytes;
        if left != start {
            return Err(fail(case, format!("{start} bytes were live before and {left} after")));
        }
    }
    let cases = options.dtypes.len() as u32;
    Ok(VerbReport { verb: "allocate", cases, unsupported: declined })
}

/// Checks [`Backend::upload`](crate::Backend::upload) and
/// [`Backend::download`](crate::Backend::download): that what went up comes down bit by bit, in
/// parts of buffers too, and that transfers of a wrong size or layout are refused.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let report = conformance::transfer(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("transfer", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The first that is wrong.
pub fn transfer(device: &Device, options: &Options) -> Result<VerbReport, Failure> {
    let mut unsupported = 0;
    for case in 0..options.cases {
        let draw = |i: u64, n: u64| Rng::new(options.seed).call(case.into()).below(i, n);
        let which = draw(0, options.dtypes.len().max(1) as u64) as usize;
        let Some(&dtype) = options.dtypes.get(which) else {
            unsupported += 1;
            continue;
        };
        let length = draw(1, 200) as usize;
        let start = draw(2, length as u64 + 1) as usize;
        let part = draw(3, (length - start) as u64 + 1) as usize;
        let operand = Operand {
            name: "the array",
            role: Role::Any,
            dtype,
            shape: vec![length],
            view: View::default(),
            values: if case % 2 == 0 { Values::Special } else { Values::Normal(100.0, 0.0) },
            seed: draw(4, u64::MAX),
            nan: None,
            rank_matters: false,
        };
        match round_trip(device, &operand, start, part) {
            Ok(None) => {}
            Ok(Some(message)) => {
                let case = format!("\n  {operand:?}\n  elements {start}..{}", start + part);
                return Err(Failure { verb: "transfer", case, message });
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => unsupported += 1,
            Err(error) => {
                let case = format!("\n  {operand:?}");
                return Err(Failure { verb: "transfer", case, message: error.to_string() });
            }
        }
    }
    Ok(VerbReport { verb: "transfer", cases: options.cases, unsupported })
}

/// What is wrong with moving the operand up and down, and with overwriting part of it.
fn round_trip(
    device: &Device,
    operand: &Operand,
    start: usize,
    part: usize,
) -> Result<Option<String>> {
    let placed = operand.place(device)?;
    let mut expected = placed.bytes()?;
    if placed.trespass(&expected, false).is_some() {
        return Ok(Some("what was downloaded is not what was uploaded".to_owned()));
    }
    let size = operand.dtype.size();
    let zeros = vec![0; part * size];
    let mut target = placed.array.narrow(0, start, part)?;
    let generation = target.buffer().generation();
    device.backend().upload(&zeros, &mut target)?;
    if target.buffer().generation() <= generation {
        return Ok(Some("an upload did not bump the generation".to_owned()));
    }
    expected[start * size..(start + part) * size].fill(0);
    if placed.bytes()? != expected {
        return Ok(Some("an upload to a part of the buffer did not change just that".to_owned()));
    }
    let mut refused = vec![
        (
            "an upload of too many bytes",
            device.backend().upload(&vec![0; (part + 1) * size], &mut target),
            ErrorKind::Shape,
        ),
        (
            "a download of too many bytes",
            device.backend().download(&target, &mut vec![0; (part + 1) * size]),
            ErrorKind::Shape,
        ),
    ];
    if part > 1 {
        let mut reversed = target.flip(0)?;
        let mut bytes = zeros.clone();
        refused.push((
            "a download in reverse order",
            device.backend().download(&reversed, &mut bytes),
            ErrorKind::Argument,
        ));
        refused.push((
            "an upload in reverse order",
            device.backend().upload(&zeros, &mut reversed),
            ErrorKind::Argument,
        ));
    }
    let elsewhere = Device::new(Reference::new());
    let mut foreign = Array::zeros(&elsewhere, operand.dtype, [part])?;
    refused.push((
        "an upload to another device",
        device.backend().upload(&zeros, &mut foreign),
        ErrorKind::DeviceMismatch,
    ));
    refused.push((
        "a download from another device",
        device.backend().download(&foreign, &mut zeros.clone()),
        ErrorKind::DeviceMismatch,
    ));
    let wrong = |(what, result, kind): (&str, Result<()>, ErrorKind)| {
        let got = result.as_ref().err().map(Error::kind);
        (got != Some(kind)).then(|| format!("{what} must be {kind:?}, got {result:?}"))
    };
    Ok(refused.into_iter().find_map(wrong))
}
