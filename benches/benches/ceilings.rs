//! What this machine can do at all: multiply-adds, pairs of bf16 and AMX tiles where there are any, copying.

use std::hint::black_box;

use ferrotape::Result;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use ferrotape_benches::ceilings::amx::Tiles;
use ferrotape_benches::ceilings::copy::{self, Arrays};
use ferrotape_benches::ceilings::fma::Loop;
#[cfg(target_arch = "x86_64")]
use ferrotape_benches::ceilings::pairs::Pairs;
use ferrotape_benches::ceilings::{at_once, threads};
use ferrotape_benches::{Session, Work};

fn main() -> Result<()> {
    let mut session = Session::from_args();
    let widest = Loop::widest();
    arithmetic(&mut session, "ceiling/fma/f32", widest.flops(), move || widest.pass())?;
    #[cfg(target_arch = "x86_64")]
    if let Some(pairs) = Pairs::find() {
        arithmetic(&mut session, "ceiling/pairs/bf16", Pairs::flops(), move || pairs.pass())?;
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(tiles) = Tiles::request() {
        arithmetic(&mut session, "ceiling/amx/bf16", Tiles::flops(), move || tiles.pass())?;
    }
    session.timed("ceiling/copy", Work::bytes(2 * copy::size()), Arrays::new, |arrays, times| {
        Ok(arrays.copy(times))
    });
    session.finish();
    Ok(())
}

/// A loop of so many operations, run by all threads at once.
fn arithmetic(
    session: &mut Session,
    name: &str,
    flops: u64,
    pass: impl Fn() -> f32 + Sync,
) -> Result<()> {
    let threads = threads()?.get();
    let work = Work::flops(flops * threads as u64);
    session.timed(
        name,
        work,
        || Ok(()),
        |(), times| {
            Ok(at_once(vec![(); threads], |()| {
                for _ in 0..times {
                    black_box(pass());
                }
            }))
        },
    );
    Ok(())
}
