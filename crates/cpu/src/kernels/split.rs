//! Cutting outputs into parts that tasks write at the same time.

use std::marker::PhantomData;

use ferrotape_backend::Result;

use crate::team::Team;

/// Disjoint parts of something mutable, numbered from 0.
///
/// # Safety
/// Parts of different numbers must not share memory.
pub(crate) unsafe trait Parts: Sync {
    /// One of them.
    type Part;

    /// How many there are.
    fn count(&self) -> usize;

    /// Part `index`.
    ///
    /// # Safety
    /// `index` is below `count`, and no other part of this number is alive.
    unsafe fn part(&self, index: usize) -> Self::Part;
}

/// A slice cut into groups of one length, and those into chunks of one length; the last of a group
/// may be shorter.
pub(crate) struct Chunks<'a, T> {
    start: *mut T,
    len: usize,
    group: usize,
    chunk: usize,
    chunks_per_group: usize,
    count: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing a `Chunks` gives every thread only parts that no other has, as `&mut [T]` does
// when it is split.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

impl<'a, T> Chunks<'a, T> {
    /// Chunks of `chunk` elements, as many as it takes.
    pub(crate) fn new(data: &'a mut [T], chunk: usize) -> Self {
        let count = data.len().div_ceil(chunk.max(1));
        Self::exactly(data, chunk, count)
    }

    /// As [`Chunks::new`], but `count` of them; those past the end are empty.
    pub(crate) fn exactly(data: &'a mut [T], chunk: usize, count: usize) -> Self {
        let (group, chunks_per_group) = (data.len(), count);
        let (start, len) = (data.as_mut_ptr(), data.len());
        Chunks { start, len, group, chunk, chunks_per_group, count, owner: PhantomData }
    }

    /// Groups of `group` elements, the last perhaps shorter, each in chunks of `chunk`.
    pub(crate) fn grouped(data: &'a mut [T], group: usize, chunk: usize) -> Self {
        let (group, chunk) = (group.max(1), chunk.max(1));
        let chunks_per_group = group.div_ceil(chunk);
        let count = data.len().div_ceil(group) * chunks_per_group;
        let (start, len) = (data.as_mut_ptr(), data.len());
        Chunks { start, len, group, chunk, chunks_per_group, count, owner: PhantomData }
    }
}

// SAFETY: part `i` is chunk `i % chunks_per_group` of group `i / chunks_per_group`: a range that
// begins where the one before ends or later, and is cut off at the ends of group and slice.
unsafe impl<'a, T: Send> Parts for Chunks<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.count
    }

    #[inline]
    unsafe fn part(&self, index: usize) -> &'a mut [T] {
        let (group, chunk) = (index / self.chunks_per_group, index % self.chunks_per_group);
        let start = group.saturating_mul(self.group);
        let end = start.saturating_add(self.group).min(self.len);
        let from = start.saturating_add(chunk.saturating_mul(self.chunk)).min(end);
        let to = from.saturating_add(self.chunk).min(end);
        // SAFETY: `from <= to <= len`, so the part lies in the slice that `'a` borrows; the caller
        // has each part once, and parts of different numbers are disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), to - from) }
    }
}

// SAFETY: the parts of each are disjoint, so the pairs are.
unsafe impl<A: Parts, B: Parts> Parts for (A, B) {
    type Part = (A::Part, B::Part);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        // SAFETY: `index` is below both counts, and the caller has each number once.
        unsafe { (self.0.part(index), self.1.part(index)) }
    }
}

/// Gives each part to one task.
pub(crate) fn for_each_part<P: Parts>(
    team: &Team,
    parts: &P,
    task: impl Fn(usize, P::Part) -> Result<()> + Sync,
) -> Result<()> {
    team.run(parts.count(), |index| {
        // SAFETY: the team runs each index below the count once.
        task(index, unsafe { parts.part(index) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let team = Team::new(Some(3)).unwrap();
        let mut data = vec![0usize; 103];
        let mut pairs = vec![0usize; 11];
        let parts = (Chunks::new(&mut data, 10), Chunks::exactly(&mut pairs, 1, 11));
        for_each_part(&team, &parts, |index, (chunk, pair)| {
            chunk.iter_mut().for_each(|value| *value += index + 1);
            pair[0] += chunk.len();
            Ok(())
        })
        .unwrap();
        assert!(data.iter().enumerate().all(|(at, &value)| value == at / 10 + 1));
        assert_eq!(pairs, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 3]);
        let mut lengths = Vec::new();
        let parts = Chunks::grouped(&mut data, 25, 10);
        for_each_part(&Team::new(Some(1)).unwrap(), &parts, |_, part| {
            part.iter_mut().for_each(|value| *value = 0);
            Ok(())
        })
        .unwrap();
        for index in 0..parts.count() {
            // SAFETY: one part at a time.
            lengths.push(unsafe { parts.part(index) }.len());
        }
        assert_eq!(lengths, [10, 10, 5, 10, 10, 5, 10, 10, 5, 10, 10, 5, 3, 0, 0]);
        assert!(data.iter().all(|&value| value == 0));
    }
}
