//! Where the time goes: which operators take how long, forward and backward.
//!
//! Between [`start`] and [`stop`] every operator that is applied and every backward rule that is run on this
//! thread is timed, and whatever else is put into a [`span`]. What runs inside of a span counts for it alone.
//! Otherwise nothing is measured, which costs a look at one thread-local flag an operator.
//!
//! On a device that works behind the caller's back these are the times that asking for the work took.
//!
//! ```
//! use ferrotape_autograd::{Tensor, profile};
//! use ferrotape_backend::{Array, Device, reference::Reference};
//!
//! let device = Device::new(Reference::new());
//! let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
//! profile::start();
//! x.exp()?.sum_all()?;
//! let profile = profile::stop();
//! let names: Vec<&str> = profile.entries.iter().map(|entry| entry.name.as_str()).collect();
//! assert!(names.contains(&"exp") && profile.accounted() <= profile.total);
//! # Ok::<(), ferrotape_backend::Error>(())
//! ```

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// What was measured.
///
/// ```
/// use ferrotape_autograd::profile::{self, Profile};
///
/// profile::start();
/// let Profile { entries, .. } = profile::stop();
/// assert!(entries.is_empty(), "nothing was done meanwhile");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// What took time, in the order of its first appearance.
    pub entries: Vec<Entry>,
    /// From start to stop.
    pub total: Duration,
}

/// An operator with the sizes of its operands, or whatever else was put into a span.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_autograd::profile;
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Tensor::from(Array::from_slice(&device, &[1.0f64, 2.0], [2])?);
/// profile::start();
/// x.exp()?.exp()?;
/// let entry = &profile::stop().entries[0];
/// // Calls of one operator with one set of shapes are one entry.
/// assert_eq!((entry.phase, entry.name.as_str(), entry.calls), ("forward", "exp", 2));
/// assert_eq!(entry.operands, "[2]");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `forward`, `backward`, or what the span said.
    pub phase: &'static str,
    /// The operator's name.
    pub name: String,
    /// The shapes of its operands.
    pub operands: String,
    /// How often it ran.
    pub calls: u64,
    /// How long it took in all.
    pub time: Duration,
}

impl Profile {
    /// The time of all entries.
    ///
    /// ```
    /// use ferrotape_autograd::profile;
    ///
    /// profile::start();
    /// profile::span("data", || ("read".into(), "a file".into()), || ());
    /// let profile = profile::stop();
    /// assert_eq!(profile.accounted(), profile.entries[0].time);
    /// ```
    #[must_use]
    pub fn accounted(&self) -> Duration {
        self.entries.iter().map(|entry| entry.time).sum()
    }
}

struct Recorder {
    started: Instant,
    entries: Vec<Entry>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
    /// Whether a span that begins now is to be measured: there is a recorder, and no other span is open.
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// Begins to measure on this thread, from nothing.
///
/// ```
/// use ferrotape_autograd::profile;
///
/// profile::start();
/// profile::span("data", || ("read".into(), String::new()), || ());
/// profile::start(); // forgets what was measured before
/// assert!(profile::stop().entries.is_empty());
/// ```
pub fn start() {
    let recorder = Recorder { started: Instant::now(), entries: Vec::new() };
    RECORDER.set(Some(recorder));
    LISTENS.set(true);
}

/// Ends, and gives what was measured; nothing if there was no [`start`].
///
/// ```
/// use ferrotape_autograd::profile;
///
/// profile::start();
/// profile::span("data", || ("read".into(), String::new()), || ());
/// assert_eq!(profile::stop().entries.len(), 1);
/// // Nobody measures now.
/// profile::span("data", || unreachable!("nobody asks for the name"), || ());
/// assert!(profile::stop().entries.is_empty());
/// ```
pub fn stop() -> Profile {
    LISTENS.set(false);
    match RECORDER.take() {
        Some(Recorder { started, entries }) => Profile { entries, total: started.elapsed() },
        None => Profile::default(),
    }
}

/// Does something, and measures it if anyone measures and no other span is open. The name and the operands
/// are asked for only then.
///
/// ```
/// use ferrotape_autograd::profile;
///
/// profile::start();
/// let sum: u64 = profile::span("data", || ("sum".into(), "100".into()), || (1..=100).sum());
/// assert_eq!(sum, 5050);
/// assert_eq!(profile::stop().entries[0].name, "sum");
/// ```
pub fn span<T>(
    phase: &'static str,
    about: impl FnOnce() -> (String, String),
    f: impl FnOnce() -> T,
) -> T {
    if !LISTENS.get() {
        return f();
    }
    /// Listens again however the span ends.
    struct Open;
    impl Drop for Open {
        fn drop(&mut self) {
            LISTENS.set(true);
        }
    }
    LISTENS.set(false);
    let open = Open;
    let began = Instant::now();
    let result = f();
    let time = began.elapsed();
    drop(open);
    let (name, operands) = about();
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else { return };
        let known = recorder
            .entries
            .iter_mut()
            .find(|entry| (entry.phase, &entry.name, &entry.operands) == (phase, &name, &operands));
        match known {
            Some(entry) => {
                entry.calls += 1;
                entry.time += time;
            }
            None => recorder.entries.push(Entry { phase, name, operands, calls: 1, time }),
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> (String, String) {
        (name.to_owned(), String::new())
    }

    #[test]
    fn what_runs_inside_of_a_span_counts_for_it_alone() {
        span("none", || named("before"), || ());
        start();
        for _ in 0..3 {
            span("outer", || named("a"), || span("inner", || named("b"), || ()));
        }
        let panicked =
            std::panic::catch_unwind(|| span("outer", || named("c"), || panic!("on purpose")));
        assert!(panicked.is_err());
        span("outer", || named("d"), || ());
        let profile = stop();
        span("none", || named("after"), || ());
        let found: Vec<_> =
            profile.entries.iter().map(|e| (e.phase, e.name.as_str(), e.calls)).collect();
        assert_eq!(found, [("outer", "a", 3), ("outer", "d", 1)]);
        assert!(profile.accounted() <= profile.total);
        assert!(stop().entries.is_empty());
    }
}
