//! The rows of one benchmark program, run by criterion.

use std::cell::Cell;
use std::time::Duration;

use criterion::{Bencher, Criterion, SamplingMode};
use ferrotape::Result;

use crate::facts::{self, Work};
use crate::memory::Usage;

/// From this guess of an iteration's seconds on, a row takes few samples: criterion's hundred would
/// take minutes.
const SLOW: f64 = 1e-3;

/// The rows of one benchmark program.
///
/// ```no_run
/// use ferrotape_benches::{Session, Work};
///
/// let mut session = Session::from_args();
/// session.row(
///     "example/sum",
///     Work::flops(1000),
///     || Ok(vec![1.0f32; 1000]),
///     |numbers| Ok(numbers.iter().sum::<f32>()),
/// );
/// session.finish();
/// ```
pub struct Session {
    usual: Criterion,
    slow: Criterion,
}

/// What a row does when it runs.
pub trait Run {
    /// Does and times as many iterations as the bencher wants. It is called again and again, so
    /// what it needs is made at the first call and kept.
    ///
    /// # Errors
    /// What the work says; nothing is measured then.
    fn run(&mut self, bencher: &mut Bencher<'_>) -> Result<()>;

    /// The memory that the row held so far, where that is counted.
    fn usage(&self) -> Option<Usage> {
        None
    }
}

impl Session {
    /// Rows as the arguments of this program want them; they win over what is chosen here.
    #[must_use]
    pub fn from_args() -> Self {
        let slow = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1));
        Session {
            usual: Criterion::default().configure_from_args(),
            slow: slow.configure_from_args(),
        }
    }

    /// A row that times `step` on what `setup` makes. If the row is not selected, neither runs.
    ///
    /// # Panics
    /// The work failed: there is nothing to measure then.
    pub fn row<S, T>(
        &mut self,
        name: &str,
        work: Work,
        setup: impl FnOnce() -> Result<S>,
        mut step: impl FnMut(&mut S) -> Result<T>,
    ) {
        let each = |state: &mut S, bencher: &mut Bencher<'_>| {
            let mut failed = None;
            bencher.iter(|| step(state).map_err(|error| failed = Some(error)));
            failed.map_or(Ok(()), Err)
        };
        self.run(name, work, Lazy { setup: Some(setup), state: None, each });
    }

    /// A row that times itself: `time` does so many iterations and says how long they took.
    ///
    /// # Panics
    /// As [`Session::row`].
    pub fn timed<S>(
        &mut self,
        name: &str,
        work: Work,
        setup: impl FnOnce() -> Result<S>,
        mut time: impl FnMut(&mut S, u64) -> Result<Duration>,
    ) {
        let each = |state: &mut S, bencher: &mut Bencher<'_>| {
            let mut failed = None;
            bencher.iter_custom(|iterations| {
                time(state, iterations).unwrap_or_else(|error| {
                    failed = Some(error);
                    Duration::ZERO
                })
            });
            failed.map_or(Ok(()), Err)
        };
        self.run(name, work, Lazy { setup: Some(setup), state: None, each });
    }

    /// A row, run if it is selected; its facts are told once it has run.
    ///
    /// # Panics
    /// As [`Session::row`]; the file of facts cannot be written.
    pub fn run(&mut self, name: &str, work: Work, mut run: impl Run) {
        let (group, function) = name.rsplit_once('/').unwrap_or((name, ""));
        let is_slow = work.guessed_seconds() >= SLOW;
        let criterion = if is_slow { &mut self.slow } else { &mut self.usual };
        let mut group = criterion.benchmark_group(group);
        if is_slow {
            group.sampling_mode(SamplingMode::Flat);
        }
        if let Some(throughput) = work.throughput() {
            group.throughput(throughput);
        }
        let usage = Cell::new(None);
        group.bench_function(function, |bencher| {
            run.run(bencher).unwrap_or_else(|error| panic!("{name}: {error}"));
            usage.set(Some(run.usage()));
        });
        group.finish();
        if let Some(usage) = usage.get() {
            facts::tell(name, &work, usage).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    /// The end of the program: criterion's summary.
    pub fn finish(self) {
        self.usual.final_summary();
    }
}

/// State that is made at the first call, and what is done with it.
struct Lazy<S, F, E> {
    setup: Option<F>,
    state: Option<S>,
    each: E,
}

impl<S, F, E> Run for Lazy<S, F, E>
where
    F: FnOnce() -> Result<S>,
    E: FnMut(&mut S, &mut Bencher<'_>) -> Result<()>,
{
    fn run(&mut self, bencher: &mut Bencher<'_>) -> Result<()> {
        if let Some(setup) = self.setup.take() {
            self.state = Some(setup()?);
        }
        self.state.as_mut().map_or(Ok(()), |state| (self.each)(state, bencher))
    }
}
