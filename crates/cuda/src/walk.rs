//! The dimensions that several operands go along together, as few of them as possible.

use ferrotape_backend::{Layout, Shape};
use smallvec::SmallVec;

/// The most dimensions that a shape has.
pub(crate) const RANK: usize = 8;

/// Sizes, and for each operand its strides, outermost first. There is at least one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    sizes: SmallVec<[i64; RANK]>,
    /// One list an operand.
    strides: SmallVec<[SmallVec<[i64; RANK]>; 6]>,
}

/// The strides of a layout as far as they matter: 0 for dimensions of size 1.
pub(crate) fn strides_of(layout: &Layout) -> SmallVec<[i64; RANK]> {
    let pairs = layout.shape().iter().zip(layout.strides());
    pairs.map(|(&size, &stride)| if size == 1 { 0 } else { stride as i64 }).collect()
}

/// The strides of row-major order: what a logical index goes along.
pub(crate) fn row_major(shape: &Shape) -> SmallVec<[i64; RANK]> {
    strides_of(&Layout::contiguous(*shape))
}

impl Walk {
    /// All dimensions of a shape, in the order that suits the first operand's memory: those that it goes
    /// along in small steps last. Element by element, the order does not matter.
    pub(crate) fn sorted(shape: &[usize], operands: &[SmallVec<[i64; RANK]>]) -> Self {
        let mut order: SmallVec<[usize; RANK]> = (0..shape.len()).collect();
        let stride = |list: usize, dim: usize| operands[list][dim].unsigned_abs();
        order.sort_by(|&a, &b| {
            let by = |list| stride(list, b).cmp(&stride(list, a));
            (0..operands.len()).map(by).find(|order| order.is_ne()).unwrap_or(a.cmp(&b))
        });
        Self::along(shape, operands, &order)
    }

    /// All dimensions of a shape in their own order, which numbers of elements then follow.
    pub(crate) fn in_order(shape: &[usize], operands: &[SmallVec<[i64; RANK]>]) -> Self {
        let order: SmallVec<[usize; RANK]> = (0..shape.len()).collect();
        Self::along(shape, operands, &order)
    }

    fn along(shape: &[usize], operands: &[SmallVec<[i64; RANK]>], order: &[usize]) -> Self {
        let mut walk = Walk {
            sizes: SmallVec::new(),
            strides: operands.iter().map(|_| SmallVec::new()).collect(),
        };
        for &dim in order.iter().filter(|&&dim| shape[dim] != 1) {
            let size = shape[dim] as i64;
            let chains =
                !walk.sizes.is_empty()
                    && walk.strides.iter().zip(operands).all(|(list, operand)| {
                        list.last().copied() == operand[dim].checked_mul(size)
                    });
            if chains {
                if let Some(last) = walk.sizes.last_mut() {
                    *last *= size;
                }
            } else {
                walk.sizes.push(size);
            }
            for (list, operand) in walk.strides.iter_mut().zip(operands) {
                if chains {
                    list.pop();
                }
                list.push(operand[dim]);
            }
        }
        if walk.sizes.is_empty() {
            walk.sizes.push(1);
            walk.strides.iter_mut().for_each(|list| list.push(0));
        }
        walk
    }

    /// How many dimensions are left.
    pub(crate) fn rank(&self) -> usize {
        self.sizes.len()
    }

    /// The sizes.
    pub(crate) fn sizes(&self) -> &[i64] {
        &self.sizes
    }

    /// An operand's strides.
    pub(crate) fn strides(&self, operand: usize) -> &[i64] {
        &self.strides[operand]
    }

    /// How many elements there are.
    pub(crate) fn count(&self) -> usize {
        self.sizes.iter().map(|&size| size as usize).product()
    }

    /// The sizes with so many elements of the last dimension taken at once.
    pub(crate) fn sizes_in_packs<const R: usize>(&self, pack: usize) -> [i64; R] {
        let mut sizes = padded(&self.sizes, 1);
        if let Some(last) = self.rank().checked_sub(1).and_then(|last| sizes.get_mut(last)) {
            *last /= pack as i64;
        }
        sizes
    }

    /// An operand's strides with so many elements of the last dimension taken at once.
    pub(crate) fn strides_in_packs<const R: usize>(&self, operand: usize, pack: usize) -> [i64; R] {
        let mut strides = padded(&self.strides[operand], 0);
        if let Some(last) = self.rank().checked_sub(1).and_then(|last| strides.get_mut(last)) {
            *last *= pack as i64;
        }
        strides
    }

    /// Whether an operand can be loaded in packs of so many elements: those of a pack are adjacent, or one
    /// and the same, and packs begin at multiples of their size.
    pub(crate) fn takes_packs(&self, operand: usize, pack: usize) -> bool {
        let (pack, strides) = (pack as i64, &self.strides[operand]);
        let Some((&inner, outer)) = strides.split_last() else { return false };
        match inner {
            0 => true,
            1 => outer.iter().all(|stride| stride % pack == 0),
            _ => false,
        }
    }
}

/// A list as an array of `R`, filled up at its end.
pub(crate) fn padded<const R: usize>(list: &[i64], rest: i64) -> [i64; R] {
    let mut all = [rest; R];
    for (to, &from) in all.iter_mut().zip(list) {
        *to = from;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layouts(list: &[Layout]) -> Vec<SmallVec<[i64; RANK]>> {
        list.iter().map(strides_of).collect()
    }

    #[test]
    fn dense_operands_of_one_order_become_one_dimension() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        for layout in [Layout::contiguous(shape), Layout::channels_last(shape).unwrap()] {
            let walk = Walk::sorted(&shape, &layouts(&[layout, layout]));
            assert_eq!((walk.sizes(), walk.strides(1)), (&[120][..], &[1][..]));
            assert!(walk.takes_packs(0, 8));
        }
    }

    #[test]
    fn a_vector_over_channels_last_images_is_two_dimensions() {
        let shape = Shape::new(&[2, 8, 4, 5]).unwrap();
        let images = Layout::channels_last(shape).unwrap();
        let vector = Layout::contiguous(Shape::new(&[8, 1, 1]).unwrap());
        let walk = Walk::sorted(&shape, &layouts(&[images, vector.broadcast_to(shape).unwrap()]));
        assert_eq!((walk.sizes(), walk.strides(0)), (&[40, 8][..], &[8, 1][..]));
        assert_eq!(walk.strides(1), [0, 1]);
        assert!(walk.takes_packs(0, 8) && walk.takes_packs(1, 8) && !walk.takes_packs(0, 16));
    }

    #[test]
    fn every_element_is_visited_once_whatever_the_strides() {
        let shape = Shape::new(&[3, 1, 4, 2]).unwrap();
        let base = Layout::contiguous(Shape::new(&[4, 3, 2, 1]).unwrap());
        let layout = base.permute(&[1, 3, 0, 2]).unwrap().flip(2).unwrap();
        let walk = Walk::sorted(&shape, &layouts(&[layout]));
        assert_eq!(walk.count(), 24);
        let mut seen: Vec<i64> = (0..24)
            .map(|number| {
                let mut at = layout.offset() as i64;
                let mut rest = number;
                for (&size, &stride) in walk.sizes().iter().zip(walk.strides(0)).rev() {
                    at += rest % size * stride;
                    rest /= size;
                }
                at
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn a_scalar_is_one_element() {
        let walk = Walk::sorted(&[], &[SmallVec::new()]);
        assert_eq!((walk.count(), walk.rank()), (1, 1));
    }
}
