//! Convolutions by cuDNN, through its graph interface: an operation is described, engines that can do it are
//! asked for, the fastest is found by running them once on the operands at hand, and its plan is kept.

mod descriptor;
mod plan;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::cudnn::sys;
use cudarc::driver::sys::CUstream;
use ferrotape_backend::{DType, Error, ErrorKind, Result};

use super::Rules;
use crate::queue::{Call, mix};
use crate::{fit, probe};
use descriptor::check;
use plan::Plan;

/// Which of the three products of a convolution is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ConvKind {
    /// y of x and w.
    Forward,
    /// The gradient of x, of that of y and w.
    InputGrad,
    /// The gradient of w, of x and that of y.
    WeightGrad,
}

/// A tensor of four dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tensor {
    pub(crate) dtype: DType,
    pub(crate) sizes: [i64; 4],
    pub(crate) strides: [i64; 4],
}

/// A convolution or one of its gradients: what a plan depends on. `x`, `w` and `y` are their gradients where
/// those are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Convolution {
    pub(crate) kind: ConvKind,
    pub(crate) x: Tensor,
    pub(crate) w: Tensor,
    pub(crate) y: Tensor,
    pub(crate) stride: [i64; 2],
    pub(crate) padding: [i64; 2],
    pub(crate) dilation: [i64; 2],
    /// Forward alone: what is added, and whether what is below 0 becomes 0.
    pub(crate) bias: bool,
    pub(crate) residual: Option<Tensor>,
    pub(crate) relu: bool,
}

impl Convolution {
    /// Products of a weight and a pixel.
    pub(crate) fn multiply_adds(&self) -> u64 {
        let sizes = self.y.sizes.iter().chain(&self.w.sizes[1..]);
        sizes.fold(1, |product: u64, &size| product.saturating_mul(size as u64))
    }
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ConvKind::Forward => "forward",
            ConvKind::InputGrad => "input gradient",
            ConvKind::WeightGrad => "weight gradient",
        };
        let Convolution { x, w, y, stride, padding, dilation, .. } = self;
        write!(f, "{kind} {} {:?} {:?} to {} {:?}", x.dtype, x.sizes, w.sizes, y.dtype, y.sizes)?;
        if w.dtype != x.dtype {
            write!(f, " in {}", w.dtype)?;
        }
        for (name, value, usual) in [
            ("stride", stride, [1; 2]),
            ("padding", padding, [0; 2]),
            ("dilation", dilation, [1; 2]),
        ] {
            if *value != usual {
                write!(f, " {name} {value:?}")?;
            }
        }
        for (name, is_there) in
            [("bias", self.bias), ("residual", self.residual.is_some()), ("relu", self.relu)]
        {
            if is_there {
                write!(f, " + {name}")?;
            }
        }
        Ok(())
    }
}

/// A convolution that a GPU was asked for, and what does it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionReport {
    /// What is convolved: the product that is wanted, type and sizes of images, weights and results, attributes.
    pub convolution: String,
    /// Products of a weight and a pixel.
    pub multiply_adds: u64,
    /// cuDNN's number of the engine; none where no engine takes it, and this crate's kernels do it.
    pub engine: Option<i64>,
    /// Milliseconds of a run, where engines were measured.
    pub milliseconds: Option<f32>,
    /// Bytes that the engine uses beside its operands.
    pub workspace: usize,
}

/// The operands' addresses, those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) x: u64,
    pub(crate) w: u64,
    pub(crate) y: u64,
    pub(crate) bias: u64,
    pub(crate) residual: u64,
}

/// What came of looking for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<P> {
    /// The plan of the one that was chosen.
    Plan(P),
    /// No engine takes the convolution.
    Nothing,
    /// None of those that take it was chosen: there was no memory for it, or its run failed.
    NotNow,
}

/// How often an engine is looked for anew where none was found for want of memory. Each time takes as long as the
/// first, and what fails so often fails for another reason.
const CHANCES: u32 = 4;

/// The convolutions that were met.
struct Met<P> {
    /// None where no engine takes it.
    plans: HashMap<Convolution, Option<P>>,
    /// How often none was found although there are some.
    missed: HashMap<Convolution, u32>,
}

impl<P> Default for Met<P> {
    fn default() -> Self {
        Met { plans: HashMap::new(), missed: HashMap::new() }
    }
}

impl<P: Clone> Met<P> {
    /// What is known of a convolution.
    fn get(&self, convolution: &Convolution) -> Option<Found<P>> {
        let plan = self.plans.get(convolution)?.clone();
        Some(plan.map_or(Found::Nothing, Found::Plan))
    }

    /// Keeps what was found, unless it may be otherwise the next time.
    fn keep(&mut self, convolution: &Convolution, found: &Found<P>) {
        let plan = match found {
            Found::Plan(plan) => Some(plan.clone()),
            Found::Nothing => None,
            Found::NotNow => {
                let missed = self.missed.entry(convolution.clone()).or_default();
                *missed += 1;
                if *missed < CHANCES {
                    return;
                }
                None
            }
        };
        self.plans.insert(convolution.clone(), plan);
    }
}

/// The library, for one stream.
pub(crate) struct Dnn(Arc<Inner>);

struct Inner {
    handle: Handle,
    stream: CUstream,
    rules: Rules,
    met: Mutex<Met<Arc<Plan>>>,
}

/// The library's handle. It may be used by one thread at a time, which the lock sees to.
struct Handle(Mutex<sys::cudnnHandle_t>);

// SAFETY: the handle is reached through its lock alone, and the stream is a handle of the driver, which may be
// used from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Handle {
    /// Runs `f` while nobody else uses the handle.
    fn with<T>(&self, f: impl FnOnce(sys::cudnnHandle_t) -> T) -> T {
        f(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let handle = *self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the handle is this one's own. What the library answers changes nothing.
        let _ = unsafe { sys::cudnnDestroy(handle) };
    }
}

impl Inner {
    fn met(&self) -> MutexGuard<'_, Met<Arc<Plan>>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dnn {
    /// The library; its work goes to this stream.
    ///
    /// # Errors
    /// The library cannot be used, or is older than version 9.
    pub(crate) fn open(stream: CUstream, rules: Rules) -> Result<Self> {
        if let Some(problem) = probe::dnn_version().and_then(fit::dnn) {
            return Err(Error::unsupported(problem));
        }
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is where it is to be written.
        check("opening cuDNN", unsafe { sys::cudnnCreate(&mut handle) })?;
        let owned = Handle(Mutex::new(handle));
        // SAFETY: both handles are alive.
        check("giving cuDNN a stream", unsafe { sys::cudnnSetStream(handle, stream.cast()) })?;
        Ok(Dnn(Arc::new(Inner { handle: owned, stream, rules, met: Mutex::default() })))
    }

    /// Whether [`Dnn::plan`] knows a convolution already, and runs nothing.
    pub(crate) fn knows(&self, convolution: &Convolution) -> bool {
        self.0.met().plans.contains_key(convolution)
    }

    /// The plan of a convolution. When it is met for the first time, engines are run on these operands, of which the
    /// result is overwritten. `scratch` gives the address of so many bytes and what holds them.
    ///
    /// # Errors
    /// The library failed.
    pub(crate) fn plan<B>(
        &self,
        convolution: &Convolution,
        addresses: &Addresses,
        scratch: impl Fn(usize) -> Result<(u64, B)>,
    ) -> Result<Found<Arc<Plan>>> {
        let mut met = self.0.met();
        if let Some(found) = met.get(convolution) {
            return Ok(found);
        }
        let Inner { handle, stream, rules, .. } = &*self.0;
        let found = plan::choose(handle, *stream, *rules, convolution, addresses, scratch)?;
        met.keep(convolution, &found);
        Ok(found)
    }

    /// The convolutions that were met, with the engine of each.
    pub(crate) fn report(&self) -> Vec<ConvolutionReport> {
        let met = self.0.met();
        let mut reports: Vec<_> = met
            .plans
            .iter()
            .map(|(convolution, plan)| {
                let (engine, milliseconds) = plan
                    .as_ref()
                    .map_or((None, None), |plan| (Some(plan.engine().0), plan.engine().1));
                ConvolutionReport {
                    convolution: convolution.to_string(),
                    multiply_adds: convolution.multiply_adds(),
                    engine,
                    milliseconds,
                    workspace: plan.as_ref().map_or(0, |plan| plan.workspace()),
                }
            })
            .collect();
        reports.sort_by(|a, b| a.convolution.cmp(&b.convolution));
        reports
    }

    /// A convolution on its operands as work for the stream.
    pub(crate) fn call(
        &self,
        kind: ConvKind,
        plan: &Arc<Plan>,
        addresses: &Addresses,
        workspace: u64,
    ) -> Arc<dyn Call> {
        let Addresses { x, w, y, bias, residual } = *addresses;
        let identity = [mix(2, &[Arc::as_ptr(plan) as u64]), x, w, y, bias, residual, workspace];
        Arc::new(Convolve { dnn: Arc::clone(&self.0), plan: Arc::clone(plan), kind, identity })
    }
}

/// A convolution on its operands.
struct Convolve {
    dnn: Arc<Inner>,
    plan: Arc<Plan>,
    kind: ConvKind,
    /// The plan, the addresses, the workspace.
    identity: [u64; 7],
}

impl fmt::Debug for Convolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Convolve").field(&self.identity).finish()
    }
}

impl Call for Convolve {
    fn name(&self) -> &'static str {
        match self.kind {
            ConvKind::Forward => "cuDNN forward",
            ConvKind::InputGrad => "cuDNN input gradient",
            ConvKind::WeightGrad => "cuDNN weight gradient",
        }
    }

    fn identity(&self) -> &[u64] {
        &self.identity
    }

    fn run(&self) -> Result<()> {
        let [_, x, w, y, bias, residual, workspace] = self.identity;
        let addresses = Addresses { x, w, y, bias, residual };
        self.dnn.handle.with(|handle| self.plan.execute(handle, &addresses, workspace))
    }
}

/// A device error with what the library says.
fn device(message: String) -> Error {
    Error::new(ErrorKind::Device, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_for_which_there_was_no_memory_is_looked_for_again() {
        let tensor = Tensor { dtype: DType::F32, sizes: [1; 4], strides: [1; 4] };
        let convolution = |stride| Convolution {
            kind: ConvKind::Forward,
            x: tensor,
            w: tensor,
            y: tensor,
            stride: [stride; 2],
            padding: [0; 2],
            dilation: [1; 2],
            bias: false,
            residual: None,
            relu: false,
        };
        let mut met = Met::default();
        met.keep(&convolution(1), &Found::NotNow);
        assert_eq!(met.get(&convolution(1)), None);
        met.keep(&convolution(1), &Found::Plan(7));
        assert_eq!(met.get(&convolution(1)), Some(Found::Plan(7)));
        met.keep(&convolution(2), &Found::Nothing);
        assert_eq!(met.get(&convolution(2)), Some(Found::Nothing));
        for _ in 0..CHANCES {
            assert_eq!(met.get(&convolution(3)), None);
            met.keep(&convolution(3), &Found::NotNow);
        }
        assert_eq!(met.get(&convolution(3)), Some(Found::Nothing), "it is not looked for for ever");
    }
}
