//! The machine underneath: memory, compiled kernels and a queue of work.
//!
//! There are two: a GPU ([`crate::gpu`]) and, for tests where there is none, a host that runs the same
//! kernel sources thread by thread (`crate::emulator`). Everything above this trait is the same for both.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use ferrotape_backend::Result;

use crate::library::{Dnn, Lt};
use crate::queue::{Call, Command, Graph, Launch};

/// A compiled source. The machine that made it knows what is in it.
pub(crate) type Module = Arc<dyn Any + Send + Sync>;

/// How many threads run a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Blocks along x, y and z.
    pub(crate) blocks: [u32; 3],
    /// Threads of a block, along x and y.
    pub(crate) threads: [u32; 2],
    /// Bytes of shared memory of a block, beside what the kernel declares.
    pub(crate) shared: u32,
}

/// What one work queue and its memory can do. Work is done in the order in which it is asked for.
pub(crate) trait Machine: fmt::Debug + Send + Sync {
    /// New memory; its address is a multiple of 256.
    ///
    /// # Errors
    /// `OutOfMemory`.
    fn allocate(&self, bytes: usize) -> Result<u64>;

    /// Gives memory back. The caller waited for all work that uses it.
    fn free(&self, address: u64, bytes: usize);

    /// Copies from the host, which may reuse `src` at once.
    ///
    /// # Errors
    /// The device failed.
    fn upload(&self, src: &[u8], dst: u64) -> Result<()>;

    /// Waits for all work and copies to the host.
    ///
    /// # Errors
    /// The device failed.
    fn download(&self, src: u64, dst: &mut [u8]) -> Result<()>;

    /// Compiles a source.
    ///
    /// # Errors
    /// The source is wrong, or nothing is there to compile it.
    fn compile(&self, name: &str, source: &str) -> Result<Module>;

    /// Asks for a kernel to be run.
    ///
    /// # Errors
    /// The module has no such kernel, or the device refused.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Asks for work of a library, in the context that this machine's work is done in.
    ///
    /// # Errors
    /// The library or the device refused.
    fn call(&self, call: &dyn Call) -> Result<()> {
        call.run()
    }

    /// Makes a list of work ready to be run as one piece, without running it.
    ///
    /// # Errors
    /// The device cannot.
    fn record(&self, commands: &[Command]) -> Result<Graph>;

    /// Asks for a recorded list to be run, with the launches at these places replaced by others that differ
    /// in varying arguments alone.
    ///
    /// # Errors
    /// The device refused.
    fn replay(&self, graph: &Graph, changed: &[(usize, &Launch)]) -> Result<()>;

    /// Waits for all work.
    ///
    /// # Errors
    /// The device failed.
    fn synchronize(&self) -> Result<()>;

    /// Milliseconds that the work takes which `ask` asks for, by the device's own clock; none where it has no clock.
    ///
    /// # Errors
    /// Those of `ask`; the device failed.
    fn time(&self, ask: &mut dyn FnMut() -> Result<()>) -> Result<Option<f32>> {
        ask().map(|()| None)
    }

    /// Where kernels report wrong operands: four numbers of 8 bytes that the host sees too.
    fn fault_address(&self) -> u64;

    /// The report, if there is one, which is thereby taken. Only after [`Machine::synchronize`].
    fn take_fault(&self) -> Option<Fault>;

    /// The library of convolutions, if there is one, ready to be used by this thread.
    ///
    /// # Errors
    /// The device failed.
    fn dnn(&self) -> Result<Option<&Dnn>> {
        Ok(None)
    }

    /// The library of matrix products, if there is one, ready to be used by this thread.
    ///
    /// # Errors
    /// The device failed.
    fn lt(&self) -> Result<Option<&Lt>> {
        Ok(None)
    }
}

/// What a kernel found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The number of the launch.
    pub(crate) launch: u64,
    /// The offending value.
    pub(crate) value: i64,
    /// What it must be below.
    pub(crate) limit: i64,
}

/// The report as it lies in memory: launch, value, limit, unused.
pub(crate) type FaultWords = [u64; 4];

impl Fault {
    /// What the words say; nothing if the launch is 0.
    pub(crate) fn of(words: FaultWords) -> Option<Fault> {
        (words[0] != 0).then_some(Fault {
            launch: words[0],
            value: words[1] as i64,
            limit: words[2] as i64,
        })
    }
}
