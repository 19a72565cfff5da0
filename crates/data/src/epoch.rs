//! One pass over the data: the threads that prepare its batches and the queues between.
//!
//! Worker w of W prepares the batches w, w + W, w + 2W, … and has a bounded queue of its own. The
//! consumer takes from the queues in turn, so the order of batches needs no sorting and no lock,
//! and memory is bounded by W · (prefetch + 1) batches.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::loader::{HostBatch, Plan};
use crate::transform::FloatImage;

/// The memory that must be free before a worker is started, in bytes: for its stack and for what the
/// system keeps beside it. Where a thread that has begun lacks the latter, Rust ends the process.
///
/// It is more than 64 MiB because glibc has as much laid aside for every thread that allocates, and
/// would find room for less there.
const ROOM: usize = 65 << 20;

/// The batches of one epoch, in order.
///
/// Its length is the number of batches that remain. After an error there are none. Dropping it
/// early stops the worker threads and waits for them to end.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_data::{InMemory, Loader, LoaderOptions};
///
/// let data = InMemory::new(vec![0; 10], [1, 1, 1], vec![0; 10], InMemory::numbered_classes(1))?;
/// let options = LoaderOptions { batch_size: 4, workers: 2, ..Default::default() };
/// let mut epoch = Loader::new(Arc::new(data), options)?.epoch(0);
/// assert_eq!(epoch.len(), 3);
/// while let Some(batch) = epoch.next() {
///     println!("{} images, {} batches to go", batch?.labels.len(), epoch.remaining());
/// }
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub struct Epoch {
    plan: Arc<Plan>,
    batches: Range<usize>,
    source: Source,
    waited: Duration,
}

enum Source {
    /// The thread that asks for a batch prepares it.
    Here(FloatImage),
    /// Workers prepare them; the queue whose turn it is has the next batch.
    Workers { queues: Vec<Receiver<Result<HostBatch>>>, threads: Vec<JoinHandle<()>>, turn: usize },
    /// The workers could not be started.
    Failed(Option<Error>),
}

impl Epoch {
    pub(crate) fn start(
        plan: Plan,
        batches: Range<usize>,
        workers: usize,
        prefetch: usize,
    ) -> Self {
        let plan = Arc::new(plan);
        let workers = workers.min(batches.len());
        let source = if workers == 0 {
            Source::Here(FloatImage::default())
        } else {
            start_workers(&plan, &batches, workers, prefetch)
        };
        Self { plan, batches, source, waited: Duration::ZERO }
    }

    /// The time spent waiting for data so far. With no workers, that is all of their preparation.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let data = InMemory::new(vec![0], [1, 1, 1], vec![0], InMemory::numbered_classes(1))?;
    /// # let loader = Loader::new(Arc::new(data), LoaderOptions::default())?;
    /// let mut epoch = loader.epoch(0);
    /// assert!(epoch.waited().is_zero());
    /// epoch.by_ref().for_each(drop);
    /// println!("waited {:?} for data", epoch.waited());
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The number of batches that are still to come.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ferrotape_data::{InMemory, Loader, LoaderOptions};
    /// # let data = InMemory::new(vec![0], [1, 1, 1], vec![0], InMemory::numbered_classes(1))?;
    /// # let loader = Loader::new(Arc::new(data), LoaderOptions::default())?;
    /// let mut epoch = loader.epoch(0);
    /// assert_eq!(epoch.remaining(), 1);
    /// epoch.next();
    /// assert_eq!(epoch.remaining(), 0);
    /// # Ok::<(), ferrotape_data::Error>(())
    /// ```
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.batches.len()
    }

    fn take(&mut self, batch: usize) -> Result<HostBatch> {
        let lost = Error::WorkerLost { batch };
        match &mut self.source {
            Source::Here(scratch) => self.plan.batch(batch, scratch).unwrap_or(Err(lost)),
            Source::Workers { queues, turn, .. } => {
                let queue = &queues[*turn];
                *turn = (*turn + 1) % queues.len();
                queue.recv().unwrap_or(Err(lost))
            }
            Source::Failed(error) => Err(error.take().unwrap_or(lost)),
        }
    }

    /// Ends the workers and waits for them.
    fn stop(&mut self) {
        self.batches.start = self.batches.end;
        if let Source::Workers { queues, threads, .. } = &mut self.source {
            self.plan.stop.store(true, Ordering::Relaxed);
            // A worker that waits for room in its queue wakes when the queue is gone.
            queues.clear();
            for thread in threads.drain(..) {
                // Workers catch panics, and there is nobody to tell about one here.
                let _ = thread.join();
            }
        }
    }
}

fn start_workers(
    plan: &Arc<Plan>,
    batches: &Range<usize>,
    workers: usize,
    prefetch: usize,
) -> Source {
    // A queue takes memory for every place in it, and no worker prepares more than all batches.
    let prefetch = prefetch.min(batches.len());
    let (mut queues, mut threads) = (Vec::new(), Vec::new());
    for worker in 0..workers {
        let (sender, receiver) = sync_channel(prefetch);
        let mine = (batches.start + worker..batches.end).step_by(workers);
        let their_plan = Arc::clone(plan);
        let thread = start_thread(format!("ferrotape-data-{worker}"), move || {
            work(&their_plan, mine, &sender);
        });
        match thread {
            Ok(thread) => {
                queues.push(receiver);
                threads.push(thread);
            }
            Err(source) => {
                plan.stop.store(true, Ordering::Relaxed);
                drop(queues);
                for thread in threads {
                    let _ = thread.join();
                }
                return Source::Failed(Some(Error::Spawn { source }));
            }
        }
    }
    Source::Workers { queues, threads, turn: 0 }
}

/// Starts a thread if there is room for it, and waits until it runs and has taken what it needs to.
fn start_thread(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(ROOM);
    // The compiler may leave out a reservation that nobody looks at.
    black_box(&room);
    drop(room);
    found.map_err(|_| {
        io::Error::new(io::ErrorKind::OutOfMemory, "there is no room for its stack in memory")
    })?;
    let (ready, started) = sync_channel(1);
    let thread = thread::Builder::new().name(name).spawn(move || {
        // The other side waits for this, so it is there.
        let _ = ready.send(());
        run();
    })?;
    started.recv().map_err(|_| io::Error::other("it ended before it had begun"))?;
    Ok(thread)
}

fn work(plan: &Plan, batches: impl Iterator<Item = usize>, queue: &SyncSender<Result<HostBatch>>) {
    let mut scratch = FloatImage::default();
    for batch in batches {
        let Some(batch) = plan.batch(batch, &mut scratch) else { return };
        let failed = batch.is_err();
        // Sending fails when the consumer is gone; after an error it asks for nothing more.
        if queue.send(batch).is_err() || failed {
            return;
        }
    }
}

impl Iterator for Epoch {
    type Item = Result<HostBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.batches.next()?;
        let batch = self.take(batch);
        if batch.is_err() {
            self.stop();
        }
        self.waited += start.elapsed();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl ExactSizeIterator for Epoch {}

impl FusedIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Epoch")
            .field("batches", &self.batches)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
    }
}
