//! Sizes: those of 1 and equal ones are likely, as that is where broadcasting and layouts go wrong.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::{Just, any};
use proptest::strategy::Strategy;

/// A size from 1 to `max`; 1 twice as likely as others.
fn size(max: usize) -> impl Strategy<Value = usize> {
    (0..=max).prop_map(|size| size.max(1))
}

/// Shapes of a number of dimensions in `rank` with sizes from 1 to `max`: in one of four all sizes
/// are equal.
///
/// ```
/// use ferrotape_gradcheck::strategy::{for_all, shapes};
///
/// for_all(shapes(1..=3, 4), |shape| {
///     assert!((1..=3).contains(&shape.len()) && shape.iter().all(|size| (1..=4).contains(size)));
///     Ok(())
/// });
/// ```
pub fn shapes(rank: RangeInclusive<usize>, max: usize) -> impl Strategy<Value = Vec<usize>> {
    (vec(size(max), rank), 0..4u8).prop_map(|(mut sizes, equal)| {
        if let (3, Some(&first)) = (equal, sizes.first()) {
            sizes.fill(first);
        }
        sizes
    })
}

/// Images `[N, C, H, W]` of at most two samples, four channels and `max` pixels a side; in one of
/// four C = H = W.
///
/// ```
/// use ferrotape_gradcheck::strategy::{for_all, images};
///
/// for_all(images(5), |shape| {
///     assert_eq!(shape.len(), 4);
///     Ok(())
/// });
/// ```
pub fn images(max: usize) -> impl Strategy<Value = Vec<usize>> {
    (1..=2usize, size(4), size(max), size(max), 0..4u8).prop_map(|(n, c, h, w, equal)| {
        if equal == 3 { vec![n, c, c, c] } else { vec![n, c, h, w] }
    })
}

/// Two shapes that broadcast to one: each has sizes of 1 or fewer dimensions in places.
///
/// ```
/// use ferrotape_backend::Shape;
/// use ferrotape_gradcheck::strategy::{broadcast_pair, for_all};
///
/// for_all(broadcast_pair(3, 3), |(a, b)| {
///     Shape::new(&a)?.broadcast(&Shape::new(&b)?)?;
///     Ok(())
/// });
/// ```
pub fn broadcast_pair(rank: usize, max: usize) -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let whole = shapes(0..=rank, max);
    let stretch = || vec(any::<bool>(), rank);
    (whole, stretch(), stretch(), 0..3u8, 0..=rank).prop_map(|(whole, a, b, shorter, cut)| {
        let thin = |stretch: &[bool]| -> Vec<usize> {
            whole.iter().zip(stretch).map(|(&size, &one)| if one { 1 } else { size }).collect()
        };
        let (mut a, mut b) = (thin(&a), thin(&b));
        let cut = cut.min(whole.len());
        match shorter {
            1 => drop(a.drain(..cut)),
            2 => drop(b.drain(..cut)),
            _ => {}
        }
        (a, b)
    })
}

/// Operands of a matrix product: shapes `[.., M, K]` and `[.., K, N]` whose batches broadcast, or
/// vectors.
///
/// ```
/// use ferrotape_gradcheck::strategy::{for_all, matrices};
///
/// for_all(matrices(3), |(a, b)| {
///     assert!(!a.is_empty() && !b.is_empty());
///     Ok(())
/// });
/// ```
pub fn matrices(max: usize) -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let product = (broadcast_pair(2, 3), size(max), size(max), size(max), 0..6u8);
    product.prop_map(|((mut a, mut b), m, k, n, kind)| {
        match kind {
            1 => a = vec![k],
            2 => b = vec![k],
            3 => (a, b) = (vec![m, k], vec![k, n]),
            _ => {}
        }
        if kind != 1 && kind != 3 {
            a.extend([m, k]);
        }
        if kind != 2 && kind != 3 {
            b.extend([k, n]);
        }
        (a, b)
    })
}

/// A shape and some of its dimensions, counted from either end; none means all.
///
/// ```
/// use ferrotape_gradcheck::strategy::{dims_of, for_all, shapes};
///
/// for_all(dims_of(shapes(1..=4, 3)), |(shape, dims)| {
///     assert!(dims.len() <= shape.len());
///     Ok(())
/// });
/// ```
pub fn dims_of(
    shape: impl Strategy<Value = Vec<usize>>,
) -> impl Strategy<Value = (Vec<usize>, Vec<isize>)> {
    shape.prop_flat_map(|shape| {
        let rank = shape.len();
        let choice = vec((any::<bool>(), any::<bool>()), rank);
        (Just(shape), choice).prop_map(move |(shape, choice)| {
            let dims = choice.into_iter().enumerate().filter(|(_, (taken, _))| *taken);
            let signed =
                dims.map(
                    |(dim, (_, from_end))| {
                        if from_end { dim as isize - rank as isize } else { dim as isize }
                    },
                );
            (shape, signed.collect())
        })
    })
}
