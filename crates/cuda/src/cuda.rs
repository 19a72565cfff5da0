//! The device: a machine, its memory, its compiled kernels, and how work is asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_backend::{Array, Context, Error, ErrorKind, Result};

use crate::args::Args;
use crate::gpu::Gpu;
use crate::kernel::{Kernel, Modules};
use crate::library::{ConvolutionReport, Dnn};
use crate::machine::{Grid, Machine, Module};
use crate::memory::{self, Operand};
use crate::pool::{Block, Pool};
use crate::queue::{Command, KernelTime, Launch, Pace, Queue};
use crate::verbs::pointwise::Programs;
use crate::verbs::resample::Matrices;
use crate::verbs::ways::Ways;

/// How a GPU is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CudaOptions {
    /// Which GPU, counted from 0.
    pub ordinal: usize,
    /// Take only algorithms that give the same bits every time, without measuring which is fastest.
    pub deterministic: bool,
    /// Let the tensor cores round f32 operands of products to TF32, which has 11 bits of precision.
    pub tf32: bool,
    /// Ask the device for every kernel at once, instead of collecting them and replaying steps that repeat.
    pub eager: bool,
    /// Ask for every kernel by itself and have the device time it, for [`Cuda::times`]. Slow.
    pub timed: bool,
}

/// The CUDA backend: one GPU with one queue of work.
///
/// Verbs return as soon as their work is asked for; [`synchronize`](ferrotape_backend::Device::synchronize)
/// and everything that brings numbers to the host wait for it. An index or a class out of range is found by
/// the kernel that meets it, so that its error comes with the next call that waits. With
/// `CUDA_LAUNCH_BLOCKING=1` in the environment each launch is waited for, so that an error names its cause and a
/// profile has the device's times.
pub struct Cuda {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) options: CudaOptions,
    name: String,
    pub(crate) programs: Programs,
    pub(crate) matrices: Matrices,
    pub(crate) ways: Ways,
    modules: Modules,
    checked: Checked,
}

/// NVIDIA's variable for programs that are to wait for each launch.
const BLOCKING: &str = "CUDA_LAUNCH_BLOCKING";

fn is_blocking() -> bool {
    std::env::var_os(BLOCKING).is_some_and(|value| value == "1")
}

/// The launches since the last wait that look at their operands' values.
#[derive(Debug, Default)]
struct Checked {
    last: AtomicU64,
    places: Mutex<HashMap<u64, String>>,
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda")
            .field("machine", &self.machine)
            .field("options", &self.options)
            .finish()
    }
}

impl Cuda {
    /// Opens a GPU.
    ///
    /// # Errors
    /// `Unsupported` where there is no driver, no run-time compiler or no GPU that is new enough, with a
    /// sentence that says what is missing and where it was looked for.
    pub fn new(options: CudaOptions) -> Result<Self> {
        let name = format!("cuda:{}", options.ordinal);
        let gpu = Gpu::open(options).at(|| name.clone())?;
        Ok(Cuda::on(Arc::new(gpu), name, options))
    }

    pub(crate) fn on(machine: Arc<dyn Machine>, name: String, options: CudaOptions) -> Self {
        let pace = match options {
            CudaOptions { timed: true, .. } => Pace::Timed,
            _ if is_blocking() => Pace::Blocking,
            CudaOptions { eager: true, .. } => Pace::Eager,
            _ => Pace::Together,
        };
        let queue = Queue::new(Arc::clone(&machine), pace);
        let pool = Pool::new(Arc::clone(&machine), Arc::clone(&queue));
        Cuda {
            machine,
            queue,
            pool,
            options,
            name,
            programs: Programs::default(),
            matrices: Matrices::default(),
            ways: Ways::default(),
            modules: Modules::default(),
            checked: Checked::default(),
        }
    }

    /// Every kernel source that was compiled so far, as its compiler got it, with its name; for tests.
    #[cfg(feature = "emulator")]
    #[must_use]
    pub fn compiled_sources(&self) -> Vec<(&'static str, String)> {
        self.modules.texts()
    }

    /// The convolutions that this device was asked for, and which of cuDNN's engines does each.
    ///
    /// ```
    /// use ferrotape_cuda::{Cuda, CudaOptions};
    ///
    /// if let Ok(cuda) = Cuda::new(CudaOptions::default()) {
    ///     assert!(cuda.convolutions().is_empty(), "it was asked for nothing yet");
    /// }
    /// ```
    #[must_use]
    pub fn convolutions(&self) -> Vec<ConvolutionReport> {
        self.machine.dnn().ok().flatten().map(Dnn::report).unwrap_or_default()
    }

    /// What the kernels and the libraries' work took since this was last asked, on a device that is
    /// [timed](CudaOptions::timed), those that took longest in all first.
    ///
    /// ```
    /// use ferrotape_cuda::{Cuda, CudaOptions};
    ///
    /// if let Ok(cuda) = Cuda::new(CudaOptions { timed: true, ..CudaOptions::default() }) {
    ///     assert!(cuda.times().is_empty(), "it was asked for nothing yet");
    /// }
    /// ```
    #[must_use]
    pub fn times(&self) -> Vec<KernelTime> {
        self.queue.take_times()
    }

    pub(crate) fn device_name(&self) -> String {
        self.name.clone()
    }

    /// Opens operands; see [`memory::open`].
    pub(crate) fn open<'a, const R: usize, const W: usize, T>(
        &self,
        reads: [&'a Array; R],
        writes: [&'a Array; W],
        f: impl FnOnce([Operand<'a>; R], [Operand<'a>; W]) -> Result<T>,
    ) -> Result<T> {
        memory::open(&self.pool, reads, writes, f)
    }

    /// Memory for intermediate results. It may be dropped as soon as all work on it was asked for.
    pub(crate) fn scratch(&self, bytes: usize) -> Result<Block> {
        self.pool.allocate(bytes)
    }

    /// Asks for a kernel to be run.
    pub(crate) fn launch(&self, kernel: &Kernel, grid: Grid, args: Args) -> Result<()> {
        let module = self.with_room(|| self.modules.of_kernel(&*self.machine, kernel))?;
        self.launch_module(module, kernel.entry, grid, args)
    }

    /// Asks for a kernel of a compiled module to be run.
    pub(crate) fn launch_module(
        &self,
        module: Module,
        entry: &'static str,
        grid: Grid,
        args: Args,
    ) -> Result<()> {
        self.queue.push(Command::Launch(Launch { module, entry, grid, args }))
    }

    /// The module of a generated text.
    pub(crate) fn generated(&self, text: &str) -> Result<Module> {
        self.with_room(|| self.modules.of_text(&*self.machine, text))
    }

    /// Asks for what takes memory of the device past the pool; if there is no room, once more after all that the pool
    /// keeps unused went back.
    fn with_room<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        match ask() {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && self.pool.trim() => ask(),
            other => other,
        }
    }

    /// The number of a launch that looks at values, for its two last arguments (`fault`, `launch`): the
    /// kernel writes it where it meets a value out of range. `place` is what the error then names.
    pub(crate) fn watch(&self, place: String) -> Watch {
        let number = self.checked.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.checked.places.lock().unwrap_or_else(PoisonError::into_inner).insert(number, place);
        Watch { address: self.machine.fault_address(), number }
    }

    /// Waits for all work, and answers with what a kernel found wrong.
    pub(crate) fn wait(&self) -> Result<()> {
        self.wait_by(|| self.machine.synchronize())
    }

    /// The same by something that waits for all work.
    pub(crate) fn wait_by(&self, wait: impl FnOnce() -> Result<()>) -> Result<()> {
        // What other threads ask for from here on may not be waited for, and its places are not dropped.
        let last = self.checked.last.load(Ordering::Relaxed);
        // They can ask for nothing between the wait and the look at the page.
        let fault = self.queue.after(|| wait().map(|()| self.machine.take_fault()))?;
        let mut places = self.checked.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = fault.and_then(|fault| places.remove(&fault.launch));
        places.retain(|&number, _| number > last);
        let Some(fault) = fault else { return Ok(()) };
        let error = Error::argument(format!(
            "the index {} is out of range, it must be at least 0 and below {}",
            fault.value, fault.limit
        ));
        match place {
            Some(place) => Err(error).at(|| place),
            None => Err(error),
        }
    }
}

/// What a kernel that looks at values is given to report with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    address: u64,
    number: u64,
}

impl Watch {
    /// Adds the arguments `u64* fault, u64 launch`.
    pub(crate) fn add_to(self, args: Args) -> Args {
        args.pointer(self.address).bits(self.number)
    }
}

/// Threads of a block where nothing asks for another number.
pub(crate) const THREADS: u32 = 256;

/// A thread for each of so many items, in one dimension. Kernels step by the number of all threads, so that
/// any number of items is covered.
pub(crate) fn linear(items: usize) -> Grid {
    let blocks = items.div_ceil(THREADS as usize).clamp(1, 1 << 20) as u32;
    Grid { blocks: [blocks, 1, 1], threads: [THREADS, 1], shared: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Fault;
    use crate::notebook::Notebook;

    #[test]
    fn a_kernel_for_which_there_is_no_room_gets_what_lies_unused_after_its_work_is_done() {
        let machine = Arc::new(Notebook::default());
        let device = Arc::clone(&machine) as Arc<dyn Machine>;
        let cuda = Cuda::on(device, "cuda:0".to_owned(), CudaOptions::default());
        drop(cuda.scratch(1000).unwrap());
        machine.no_room.store(1, Ordering::Relaxed);
        cuda.generated("one").unwrap();
        assert_eq!(*machine.freed.lock().unwrap(), [1], "how many waits there were before");
        machine.no_room.store(1, Ordering::Relaxed);
        let error = cuda.generated("other").map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "nothing was left to give back");
    }

    #[test]
    fn what_another_thread_asks_for_during_a_wait_keeps_its_place() {
        let machine = Arc::new(Notebook::default());
        let device = Arc::clone(&machine) as Arc<dyn Machine>;
        let cuda = Arc::new(Cuda::on(device, "cuda:0".to_owned(), CudaOptions::default()));
        let fails = |launch| {
            *machine.fault.lock().unwrap() = Some(Fault { launch, value: 9, limit: 5 });
            cuda.wait().unwrap_err().to_string()
        };
        let waited = cuda.watch("gather before".to_owned()).number;
        let other = Arc::clone(&cuda);
        let later = waited + 1;
        *machine.meanwhile.lock().unwrap() = Some(Box::new(move || {
            assert_eq!(other.watch("gather later".to_owned()).number, later)
        }));
        cuda.wait().unwrap();
        let text = fails(later);
        assert!(text.contains("gather later") && text.contains("the index 9"), "{text}");
        // Places that were waited for are not kept; a report whose place is not known is an error all the same.
        assert!(cuda.checked.places.lock().unwrap().is_empty());
        let text = fails(waited);
        assert!(text.contains("the index 9") && !text.contains("gather"), "{text}");
    }
}
