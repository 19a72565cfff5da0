//! An array: a view of a buffer. Data only, without a place on a tape.

use std::sync::Arc;

use crate::{
    Buffer, Context, DType, Device, Element, Error, Format, IntoShape, Layout, Result, Shape,
};

/// Elements of one type on one device, seen through a layout. Cheap to clone: clones share memory.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let a = Array::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?;
/// assert_eq!(a.permute(&[1, 0])?.to_vec::<f32>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert_eq!((a.shape().dims(), a.dtype(), a.bytes()), (&[2, 3][..], DType::F32, 24));
/// assert_eq!((a.device(), a.buffer().len(), a.layout().strides()), (&device, 6, &[3, 1][..]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Array {
    buffer: Arc<Buffer>,
    layout: Layout,
}

impl Array {
    /// New memory with unspecified contents.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Layout, Shape, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let images = Layout::channels_last(Shape::new(&[2, 3, 4, 4])?)?;
    /// let mut array = Array::empty(&device, DType::F32, images)?;
    /// device.backend().fill(&mut array, 1.0)?;
    /// assert_eq!(array.layout().pixel_pitch(), Some(3));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device is out of memory or does not have the data type.
    pub fn empty(device: &Device, dtype: DType, layout: Layout) -> Result<Self> {
        let shape = *layout.shape();
        let dense = layout.like(shape);
        let buffer =
            device.allocate(dtype, shape.numel()).at(|| format!("allocating {dtype} {shape}"))?;
        Ok(Array { buffer: Arc::new(buffer), layout: dense })
    }

    /// New memory in row-major order with every element set to `value`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let half = Array::full(&device, DType::BF16, [2, 2], 0.5)?;
    /// assert_eq!(half.to_f64_vec()?, [0.5; 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Array::empty`]; more elements than can be addressed.
    pub fn full(device: &Device, dtype: DType, shape: impl IntoShape, value: f64) -> Result<Self> {
        let mut array = Array::empty(device, dtype, Layout::contiguous(shape.into_shape()?))?;
        device.backend().fill(&mut array, value)?;
        Ok(array)
    }

    /// As [`Array::full`] with zeros.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// assert_eq!(Array::zeros(&device, DType::I64, [3])?.to_vec::<i64>()?, [0, 0, 0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Array::full`].
    pub fn zeros(device: &Device, dtype: DType, shape: impl IntoShape) -> Result<Self> {
        Array::full(device, dtype, shape, 0.0)
    }

    /// Copies elements in row-major order to the device.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let rows = Array::from_slice(&device, &[1u8, 2, 3, 4], [2, 2])?;
    /// assert_eq!((rows.dtype(), rows.bytes()), (DType::U8, 4));
    /// let error = Array::from_slice(&device, &[1u8, 2, 3], [2, 2]).unwrap_err();
    /// assert_eq!(error.to_string(), "3 values do not fill shape [2, 2], which takes 4");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs from the shape's; out of memory.
    pub fn from_slice<T: Element>(
        device: &Device,
        data: &[T],
        shape: impl IntoShape,
    ) -> Result<Self> {
        let shape = shape.into_shape()?;
        if data.len() != shape.numel() {
            return Err(Error::shape(format!(
                "{} values do not fill shape {shape}, which takes {}",
                data.len(),
                shape.numel()
            )));
        }
        let mut array = Array::empty(device, T::DTYPE, Layout::contiguous(shape))?;
        device.backend().upload(bytemuck::cast_slice(data), &mut array)?;
        Ok(array)
    }

    /// Copies values in row-major order to the device, converted to `dtype`.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let third = Array::from_f64(&device, &[1.0 / 3.0], DType::F32, [1])?;
    /// assert_eq!(third.to_vec::<f32>()?, [1.0 / 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Array::from_slice`].
    pub fn from_f64(
        device: &Device,
        data: &[f64],
        dtype: DType,
        shape: impl IntoShape,
    ) -> Result<Self> {
        Array::from_slice(device, data, shape)?.cast(dtype)
    }

    /// The elements in row-major order of the indices.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0], [2, 2])?;
    /// assert_eq!(x.flip(1)?.to_vec::<f32>()?, [2.0, 1.0, 4.0, 3.0]);
    /// let error = x.to_vec::<f64>().unwrap_err().to_string();
    /// assert_eq!(error, "the array holds f32, not f64; cast it first");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// `T` is not the type of the elements.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype() {
            return Err(Error::dtype(format!(
                "the array holds {}, not {}; cast it first",
                self.dtype(),
                T::DTYPE
            )));
        }
        let source = self.contiguous()?;
        let mut data = vec![T::zeroed(); self.shape().numel()];
        self.device().backend().download(&source, bytemuck::cast_slice_mut(&mut data))?;
        Ok(data)
    }

    /// The elements in row-major order of the indices, as f64.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let labels = Array::from_slice(&device, &[7i64, 3], [2])?;
    /// assert_eq!(labels.to_f64_vec()?, [7.0, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        self.cast(DType::F64)?.to_vec()
    }

    /// The value of an array of one element.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// assert_eq!(Array::full(&device, DType::F32, [1, 1], 0.25)?.item()?, 0.25);
    /// assert!(Array::zeros(&device, DType::F32, [2])?.item().is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The array has another number of elements.
    pub fn item(&self) -> Result<f64> {
        if self.shape().numel() != 1 {
            return Err(Error::shape(format!(
                "item() wants an array of one element, got {}",
                self.shape()
            )));
        }
        Ok(self.to_f64_vec()?[0])
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        self.layout.shape()
    }

    /// Where the elements lie in the buffer.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.buffer.dtype()
    }

    /// The device that holds the elements.
    pub fn device(&self) -> &Device {
        self.buffer.device()
    }

    /// Whether no other array shares the memory.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::zeros(&device, DType::F32, [4])?;
    /// assert!(x.is_unique());
    /// let half = x.narrow(0, 0, 2)?;
    /// assert!(!x.is_unique() && !half.is_unique());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.buffer) == 1
    }

    /// Bytes of the elements, without what else the buffer holds.
    pub fn bytes(&self) -> usize {
        self.shape().numel() * self.dtype().size()
    }

    /// The same memory through another layout.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, Layout, Shape, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0], [4])?;
    /// let every_other = Layout::contiguous(Shape::new(&[4])?).step(0, 1, 2)?;
    /// assert_eq!(x.with_layout(every_other)?.to_vec::<f32>()?, [2.0, 4.0]);
    /// assert!(x.with_layout(Layout::contiguous(Shape::new(&[5])?)).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The layout reaches past the buffer.
    pub fn with_layout(&self, layout: Layout) -> Result<Self> {
        if layout.span().is_some_and(|(_, high)| high >= self.buffer.len()) {
            return Err(Error::argument(format!(
                "a view of shape {} reaches past its buffer of {} elements",
                layout.shape(),
                self.buffer.len()
            )));
        }
        Ok(Array { buffer: Arc::clone(&self.buffer), layout })
    }

    fn view(&self, layout: Layout) -> Self {
        Array { buffer: Arc::clone(&self.buffer), layout }
    }

    /// See [`Layout::permute`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1i64, 2, 3, 4, 5, 6], [2, 3])?;
    /// let transposed = x.permute(&[1, 0])?;
    /// assert_eq!(transposed.shape().dims(), [3, 2]);
    /// assert_eq!(transposed.to_vec::<i64>()?, [1, 4, 2, 5, 3, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn permute(&self, dims: &[usize]) -> Result<Self> {
        Ok(self.view(self.layout.permute(dims)?))
    }

    /// See [`Layout::narrow`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1i64, 2, 3, 4, 5, 6], [2, 3])?;
    /// assert_eq!(x.narrow(1, 1, 2)?.to_vec::<i64>()?, [2, 3, 5, 6]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn narrow(&self, dim: usize, start: usize, length: usize) -> Result<Self> {
        Ok(self.view(self.layout.narrow(dim, start, length)?))
    }

    /// See [`Layout::flip`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1i64, 2, 3, 4], [2, 2])?;
    /// assert_eq!(x.flip(0)?.to_vec::<i64>()?, [3, 4, 1, 2]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn flip(&self, dim: usize) -> Result<Self> {
        Ok(self.view(self.layout.flip(dim)?))
    }

    /// See [`Layout::broadcast_to`].
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let bias = Array::from_slice(&device, &[1i64, 2], [2])?;
    /// assert_eq!(bias.broadcast_to([2, 2])?.to_vec::<i64>()?, [1, 2, 1, 2]);
    /// assert!(bias.broadcast_to([3]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Result<Self> {
        Ok(self.view(self.layout.broadcast_to(shape.into_shape()?)?))
    }

    /// The same elements in the same order under another shape; a view where possible, else a copy.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1i64, 2, 3, 4, 5, 6], [2, 3])?;
    /// assert_eq!(x.reshape([3, 2])?.buffer().id(), x.buffer().id());
    /// // The transpose in row-major order is another order of the memory.
    /// let columns = x.permute(&[1, 0])?.reshape([6])?;
    /// assert_eq!(columns.to_vec::<i64>()?, [1, 4, 2, 5, 3, 6]);
    /// assert_ne!(columns.buffer().id(), x.buffer().id());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of elements differs; out of memory.
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Self> {
        let shape = shape.into_shape()?;
        match self.layout.reshape(shape)? {
            Some(layout) => Ok(self.view(layout)),
            None => self.contiguous()?.reshape(shape),
        }
    }

    /// The same elements in row-major order; shares memory if they already are, whole buffer or not.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1i64, 2, 3, 4], [2, 2])?.permute(&[1, 0])?;
    /// assert!(!x.layout().is_contiguous());
    /// assert_eq!(x.contiguous()?.layout().strides(), [2, 1]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn contiguous(&self) -> Result<Self> {
        if self.layout.is_contiguous() {
            return Ok(self.clone());
        }
        self.copy_to(self.dtype(), Layout::contiguous(*self.shape()))
    }

    /// Images with the channels of a pixel adjacent; shares memory if they already are.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let image = Array::from_slice(&device, &[1i64, 2, 3, 4], [1, 2, 1, 2])?.channels_last()?;
    /// // The two channels of a pixel are neighbours; the order of the indices stays.
    /// assert_eq!(image.layout().strides()[1], 1);
    /// assert_eq!(image.to_vec::<i64>()?, [1, 2, 3, 4]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shape has not four dimensions; out of memory.
    pub fn channels_last(&self) -> Result<Self> {
        match self.layout.as_channels_last() {
            Some(layout) => Ok(self.view(layout)),
            None => self.copy_to(self.dtype(), Layout::channels_last(*self.shape())?),
        }
    }

    /// A dense copy in the same kind of layout that shares memory with nothing.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let mut x = Array::zeros(&device, DType::F32, [2])?;
    /// let before = x.copy()?;
    /// device.backend().fill(&mut x, 1.0)?;
    /// assert_eq!((before.to_f64_vec()?, x.to_f64_vec()?), (vec![0.0; 2], vec![1.0; 2]));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn copy(&self) -> Result<Self> {
        self.copy_to(self.dtype(), self.layout.like(*self.shape()))
    }

    /// The elements converted to another type; shares memory if they already are of it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Array::from_slice(&device, &[1.7f32, -1.7, 300.0], [3])?;
    /// assert_eq!(x.cast(DType::I64)?.to_vec::<i64>()?, [1, -1, 300]);
    /// assert_eq!(x.cast(DType::F32)?.buffer().id(), x.buffer().id());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        self.copy_to(dtype, self.layout.like(*self.shape()))
    }

    /// The elements on another device, by way of the host; shares memory if they already are there.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let (here, there) = (Device::new(Reference::new()), Device::new(Reference::new()));
    /// let x = Array::from_slice(&here, &[1.0f32, 2.0], [2])?;
    /// let moved = x.to_device(&there)?;
    /// assert_eq!(moved.device(), &there);
    /// assert_eq!(moved.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let channels_last = matches!(self.layout.format(), Format::ChannelsLast { .. });
        let source = self.contiguous()?;
        let mut bytes = vec![0u8; source.bytes()];
        self.device().backend().download(&source, &mut bytes)?;
        let mut target = Array::empty(device, self.dtype(), Layout::contiguous(*self.shape()))?;
        device.backend().upload(&bytes, &mut target)?;
        if channels_last { target.channels_last() } else { Ok(target) }
    }

    fn copy_to(&self, dtype: DType, layout: Layout) -> Result<Self> {
        let mut target = Array::empty(self.device(), dtype, layout)?;
        self.device().backend().copy(self, &mut target)?;
        Ok(target)
    }
}
