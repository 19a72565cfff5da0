//! Convolutions of several groups, as convolutions of one on slices of the channels.
//!
//! One convolution with zeros between the groups would be simpler for narrow ones, but a number that is not
//! finite would then spread from its group to all.

use ferrotape_backend::{Array, Conv2d, DType, Epilogue, Result};

use super::{conv2d_act, conv2d_input_grad, conv2d_weight_grad};
use crate::{Cpu, Level};

/// The fewest channels, before and after, of a group that is worth a call of its own however many there are.
const WIDE: usize = 16;
/// As many narrow groups are worth it too: the general path lays out the windows of each.
const FEW: usize = 16;

/// Whether the groups are convolved one after the other: `inputs` channels in all, weights `[O, C / groups, KH,
/// KW]`.
pub(super) fn are_sliced(cpu: &Cpu, inputs: usize, w: &Array, params: &Conv2d) -> bool {
    let outputs = w.shape().dims().first().copied().unwrap_or(0);
    let groups = params.groups;
    if groups < 2 || w.dtype() != DType::F32 || cpu.level() == Level::Portable {
        return false;
    }
    // One channel a group is a convolution of another kind.
    inputs > groups && (groups <= FEW || (inputs / groups).min(outputs / groups) >= WIDE)
}

/// The parameters of one group.
fn single(params: &Conv2d) -> Conv2d {
    Conv2d { groups: 1, ..*params }
}

/// The channels of group `group` of an array whose dimension `dim` has all of them.
fn slice(array: &Array, dim: usize, group: usize, groups: usize) -> Result<Array> {
    let each = array.shape()[dim] / groups;
    array.narrow(dim, group * each, each)
}

/// `y = conv(x, w) + bias`.
pub(super) fn forward(
    cpu: &Cpu,
    [x, w]: [&Array; 2],
    bias: Option<&Array>,
    y: &Array,
    params: &Conv2d,
) -> Result<()> {
    let groups = params.groups;
    for group in 0..groups {
        let (x, w) = (slice(x, 1, group, groups)?, slice(w, 0, group, groups)?);
        let bias = bias.map(|bias| slice(bias, 0, group, groups)).transpose()?;
        let mut y = slice(y, 1, group, groups)?;
        let bias = bias.as_ref();
        conv2d_act(cpu, [&x, &w], bias, Epilogue::default(), &mut y, &single(params))?;
    }
    Ok(())
}

/// The gradient of the input.
pub(super) fn input_grad(
    cpu: &Cpu,
    [gy, w]: [&Array; 2],
    gx: &Array,
    params: &Conv2d,
) -> Result<()> {
    let groups = params.groups;
    for group in 0..groups {
        let (gy, w) = (slice(gy, 1, group, groups)?, slice(w, 0, group, groups)?);
        conv2d_input_grad(cpu, &gy, &w, &mut slice(gx, 1, group, groups)?, &single(params))?;
    }
    Ok(())
}

/// The gradient of the weights.
pub(super) fn weight_grad(
    cpu: &Cpu,
    [x, gy]: [&Array; 2],
    gw: &Array,
    params: &Conv2d,
) -> Result<()> {
    let groups = params.groups;
    for group in 0..groups {
        let (x, gy) = (slice(x, 1, group, groups)?, slice(gy, 1, group, groups)?);
        conv2d_weight_grad(cpu, &x, &gy, &mut slice(gw, 0, group, groups)?, &single(params))?;
    }
    Ok(())
}
