//! What recording costs: a chain of additions of one element, by the addition.

use std::time::{Duration, Instant};

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::{Session, Work, device};

/// Additions in a chain.
const LENGTH: usize = 1000;

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    let one = || device::numbers(&device, DType::F32, [1]);
    let work = Work::items(LENGTH);
    session.row("tape/untracked", work, one, |one| chain(&Tensor::from(one.clone())));
    session.row("tape/recorded", work, one, |one| chain(&Tape::new().variable(one.clone())?));
    session.timed("tape/backward", work, one, |one, times| {
        let mut time = Duration::ZERO;
        for _ in 0..times {
            let x = Tape::new().variable(one.clone())?;
            let sum = chain(&x)?;
            let began = Instant::now();
            let gradients = sum.backward()?;
            time += began.elapsed();
            drop(gradients);
        }
        Ok(time)
    });
    session.row("tape/recorded_and_backward", work, one, |one| {
        let x = Tape::new().variable(one.clone())?;
        chain(&x)?.backward()
    });
    session.finish();
    Ok(())
}

/// `x + x + .. + x`.
fn chain(x: &Tensor) -> Result<Tensor> {
    (0..LENGTH).try_fold(x.clone(), |sum, _| sum.add(x))
}
