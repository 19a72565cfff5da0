//! Convolutions by cuDNN. Images and weights are brought to channels-last memory, where its tensor-core
//! engines are; each function answers what became of the work.

use ferrotape_backend::{Conv2d, DType, Layout, Result};

use crate::Cuda;
use crate::library::{Addresses, ConvKind, Convolution, Dnn, Found, Tensor};
use crate::memory::Operand;
use crate::pool::Block;
use crate::queue::Command;
use crate::verbs::copy::copy_operands;
use crate::verbs::ways::Taken;

/// What the library takes: addresses that are multiples of so many bytes.
const ALIGNMENT: u64 = 16;

/// An operand in channels-last memory without gaps: itself or a copy.
pub(super) struct Images {
    address: u64,
    tensor: Tensor,
    /// The copy's memory and layout.
    copy: Option<(Block, Layout)>,
}

pub(super) fn tensor(dtype: DType, layout: &Layout) -> Tensor {
    let (mut sizes, mut strides) = ([1; 4], [1; 4]);
    for (to, &size) in sizes.iter_mut().zip(layout.shape().iter()) {
        *to = size as i64;
    }
    for (to, &stride) in strides.iter_mut().zip(layout.strides()) {
        *to = stride as i64;
    }
    Tensor { dtype, sizes, strides }
}

/// Whether elements lie as in dense channels-last memory, under whatever name.
fn is_dense(operand: Operand<'_>, wanted: &Layout) -> bool {
    let pairs = operand.layout.strides().iter().zip(wanted.strides());
    let shape = operand.layout.shape();
    operand.is_aligned(ALIGNMENT)
        && pairs.zip(shape.iter()).all(|((own, wanted), &size)| size == 1 || own == wanted)
}

impl Images {
    /// Where it lies.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Memory for an operand, which is the operand's own if it lies right.
    pub(super) fn place(cuda: &Cuda, operand: Operand<'_>) -> Result<Self> {
        Images::place_in(cuda, operand, operand.dtype)
    }

    /// The same, of another type.
    fn place_in(cuda: &Cuda, operand: Operand<'_>, dtype: DType) -> Result<Self> {
        let wanted = Layout::channels_last(*operand.layout.shape())?;
        let tensor = tensor(dtype, &wanted);
        if dtype == operand.dtype && is_dense(operand, &wanted) {
            return Ok(Images { address: operand.address, tensor, copy: None });
        }
        let block = cuda.scratch(wanted.shape().numel() * dtype.size())?;
        Ok(Images { address: block.address(), tensor, copy: Some((block, wanted)) })
    }

    /// An operand that is read.
    pub(super) fn read(cuda: &Cuda, operand: Operand<'_>) -> Result<Self> {
        let images = Images::place(cuda, operand)?;
        if let Some((_, layout)) = &images.copy {
            let to = Operand { address: images.address, layout, dtype: operand.dtype };
            copy_operands(cuda, operand, to)?;
        }
        Ok(images)
    }

    /// Brings what was written to where it is wanted.
    pub(super) fn store(&self, cuda: &Cuda, operand: Operand<'_>) -> Result<()> {
        match &self.copy {
            None => Ok(()),
            Some((_, layout)) => {
                let from = Operand { address: self.address, layout, dtype: self.tensor.dtype };
                copy_operands(cuda, from, operand)
            }
        }
    }
}

/// Runs a convolution, if an engine takes it.
fn run(cuda: &Cuda, dnn: &Dnn, convolution: &Convolution, addresses: &Addresses) -> Result<Taken> {
    let scratch = |bytes: usize| {
        let block = cuda.scratch(bytes)?;
        // Work of another thread that used the memory before may still wait.
        cuda.queue.flush()?;
        Ok((block.address(), block))
    };
    let plan = || dnn.plan(convolution, addresses, scratch);
    let plan = match dnn.knows(convolution) {
        true => plan(),
        // Engines are run at once, and operands may still wait to be written.
        false => cuda.queue.aside(plan),
    };
    let plan = match plan? {
        Found::Plan(plan) => plan,
        Found::Nothing => return Ok(Taken::Never),
        Found::NotNow => return Ok(Taken::NotNow),
    };
    let workspace = match plan.workspace() {
        0 => None,
        bytes => Some(cuda.scratch(bytes)?),
    };
    let address = workspace.as_ref().map_or(0, Block::address);
    cuda.queue.push(Command::Call(dnn.call(convolution.kind, &plan, addresses, address)))?;
    Ok(Taken::Done)
}

/// A convolution of such tensors; none if a size is more than the library counts.
pub(super) fn description(
    kind: ConvKind,
    [x, w, y]: [Tensor; 3],
    params: &Conv2d,
) -> Option<Convolution> {
    let Conv2d { stride, padding, dilation, .. } = params;
    // The library counts in 32 bits.
    let small = |pair: &[usize; 2]| pair.iter().all(|&value| i32::try_from(value).is_ok());
    let sizes = [x, w, y].iter().flat_map(|tensor| tensor.sizes).all(|s| (1..1 << 31).contains(&s));
    if !sizes || ![stride, padding, dilation].into_iter().all(small) {
        return None;
    }
    let pair = |values: &[usize; 2]| values.map(|value| value as i64);
    Some(Convolution {
        kind,
        x,
        w,
        y,
        stride: pair(stride),
        padding: pair(padding),
        dilation: pair(dilation),
        bias: false,
        residual: None,
        relu: false,
    })
}

/// `y = relu(conv(x, w) + bias + residual)`.
pub(super) struct Forward<'a> {
    pub(super) x: Operand<'a>,
    pub(super) w: Operand<'a>,
    pub(super) bias: Option<Operand<'a>>,
    pub(super) residual: Option<Operand<'a>>,
    pub(super) relu: bool,
    pub(super) y: Operand<'a>,
}

/// Computes it.
pub(super) fn forward(cuda: &Cuda, call: &Forward<'_>, params: &Conv2d) -> Result<Taken> {
    let Some(dnn) = cuda.machine.dnn()? else { return Ok(Taken::Never) };
    let Forward { x, w, bias, residual, relu, y } = *call;
    let adjacent = |bias: Operand<'_>| bias.strides::<1>()[0] == 1 && bias.is_aligned(ALIGNMENT);
    if bias.is_some_and(|bias| !adjacent(bias)) {
        return Ok(Taken::NotNow);
    }
    let (from, weights, to) =
        (Images::read(cuda, x)?, Images::read(cuda, w)?, Images::place(cuda, y)?);
    let added = residual.map(|residual| Images::read(cuda, residual)).transpose()?;
    let tensors = [from.tensor, weights.tensor, to.tensor];
    let Some(mut convolution) = description(ConvKind::Forward, tensors, params) else {
        return Ok(Taken::Never);
    };
    convolution.bias = bias.is_some();
    convolution.residual = added.as_ref().map(|added| added.tensor);
    convolution.relu = relu;
    let addresses = Addresses {
        x: from.address,
        w: weights.address,
        y: to.address,
        bias: bias.map_or(0, |bias| bias.address),
        residual: added.as_ref().map_or(0, |added| added.address),
    };
    let done = run(cuda, dnn, &convolution, &addresses)?;
    if done == Taken::Done {
        to.store(cuda, y)?;
    }
    Ok(done)
}

/// The gradient of the input.
pub(super) fn input_grad(
    cuda: &Cuda,
    [gy, w]: [Operand<'_>; 2],
    gx: Operand<'_>,
    params: &Conv2d,
) -> Result<Taken> {
    let Some(dnn) = cuda.machine.dnn()? else { return Ok(Taken::Never) };
    let (from, weights, to) =
        (Images::read(cuda, gy)?, Images::read(cuda, w)?, Images::place(cuda, gx)?);
    let tensors = [to.tensor, weights.tensor, from.tensor];
    let Some(convolution) = description(ConvKind::InputGrad, tensors, params) else {
        return Ok(Taken::Never);
    };
    let (x, w, y) = (to.address, weights.address, from.address);
    let addresses = Addresses { x, w, y, bias: 0, residual: 0 };
    let done = run(cuda, dnn, &convolution, &addresses)?;
    if done == Taken::Done {
        to.store(cuda, gx)?;
    }
    Ok(done)
}

/// The gradient of the weights by an engine that writes this type.
pub(super) fn weight_grad(
    cuda: &Cuda,
    [x, gy]: [Operand<'_>; 2],
    gw: Operand<'_>,
    params: &Conv2d,
    dtype: DType,
) -> Result<Taken> {
    let Some(dnn) = cuda.machine.dnn()? else { return Ok(Taken::Never) };
    let grads = Images::read(cuda, gy)?;
    let (images, to) = (Images::read(cuda, x)?, Images::place_in(cuda, gw, dtype)?);
    let tensors = [images.tensor, to.tensor, grads.tensor];
    let Some(convolution) = description(ConvKind::WeightGrad, tensors, params) else {
        return Ok(Taken::Never);
    };
    let (x, w, y) = (images.address, to.address, grads.address);
    let addresses = Addresses { x, w, y, bias: 0, residual: 0 };
    let done = run(cuda, dnn, &convolution, &addresses)?;
    if done == Taken::Done {
        to.store(cuda, gw)?;
    }
    Ok(done)
}
