//! Where the elements of an array lie in its buffer.

use crate::{Error, Result, Shape, shape::MAX_RANK};

/// How a layout is to be understood by kernels that care.
///
/// The format is a promise carried along, never inferred from strides: with C = H = W or sizes of 1
/// the strides of different formats coincide.
///
/// ```
/// use ferrotape_backend::{Format, Layout, Shape};
///
/// let images = Shape::new(&[1, 3, 2, 2])?;
/// assert_eq!(Layout::contiguous(images).format(), Format::Strided);
/// assert_eq!(Layout::channels_last(images)?.format(), Format::ChannelsLast { pixel_pitch: 3 });
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Any strides; nothing is promised.
    Strided,
    /// A batch of images `[N, C, H, W]` whose pixels are stored one after the other, all channels
    /// of a pixel together: element (n, c, h, w) lies at
    /// `offset + ((n * H + h) * W + w) * pixel_pitch + c`. The pitch exceeds C where the array is a
    /// slice over the channels of a wider one.
    ChannelsLast {
        /// Elements from one pixel to the next, at least C.
        pixel_pitch: usize,
    },
}

/// Shape, strides, offset and format: a view of a buffer.
///
/// ```
/// use ferrotape_backend::{Format, Layout, Shape};
///
/// let images = Layout::channels_last(Shape::new(&[2, 8, 4, 4])?)?;
/// let first_three = images.narrow(1, 0, 3)?;
/// assert_eq!(first_three.format(), Format::ChannelsLast { pixel_pitch: 8 });
/// assert_eq!(first_three.strides(), [128, 1, 32, 8]);
/// assert_eq!((first_three.shape()[1], first_three.offset(), first_three.pixel_pitch()), (3, 0, Some(8)));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    shape: Shape,
    strides: [isize; MAX_RANK],
    offset: usize,
    format: Format,
}

impl Layout {
    /// Row-major order: the last dimension is adjacent in memory.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// assert_eq!(Layout::contiguous(Shape::new(&[2, 3, 5])?).strides(), [15, 5, 1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn contiguous(shape: Shape) -> Self {
        let mut strides = [0; MAX_RANK];
        let mut stride = 1isize;
        for (i, &size) in shape.iter().enumerate().rev() {
            strides[i] = stride;
            stride *= size.max(1) as isize;
        }
        Layout { shape, strides, offset: 0, format: Format::Strided }
    }

    /// Images `[N, C, H, W]` with the channels of each pixel adjacent.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let images = Layout::channels_last(Shape::new(&[2, 3, 4, 5])?)?;
    /// assert_eq!(images.strides(), [60, 1, 15, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape has not four dimensions.
    pub fn channels_last(shape: Shape) -> Result<Self> {
        let [_, c, h, w] = shape.nchw()?;
        let (c1, h1, w1) = (c.max(1) as isize, h.max(1) as isize, w.max(1) as isize);
        let mut strides = [0; MAX_RANK];
        strides[..4].copy_from_slice(&[h1 * w1 * c1, 1, w1 * c1, c1]);
        Ok(Layout { shape, strides, offset: 0, format: Format::ChannelsLast { pixel_pitch: c } })
    }

    /// A dense layout of the same kind as this one for another shape: channels-last if this is
    /// channels-last and the shape is one of images, else contiguous.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let images = Layout::channels_last(Shape::new(&[2, 3, 4, 4])?)?;
    /// assert_eq!(images.like(Shape::new(&[2, 8, 2, 2])?).pixel_pitch(), Some(8));
    /// assert!(images.like(Shape::new(&[2, 3])?).is_contiguous());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn like(&self, shape: Shape) -> Self {
        match self.format {
            Format::ChannelsLast { .. } => {
                Layout::channels_last(shape).unwrap_or_else(|_| Layout::contiguous(shape))
            }
            Format::Strided => Layout::contiguous(shape),
        }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements from one index to the next, for each dimension. Negative after a flip, zero where
    /// broadcast.
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.shape.rank()]
    }

    /// The buffer element at index zero.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The format that kernels may rely on.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The pixel pitch if the format is channels-last.
    pub fn pixel_pitch(&self) -> Option<usize> {
        match self.format {
            Format::ChannelsLast { pixel_pitch } => Some(pixel_pitch),
            Format::Strided => None,
        }
    }

    /// Whether the elements lie in row-major order without gaps.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let rows = Layout::contiguous(Shape::new(&[2, 3])?);
    /// assert!(rows.is_contiguous() && rows.narrow(0, 1, 1)?.is_contiguous());
    /// assert!(!rows.permute(&[1, 0])?.is_contiguous());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (i, &size) in self.shape.iter().enumerate().rev() {
            if size != 1 && self.strides[i] != expected {
                return false;
            }
            expected *= size.max(1) as isize;
        }
        true
    }

    /// Whether this is channels-last without gaps between the pixels.
    pub fn is_dense_channels_last(&self) -> bool {
        self.pixel_pitch() == Some(self.shape.get(1).copied().unwrap_or(0))
    }

    /// Whether two layouts of one shape visit the same buffer positions in the same order, with
    /// no gaps: then an element-wise loop may ignore shape and strides.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let images = Layout::channels_last(Shape::new(&[1, 4, 2, 2])?)?;
    /// assert!(images.is_dense_channels_last() && images.is_dense_like(&images));
    /// assert!(!images.is_dense_like(&Layout::contiguous(*images.shape())));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_dense_like(&self, other: &Layout) -> bool {
        self.shape == other.shape
            && ((self.is_contiguous() && other.is_contiguous())
                || (self.is_dense_channels_last() && other.is_dense_channels_last()))
    }

    /// The lowest and highest buffer element this layout can touch; `None` if it has no elements.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let middle = Layout::contiguous(Shape::new(&[10])?).narrow(0, 2, 3)?;
    /// assert_eq!((middle.span(), middle.flip(0)?.span()), (Some((2, 4)), Some((2, 4))));
    /// assert_eq!(middle.narrow(0, 0, 0)?.span(), None);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn span(&self) -> Option<(usize, usize)> {
        if self.shape.numel() == 0 {
            return None;
        }
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&size, &stride) in self.shape.iter().zip(self.strides()) {
            let reach = (size as isize - 1) * stride;
            if reach < 0 { low += reach } else { high += reach }
        }
        Some((low as usize, high as usize))
    }

    /// Whether two different indices can mean the same element. Exact for the layouts that views
    /// make; layouts with equal strides in two dimensions count as overlapping.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let row = Layout::contiguous(Shape::new(&[1, 3])?);
    /// assert!(!row.is_overlapping() && row.broadcast_to(Shape::new(&[2, 3])?)?.is_overlapping());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_overlapping(&self) -> bool {
        if self.shape.numel() == 0 {
            return false;
        }
        let mut dims: Vec<(usize, usize)> = self
            .shape
            .iter()
            .zip(self.strides())
            .filter(|&(&size, _)| size > 1)
            .map(|(&size, &stride)| (stride.unsigned_abs(), size))
            .collect();
        dims.sort_unstable();
        let mut reach = 0;
        for (stride, size) in dims {
            if stride <= reach {
                return true;
            }
            reach += stride * (size - 1);
        }
        false
    }

    /// The dimensions in another order: dimension `i` of the result is `dims[i]` of this.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let rows = Layout::contiguous(Shape::new(&[2, 3, 5])?);
    /// let turned = rows.permute(&[2, 0, 1])?;
    /// assert_eq!((turned.shape().dims(), turned.strides()), (&[5, 2, 3][..], &[1, 15, 5][..]));
    /// assert!(rows.permute(&[0, 0, 1]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// `dims` is not a permutation of the dimensions.
    pub fn permute(&self, dims: &[usize]) -> Result<Self> {
        let rank = self.shape.rank();
        let mut seen = [false; MAX_RANK];
        let valid = dims.len() == rank
            && dims.iter().all(|&d| d < rank && !std::mem::replace(&mut seen[d], true));
        if !valid {
            return Err(Error::argument(format!(
                "{dims:?} is not an order of the {rank} dimensions of {}",
                self.shape
            )));
        }
        let sizes: Vec<usize> = dims.iter().map(|&d| self.shape[d]).collect();
        let mut strides = [0; MAX_RANK];
        for (to, &from) in dims.iter().enumerate() {
            strides[to] = self.strides[from];
        }
        let in_order = dims.iter().enumerate().all(|(i, &d)| i == d);
        let format = if in_order { self.format } else { Format::Strided };
        Ok(Layout { shape: Shape::new(&sizes)?, strides, offset: self.offset, format })
    }

    /// The indices `start..start + length` of one dimension. The channels-last format survives a
    /// slice over channels or images.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let rows = Layout::contiguous(Shape::new(&[4, 3])?);
    /// let middle = rows.narrow(0, 1, 2)?;
    /// assert_eq!((middle.shape().dims(), middle.offset()), (&[2, 3][..], 3));
    /// assert!(rows.narrow(0, 3, 2).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The range reaches past the dimension.
    pub fn narrow(&self, dim: usize, start: usize, length: usize) -> Result<Self> {
        let size = *self.shape.get(dim).ok_or_else(|| {
            Error::argument(format!("there is no dimension {dim} in shape {}", self.shape))
        })?;
        if start.checked_add(length).is_none_or(|end| end > size) {
            return Err(Error::argument(format!(
                "the range {start}..{start}+{length} reaches past dimension {dim} of {}",
                self.shape
            )));
        }
        let mut result = *self;
        result.shape = self.shape.with(dim, length)?;
        if length > 0 {
            result.offset = (self.offset as isize + start as isize * self.strides[dim]) as usize;
        }
        if dim >= 2 && length != size {
            result.format = Format::Strided;
        }
        Ok(result)
    }

    /// Every `step`-th index of one dimension, from `start`.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let odd = Layout::contiguous(Shape::new(&[7])?).step(0, 1, 2)?;
    /// assert_eq!(odd.positions().collect::<Vec<_>>(), [1, 3, 5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Step zero or a start past the end.
    pub fn step(&self, dim: usize, start: usize, step: usize) -> Result<Self> {
        if step == 0 {
            return Err(Error::argument("a slice's step is 0, it must be at least 1"));
        }
        let size = self.shape.get(dim).copied().unwrap_or(0);
        let mut result = self.narrow(dim, start, size.saturating_sub(start))?;
        if step > 1 {
            result.shape = result.shape.with(dim, (size - start).div_ceil(step))?;
            // With one index left the stride is never gone along; it must not overflow either.
            if result.shape[dim] > 1 {
                result.strides[dim] *= step as isize;
            }
            result.format = Format::Strided;
        }
        Ok(result)
    }

    /// One dimension in reverse order.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let back = Layout::contiguous(Shape::new(&[3])?).flip(0)?;
    /// assert_eq!((back.offset(), back.strides()), (2, &[-1][..]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such dimension.
    pub fn flip(&self, dim: usize) -> Result<Self> {
        let size = *self.shape.get(dim).ok_or_else(|| {
            Error::argument(format!("there is no dimension {dim} in shape {}", self.shape))
        })?;
        let mut result = *self;
        if size > 1 {
            result.offset =
                (self.offset as isize + (size as isize - 1) * self.strides[dim]) as usize;
            result.strides[dim] = -self.strides[dim];
            result.format = Format::Strided;
        }
        Ok(result)
    }

    /// Stretches sizes of 1 and prepends dimensions, by NumPy's rule.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let bias = Layout::contiguous(Shape::new(&[3])?);
    /// assert_eq!(bias.broadcast_to(Shape::new(&[2, 3])?)?.strides(), [0, 1]);
    /// let error = bias.broadcast_to(Shape::new(&[2, 4])?).unwrap_err();
    /// assert_eq!(error.to_string(), "[3] does not broadcast to [2, 4]");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape does not broadcast to `target`.
    pub fn broadcast_to(&self, target: Shape) -> Result<Self> {
        if self.shape == target {
            return Ok(*self);
        }
        if !self.shape.broadcasts_to(&target) {
            return Err(Error::shape(format!("{} does not broadcast to {target}", self.shape)));
        }
        let shift = target.rank() - self.shape.rank();
        let mut strides = [0; MAX_RANK];
        for (i, &size) in self.shape.iter().enumerate() {
            strides[shift + i] = if size == target[shift + i] { self.strides[i] } else { 0 };
        }
        Ok(Layout { shape: target, strides, offset: self.offset, format: Format::Strided })
    }

    /// The same elements in the same order under another shape, if that is possible without
    /// copying.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let rows = Layout::contiguous(Shape::new(&[2, 6])?);
    /// assert!(rows.reshape(Shape::new(&[2, 2, 3])?)?.is_some());
    /// // The columns one after the other are no view.
    /// assert_eq!(rows.permute(&[1, 0])?.reshape(Shape::new(&[12])?)?, None);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&self, shape: Shape) -> Result<Option<Self>> {
        if shape.numel() != self.shape.numel() {
            return Err(Error::shape(format!(
                "{} has {} elements and cannot become {shape} with {}",
                self.shape,
                self.shape.numel(),
                shape.numel()
            )));
        }
        if shape == self.shape {
            return Ok(Some(*self));
        }
        if self.is_contiguous() || shape.numel() == 0 {
            return Ok(Some(Layout { offset: self.offset, ..Layout::contiguous(shape) }));
        }
        Ok(self.reshape_strided(shape))
    }

    /// Splits and merges dimensions whose strides allow it, group by group of equal products.
    fn reshape_strided(&self, shape: Shape) -> Option<Self> {
        let old: Vec<(usize, isize)> = self
            .shape
            .iter()
            .zip(self.strides())
            .filter(|&(&size, _)| size != 1)
            .map(|(&size, &stride)| (size, stride))
            .collect();
        let mut strides = [0; MAX_RANK];
        let (mut from, mut to) = (0, 0);
        while to < shape.rank() {
            if shape[to] == 1 {
                to += 1;
                continue;
            }
            let (from_start, to_start) = (from, to);
            let (mut have, mut want) = (old[from].0, shape[to]);
            while have != want {
                if have < want {
                    from += 1;
                    have *= old[from].0;
                } else {
                    to += 1;
                    want *= shape[to];
                }
            }
            let mergeable = old[from_start..=from]
                .windows(2)
                .all(|pair| pair[0].1 == pair[1].1 * pair[1].0 as isize);
            if !mergeable {
                return None;
            }
            let mut stride = old[from].1;
            for i in (to_start..=to).rev() {
                strides[i] = stride;
                stride *= shape[i] as isize;
            }
            from += 1;
            to += 1;
        }
        Some(Layout { shape, strides, offset: self.offset, format: Format::Strided })
    }

    /// The same memory read as channels-last, where that changes nothing but the format: images of
    /// one channel, or of one pixel, in row-major order without gaps.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let grey = Layout::contiguous(Shape::new(&[8, 1, 28, 28])?);
    /// assert_eq!(grey.as_channels_last().and_then(|layout| layout.pixel_pitch()), Some(1));
    /// assert_eq!(Layout::contiguous(Shape::new(&[8, 3, 28, 28])?).as_channels_last(), None);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn as_channels_last(&self) -> Option<Self> {
        if self.pixel_pitch().is_some() {
            return Some(*self);
        }
        let [_, c, h, w] = self.shape.nchw().ok()?;
        let same_order = c == 1 || (h == 1 && w == 1);
        (same_order && self.is_contiguous()).then(|| {
            let dense = Layout::channels_last(self.shape).expect("the shape has four dimensions");
            Layout { offset: self.offset, ..dense }
        })
    }

    /// The buffer positions of all elements, in row-major order of the indices.
    ///
    /// ```
    /// use ferrotape_backend::{Layout, Shape};
    ///
    /// let transposed = Layout::contiguous(Shape::new(&[2, 3])?).permute(&[1, 0])?;
    /// assert_eq!(transposed.positions().collect::<Vec<_>>(), [0, 3, 1, 4, 2, 5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn positions(&self) -> Positions {
        Positions {
            layout: *self,
            index: [0; MAX_RANK],
            position: self.offset as isize,
            left: self.shape.numel(),
        }
    }
}

/// Iterator over the buffer positions of a layout's elements; see [`Layout::positions`].
///
/// ```
/// use ferrotape_backend::{Layout, Shape};
///
/// let mut positions = Layout::contiguous(Shape::new(&[2, 2])?).flip(1)?.positions();
/// assert_eq!((positions.len(), positions.next(), positions.next()), (4, Some(1), Some(0)));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Positions {
    layout: Layout,
    index: [usize; MAX_RANK],
    position: isize,
    left: usize,
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let current = self.position as usize;
        for dim in (0..self.layout.shape.rank()).rev() {
            self.index[dim] += 1;
            self.position += self.layout.strides[dim];
            if self.index[dim] < self.layout.shape[dim] {
                break;
            }
            self.position -= self.layout.strides[dim] * self.layout.shape[dim] as isize;
            self.index[dim] = 0;
        }
        Some(current)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Positions {}
