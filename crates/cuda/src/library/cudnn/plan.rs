//! Plans: a convolution's graph, the engines that can do it, and the one that is fastest.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Type,
    cudnnBackendDescriptorType_t as Kind, cudnnBackendHeurMode_t as Heuristic,
    cudnnBackendNumericalNote_t as Note, cudnnDataType_t as Data,
};
use cudarc::driver::sys as driver;
use ferrotape_backend::{DType, ErrorKind, Result};

use super::descriptor::{Descriptor, check};
use super::{Addresses, ConvKind, Convolution, Found, Handle, Tensor, device};
use crate::library::Rules;
use crate::stopwatch;

/// Engines that are tried at the most.
const TRIED: usize = 8;

/// Engines that are asked for.
const ASKED: usize = 24;

/// Bytes that an engine may use beside its operands.
const MOST_WORKSPACE: i64 = 1 << 30;

/// Runs that an engine is timed over.
const RUNS: u32 = 3;

/// The names of tensors in a graph.
const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;
const BIAS: i64 = 4;
const RESIDUAL: i64 = 5;
const CONVOLVED: i64 = 6;
const BIASED: i64 = 7;
const SUMMED: i64 = 8;

/// A convolution made ready.
#[derive(Debug)]
pub(crate) struct Plan {
    plan: Descriptor,
    /// The number that the library has for the engine.
    engine: i64,
    /// Milliseconds of a run, where it was measured.
    milliseconds: Option<f32>,
    workspace: usize,
    bias: bool,
    residual: bool,
    /// What the plan was made from, which it refers to.
    _config: Descriptor,
    _graph: Arc<Graph>,
}

/// A graph of operations, and the descriptors that it refers to.
#[derive(Debug)]
struct Graph {
    graph: Descriptor,
    _parts: Vec<Descriptor>,
}

fn data(dtype: DType) -> Result<Data> {
    match dtype {
        DType::F32 => Ok(Data::CUDNN_DATA_FLOAT),
        DType::F64 => Ok(Data::CUDNN_DATA_DOUBLE),
        DType::BF16 => Ok(Data::CUDNN_DATA_BFLOAT16),
        DType::F16 => Ok(Data::CUDNN_DATA_HALF),
        other => Err(device(format!("cuDNN has no convolution of {other}"))),
    }
}

fn tensor(id: i64, tensor: &Tensor, data: Data, is_virtual: bool) -> Result<Descriptor> {
    let descriptor = Descriptor::new(Kind::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?;
    descriptor.set(Name::CUDNN_ATTR_TENSOR_DATA_TYPE, &[data])?;
    descriptor.set(Name::CUDNN_ATTR_TENSOR_DIMENSIONS, &tensor.sizes)?;
    descriptor.set(Name::CUDNN_ATTR_TENSOR_STRIDES, &tensor.strides)?;
    descriptor.set(Name::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[id])?;
    descriptor.set(Name::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[16i64])?;
    if is_virtual {
        descriptor.set(Name::CUDNN_ATTR_TENSOR_IS_VIRTUAL, &[true])?;
    }
    descriptor.finalize("describing a tensor")
}

/// `to = mode(x, b)`.
fn pointwise(
    mode: sys::cudnnPointwiseMode_t,
    compute: Data,
    x: &Descriptor,
    b: Option<&Descriptor>,
    y: &Descriptor,
) -> Result<[Descriptor; 2]> {
    let function = Descriptor::new(Kind::CUDNN_BACKEND_POINTWISE_DESCRIPTOR)?;
    function.set(Name::CUDNN_ATTR_POINTWISE_MODE, &[mode])?;
    function.set(Name::CUDNN_ATTR_POINTWISE_MATH_PREC, &[compute])?;
    if mode == sys::cudnnPointwiseMode_t::CUDNN_POINTWISE_RELU_FWD {
        // A ReLU of NaN is NaN, as by this crate's kernels.
        let keeps = sys::cudnnNanPropagation_t::CUDNN_PROPAGATE_NAN;
        function.set(Name::CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, &[keeps])?;
    }
    let function = function.finalize("describing an epilogue")?;
    let operation = Descriptor::new(Kind::CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)?;
    operation.set_descriptors(Name::CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, &[&function])?;
    operation.set_descriptors(Name::CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &[x])?;
    if let Some(b) = b {
        operation.set_descriptors(Name::CUDNN_ATTR_OPERATION_POINTWISE_BDESC, &[b])?;
    }
    operation.set_descriptors(Name::CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &[y])?;
    Ok([function, operation.finalize("describing an epilogue")?])
}

/// The operations of a convolution, with the descriptors that they refer to; how many of the last are
/// operations comes second.
fn operations(convolution: &Convolution) -> Result<(Vec<Descriptor>, Vec<Descriptor>)> {
    let Convolution { kind, x, w, y, stride, padding, dilation, .. } = convolution;
    let double = x.dtype == DType::F64;
    let compute = if double { Data::CUDNN_DATA_DOUBLE } else { Data::CUDNN_DATA_FLOAT };
    let mut parts = Vec::new();
    let window = Descriptor::new(Kind::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_COMP_TYPE, &[compute])?;
    let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_CONV_MODE, &[mode])?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2i64])?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride)?;
    window.set(Name::CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation)?;
    let window = window.finalize("describing a convolution")?;
    let has_epilogue = convolution.bias || convolution.residual.is_some() || convolution.relu;
    let x_part = tensor(X, x, data(x.dtype)?, false)?;
    let w_part = tensor(W, w, data(w.dtype)?, false)?;
    let y_part = tensor(Y, y, data(y.dtype)?, false)?;
    let convolved = has_epilogue.then(|| tensor(CONVOLVED, y, compute, true)).transpose()?;
    let target = convolved.as_ref().unwrap_or(&y_part);
    let (operation, names) = match kind {
        ConvKind::Forward => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
            ],
        ),
        ConvKind::InputGrad => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
            ],
        ),
        ConvKind::WeightGrad => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
            ],
        ),
    };
    let operation = Descriptor::new(operation)?;
    for (name, part) in names.into_iter().zip([&window, &x_part, &w_part, target]) {
        operation.set_descriptors(name, &[part])?;
    }
    for (name, value) in names[4..].iter().zip([1.0, 0.0]) {
        match double {
            true => operation.set(*name, &[value])?,
            false => operation.set(*name, &[value as f32])?,
        }
    }
    let mut operations = vec![operation.finalize("describing a convolution")?];
    if let Some(convolved) = convolved {
        let mut steps: Vec<(i64, sys::cudnnPointwiseMode_t, Option<Descriptor>)> = Vec::new();
        if convolution.bias {
            let outputs = y.sizes[1];
            let vector = Tensor {
                dtype: y.dtype,
                sizes: [1, outputs, 1, 1],
                strides: [outputs, 1, outputs, outputs],
            };
            let bias = tensor(BIAS, &vector, data(y.dtype)?, false)?;
            steps.push((BIASED, sys::cudnnPointwiseMode_t::CUDNN_POINTWISE_ADD, Some(bias)));
        }
        if let Some(residual) = &convolution.residual {
            let residual = tensor(RESIDUAL, residual, data(residual.dtype)?, false)?;
            steps.push((SUMMED, sys::cudnnPointwiseMode_t::CUDNN_POINTWISE_ADD, Some(residual)));
        }
        if convolution.relu {
            steps.push((Y, sys::cudnnPointwiseMode_t::CUDNN_POINTWISE_RELU_FWD, None));
        }
        let last = steps.len().saturating_sub(1);
        let mut from = convolved;
        for (index, (id, mode, with)) in steps.into_iter().enumerate() {
            let to = match index == last {
                true => None,
                false => Some(tensor(id, y, compute, true)?),
            };
            let target = to.as_ref().unwrap_or(&y_part);
            let [function, operation] = pointwise(mode, compute, &from, with.as_ref(), target)?;
            operations.push(operation);
            parts.extend([Some(function), with, Some(from)].into_iter().flatten());
            match to {
                Some(to) => from = to,
                None => break,
            }
        }
    }
    parts.extend([window, x_part, w_part, y_part]);
    Ok((operations, parts))
}

fn graph(handle: sys::cudnnHandle_t, convolution: &Convolution) -> Result<Graph> {
    let (operations, mut parts) = operations(convolution)?;
    let graph = Descriptor::new(Kind::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
    graph.set(Name::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, &[handle])?;
    let list: Vec<&Descriptor> = operations.iter().collect();
    graph.set_descriptors(Name::CUDNN_ATTR_OPERATIONGRAPH_OPS, &list)?;
    let graph = graph.finalize("describing a graph")?;
    parts.extend(operations);
    Ok(Graph { graph, _parts: parts })
}

/// Engines for a graph, best first as the library guesses.
fn engines(graph: &Graph, mode: Heuristic) -> Result<Vec<Descriptor>> {
    let heuristic = Descriptor::new(Kind::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?;
    heuristic.set_descriptors(Name::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[&graph.graph])?;
    heuristic.set(Name::CUDNN_ATTR_ENGINEHEUR_MODE, &[mode])?;
    let heuristic = heuristic.finalize("asking for engines")?;
    let kind = Kind::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    heuristic.get_descriptors(Name::CUDNN_ATTR_ENGINEHEUR_RESULTS, kind, ASKED)
}

/// Whether the rules allow an engine.
fn is_allowed(config: &Descriptor, rules: Rules, dtype: DType) -> Result<bool> {
    let kind = Kind::CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    let engines = config.get_descriptors(Name::CUDNN_ATTR_ENGINECFG_ENGINE, kind, 1)?;
    let Some(engine) = engines.first() else { return Ok(false) };
    let name = Name::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE;
    let notes = engine.get_numbers(name, Type::CUDNN_TYPE_NUMERICAL_NOTE)?;
    let has = |note: Note| notes.contains(&(note as u32));
    let single = dtype == DType::F32 && !rules.tf32;
    let rounds = has(Note::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)
        || single && has(Note::CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    // Transformed products lose digits, and sums in sixteen bits more.
    let loses = has(Note::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
        || has(Note::CUDNN_NUMERICAL_NOTE_WINOGRAD)
        || has(Note::CUDNN_NUMERICAL_NOTE_FFT);
    let varies = rules.deterministic && has(Note::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
    Ok(!(rounds && !rules.tf32 || loses || varies))
}

/// The plan for a convolution.
pub(super) fn choose<B>(
    handle: &Handle,
    stream: driver::CUstream,
    rules: Rules,
    convolution: &Convolution,
    addresses: &Addresses,
    scratch: impl Fn(usize) -> Result<(u64, B)>,
) -> Result<Found<Arc<Plan>>> {
    let unsupported = |error: &ferrotape_backend::Error| error.kind() == ErrorKind::Unsupported;
    let mut best: Option<(f32, Plan)> = None;
    let mut tried = 0;
    let mut passed_over = false;
    for mode in [Heuristic::CUDNN_HEUR_MODE_A, Heuristic::CUDNN_HEUR_MODE_FALLBACK] {
        // A graph that the library refuses has no engines.
        let described = match handle.with(|handle| graph(handle, convolution)) {
            Err(error) if unsupported(&error) => break,
            described => Arc::new(described?),
        };
        let configs = match handle.with(|_| engines(&described, mode)) {
            Err(error) if unsupported(&error) => continue,
            configs => configs?,
        };
        for config in configs {
            if !handle.with(|_| is_allowed(&config, rules, convolution.x.dtype))? {
                continue;
            }
            // An engine may refuse what the heuristic proposed it for; the next one is tried.
            let made = handle.with(|handle| Plan::new(handle, convolution, &described, config));
            let Ok(plan) = made else { continue };
            if rules.deterministic {
                return Ok(Found::Plan(Arc::new(plan)));
            }
            // An engine that wants more memory than there is must not end a training that another can go on.
            let Ok((workspace, hold)) = scratch(plan.workspace) else {
                passed_over = true;
                continue;
            };
            let time = handle.with(|handle| plan.time(handle, stream, addresses, workspace));
            let Ok(time) = time else {
                passed_over = true;
                continue;
            };
            drop(hold);
            tried += 1;
            if best.as_ref().is_none_or(|(least, _)| time < *least) {
                best = Some((time, Plan { milliseconds: Some(time), ..plan }));
            }
            if tried >= TRIED {
                break;
            }
        }
        if best.is_some() {
            break;
        }
    }
    Ok(match best {
        Some((_, plan)) => Found::Plan(Arc::new(plan)),
        None if passed_over => Found::NotNow,
        None => Found::Nothing,
    })
}

impl Plan {
    /// # Errors
    /// The engine refuses, or wants too much memory.
    fn new(
        handle: sys::cudnnHandle_t,
        convolution: &Convolution,
        graph: &Arc<Graph>,
        config: Descriptor,
    ) -> Result<Self> {
        let plan = Descriptor::new(Kind::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
        plan.set(Name::CUDNN_ATTR_EXECUTION_PLAN_HANDLE, &[handle])?;
        plan.set_descriptors(Name::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &[&config])?;
        let plan = plan.finalize("making a plan")?;
        let workspace = plan.get_i64(Name::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)?;
        if !(0..=MOST_WORKSPACE).contains(&workspace) {
            return Err(device(format!("an engine wants {workspace} bytes")));
        }
        let kind = Kind::CUDNN_BACKEND_ENGINE_DESCRIPTOR;
        let engines = config.get_descriptors(Name::CUDNN_ATTR_ENGINECFG_ENGINE, kind, 1)?;
        let engine = engines.first().map(|e| e.get_i64(Name::CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
        Ok(Plan {
            plan,
            engine: engine.transpose()?.unwrap_or(-1),
            milliseconds: None,
            workspace: workspace as usize,
            bias: convolution.bias,
            residual: convolution.residual.is_some(),
            _config: config,
            _graph: Arc::clone(graph),
        })
    }

    /// Bytes that it uses beside its operands.
    pub(crate) fn workspace(&self) -> usize {
        self.workspace
    }

    /// The library's number of the engine, and the milliseconds of a run, where engines were measured.
    pub(super) fn engine(&self) -> (i64, Option<f32>) {
        (self.engine, self.milliseconds)
    }

    /// Asks the handle's stream for it.
    ///
    /// # Errors
    /// The library refused.
    pub(super) fn execute(
        &self,
        handle: sys::cudnnHandle_t,
        addresses: &Addresses,
        workspace: u64,
    ) -> Result<()> {
        let Addresses { x, w, y, bias, residual } = *addresses;
        let all = [
            (X, x, true),
            (W, w, true),
            (Y, y, true),
            (BIAS, bias, self.bias),
            (RESIDUAL, residual, self.residual),
        ];
        let used = || all.iter().filter(|(_, _, used)| *used);
        let ids: Vec<i64> = used().map(|&(id, _, _)| id).collect();
        let pointers: Vec<*mut c_void> =
            used().map(|&(_, address, _)| address as *mut c_void).collect();
        let pack = Descriptor::new(Kind::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?;
        pack.set(Name::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &pointers)?;
        pack.set(Name::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &ids)?;
        pack.set(Name::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &[workspace as *mut c_void])?;
        let pack = pack.finalize("naming operands")?;
        // SAFETY: handle, plan and pack are alive, the addresses are those of operands as the plan's tensors
        // describe them, and the workspace has the size that the plan asks for.
        let status = unsafe { sys::cudnnBackendExecute(handle, self.plan.raw(), pack.raw()) };
        check("convolving", status)
    }

    /// Milliseconds of a run.
    fn time(
        &self,
        handle: sys::cudnnHandle_t,
        stream: driver::CUstream,
        addresses: &Addresses,
        workspace: u64,
    ) -> Result<f32> {
        self.execute(handle, addresses, workspace)?;
        let runs = || (0..RUNS).try_for_each(|_| self.execute(handle, addresses, workspace));
        // SAFETY: the stream is the device's, whose context the caller made current.
        let all = unsafe { stopwatch::milliseconds(stream, runs) }?;
        Ok(all / RUNS as f32)
    }
}
