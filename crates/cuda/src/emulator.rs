//! A machine that runs the kernels on the host, for tests where there is no GPU.
//!
//! The sources that a GPU's compiler would get are compiled by the system's C++ compiler instead, with a
//! header that says what threads, blocks, barriers and shared memory mean (`kernels/emulator.hpp`). It shows
//! whether kernels compute the right numbers and stay within their operands; it says nothing of races
//! between blocks, and nothing of speed.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ferrotape_backend::{Error, ErrorKind, Result};

use crate::machine::{Fault, FaultWords, Grid, Machine, Module};
use crate::queue::{Command, Graph, Launch};
use crate::{Cuda, CudaOptions};

const HEADER: &str = include_str!("../kernels/emulator.hpp");

/// What alignment device memory has.
const ALIGNMENT: usize = 256;

type Entry = unsafe extern "C" fn(*mut *mut c_void, *const u32);

/// Memory of the host, and kernels as functions of it.
pub(crate) struct Emulator {
    folder: tempfile::TempDir,
    compiler: PathBuf,
    state: Mutex<State>,
    fault: Box<Mutex<FaultWords>>,
    room: usize,
}

#[derive(Default)]
struct State {
    compiled: u64,
    /// The size of each block in use by its address.
    live: HashMap<u64, usize>,
    used: usize,
}

struct Library {
    library: libloading::Library,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("compiler", &self.compiler).finish_non_exhaustive()
    }
}

/// A device that runs the CUDA backend's kernels on the host, with so many bytes of memory; for tests.
///
/// # Errors
/// `Unsupported` where there is no C++ compiler, with a sentence that says so.
pub fn emulated(options: CudaOptions, room: usize) -> Result<Cuda> {
    let machine = Emulator::new(room)?;
    Ok(Cuda::on(Arc::new(machine), format!("cuda:{}", options.ordinal), options))
}

/// Machine code of a kernel source for a GPU's architecture, such as `90`. Needs no GPU.
///
/// # Errors
/// `Unsupported` where there is no run-time compiler, `Device` with the compiler's log.
pub fn compile(name: &str, source: &str, architecture: &str) -> Result<Vec<u8>> {
    Ok(crate::library::compile(name, source, architecture)?.to_vec())
}

fn failed(what: &str, error: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Device, format!("{what}: {error}"))
}

/// The C++ compiler of this machine.
fn compiler() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let works = |name: &&&str| {
        process::Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    FOUND.get_or_init(|| ["c++", "g++", "clang++"].iter().find(works).map(PathBuf::from)).clone()
}

impl Emulator {
    fn new(room: usize) -> Result<Self> {
        let compiler = compiler().ok_or_else(|| {
            Error::unsupported("there is no C++ compiler (c++, g++ or clang++) to run kernels with")
        })?;
        let folder = tempfile::tempdir()
            .map_err(|error| failed("no folder for compiled kernels could be made", error))?;
        Ok(Emulator { folder, compiler, state: Mutex::default(), fault: Box::default(), room })
    }

    fn layout(bytes: usize) -> Result<std::alloc::Layout> {
        std::alloc::Layout::from_size_align(bytes.max(1), ALIGNMENT)
            .map_err(|_| Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes")))
    }

    /// Whether so many bytes at an address are within one block.
    fn holds(&self, address: u64, bytes: usize) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.live.iter().any(|(&start, &size)| {
            address >= start && address + bytes as u64 <= start + size as u64
        })
    }
}

/// The kernels that a source declares.
fn entries(source: &str) -> Vec<&str> {
    let starts = source.match_indices("\nKERNEL").map(|(at, _)| &source[at..]);
    let name = |rest: &'_ str| -> Option<(usize, usize)> {
        let open = rest.find('(')?;
        let end = open + 1 + rest[open + 1..].find([')', ','])?;
        Some((open + 1, end))
    };
    starts.filter_map(|rest| name(rest).map(|(from, to)| rest[from..to].trim())).collect()
}

impl Machine for Emulator {
    fn allocate(&self, bytes: usize) -> Result<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > self.room.saturating_sub(state.used) {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                format!("{} of {} bytes are free", self.room - state.used, self.room),
            ));
        }
        // SAFETY: the layout's size is at least 1.
        let memory = unsafe { std::alloc::alloc(Self::layout(bytes)?) };
        if memory.is_null() {
            return Err(Error::new(ErrorKind::OutOfMemory, "the host has no room"));
        }
        state.used += bytes;
        state.live.insert(memory as u64, bytes);
        Ok(memory as u64)
    }

    fn free(&self, address: u64, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.live.remove(&address).is_none() {
            return;
        }
        state.used -= bytes;
        if let Ok(layout) = Self::layout(bytes) {
            // SAFETY: the address was in use, so it came from `allocate` with this very layout.
            unsafe { std::alloc::dealloc(address as *mut u8, layout) }
        }
    }

    fn upload(&self, src: &[u8], dst: u64) -> Result<()> {
        if !self.holds(dst, src.len()) {
            return Err(failed("upload", "the target is no memory of this machine"));
        }
        // SAFETY: the target is within a block of this machine, which `src` cannot be part of.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), dst as *mut u8, src.len()) }
        Ok(())
    }

    fn download(&self, src: u64, dst: &mut [u8]) -> Result<()> {
        if !self.holds(src, dst.len()) {
            return Err(failed("download", "the source is no memory of this machine"));
        }
        // SAFETY: the source is within a block of this machine, which `dst` cannot be part of.
        unsafe { std::ptr::copy_nonoverlapping(src as *const u8, dst.as_mut_ptr(), dst.len()) }
        Ok(())
    }

    fn compile(&self, name: &str, source: &str) -> Result<Module> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.compiled += 1;
        let stem = format!("{name}-{}", state.compiled);
        drop(state);
        let barriers = ["__syncthreads()", "__shfl", "__syncwarp"];
        let barriers = barriers.iter().any(|word| source.contains(word));
        let mut text = format!("{HEADER}\n{source}\n");
        for entry in entries(source) {
            text.push_str(&format!(
                "extern \"C\" void launch_{entry}(void** args, const unsigned* grid) {{ \
                 emulator::launch({entry}, args, grid, {barriers}); }}\n"
            ));
        }
        let written = self.folder.path().join(format!("{stem}.cpp"));
        let built = self.folder.path().join(format!("{stem}.so"));
        std::fs::write(&written, text).map_err(|error| failed("writing a source", error))?;
        let output = process::Command::new(&self.compiler)
            .args(["-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-w", "-o"])
            .args([&built, &written])
            .output()
            .map_err(|error| failed("running the compiler", error))?;
        if !output.status.success() {
            return Err(failed(name, String::from_utf8_lossy(&output.stderr)));
        }
        // SAFETY: the library was just compiled from this crate's kernels and has no initialisers.
        let library = unsafe { libloading::Library::new(&built) };
        let library = library.map_err(|error| failed("loading compiled kernels", error))?;
        Ok(Arc::new(Library { library }) as Arc<dyn Any + Send + Sync>)
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        // The header's threads are global variables of the module: one launch at a time.
        static TURN: Mutex<()> = Mutex::new(());
        let library = launch
            .module
            .downcast_ref::<Library>()
            .ok_or_else(|| failed("launch", "the module is another machine's"))?;
        let symbol = format!("launch_{}", launch.entry);
        // SAFETY: every symbol of this name is a function of this type, as `compile` wrote them.
        let run = unsafe { library.library.get::<Entry>(symbol.as_bytes()) };
        let run = run.map_err(|error| failed("there is no such kernel", error))?;
        let Grid { blocks: [x, y, z], threads: [width, height], shared } = launch.grid;
        let grid = [x, y, z, width, height, shared];
        let mut args = launch.args.clone();
        let mut places = args.places();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the places are those of the kernel's arguments in order; that they are what it declares
        // is what the tests that use this machine are for.
        unsafe { run(places.as_mut_ptr().cast(), grid.as_ptr()) }
        Ok(())
    }

    fn record(&self, commands: &[Command]) -> Result<Graph> {
        Ok(Box::new(Mutex::new(commands.to_vec())))
    }

    fn replay(&self, graph: &Graph, changed: &[(usize, &Launch)]) -> Result<()> {
        let commands = graph
            .downcast_ref::<Mutex<Vec<Command>>>()
            .ok_or_else(|| failed("replay", "the graph is another machine's"))?;
        let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
        for &(index, launch) in changed {
            commands[index] = Command::Launch(launch.clone());
        }
        commands.iter().try_for_each(|command| match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Call(call) => self.call(&**call),
        })
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn fault_address(&self) -> u64 {
        // Kernels run while their launch waits, so nothing else uses the words meanwhile.
        let mut words = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        words.as_mut_ptr() as u64
    }

    fn take_fault(&self) -> Option<Fault> {
        let mut words = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        Fault::of(std::mem::take(&mut *words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_their_names() {
        let source =
            "\nKERNEL(add)(float* x) {}\n// KERNEL(no)\nKERNEL_BOUNDS(mul, 256, 2)(int n) {}";
        assert_eq!(entries(source), ["add", "mul"]);
    }
}
