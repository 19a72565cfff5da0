//! Values that differ from each other and lie away from kinks.

use ferrotape_backend::random::Rng;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;

use crate::input::{Input, MemoryLayout};
use crate::op::REACH;

/// Where values may lie. In each case all values of all inputs differ by more than the steps of a
/// difference quotient, so that no maximum or comparison changes within one.
///
/// ```
/// use ferrotape_backend::Rng;
/// use ferrotape_gradcheck::strategy::Values;
///
/// let probabilities = Values::Unit.draw(8, Rng::new(1));
/// assert!(probabilities.iter().all(|p| (0.0..1.0).contains(p)));
/// assert!(Values::Positive.draw(8, Rng::new(1)).iter().all(|&x| x > 0.4));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Around 0, of both signs, never near 0.
    Any,
    /// From about 0.5 upwards: for logarithms, roots, divisors.
    Positive,
    /// Between 0 and 1, near neither: probabilities.
    Unit,
    /// From 2 below the least of these numbers, or -2, to 2 above the largest, or 2, and near none of them nor 0: the
    /// kinks of a piecewise function, of which four values or more reach every piece that is wide enough.
    AwayFrom(&'static [f64]),
}

impl Values {
    /// `count` values in random order.
    ///
    /// ```
    /// use ferrotape_backend::Rng;
    /// use ferrotape_gradcheck::strategy::Values;
    ///
    /// let values = Values::AwayFrom(&[1.0]).draw(100, Rng::new(1));
    /// assert!(values.iter().all(|v| v.abs() > 0.005 && (v - 1.0).abs() > 0.005));
    /// assert!(Values::AwayFrom(&[0.0, 6.0]).draw(4, Rng::new(1)).iter().any(|&v| v > 6.0));
    /// ```
    pub fn draw(&self, count: usize, rng: Rng) -> Vec<f64> {
        let (low, high, kinks): (f64, f64, &[f64]) = match self {
            Values::Any => (-2.0, 2.0, &[0.0]),
            Values::Positive => (0.5, 2.5, &[]),
            Values::Unit => (0.1, 0.9, &[]),
            Values::AwayFrom(kinks) => {
                let reach =
                    |low: f64, high: f64, kink: &f64| (low.min(kink - 2.0), high.max(kink + 2.0));
                let (low, high) =
                    kinks.iter().fold((-2.0, 2.0), |(low, high), kink| reach(low, high, kink));
                (low, high, kinks)
            }
        };
        // Cells of equal width, one value in the middle half of each: neighbours stay half a
        // width apart. More values than fit at a tenth of a width of 0.1 widen the range.
        let cells = count.max(4) as f64;
        let widest = if matches!(self, Values::AwayFrom(_)) { f64::INFINITY } else { 0.5 };
        let width = ((high - low) / cells).clamp(MIN_WIDTH, widest);
        let span = width * cells;
        let start = match self {
            Values::Any | Values::AwayFrom(_) => (low + high - span) / 2.0,
            _ => low + ((high - low) - span).max(0.0) * rng.uniform_f64(u64::MAX),
        };
        let mut cells = rng.permutation(count.max(4));
        cells.truncate(count);
        let value = |(at, cell): (usize, &usize)| {
            let jitter = 0.25 + 0.5 * rng.path("jitter").uniform_f64(at as u64);
            let value = start + (*cell as f64 + jitter) * width;
            let zero: &[f64] = if matches!(self, Values::AwayFrom(_)) { &[0.0] } else { &[] };
            let gap = width.min(0.5) / 8.0;
            kinks.iter().chain(zero).fold(value, |value, &kink| away(value, kink, gap))
        };
        cells.iter().enumerate().map(value).collect()
    }
}

/// Values stay at least half of this apart and an eighth away from kinks: more than difference
/// quotients reach.
const MIN_WIDTH: f64 = 0.05;

const _: () = assert!(MIN_WIDTH / 8.0 > REACH);

/// The value, moved to `gap` from a kink if it is nearer.
fn away(value: f64, kink: f64, gap: f64) -> f64 {
    match value - kink {
        distance if distance.abs() >= gap => value,
        distance if distance < 0.0 => kink - gap,
        _ => kink + gap,
    }
}

/// Inputs of these shapes, with values that all differ and memory layouts of every kind.
///
/// ```
/// use ferrotape_gradcheck::strategy::{Values, for_all, inputs};
///
/// for_all(inputs(vec![vec![2, 3], vec![3]], Values::Positive), |inputs| {
///     assert_eq!(inputs.len(), 2);
///     assert!(inputs[0].floats().is_some_and(|values| values.iter().all(|v| *v >= 0.5)));
///     Ok(())
/// });
/// ```
pub fn inputs(shapes: Vec<Vec<usize>>, values: Values) -> impl Strategy<Value = Vec<Input>> {
    let layouts = vec(any::<u16>(), shapes.len());
    (any::<u16>(), layouts).prop_map(move |(seed, layouts)| {
        let sizes: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let mut drawn = values.draw(sizes.iter().sum(), Rng::new(seed.into())).into_iter();
        let input = |((shape, &size), layout): ((&Vec<usize>, &usize), u16)| {
            let values: Vec<f64> = drawn.by_ref().take(size).collect();
            let all = MemoryLayout::all(shape);
            // Half of the inputs are contiguous, as are those that proptest has shrunk.
            let layout =
                all[usize::from(layout / 2 % 1024) * usize::from(layout % 2) % all.len()].clone();
            Input::new(shape, values)
                .expect("as many values as the shape has elements")
                .laid_out(layout)
        };
        shapes.iter().zip(&sizes).zip(layouts).map(input).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_further_apart_and_from_kinks_than_a_difference_quotient_reaches() {
        for count in [0, 1, 2, 5, 17, 80, 300] {
            for values in [Values::Any, Values::Positive, Values::AwayFrom(&[-1.0, 0.7])] {
                let mut drawn = values.draw(count, Rng::new(count as u64));
                assert_eq!(drawn.len(), count);
                drawn.sort_by(f64::total_cmp);
                assert!(drawn.windows(2).all(|pair| pair[1] - pair[0] > 2.0 * REACH), "{drawn:?}");
                if values == Values::Positive {
                    assert!(drawn.iter().all(|v| *v >= 0.5), "{drawn:?}");
                } else {
                    assert!(drawn.iter().all(|v| v.abs() > REACH), "{drawn:?}");
                }
            }
            // Each piece of one with far kinks gets its value.
            let far = Values::AwayFrom(&[-3.0, 6.0]).draw(count, Rng::new(count as u64));
            let pieces: [fn(&f64) -> bool; 3] =
                [|v| *v < -3.0, |v| (-3.0..6.0).contains(v), |v| *v > 6.0];
            assert!(count < 4 || pieces.iter().all(|piece| far.iter().any(piece)), "{far:?}");
            let unit = Values::Unit.draw(count.min(16), Rng::new(1));
            assert!(unit.iter().all(|v| (0.05..0.95).contains(v)), "{unit:?}");
        }
    }
}
