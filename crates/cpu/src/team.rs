//! The threads of one backend, and how work is handed to them.
//!
//! Work is a number of tasks that was fixed by the problem's size alone. Threads take the next task
//! that nobody has taken; which thread runs which task changes no bit of the result, because tasks
//! write disjoint parts and what they must add together they leave as partial sums to be added in
//! order afterwards.
//!
//! A network has kernels of a few microseconds, so handing work over must take less. The helpers are threads
//! of a rayon pool that look for work for a while before they sleep, and the caller never waits for a helper
//! that has not begun: it takes the tasks itself.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ferrotape_backend::{Error, ErrorKind, Result};

/// How long a helper without work looks for some before it sleeps: longer than a network's pauses between two
/// kernels, shorter than anyone notices.
const AWAKE: Duration = Duration::from_micros(200);

/// The calling thread and its helpers.
pub(crate) struct Team {
    threads: usize,
    /// `None` if the caller works alone.
    helpers: Option<Helpers>,
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Threads that help, one less than the team has, because the caller works too.
struct Helpers {
    board: Arc<Board>,
    /// Ends its threads when it is dropped, after the board is closed.
    _pool: rayon::ThreadPool,
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.board.over.store(true, Ordering::Release);
        self.board.wake();
    }
}

impl Helpers {
    fn new(count: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("ferrotape-cpu-{index}"))
            .build()
            .map_err(|error| {
                Error::new(
                    ErrorKind::Device,
                    format!("{} threads could not be started: {error}", count + 1),
                )
            })?;
        let board = Arc::new(Board::default());
        for _ in 0..count {
            let board = Arc::clone(&board);
            pool.spawn(move || board.help());
        }
        Ok(Helpers { board, _pool: pool })
    }
}

/// What a helper runs: takes tasks until there are none. The pointer is to the caller's closure.
type Job = *const (dyn Fn() + Sync);

/// Where work is put up.
///
/// `state` is `OPEN`, how often work was put up (in steps of [`ROUND`]), and how many helpers are at it. A
/// helper joins by raising the count while the work is open; the caller closes it and waits until the count is
/// 0. So the job is there for as long as any helper can look at it.
#[derive(Default)]
struct Board {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// Held by the thread whose work is up.
    turn: Mutex<()>,
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    woken: Condvar,
    over: AtomicBool,
    /// What a helper's task panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const OPEN: u64 = 1 << 63;
const HELPER: u64 = 1;
const ROUND: u64 = 1 << 16;
const HELPERS: u64 = ROUND - 1;

// SAFETY: `job` is written by the thread that holds `turn`, while the work is closed and no helper is at it;
// helpers read it after they joined an open round, which the writer's release store of `state` comes before.
// The closure that it points to is `Sync`.
unsafe impl Sync for Board {}
// SAFETY: as above; a pointer to a `Sync` closure may be sent. One that dangles, after the work, is looked at by
// nobody, because the work is closed.
unsafe impl Send for Board {}

impl Board {
    /// A helper's life.
    fn help(&self) {
        let mut seen = 0;
        loop {
            let began = Instant::now();
            while !self.join(&mut seen) {
                if self.over.load(Ordering::Acquire) {
                    return;
                }
                // A look at the clock takes as long as many at the board.
                (0..64).for_each(|_| spin_loop());
                if began.elapsed() > AWAKE {
                    self.doze(seen);
                    break;
                }
            }
        }
    }

    /// Does the work that is up, if there is some that this helper has not seen.
    fn join(&self, seen: &mut u64) -> bool {
        let state = self.state.load(Ordering::Acquire);
        if state & OPEN == 0 || state & !HELPERS == *seen {
            return false;
        }
        let joined = self.state.compare_exchange(
            state,
            state + HELPER,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if joined.is_err() {
            return false;
        }
        *seen = state & !HELPERS;
        // SAFETY: this helper is counted, so the caller does not leave `run`, where the closure lives, and
        // writes no other job before the count is 0.
        let done =
            unsafe { (*self.job.get()).map(|job| catch_unwind(AssertUnwindSafe(|| (*job)()))) };
        if let Some(Err(payload)) = done {
            *lock(&self.panic) = Some(payload);
        }
        self.state.fetch_sub(HELPER, Ordering::Release);
        true
    }

    /// Sleeps until there is work that this helper has not seen, or the team is over.
    fn doze(&self, seen: u64) {
        let mut guard = lock(&self.sleep);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        loop {
            let state = self.state.load(Ordering::SeqCst);
            let is_new = state & OPEN != 0 && state & !HELPERS != seen;
            if is_new || self.over.load(Ordering::Acquire) {
                break;
            }
            guard = self.woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes all helpers that sleep.
    fn wake(&self) {
        let guard = lock(&self.sleep);
        self.woken.notify_all();
        drop(guard);
    }

    /// Runs the closure on this thread and on all helpers that come in time; alone where the helpers are at
    /// somebody else's work, or at this thread's own, further up.
    fn run(&self, work: &(dyn Fn() + Sync)) {
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return work(),
        };
        // Left by work whose caller panicked too.
        drop(lock(&self.panic).take());
        // SAFETY: only the lifetime is changed. The pointer is used by helpers that are counted, and `Closing`
        // waits for them before this function, and with it the borrow, ends, by a panic too.
        let job: Job = unsafe { std::mem::transmute::<*const (dyn Fn() + Sync + '_), Job>(work) };
        // SAFETY: this thread has the turn, the work is closed and nobody is at it.
        unsafe { *self.job.get() = Some(job) };
        let round = (self.state.load(Ordering::Relaxed) & !(OPEN | HELPERS)).wrapping_add(ROUND);
        self.state.store(OPEN | (round & !(OPEN | HELPERS)), Ordering::SeqCst);
        let closing = Closing { board: self };
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
        work();
        drop(closing);
        let panicked = lock(&self.panic).take();
        drop(turn);
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
    }
}

/// Closes the work when it is dropped, and waits for the helpers that are at it.
struct Closing<'a> {
    board: &'a Board,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let state = &self.board.state;
        state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0u32;
        while state.load(Ordering::Acquire) & HELPERS != 0 {
            looks += 1;
            // A helper that the system took off its processor needs ours.
            if looks.is_multiple_of(4096) {
                std::thread::yield_now();
            }
            spin_loop();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team {
    /// A team of this many threads, the caller included; by default one a processor.
    pub(crate) fn new(threads: Option<usize>) -> Result<Self> {
        let threads = match threads {
            Some(0) => {
                return Err(Error::argument("the number of threads is 0, it must be at least 1"));
            }
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let helpers = if threads > 1 { Some(Helpers::new(threads - 1)?) } else { None };
        Ok(Team { threads, helpers })
    }

    /// How many threads work at a time.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs tasks `0..tasks`, in any order and at the same time; one task alone runs in place.
    ///
    /// All tasks run even if one fails; the error is that of the first task that failed.
    pub(crate) fn run(
        &self,
        tasks: usize,
        task: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<()> {
        let helpers = match &self.helpers {
            Some(helpers) if tasks > 1 => helpers,
            _ => return (0..tasks).try_for_each(task),
        };
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                if let Err(error) = task(index) {
                    let mut failure = lock(&failure);
                    if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failure = Some((index, error));
                    }
                }
            }
        };
        helpers.board.run(&work);
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_with_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let team = Team::new(Some(threads)).unwrap();
            for tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.run(tasks, |index| {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
                .unwrap();
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn the_error_of_the_first_task_that_failed_is_reported() {
        for threads in [1, 3] {
            let team = Team::new(Some(threads)).unwrap();
            let error = team
                .run(100, |index| match index % 10 {
                    7 => Err(Error::argument(format!("task {index}"))),
                    _ => Ok(()),
                })
                .unwrap_err();
            assert_eq!(error.message(), "task 7");
        }
    }

    #[test]
    fn tasks_may_have_tasks_and_callers_may_share_a_team() {
        let team = Team::new(Some(3)).unwrap();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let inner = |_| {
                            count.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        };
                        team.run(3, |_| team.run(5, inner)).unwrap();
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 4 * 200 * 15);
    }

    #[test]
    fn helpers_that_slept_come_again() {
        let team = Team::new(Some(4)).unwrap();
        for pause in [0, 1, 3, 0] {
            std::thread::sleep(Duration::from_millis(pause));
            let count = AtomicUsize::new(0);
            team.run(50, |_| {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(20));
                Ok(())
            })
            .unwrap();
            assert_eq!(count.into_inner(), 50);
        }
    }

    #[test]
    fn a_panic_of_any_task_is_the_callers_and_the_team_lives_on() {
        let team = Team::new(Some(3)).unwrap();
        for index in [0, 1, 50, 99] {
            let run = || {
                team.run(100, |task| {
                    std::thread::sleep(Duration::from_micros(10));
                    assert!(task != index, "on purpose");
                    Ok(())
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        assert!(team.run(10, |_| Ok(())).is_ok());
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(Team::new(Some(0)).is_err());
    }
}
