//! The threads of one backend, and how work is handed to them.
//!
//! Work is a number of tasks that was fixed by the problem's size alone. Threads take the next task
//! that nobody has taken; which thread runs which task changes no bit of the result, because tasks
//! write disjoint parts and what they must add together they leave as partial sums to be added in
//! order afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ferrotape_backend::{Error, ErrorKind, Result};

/// The calling thread and its helpers.
#[derive(Debug)]
pub(crate) struct Team {
    threads: usize,
    /// One thread less than `threads`, because the caller works too; `None` if it works alone.
    helpers: Option<rayon::ThreadPool>,
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
        let helpers = match threads {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads - 1)
                    .thread_name(|index| format!("ferrotape-cpu-{index}"))
                    .build()
                    .map_err(|error| {
                        Error::new(
                            ErrorKind::Device,
                            format!("{threads} threads could not be started: {error}"),
                        )
                    })?,
            ),
        };
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
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failure = Some((index, error));
                    }
                }
            }
        };
        helpers.in_place_scope(|scope| {
            for _ in 0..(self.threads - 1).min(tasks - 1) {
                scope.spawn(|_| work());
            }
            work();
        });
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
    fn no_threads_is_an_error() {
        assert!(Team::new(Some(0)).is_err());
    }
}
