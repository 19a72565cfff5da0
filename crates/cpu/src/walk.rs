//! The order in which an element-wise verb visits its operands.
//!
//! The order is that of the first operand's memory, whatever its indices mean; dimensions that all
//! operands step through alike become one. Then most calls are a single run, and each operand is
//! one of a few [patterns](Pattern).

use ferrotape_backend::{Layout, MAX_RANK, Shape};
use smallvec::SmallVec;

/// Sizes of the merged dimensions, outermost first, and the strides of each operand along them.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    sizes: SmallVec<[usize; MAX_RANK]>,
    strides: SmallVec<[SmallVec<[isize; MAX_RANK]>; 8]>,
    offsets: SmallVec<[usize; 8]>,
    len: usize,
}

impl Walk {
    /// The walk over operands of one shape, in the memory order of the first.
    pub(crate) fn new(shape: &Shape, layouts: &[Layout]) -> Self {
        let mut dims: SmallVec<[usize; MAX_RANK]> =
            (0..shape.rank()).filter(|&dim| shape[dim] != 1).collect();
        if let Some(lead) = layouts.first() {
            dims.sort_by_key(|&dim| std::cmp::Reverse(lead.strides()[dim].unsigned_abs()));
        }
        let mut walk = Walk {
            sizes: SmallVec::new(),
            strides: layouts.iter().map(|_| SmallVec::new()).collect(),
            offsets: layouts.iter().map(Layout::offset).collect(),
            len: shape.numel(),
        };
        for dim in dims {
            walk.push(shape[dim], layouts, dim);
        }
        walk
    }

    /// Adds a dimension inside the others, as a longer last one where all operands allow it.
    fn push(&mut self, size: usize, layouts: &[Layout], dim: usize) {
        let merges = !self.sizes.is_empty()
            && self.strides.iter().zip(layouts).all(|(strides, layout)| {
                strides.last() == Some(&(layout.strides()[dim] * size as isize))
            });
        if merges {
            self.sizes.pop().into_iter().for_each(|last| self.sizes.push(last * size));
        } else {
            self.sizes.push(size);
        }
        for (strides, layout) in self.strides.iter_mut().zip(layouts) {
            if merges {
                strides.pop();
            }
            strides.push(layout.strides()[dim]);
        }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How operand `index` lies along the walk.
    pub(crate) fn pattern(&self, index: usize) -> Pattern {
        let strides = &self.strides[index];
        let offset = self.offsets[index];
        // The innermost dimensions that are one run, and how many elements they are together.
        let (mut run, mut from) = (1, strides.len());
        while from > 0 {
            let outer = strides[from - 1];
            let fits = from == strides.len() || outer == strides[from] * self.sizes[from] as isize;
            if !fits {
                break;
            }
            from -= 1;
            run *= self.sizes[from];
        }
        let stride = strides.last().copied().unwrap_or(0);
        if from == 0 {
            return Pattern::Linear { offset, stride };
        }
        if strides[..from].iter().all(|&s| s == 0) {
            return Pattern::Periodic { offset, stride, period: run };
        }
        let dims = self.sizes.iter().copied().zip(strides.iter().copied()).collect();
        Pattern::Nested { offset, dims }
    }

    /// The first operand as rows that lie one after the other and share no memory, if it is that.
    pub(crate) fn rows(&self) -> Option<Rows> {
        let (&count, inner) = self.sizes.split_first()?;
        let (&step, strides) = self.strides.first()?.split_first()?;
        let mut last = 0;
        for (&size, &stride) in inner.iter().zip(strides) {
            last += size.checked_sub(1)? * usize::try_from(stride).ok()?;
        }
        let step = usize::try_from(step).ok().filter(|&step| step > last)?;
        Some(Rows { start: self.offsets[0], count, step, len: inner.iter().product() })
    }

    /// Whether operand `index` is visited in steps of one.
    pub(crate) fn is_dense(&self, index: usize) -> bool {
        match self.pattern(index) {
            Pattern::Linear { stride, .. } => stride == 1 || self.len <= 1,
            _ => false,
        }
    }
}

/// See [`Walk::rows`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// The position of the first element of all.
    pub(crate) start: usize,
    /// How many rows there are.
    pub(crate) count: usize,
    /// Elements from one row to the next, those between them counted.
    pub(crate) step: usize,
    /// Elements of a row that are visited.
    pub(crate) len: usize,
}

/// Where an operand's elements lie, by their number along a [`Walk`].
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// Element `i` at `offset + i stride`; stride 0 for a scalar.
    Linear {
        /// Element 0.
        offset: usize,
        /// From one element to the next.
        stride: isize,
    },
    /// Element `i` at `offset + (i mod period) stride`: a row that is repeated.
    Periodic {
        /// Element 0.
        offset: usize,
        /// From one element to the next.
        stride: isize,
        /// Elements until it begins again.
        period: usize,
    },
    /// Anything else.
    Nested {
        /// Element 0.
        offset: usize,
        /// Sizes and strides, outermost first.
        dims: SmallVec<[(usize, isize); MAX_RANK]>,
    },
}

/// Elements of an operand that lie at equal distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The position of the first.
    pub(crate) position: usize,
    /// From one to the next.
    pub(crate) stride: isize,
    /// The number of the first, counted from where the runs were asked for.
    pub(crate) at: usize,
    /// How many there are.
    pub(crate) len: usize,
}

impl Run {
    /// The position of element `index` of the run.
    #[inline(always)]
    pub(crate) fn position_of(&self, index: usize) -> usize {
        step(self.position, index, self.stride)
    }
}

impl Pattern {
    /// The runs that elements `start..start + len` consist of.
    #[inline(always)]
    pub(crate) fn runs(&self, start: usize, len: usize) -> Runs<'_> {
        let mut runs =
            Runs { pattern: self, at: 0, len, phase: 0, position: 0, index: [0; MAX_RANK] };
        match self {
            Pattern::Linear { offset, stride } => runs.position = step(*offset, start, *stride),
            Pattern::Periodic { offset, period, .. } => {
                (runs.position, runs.phase) = (*offset, start % (*period).max(1));
            }
            Pattern::Nested { offset, dims } => runs.begin_nested(*offset, dims, start),
        }
        runs
    }
}

/// Iterator over the runs of a part of a walk; see [`Pattern::runs`].
#[derive(Debug, Clone)]
pub(crate) struct Runs<'a> {
    pattern: &'a Pattern,
    at: usize,
    len: usize,
    /// How many elements of the innermost dimension the next run leaves out.
    phase: usize,
    /// Where the innermost dimension begins.
    position: usize,
    index: [usize; MAX_RANK],
}

impl Runs<'_> {
    fn begin_nested(&mut self, offset: usize, dims: &[(usize, isize)], start: usize) {
        let Some((&(inner, _), outer)) = dims.split_last() else { return };
        self.position = offset;
        self.phase = start % inner.max(1);
        let mut rest = start / inner.max(1);
        for (i, &(size, stride)) in outer.iter().enumerate().rev() {
            self.index[i] = rest % size;
            rest /= size;
            self.position = step(self.position, self.index[i], stride);
        }
    }

    /// Moves to the next index of the outer dimensions.
    #[inline]
    fn advance_nested(&mut self, dims: &[(usize, isize)]) {
        for (i, &(size, stride)) in dims.iter().enumerate().rev().skip(1) {
            self.index[i] += 1;
            self.position = step(self.position, 1, stride);
            if self.index[i] < size {
                return;
            }
            self.position = step(self.position, size, -stride);
            self.index[i] = 0;
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.at >= self.len {
            return None;
        }
        let (at, left) = (self.at, self.len - self.at);
        let (inner, stride) = match self.pattern {
            Pattern::Linear { stride, .. } => (left, *stride),
            Pattern::Periodic { stride, period, .. } => (*period, *stride),
            Pattern::Nested { dims, .. } => dims.last().copied().unwrap_or((left, 0)),
        };
        let len = (inner - self.phase).min(left);
        let run = Run { position: step(self.position, self.phase, stride), stride, at, len };
        self.at += len;
        self.phase = 0;
        if let Pattern::Nested { dims, .. } = self.pattern {
            self.advance_nested(dims);
        }
        Some(run)
    }
}

#[inline(always)]
fn step(offset: usize, count: usize, stride: isize) -> usize {
    offset.wrapping_add_signed(count as isize * stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(walk: &Walk, operand: usize, cut: usize) -> Vec<usize> {
        let mut list = vec![usize::MAX; walk.len()];
        let pattern = walk.pattern(operand);
        for start in (0..walk.len()).step_by(cut) {
            let len = cut.min(walk.len() - start);
            for run in pattern.runs(start, len) {
                for j in 0..run.len {
                    list[start + run.at + j] = run.position_of(j);
                }
            }
        }
        list
    }

    #[test]
    fn operands_are_visited_at_the_same_indices_in_any_layout() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        let last = Layout::channels_last(shape).unwrap();
        let plain = Layout::contiguous(shape);
        let channel =
            Layout::contiguous(Shape::new(&[3, 1, 1]).unwrap()).broadcast_to(shape).unwrap();
        let flipped = plain.flip(2).unwrap();
        let wide = Layout::contiguous(Shape::new(&[2, 3, 4, 9]).unwrap()).narrow(3, 2, 5).unwrap();
        let layouts = [last, plain, channel, flipped, wide];
        for lead in 0..layouts.len() {
            let mut order = layouts.to_vec();
            order.rotate_left(lead);
            let walk = Walk::new(&shape, &order);
            for cut in [1, 7, 64, 1000] {
                let lists: Vec<_> = (0..order.len()).map(|i| positions(&walk, i, cut)).collect();
                let logical: Vec<Vec<usize>> =
                    order.iter().map(|layout| layout.positions().collect()).collect();
                for (visit, &position) in lists[0].iter().enumerate() {
                    let index = logical[0].iter().position(|&p| p == position);
                    let Some(index) = index else { panic!("visited {position}, which is none") };
                    for i in 1..order.len() {
                        assert_eq!(lists[i][visit], logical[i][index]);
                    }
                    if logical[0].iter().filter(|&&p| p == position).count() > 1 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_found_where_they_share_no_memory() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        let wide = Layout::channels_last(Shape::new(&[2, 7, 4, 5]).unwrap()).unwrap();
        let part = wide.narrow(1, 2, 3).unwrap();
        let rows = |layout: Layout| Walk::new(layout.shape(), &[layout]).rows();
        let Some(found) = rows(part) else { panic!("{part:?} has rows") };
        assert_eq!([found.start, found.count, found.step, found.len], [2, 40, 7, 3]);
        assert!(rows(Layout::contiguous(shape).flip(2).unwrap()).is_none());
    }

    #[test]
    fn patterns_are_recognised() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        let last = Layout::channels_last(shape).unwrap();
        let channel =
            Layout::contiguous(Shape::new(&[3, 1, 1]).unwrap()).broadcast_to(shape).unwrap();
        let scalar = Layout::contiguous(Shape::SCALAR).broadcast_to(shape).unwrap();
        let walk = Walk::new(&shape, &[last, channel, scalar]);
        assert!(walk.is_dense(0));
        assert!(matches!(walk.pattern(1), Pattern::Periodic { period: 3, stride: 1, .. }));
        assert!(matches!(walk.pattern(2), Pattern::Linear { stride: 0, .. }));
    }
}
