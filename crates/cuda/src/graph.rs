//! Lists of launches as graphs of the driver.

use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, result, sys};
use ferrotape_backend::Result;

use crate::gpu::driver;
use crate::machine::Grid;
use crate::queue::{Call, Launch};

/// A graph under construction: each piece of work after the one before it.
pub(crate) struct Recorder {
    graph: Owned,
    /// One node a command; none for a call, whose nodes are its own.
    kernels: Vec<Option<sys::CUgraphNode>>,
    last: Option<sys::CUgraphNode>,
}

/// A graph's handle, which it destroys.
struct Owned {
    graph: sys::CUgraph,
    context: Arc<CudaContext>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: the graph is this one's own. What the driver answers changes nothing.
            let _ = unsafe { result::graph::destroy(self.graph) };
        }
    }
}

/// The driver's description of a launch. It points into `places`, which must outlive it.
fn params(
    kernel: sys::CUfunction,
    launch: &Launch,
    places: &mut [*mut u64],
) -> sys::CUDA_KERNEL_NODE_PARAMS {
    let Grid { blocks: [x, y, z], threads: [width, height], shared } = launch.grid;
    sys::CUDA_KERNEL_NODE_PARAMS {
        func: kernel,
        gridDimX: x,
        gridDimY: y,
        gridDimZ: z,
        blockDimX: width,
        blockDimY: height,
        blockDimZ: 1,
        sharedMemBytes: shared,
        kernelParams: places.as_mut_ptr().cast(),
        extra: std::ptr::null_mut(),
        kern: std::ptr::null_mut(),
        ctx: std::ptr::null_mut(),
    }
}

impl Recorder {
    /// An empty graph.
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let mut graph = std::ptr::null_mut();
        // SAFETY: `graph` is where the handle is to be written.
        unsafe { sys::cuGraphCreate(&mut graph, 0) }.result().map_err(driver("making a graph"))?;
        let graph = Owned { graph, context: Arc::clone(context) };
        Ok(Recorder { graph, kernels: Vec::new(), last: None })
    }

    /// Adds a node after the last one.
    fn add(
        &mut self,
        make: impl FnOnce(*mut sys::CUgraphNode, *const sys::CUgraphNode, usize) -> sys::CUresult,
    ) -> std::result::Result<sys::CUgraphNode, DriverError> {
        let mut node = std::ptr::null_mut();
        let before = self.last.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        make(&mut node, before, usize::from(self.last.is_some())).result()?;
        self.last = Some(node);
        Ok(node)
    }

    /// Adds a launch.
    pub(crate) fn add_kernel(&mut self, kernel: sys::CUfunction, launch: &Launch) -> Result<()> {
        let mut args = launch.args.clone();
        let mut places = args.places();
        let params = params(kernel, launch, &mut places);
        let graph = self.graph.graph;
        // SAFETY: the graph is alive, the node before is one of its nodes, and the arguments, which the driver
        // copies, are alive until the call returns.
        let add = |node: *mut _, before: *const _, count| unsafe {
            sys::cuGraphAddKernelNode_v2(node, graph, before, count, &params)
        };
        let node = self.add(add).map_err(driver(launch.entry))?;
        self.kernels.push(Some(node));
        Ok(())
    }

    /// Adds what a library asks the stream for.
    pub(crate) fn add_call(&mut self, call: &dyn Call, stream: sys::CUstream) -> Result<()> {
        let relaxed = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is alive, and nothing else is asked of it until the capture ends below.
        unsafe { result::stream::begin_capture(stream, relaxed) }
            .map_err(driver("beginning a capture"))?;
        let outcome = call.run();
        // SAFETY: the capture was begun above.
        let captured = unsafe { result::stream::end_capture(stream) };
        outcome?;
        let captured = captured.map_err(driver("ending a capture"))?;
        let captured = Owned { graph: captured, context: Arc::clone(&self.graph.context) };
        let graph = self.graph.graph;
        // SAFETY: both graphs are alive; the driver copies the captured one.
        let add = |node: *mut _, before: *const _, count| unsafe {
            sys::cuGraphAddChildGraphNode(node, graph, before, count, captured.graph)
        };
        self.add(add).map_err(driver("adding a library's work to a graph"))?;
        self.kernels.push(None);
        Ok(())
    }

    /// The graph, ready to be launched.
    pub(crate) fn finish(self) -> Result<Recorded> {
        // SAFETY: the graph is alive.
        let exec = unsafe {
            result::graph::instantiate(self.graph.graph, sys::CUgraphInstantiate_flags(0))
        }
        .map_err(driver("making a graph ready"))?;
        Ok(Recorded { exec, kernels: self.kernels, graph: self.graph })
    }
}

/// A graph that can be launched.
pub(crate) struct Recorded {
    exec: sys::CUgraphExec,
    kernels: Vec<Option<sys::CUgraphNode>>,
    /// Its nodes are what changes refer to.
    graph: Owned,
}

// SAFETY: handles of the driver may be used from any thread whose current context is theirs, by one thread at
// a time, which the queue's lock sees to.
unsafe impl Send for Recorded {}

impl Drop for Recorded {
    fn drop(&mut self) {
        if self.graph.context.bind_to_thread().is_ok() {
            // SAFETY: the handle is this one's own. What the driver answers changes nothing.
            let _ = unsafe { result::graph::exec_destroy(self.exec) };
        }
    }
}

impl Recorded {
    /// Gives the launch at a place other arguments.
    pub(crate) fn change(
        &self,
        index: usize,
        kernel: sys::CUfunction,
        launch: &Launch,
    ) -> Result<()> {
        let Some(&Some(node)) = self.kernels.get(index) else { return Ok(()) };
        let mut args = launch.args.clone();
        let mut places = args.places();
        let params = params(kernel, launch, &mut places);
        // SAFETY: the node is one of the graph that was made ready, and its kernel is the same; the driver
        // copies the arguments before it returns.
        unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.exec, node, &params) }
            .result()
            .map_err(driver(launch.entry))
    }

    /// Asks the stream for all of it.
    pub(crate) fn launch(&self, stream: sys::CUstream) -> Result<()> {
        // SAFETY: both handles are alive.
        unsafe { result::graph::launch(self.exec, stream) }.map_err(driver("launching a graph"))
    }
}
