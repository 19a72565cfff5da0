//! The device: its threads, its memory and its instructions.

use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};
use ferrotape_backend::Result;

use crate::Level;
use crate::alloc::{Allocator, Block};
use crate::kernels::dispatch::Available;
use crate::team::Team;

/// How a [`Cpu`] is to work.
///
/// ```
/// use ferrotape_cpu::{Cpu, CpuOptions};
///
/// let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() })?;
/// assert_eq!(cpu.threads(), 2);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that compute at a time, the calling one included; by default one a processor.
    pub threads: Option<usize>,
    /// The instructions to use; by default what [`LEVEL_VARIABLE`](crate::LEVEL_VARIABLE) asks for,
    /// else the best that the machine has.
    pub level: Option<Level>,
}

/// The CPU backend.
///
/// A weight that is read again and again without being written, as in evaluation, is kept in the order of the kernels
/// besides, which takes its memory once more, or up to twice, until it is written or dropped.
///
/// ```
/// use ferrotape_backend::{Array, Device};
/// use ferrotape_cpu::{Cpu, CpuOptions};
///
/// let device = Device::new(Cpu::new(CpuOptions::default())?);
/// let a = Array::full(&device, ferrotape_backend::DType::F32, [2, 3], 1.5)?;
/// assert_eq!(a.to_vec::<f32>()?, [1.5; 6]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Cpu {
    pub(crate) level: Available,
    pub(crate) team: Team,
    /// Does work that is not worth waking anybody for.
    alone: Team,
    pub(crate) allocator: Arc<Allocator>,
}

/// Work below this cost, in simple operations, is done by the calling thread.
const SMALL: usize = 1 << 15;

impl Cpu {
    /// A device of its own, with its own threads and memory.
    ///
    /// # Errors
    /// Zero threads, threads that cannot be started, a level that does not exist or that this
    /// machine does not have.
    pub fn new(options: CpuOptions) -> Result<Self> {
        let level = options.level.map_or_else(Level::from_env, Ok)?;
        Ok(Cpu {
            level: Available::new(level)?,
            team: Team::new(options.threads)?,
            alone: Team::new(Some(1))?,
            allocator: Arc::new(Allocator::default()),
        })
    }

    /// The instructions in use.
    pub fn level(&self) -> Level {
        self.level.level()
    }

    /// How many threads compute at a time.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// What the kernels use of this processor, for people: the level, and what the machine has.
    pub fn features(&self) -> String {
        let best = Level::best();
        match self.level() == best {
            true => format!("{best}"),
            false => format!("{} (the machine has {best})", self.level()),
        }
    }

    /// Gives the memory that is kept for reuse back to the operating system.
    pub fn empty_cache(&self) {
        self.allocator.empty();
    }

    /// Who does work of this cost in all, in simple operations.
    pub(crate) fn team_for(&self, cost: usize) -> &Team {
        if cost < SMALL { &self.alone } else { &self.team }
    }

    /// Memory for `len` elements, with unspecified contents, while a verb runs.
    pub(crate) fn workspace<T: NoUninit + AnyBitPattern>(
        &self,
        len: usize,
    ) -> Result<Workspace<T>> {
        let bytes = len.saturating_mul(size_of::<T>());
        Ok(Workspace { block: self.allocator.allocate(bytes)?, element: std::marker::PhantomData })
    }
}

/// Memory for elements of one type.
pub(crate) struct Workspace<T> {
    block: Block,
    element: std::marker::PhantomData<T>,
}

impl<T: NoUninit + AnyBitPattern> Workspace<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        bytemuck::cast_slice(self.block.bytes())
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.block.bytes_mut())
    }
}
