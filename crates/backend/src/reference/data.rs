//! The verbs that combine, select and draw elements, on vectors in row-major order.

use crate::pointwise::Program;
use crate::{Error, Layout, Random, Reduce, Result, Rng, Shape};

pub(super) fn pointwise(
    program: &Program,
    scalars: &[f64],
    inputs: &[Vec<f64>],
    previous: &[Vec<f64>],
) -> Vec<Vec<f64>> {
    let mut outputs = previous.to_vec();
    for element in 0..previous.first().map_or(0, Vec::len) {
        let at = |list: &[Vec<f64>]| list.iter().map(|values| values[element]).collect::<Vec<_>>();
        let results = program.eval(&at(inputs), scalars, &at(previous));
        for (output, value) in outputs.iter_mut().zip(results) {
            output[element] = value;
        }
    }
    outputs
}

/// The reduced values and the positions of the first largest or smallest.
pub(super) fn reduce(
    kind: Reduce,
    src: &[f64],
    src_shape: Shape,
    dst_shape: Shape,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let count = dst_shape.numel();
    let mut values = vec![0.0; count];
    let mut positions = vec![0.0; count];
    let mut seen = vec![0usize; count];
    // Seen through the broadcast result, each element of the source knows where it goes. The
    // elements that go to one place pass by in row-major order of the reduced dimensions.
    let targets = Layout::contiguous(dst_shape).broadcast_to(src_shape)?.positions();
    for (target, &value) in targets.zip(src) {
        let best = values[target];
        let wins = match kind {
            Reduce::Sum => {
                values[target] += value;
                continue;
            }
            Reduce::Max => value > best,
            Reduce::Min => value < best,
        };
        if wins || seen[target] == 0 || (value.is_nan() && !best.is_nan()) {
            values[target] = value;
            positions[target] = seen[target] as f64;
        }
        seen[target] += 1;
    }
    Ok((values, positions))
}

/// Where in a table of shape `table` each index points, whose other coordinates are its own.
pub(super) fn places(index: &[f64], shape: Shape, dim: usize, table: Shape) -> Result<Vec<usize>> {
    if shape.numel() == 0 {
        return Ok(Vec::new());
    }
    if table[dim] == 0 {
        return Err(Error::argument("an index into a dimension of size 0 is out of range"));
    }
    // Each index keeps its own coordinates, but for the one along `dim`, which is 0 at first.
    let whole = Layout::contiguous(table);
    let stride = whole.strides()[dim] as usize;
    let mut corner = whole;
    for (axis, &size) in shape.iter().enumerate() {
        corner = corner.narrow(axis, 0, if axis == dim { 1 } else { size })?;
    }
    corner
        .broadcast_to(shape)?
        .positions()
        .zip(index)
        .map(|(base, &value)| Ok(base + in_range(value, table[dim])? * stride))
        .collect()
}

/// An index read from an integer array.
pub(super) fn in_range(value: f64, size: usize) -> Result<usize> {
    if value >= 0.0 && value < size as f64 {
        return Ok(value as usize);
    }
    Err(Error::argument(format!("the index {value} is out of range, it must lie in 0..{size}")))
}

pub(super) fn random(kind: Random, rng: Rng, count: usize) -> Vec<f64> {
    let draw = |i: u64| match kind {
        Random::Uniform { low, high } => low + (high - low) * rng.uniform_f64(i),
        Random::Normal { mean, std } => mean + std * rng.normal_f64(i),
        Random::TruncatedNormal(distribution) => distribution.at(rng.uniform_f64(i)),
        Random::Bernoulli { p, value } if f64::from(rng.uniform_f32(i)) < p => value,
        Random::Bernoulli { .. } => 0.0,
    };
    (0..count as u64).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(kind: Reduce, src: &[f64], shape: &[usize], to: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let shapes = [shape, to].map(|dims| Shape::new(dims).expect("the shape is small"));
        reduce(kind, src, shapes[0], shapes[1]).expect("the shapes fit")
    }

    #[test]
    fn the_first_of_equal_elements_is_named() {
        let (values, index) =
            reduced(Reduce::Max, &[1.0, 3.0, 3.0, 2.0, 2.0, 0.0], &[2, 3], &[2, 1]);
        assert_eq!((values, index), (vec![3.0, 2.0], vec![1.0, 0.0]));
        // Over the first and last dimension positions count in row-major order of those two.
        let (values, index) = reduced(Reduce::Min, &[4.0, 3.0, 3.0, 5.0], &[2, 1, 2], &[1, 1, 1]);
        assert_eq!((values, index), (vec![3.0], vec![1.0]));
    }

    #[test]
    fn not_a_number_wins_over_everything() {
        let line = [f64::INFINITY, f64::NAN, 1.0, f64::NAN];
        for kind in [Reduce::Max, Reduce::Min, Reduce::Sum] {
            let (values, index) = reduced(kind, &line, &[4], &[1]);
            assert!(values[0].is_nan());
            assert!(kind == Reduce::Sum || index[0] == 1.0);
        }
    }

    #[test]
    fn the_sum_of_nothing_is_zero() {
        assert_eq!(reduced(Reduce::Sum, &[], &[0, 2], &[1, 2]).0, [0.0, 0.0]);
    }
}
