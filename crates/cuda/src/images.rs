//! Images as kernels take them: four strides, whether channels are adjacent, how many are taken at once.

use crate::memory::Operand;

/// Whether the channels of a pixel are nearer to each other than its neighbours.
pub(crate) fn channels_fastest(operand: Operand<'_>) -> bool {
    let [_, c, h, w] = operand.strides::<4>().map(i64::abs);
    let shape = operand.layout.shape();
    let by = |dim: usize, stride: i64| if shape[dim] > 1 { stride } else { i64::MAX };
    by(1, c) <= by(3, w).min(by(2, h))
}

/// How many channels can be taken at once: as many as fill sixteen bytes of the first operand, if every
/// operand's channels are adjacent, their number is divisible, and packs begin at multiples of their size.
pub(crate) fn channel_pack(operands: &[Operand<'_>]) -> usize {
    let Some(first) = operands.first() else { return 1 };
    let pack = 16 / first.dtype.size();
    let fits = |operand: &Operand<'_>| {
        let [n, c, h, w] = operand.strides::<4>();
        let shape = operand.layout.shape();
        let steps = [(0, n), (2, h), (3, w)];
        c == 1
            && shape[1].is_multiple_of(pack)
            && operand.is_aligned((pack * operand.dtype.size()).min(16) as u64)
            && steps.iter().all(|&(dim, stride)| shape[dim] == 1 || stride % pack as i64 == 0)
    };
    if operands.iter().all(fits) { pack } else { 1 }
}
