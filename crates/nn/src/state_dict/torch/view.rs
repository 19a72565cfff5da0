//! A tensor of a file: a strided view of a storage, and the array that it becomes.

use std::borrow::Cow;

use ferrotape_backend::{Array, Device, Error, Layout, Result, Shape};

use super::storage::Storage;

/// Sizes, strides and offset over a storage, in elements.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Shape,
    strides: Vec<usize>,
}

impl<'a> View<'a> {
    /// A view that stays within its storage.
    ///
    /// # Errors
    /// It does not; the sizes overflow or are too many.
    pub(super) fn new(
        storage: Storage<'a>,
        offset: usize,
        sizes: &[usize],
        strides: Vec<usize>,
    ) -> Result<Self> {
        let shape = Shape::new(sizes)?;
        if strides.len() != sizes.len() {
            return Err(Error::state(format!(
                "a tensor of {shape} has {} strides: the file is damaged",
                strides.len()
            )));
        }
        let view = View { storage, offset, shape, strides };
        if view.end().is_none_or(|end| end > storage.elements) {
            return Err(Error::state(format!(
                "a tensor of {shape} with strides {:?} from element {offset} on does not lie in \
                 its storage of {} elements: the file is damaged",
                view.strides, storage.elements
            )));
        }
        Ok(view)
    }

    pub(super) fn storage(&self) -> &Storage<'a> {
        &self.storage
    }

    /// Bytes of the array that it becomes. They are fewer than 2^63, as [`Shape`] sees to.
    pub(super) fn bytes(&self) -> usize {
        self.shape.numel() * self.storage.kind.dtype().size()
    }

    /// One past the last element of the storage that it shows, or `None` on overflow.
    fn end(&self) -> Option<usize> {
        if self.shape.numel() == 0 {
            return Some(0);
        }
        let steps = self.shape.dims().iter().zip(&self.strides);
        let last = steps
            .map(|(&size, &stride)| (size - 1).checked_mul(stride))
            .try_fold(self.offset, |sum, step| sum.checked_add(step?))?;
        last.checked_add(1)
    }

    /// Whether the elements stand in row-major order without gaps.
    fn is_contiguous(&self) -> bool {
        let mut dense = 1;
        let dims = self.shape.dims().iter().zip(&self.strides).rev();
        dims.into_iter().all(|(&size, &stride)| {
            let fits = size == 1 || stride == dense;
            dense *= size;
            fits
        })
    }

    /// The view as an array of its own, in row-major order. `data` is the whole storage, of the
    /// size that it was declared with.
    pub(super) fn to_array(&self, device: &Device, data: &[u8]) -> Result<Array> {
        let kind = self.storage.kind;
        let layout = Layout::contiguous(self.shape);
        let mut array = Array::empty(device, kind.dtype(), layout)?;
        let elements = kind.widen(self.gather(data));
        device.backend().upload(&elements, &mut array)?;
        Ok(array)
    }

    /// The elements in row-major order, as they are in the file.
    fn gather<'d>(&self, data: &'d [u8]) -> Cow<'d, [u8]> {
        let (size, count) = (self.storage.kind.size(), self.shape.numel());
        if count == 0 {
            return Cow::Borrowed(&[]);
        }
        if self.is_contiguous() {
            return Cow::Borrowed(&data[self.offset * size..(self.offset + count) * size]);
        }
        let mut gathered = Vec::with_capacity(count * size);
        let dims = self.shape.dims();
        // The stride of a dimension of size 1 may be any number, so the sums may wrap in between.
        let (mut index, mut at) = (vec![0; dims.len()], self.offset);
        for _ in 0..count {
            gathered.extend_from_slice(&data[at * size..][..size]);
            for dim in (0..dims.len()).rev() {
                index[dim] += 1;
                at = at.wrapping_add(self.strides[dim]);
                if index[dim] < dims[dim] {
                    break;
                }
                at = at.wrapping_sub(self.strides[dim].wrapping_mul(dims[dim]));
                index[dim] = 0;
            }
        }
        Cow::Owned(gathered)
    }
}
