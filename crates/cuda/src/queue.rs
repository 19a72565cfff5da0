//! Work that was asked for and is not begun yet, and how steps that repeat are replayed.
//!
//! Asking a GPU for one kernel takes the host about two microseconds, longer than many kernels of a small
//! network run. So launches are collected, and go to the device together when enough of them wait, or
//! when somebody waits for a result. A list of launches that was seen before becomes a graph of the driver,
//! which is launched as one piece from then on. What may differ between two runs of a graph are the numbers
//! passed by value (learning rates, random keys): those are put into it anew. Kernels, sizes and addresses are
//! what a list is recognised by; the pool gives equal steps equal addresses.
//!
//! Nobody has to say where a step begins, and nothing has to stay the same: a list that is new is run
//! kernel by kernel. Lists end at launches that their own hash marks, not after so many: else each step of 101
//! launches would be cut at other places than the step before, and no list would ever come again.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrotape_backend::{ErrorKind, Result};

use crate::args::Args;
use crate::machine::{Grid, Machine, Module};

/// A list is no shorter than this, unless somebody waits.
const SHORTEST: usize = 32;

/// So many launches wait at the most: few enough that the device begins a large step early.
const LONGEST: usize = 256;

/// One launch in two to the power of so many ends a list.
const RARENESS: u32 = 6;

/// A list shorter than this is not worth a graph.
const WORTH_A_GRAPH: usize = 4;

/// So many lists are remembered; beyond that the one that lay unused longest is forgotten.
const REMEMBERED: usize = 256;

/// A kernel to be run.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) module: Module,
    pub(crate) entry: &'static str,
    pub(crate) grid: Grid,
    pub(crate) args: Args,
}

/// Work of a library, which launches kernels of its own.
pub(crate) trait Call: Any + fmt::Debug + Send + Sync {
    /// The library and the purpose.
    fn name(&self) -> &'static str;

    /// What it is and on which addresses: equal words mean equal work.
    fn identity(&self) -> &[u64];

    /// Asks the machine's stream for it. Only [`Machine::call`] and [`Machine::record`] do this: a library works in
    /// whatever context is current, and the machine knows which one must be.
    ///
    /// # Errors
    /// The library refused.
    fn run(&self) -> Result<()>;
}

/// One piece of work.
#[allow(clippy::large_enum_variant, reason = "commands lie in one list, whose memory is reused")]
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Launch(Launch),
    Call(Arc<dyn Call>),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Command::Launch(launch) => launch.entry,
            Command::Call(call) => call.name(),
        }
    }

    fn hash(&self) -> u64 {
        match self {
            Command::Launch(Launch { module, entry, grid, args }) => {
                let [x, y, z] = grid.blocks.map(u64::from);
                let [tx, ty] = grid.threads.map(u64::from);
                let head = [address(module), entry.as_ptr() as u64, x, y, z, tx, ty];
                mix(mix(0, &head), &[u64::from(grid.shared), args.fixed_hash()])
            }
            Command::Call(call) => mix(1, call.identity()),
        }
    }

    /// Whether a graph with `self` in it can do `other`.
    fn stands_for(&self, other: &Command) -> bool {
        match (self, other) {
            (Command::Launch(a), Command::Launch(b)) => {
                address(&a.module) == address(&b.module)
                    && a.entry == b.entry
                    && a.grid == b.grid
                    && a.args.is_fixed_like(&b.args)
            }
            (Command::Call(a), Command::Call(b)) => a.identity() == b.identity(),
            _ => false,
        }
    }
}

fn address(module: &Module) -> u64 {
    Arc::as_ptr(module).cast::<()>() as u64
}

/// Takes words into a hash.
pub(crate) fn mix(hash: u64, words: &[u64]) -> u64 {
    words
        .iter()
        .fold(hash, |hash, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A list that a machine made ready to be run as one piece.
pub(crate) type Graph = Box<dyn Any + Send>;

enum Seen {
    /// Once; it may never come again.
    Once,
    /// Again, as this graph.
    Ready { commands: Vec<Command>, graph: Graph },
    /// It cannot become a graph.
    Refused,
}

struct Remembered {
    seen: Seen,
    used: u64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Command>,
    hash: u64,
    lists: HashMap<u64, Remembered>,
    clock: u64,
    /// How many threads ask the device for work past the queue; see [`Queue::aside`].
    aside: usize,
}

/// When work that is asked for goes to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// With other work, as graphs where lists come again.
    Together,
    /// At once.
    Eager,
    /// At once, and is waited for: an error names its cause, and a clock of the host sees the device's time.
    Blocking,
    /// The same, timed by the device.
    Timed,
}

/// The time of all launches of a kernel, or of a library for one purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTime {
    /// The kernel, or the library and the purpose.
    pub name: &'static str,
    /// How often it ran.
    pub calls: u64,
    /// Milliseconds in all.
    pub milliseconds: f64,
}

/// The work that waits. The machine is dropped last: graphs and calls of libraries are of its context.
pub(crate) struct Queue {
    pace: Pace,
    state: Mutex<State>,
    /// By name; empty unless work is timed.
    times: Mutex<HashMap<&'static str, (u64, f64)>>,
    /// Whether several ways to one result are tried, which counts for nothing.
    is_choosing: AtomicBool,
    machine: Arc<dyn Machine>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Queue {
    /// An empty one.
    pub(crate) fn new(machine: Arc<dyn Machine>, pace: Pace) -> Arc<Self> {
        Arc::new(Queue {
            pace,
            state: Mutex::default(),
            times: Mutex::default(),
            is_choosing: AtomicBool::new(false),
            machine,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work at the end.
    ///
    /// # Errors
    /// Work that waits was refused by the device, this or earlier.
    pub(crate) fn push(&self, command: Command) -> Result<()> {
        match self.pace {
            Pace::Together => {}
            Pace::Eager => return run(&*self.machine, &command),
            Pace::Blocking => {
                run(&*self.machine, &command)?;
                return self.machine.synchronize();
            }
            Pace::Timed if self.is_choosing.load(Ordering::Relaxed) => {
                return run(&*self.machine, &command);
            }
            Pace::Timed => return self.run_timed(&command),
        }
        let mut state = self.state();
        let hash = command.hash();
        state.hash = mix(state.hash, &[hash]);
        state.waiting.push(command);
        let waiting = state.waiting.len();
        // The upper bits of a product are those that all bits of its factors reach.
        let is_marked = hash >> (u64::BITS - RARENESS) == 0;
        match waiting >= LONGEST || waiting >= SHORTEST && is_marked {
            true => state.flush(&*self.machine),
            false => Ok(()),
        }
    }

    fn run_timed(&self, command: &Command) -> Result<()> {
        let time = self.machine.time(&mut || run(&*self.machine, command))?;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, milliseconds) = times.entry(command.name()).or_default();
        *calls += 1;
        *milliseconds += f64::from(time.unwrap_or(0.0));
        Ok(())
    }

    /// Milliseconds that work takes which is asked for only to see how long it takes; none where the device has no
    /// clock.
    ///
    /// # Errors
    /// Those of `ask`; the device failed.
    pub(crate) fn time(&self, mut ask: impl FnMut() -> Result<()>) -> Result<Option<f32>> {
        self.aside(|| {
            self.is_choosing.store(true, Ordering::Relaxed);
            let time = self.machine.time(&mut || {
                ask()?;
                self.flush()
            });
            self.is_choosing.store(false, Ordering::Relaxed);
            time
        })
    }

    /// Asks the device for all that waits, then runs `f`, which may ask it for more without the queue. Until then no
    /// list is made a graph: another thread that recorded one would find the work of `f` in its recording.
    ///
    /// # Errors
    /// The device refused some of it, or `f` failed.
    pub(crate) fn aside<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        /// Ends it, however `f` ends.
        struct Aside<'a>(&'a Queue);
        impl Drop for Aside<'_> {
            fn drop(&mut self) {
                self.0.state().aside -= 1;
            }
        }
        let mut state = self.state();
        // Whoever records does so under the lock, so nobody does now.
        state.aside += 1;
        let flushed = state.flush(&*self.machine);
        drop(state);
        let _aside = Aside(self);
        flushed?;
        f()
    }

    /// What was timed since the last call, the longest first.
    pub(crate) fn take_times(&self) -> Vec<KernelTime> {
        let times = std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        let time = |(name, (calls, milliseconds))| KernelTime { name, calls, milliseconds };
        let mut times: Vec<_> = times.into_iter().map(time).collect();
        times.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds).then(a.name.cmp(b.name)));
        times
    }

    /// Asks the device for all that waits.
    ///
    /// # Errors
    /// The device refused some of it.
    pub(crate) fn flush(&self) -> Result<()> {
        self.after(|| Ok(()))
    }

    /// Asks the device for all that waits, then runs `f` before anything else can be asked for.
    ///
    /// # Errors
    /// The device refused some of it, or `f` failed.
    pub(crate) fn after<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut state = self.state();
        state.flush(&*self.machine)?;
        f()
    }

    /// How many graphs there are.
    #[cfg(test)]
    fn graphs(&self) -> usize {
        let state = self.state();
        state.lists.values().filter(|list| matches!(list.seen, Seen::Ready { .. })).count()
    }
}

fn run(machine: &dyn Machine, command: &Command) -> Result<()> {
    match command {
        Command::Launch(launch) => machine.launch(launch),
        Command::Call(call) => machine.call(&**call),
    }
}

impl State {
    fn flush(&mut self, machine: &dyn Machine) -> Result<()> {
        let commands = std::mem::take(&mut self.waiting);
        let hash = std::mem::take(&mut self.hash);
        let result = match commands.len() {
            0 => return Ok(()),
            1..WORTH_A_GRAPH => commands.iter().try_for_each(|command| run(machine, command)),
            _ => self.run_list(machine, hash, &commands),
        };
        // The list's memory serves the next one.
        self.waiting = commands;
        self.waiting.clear();
        result
    }

    fn run_list(&mut self, machine: &dyn Machine, hash: u64, commands: &[Command]) -> Result<()> {
        self.clock += 1;
        let used = self.clock;
        let one_by_one = || commands.iter().try_for_each(|command| run(machine, command));
        let Some(list) = self.lists.get_mut(&hash) else {
            self.forget();
            self.lists.insert(hash, Remembered { seen: Seen::Once, used });
            return one_by_one();
        };
        list.used = used;
        match &mut list.seen {
            Seen::Refused => one_by_one(),
            Seen::Once if self.aside > 0 => one_by_one(),
            Seen::Once => {
                let recorded = machine.record(commands);
                let replayed = recorded.map(|graph| (machine.replay(&graph, &[]), graph));
                match replayed {
                    Ok((Ok(()), graph)) => {
                        list.seen = Seen::Ready { commands: commands.to_vec(), graph };
                        Ok(())
                    }
                    // The first replay brings the graph to the device. If it has no room for it, nothing ran; after
                    // another error something may have.
                    Ok((Err(error), _)) if error.kind() != ErrorKind::OutOfMemory => Err(error),
                    Ok(_) | Err(_) => {
                        list.seen = Seen::Refused;
                        one_by_one()
                    }
                }
            }
            Seen::Ready { commands: known, graph } => {
                let same = known.len() == commands.len()
                    && known.iter().zip(commands).all(|(known, now)| known.stands_for(now));
                if !same {
                    return one_by_one();
                }
                let mut changed = Vec::new();
                for (index, (known, now)) in known.iter_mut().zip(commands).enumerate() {
                    if let (Command::Launch(known), Command::Launch(now)) = (known, now)
                        && known.args != now.args
                    {
                        known.args.clone_from(&now.args);
                        changed.push((index, now));
                    }
                }
                machine.replay(graph, &changed)
            }
        }
    }

    /// Makes room for one more list.
    fn forget(&mut self) {
        if self.lists.len() < REMEMBERED {
            return;
        }
        let oldest = self.lists.iter().min_by_key(|(_, list)| list.used).map(|(&hash, _)| hash);
        if let Some(oldest) = oldest {
            self.lists.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrotape_backend::Error;

    use super::*;
    use crate::notebook::{Note, Notebook};

    fn launch(module: &Module, address: u64, rate: f64) -> Command {
        let grid = Grid { blocks: [1; 3], threads: [1; 2], shared: 0 };
        let args = Args::new().pointer(address).double(rate);
        Command::Launch(Launch { module: Arc::clone(module), entry: "step", grid, args })
    }

    #[test]
    fn a_list_that_comes_again_is_replayed_with_its_new_numbers() {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
        let module: Module = Arc::new(0u8);
        let mut expected = Vec::new();
        for step in 0..4 {
            for address in 0..5 {
                // One number changes at every step, the others never do.
                let rate = if address == 3 { step as f64 } else { 0.5 };
                queue.push(launch(&module, address, rate)).unwrap();
                expected.push(rate.to_bits());
            }
            queue.flush().unwrap();
        }
        assert_eq!(*machine.ran.lock().unwrap(), expected);
        assert_eq!(*machine.replays.lock().unwrap(), [0, 1, 1]);
        assert_eq!(queue.graphs(), 1);
    }

    #[test]
    fn other_addresses_are_another_list() {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
        let module: Module = Arc::new(0u8);
        for step in 0..6 {
            (0..5).for_each(|i| queue.push(launch(&module, i + step % 2, 1.0)).unwrap());
            queue.flush().unwrap();
        }
        assert_eq!(queue.graphs(), 2);
        assert_eq!(machine.ran.lock().unwrap().len(), 30);
    }

    #[test]
    fn steps_of_any_length_come_again_although_nobody_says_where_they_begin() {
        for length in [7, 40, 333, 797] {
            let machine = Arc::new(Notebook::default());
            let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
            let module: Module = Arc::new(0u8);
            let mut launches = (0..length).cycle();
            let mut ask = |count| {
                let launches = launches.by_ref().take(count);
                launches.for_each(|i| queue.push(launch(&module, i, 1.0)).unwrap());
                machine.replayed.load(Ordering::Relaxed)
            };
            let before = ask(30_000);
            let after = ask(10_000);
            // One list may have been under way at either end.
            assert!(after - before >= 10_000 - LONGEST, "{length}: {} of 10000", after - before);
        }
    }

    #[test]
    fn no_list_is_recorded_while_somebody_asks_the_device_past_the_queue() -> Result<()> {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
        let module: Module = Arc::new(0u8);
        let ask = || -> Result<usize> {
            (0..5).for_each(|i| queue.push(launch(&module, i, 1.0)).unwrap());
            queue.flush()?;
            Ok(queue.graphs())
        };
        assert_eq!((ask()?, queue.aside(|| Ok([ask()?, ask()?]))?), (0, [0, 0]));
        assert!(queue.aside(|| ask().and(Err::<(), _>(Error::unsupported("it fails")))).is_err());
        assert_eq!((queue.time(|| ask().map(drop)).map(|_| queue.graphs())?, ask()?), (0, 1));
        assert_eq!(machine.ran.lock().unwrap().len(), 30);
        Ok(())
    }

    #[test]
    fn a_graph_for_which_there_is_no_room_is_run_one_by_one() {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
        let module: Module = Arc::new(0u8);
        machine.no_room.store(1, Ordering::Relaxed);
        for _ in 0..3 {
            (0..5).for_each(|i| queue.push(launch(&module, i, 1.0)).unwrap());
            queue.flush().unwrap();
        }
        assert_eq!((machine.ran.lock().unwrap().len(), queue.graphs()), (15, 0));
    }

    #[test]
    fn libraries_are_asked_by_the_machine_which_knows_their_context() {
        for pace in [Pace::Together, Pace::Eager, Pace::Blocking, Pace::Timed] {
            let machine = Arc::new(Notebook::default());
            let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, pace);
            let calls = 2 * WORTH_A_GRAPH as u64 + 1;
            for _ in 0..3 {
                (0..calls).for_each(|i| queue.push(Command::Call(Arc::new(Note([i])))).unwrap());
                queue.flush().unwrap();
            }
            assert_eq!(machine.calls.load(Ordering::Relaxed), 3 * calls as usize, "{pace:?}");
        }
    }

    #[test]
    fn blocking_work_is_waited_for_one_by_one() {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Blocking);
        let module: Module = Arc::new(0u8);
        (0..3).for_each(|i| queue.push(launch(&module, i, 1.0)).unwrap());
        assert_eq!((machine.ran.lock().unwrap().len(), queue.graphs()), (3, 0));
        assert_eq!(machine.waits.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn long_lists_begin_before_anyone_waits_and_lists_are_forgotten() {
        let machine = Arc::new(Notebook::default());
        let queue = Queue::new(Arc::clone(&machine) as Arc<dyn Machine>, Pace::Together);
        let module: Module = Arc::new(0u8);
        (0..LONGEST as u64).for_each(|i| queue.push(launch(&module, i, 1.0)).unwrap());
        assert!(machine.ran.lock().unwrap().len() >= SHORTEST);
        queue.flush().unwrap();
        for list in 0..2 * REMEMBERED as u64 {
            (0..5).for_each(|i| queue.push(launch(&module, 1000 * list + i, 1.0)).unwrap());
            queue.flush().unwrap();
        }
        assert_eq!(queue.state().lists.len(), REMEMBERED);
    }
}
