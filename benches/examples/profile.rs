//! Where the time of a row goes: `profile ROW STEPS`, for `cargo xtask bench ROW --profile`.
//!
//! The device is that of the benchmarks' variables. Printed are the time of a step by phase, by operator, and
//! by operator with the shapes of its operands, and the share that nothing accounts for.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use ferrotape::autograd::profile::{self, Entry};
use ferrotape::{Error, Result};
use ferrotape_benches::device;
use ferrotape_benches::rows::Row;

/// As `println!`, for a reader that may have gone away.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// How many of the operators with shapes are shown.
const SHOWN: usize = 40;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || Error::argument("profile ROW STEPS, such as train/lenet5/b64/f32 20");
    let name = arguments.next().ok_or_else(usage)?;
    let steps: u32 = arguments.next().and_then(|steps| steps.parse().ok()).ok_or_else(usage)?;
    let mut row = Row::of(&device::open()?, &name)?;
    for _ in 0..3 {
        (row.step)()?;
    }
    profile::start();
    for _ in 0..steps {
        (row.step)()?;
    }
    let profile = profile::stop();
    let steps = steps.max(1);
    let total = profile.total.as_secs_f64();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / total.max(1e-12);
    let line = |time: Duration, calls: u64, what: &str| {
        let ms = time.as_secs_f64() * 1e3 / f64::from(steps);
        say!("{ms:>10.3}  {:>5.1}  {:>6.1}  {what}", share(time), calls as f64 / f64::from(steps));
    };
    say!("{name}: {:.3} ms a step, {steps} steps", total * 1e3 / f64::from(steps));
    say!("\n{:>10}  {:>5}  {:>6}  phase", "ms a step", "%", "calls");
    grouped(&profile.entries, |entry| entry.phase.to_owned())
        .iter()
        .for_each(|(w, t, c)| line(*t, *c, w));
    // The rows compute on one batch that is there already.
    line(Duration::ZERO, 0, "data wait");
    line(profile.total.saturating_sub(profile.accounted()), 0, "not accounted for");
    say!("\n{:>10}  {:>5}  {:>6}  operator", "ms a step", "%", "calls");
    let operator = |entry: &Entry| format!("{} {}", entry.phase, entry.name);
    grouped(&profile.entries, operator).iter().for_each(|(w, t, c)| line(*t, *c, w));
    say!("\n{:>10}  {:>5}  {:>6}  operator and operands", "ms a step", "%", "calls");
    let whole = |entry: &Entry| format!("{} {} {}", entry.phase, entry.name, entry.operands);
    grouped(&profile.entries, whole).iter().take(SHOWN).for_each(|(w, t, c)| line(*t, *c, w));
    Ok(())
}

/// Times and calls by what the entries have in common, the longest first.
fn grouped(entries: &[Entry], common: impl Fn(&Entry) -> String) -> Vec<(String, Duration, u64)> {
    let mut groups: BTreeMap<String, (Duration, u64)> = BTreeMap::new();
    for entry in entries {
        let group = groups.entry(common(entry)).or_default();
        group.0 += entry.time;
        group.1 += entry.calls;
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(what, (t, c))| (what, t, c)).collect();
    groups.sort_by_key(|(_, time, _)| std::cmp::Reverse(*time));
    groups
}
