//! A GPU as a machine: the driver, through cudarc.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};
use ferrotape_backend::{Error, ErrorKind, Result};

use crate::graph::{Recorded, Recorder};
use crate::library::{self, Dnn, Lt, Rules};
use crate::machine::{Fault, Grid, Machine, Module};
use crate::queue::{Call, Command, Graph, Launch};
use crate::staging::Staging;
use crate::{CudaOptions, probe, stopwatch};

/// One GPU with one stream. The fields are dropped in this order: libraries before their stream, the context last.
pub(crate) struct Gpu {
    dnn: Option<Dnn>,
    lt: Option<Lt>,
    fault: FaultPage,
    staging: Staging,
    /// What kernels are compiled for, such as `90`.
    architecture: String,
    /// Bytes of shared memory that a block may have.
    most_shared: u32,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Libraries give back what they hold in the context that is current. What the driver answers changes nothing.
        let _ = self.bind();
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("ordinal", &self.context.ordinal())
            .field("architecture", &self.architecture)
            .finish_non_exhaustive()
    }
}

/// A driver's answer as an error with a sentence.
pub(crate) fn driver(what: &str) -> impl FnOnce(DriverError) -> Error + '_ {
    move |error| {
        let kind = match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
            _ => ErrorKind::Device,
        };
        let text = error.error_string().map_or("no description".into(), CStr::to_string_lossy);
        Error::new(kind, format!("{what}: the CUDA driver says '{text}' ({:?})", error.0))
    }
}

/// Four numbers of the host's memory that kernels can write to.
struct FaultPage {
    words: *mut AtomicU64,
    context: Arc<CudaContext>,
}

// SAFETY: the page is pinned memory that lives as long as this, and the host reads and writes it through
// atomics only.
unsafe impl Send for FaultPage {}
// SAFETY: as above.
unsafe impl Sync for FaultPage {}

impl FaultPage {
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread().map_err(driver("binding the context"))?;
        // SAFETY: the context is current. The flag asks for memory that the device can address; with unified
        // addresses, which every 64-bit system has, it does so by the host's own address.
        let page = unsafe { result::malloc_host(32, sys::CU_MEMHOSTALLOC_DEVICEMAP) };
        let words: *mut AtomicU64 = page.map_err(driver("pinning memory of the host"))?.cast();
        let page = FaultPage { words, context: Arc::clone(context) };
        page.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(page)
    }

    fn words(&self) -> &[AtomicU64; 4] {
        // SAFETY: 32 bytes were allocated and are 8-aligned, as pages are; they are freed in `drop` only.
        unsafe { &*self.words.cast() }
    }
}

impl Drop for FaultPage {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: the page came from `malloc_host`; nothing refers to it any more. What the driver
            // answers changes nothing.
            let _ = unsafe { result::free_host(self.words.cast()) };
        }
    }
}

/// A loaded module with the kernels that were looked up in it.
struct Loaded {
    module: sys::CUmodule,
    kernels: Mutex<HashMap<&'static str, sys::CUfunction>>,
    context: Arc<CudaContext>,
}

// SAFETY: handles of the driver may be used from any thread whose current context is theirs.
unsafe impl Send for Loaded {}
// SAFETY: as above; the map has a lock.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: the module was loaded in this context and is not used any more. What the driver answers
            // changes nothing.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

impl Gpu {
    /// The GPU of this number.
    ///
    /// # Errors
    /// No driver, no such GPU, no run-time compiler; each with where it was looked for.
    pub(crate) fn open(options: CudaOptions) -> Result<Self> {
        probe::require_driver()?;
        probe::require_compiler()?;
        probe::require_fit()?;
        let count = CudaContext::device_count().map_err(driver("counting GPUs"))?;
        if usize::try_from(count).is_ok_and(|count| options.ordinal >= count) {
            return Err(Error::argument(format!(
                "there is no GPU {}, this machine has {count}, counted from 0",
                options.ordinal
            )));
        }
        let context = CudaContext::new(options.ordinal).map_err(driver("opening the GPU"))?;
        let stream = context.new_stream().map_err(driver("making a stream"))?;
        let (major, minor) =
            context.compute_capability().map_err(driver("asking for the compute capability"))?;
        probe::require_gpu((major, minor))?;
        let most_shared = context
            .attribute(
                sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )
            .map_err(driver("asking for the size of shared memory"))?;
        let raw = stream.cu_stream();
        let rules = Rules { deterministic: options.deterministic, tf32: options.tf32 };
        Ok(Gpu {
            most_shared: most_shared.max(0) as u32,
            architecture: format!("{major}{minor}"),
            fault: FaultPage::new(&context)?,
            staging: Staging::new(&context),
            dnn: match probe::has_dnn() {
                true => optional(Dnn::open(raw, rules))?,
                false => None,
            },
            lt: probe::has_lt().then(|| Lt::open(raw, rules)).transpose()?,
            context,
            stream,
        })
    }

    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(driver("binding the context"))
    }

    /// The driver's handle of a launch's kernel.
    fn kernel(&self, launch: &Launch) -> Result<sys::CUfunction> {
        let loaded = launch.module.downcast_ref::<Loaded>().ok_or_else(|| {
            Error::new(ErrorKind::Device, "the module was compiled for another machine")
        })?;
        let mut kernels = loaded.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&kernel) = kernels.get(launch.entry) {
            return Ok(kernel);
        }
        let name = CString::new(launch.entry)
            .map_err(|_| Error::argument("the kernel's name has a zero byte"))?;
        // SAFETY: the module is loaded.
        let kernel = unsafe { result::module::get_function(loaded.module, name) }
            .map_err(driver(launch.entry))?;
        allow_shared(kernel, self.most_shared).map_err(driver(launch.entry))?;
        kernels.insert(launch.entry, kernel);
        Ok(kernel)
    }
}

/// A library that cannot be used is as good as none: this crate's kernels do its work, and [`probe::probe`] says why.
fn optional<T>(opened: Result<T>) -> Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        opened => opened.map(Some),
    }
}

impl Machine for Gpu {
    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.bind()?;
        // SAFETY: the context is current.
        unsafe { result::malloc_sync(bytes) }.map_err(driver("allocating"))
    }

    fn free(&self, address: u64, _bytes: usize) {
        if self.bind().is_ok() {
            // SAFETY: the pool gives each address back once, after it waited for the work that uses it. What the
            // driver answers changes nothing.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn upload(&self, src: &[u8], dst: u64) -> Result<()> {
        if src.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the caller's array has as many bytes at `dst`; the stream is this machine's.
        unsafe { self.staging.upload(src, dst, self.stream.cu_stream()) }
    }

    fn download(&self, src: u64, dst: &mut [u8]) -> Result<()> {
        self.bind()?;
        if !dst.is_empty() {
            // SAFETY: the caller's array has as many bytes at `src`; the stream is waited for below, before
            // `dst` is used again.
            unsafe { result::memcpy_dtoh_async(dst, src, self.stream.cu_stream()) }
                .map_err(driver("copying from the device"))?;
        }
        self.synchronize()
    }

    fn compile(&self, name: &str, source: &str) -> Result<Module> {
        let code = library::compile(name, source, &self.architecture)?;
        self.bind()?;
        // SAFETY: the code is a complete image, as the compiler gave it.
        let module = unsafe { result::module::load_data(code.as_ptr().cast::<c_void>()) }
            .map_err(driver("loading a module"))?;
        Ok(Arc::new(Loaded {
            module,
            kernels: Mutex::default(),
            context: Arc::clone(&self.context),
        }))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.bind()?;
        let kernel = self.kernel(launch)?;
        let mut args = launch.args.clone();
        let mut places = args.places();
        let Grid { blocks: [x, y, z], threads: [width, height], shared } = launch.grid;
        let places = places.as_mut_ptr().cast::<*mut c_void>();
        let stream = self.stream.cu_stream();
        // SAFETY: the places are those of the kernel's parameters in order, which the conformance kit holds
        // every launch to; the driver copies them before it returns. Operands stay allocated until work that
        // is asked for later, as the pool promises.
        unsafe {
            let none = std::ptr::null_mut();
            sys::cuLaunchKernel(kernel, x, y, z, width, height, 1, shared, stream, places, none)
        }
        .result()
        .map_err(driver(launch.entry))
    }

    fn call(&self, call: &dyn Call) -> Result<()> {
        self.bind()?;
        call.run()
    }

    fn record(&self, commands: &[Command]) -> Result<Graph> {
        self.bind()?;
        let mut recorder = Recorder::new(&self.context)?;
        for command in commands {
            match command {
                Command::Launch(launch) => recorder.add_kernel(self.kernel(launch)?, launch)?,
                Command::Call(call) => {
                    recorder.add_call(&**call, self.stream.cu_stream())?;
                }
            }
        }
        Ok(Box::new(recorder.finish()?))
    }

    fn replay(&self, graph: &Graph, changed: &[(usize, &Launch)]) -> Result<()> {
        let graph = graph.downcast_ref::<Recorded>().ok_or_else(|| {
            Error::new(ErrorKind::Device, "the graph was recorded on another machine")
        })?;
        self.bind()?;
        for &(index, launch) in changed {
            graph.change(index, self.kernel(launch)?, launch)?;
        }
        graph.launch(self.stream.cu_stream())
    }

    fn synchronize(&self) -> Result<()> {
        self.bind()?;
        self.stream.synchronize().map_err(driver("waiting for the device"))
    }

    fn time(&self, ask: &mut dyn FnMut() -> Result<()>) -> Result<Option<f32>> {
        self.bind()?;
        // SAFETY: the stream is this machine's own, and its context is current.
        unsafe { stopwatch::milliseconds(self.stream.cu_stream(), ask) }.map(Some)
    }

    fn fault_address(&self) -> u64 {
        self.fault.words as u64
    }

    fn take_fault(&self) -> Option<Fault> {
        let [launch, value, limit, _] = self.fault.words();
        // On an eager device another thread's kernel may be about to write.
        if launch.load(Ordering::Acquire) == 0 {
            return None;
        }
        let taken = |word: &AtomicU64| word.swap(0, Ordering::AcqRel);
        Fault::of([taken(launch), taken(value), taken(limit), 0])
    }

    fn dnn(&self) -> Result<Option<&Dnn>> {
        self.bind()?;
        Ok(self.dnn.as_ref())
    }

    fn lt(&self) -> Result<Option<&Lt>> {
        self.bind()?;
        Ok(self.lt.as_ref())
    }
}

/// Lets a kernel have as much shared memory as the GPU has, less what it declares itself.
fn allow_shared(kernel: sys::CUfunction, most: u32) -> std::result::Result<(), DriverError> {
    let declared = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
    let dynamic = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    // SAFETY: the kernel was just looked up in a loaded module.
    let declared = unsafe { result::function::get_function_attribute(kernel, declared) }?;
    let room = most as i32 - declared;
    // SAFETY: as above.
    unsafe { result::function::set_function_attribute(kernel, dynamic, room.max(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_too_old_is_done_without_and_one_that_fails_is_an_error() {
        assert_eq!(optional(Ok(7)).unwrap(), Some(7));
        assert_eq!(optional::<u8>(Err(Error::unsupported("too old"))).unwrap(), None);
        let failed = optional::<u8>(Err(Error::new(ErrorKind::Device, "it fails"))).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Device);
    }
}
