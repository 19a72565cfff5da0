//! An input of an operator as plain data: what can be generated, printed, pasted and laid out in
//! memory in any way.

use std::fmt;

use ferrotape_backend::random::Rng;
use ferrotape_backend::{Array, DType, Device, Error, IntoShape, Layout, Result, Shape};

/// How the elements of an [`Input`] lie in memory. The logical values are the same in each.
///
/// Memory around the elements is filled with NaN (indices: a number that is no index), so that a
/// kernel that reads outside shows itself.
///
/// ```
/// use ferrotape_backend::{Device, Error, reference::Reference};
/// use ferrotape_gradcheck::{Input, MemoryLayout};
///
/// let device = Device::new(Reference::new());
/// let input = Input::new([2, 2], [1.0, 2.0, 3.0, 4.0])?;
/// let strides = |layout| {
///     let array = input.clone().laid_out(layout).on(&device)?;
///     Ok::<_, Error>(array.layout().strides().to_vec())
/// };
/// assert_eq!(strides(MemoryLayout::Contiguous)?, [2, 1]);
/// assert_eq!(strides(MemoryLayout::Permuted(vec![1, 0]))?, [1, 2]);
/// assert_eq!(strides(MemoryLayout::Sliced(1, 1, 1))?, [4, 1]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MemoryLayout {
    /// Row-major order without gaps.
    #[default]
    Contiguous,
    /// Images with the channels of a pixel adjacent.
    ChannelsLast,
    /// A slice over the channels of wider channels-last images, with this many channels before
    /// and after it.
    ChannelsSlice(usize, usize),
    /// The middle of an array that is longer along a dimension: dimension, indices before, after.
    Sliced(usize, usize, usize),
    /// Row-major order of the dimensions taken in another order.
    Permuted(Vec<usize>),
    /// A dimension stored backwards.
    Flipped(usize),
    /// A dimension of size 1 that was stretched; its values must all be equal along it.
    Broadcast(usize),
}

impl MemoryLayout {
    /// What the kind of layout is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            MemoryLayout::Contiguous => "contiguous",
            MemoryLayout::ChannelsLast => "channels-last",
            MemoryLayout::ChannelsSlice(..) => "channel slice",
            MemoryLayout::Sliced(..) => "sliced",
            MemoryLayout::Permuted(_) => "permuted",
            MemoryLayout::Flipped(_) => "flipped",
            MemoryLayout::Broadcast(_) => "broadcast",
        }
    }

    /// All the layouts that an array of this shape can have whatever its values are: one of each
    /// kind for each dimension where that makes a difference, [`MemoryLayout::Contiguous`] first.
    ///
    /// ```
    /// use ferrotape_gradcheck::MemoryLayout;
    ///
    /// assert_eq!(MemoryLayout::all(&[]), [MemoryLayout::Contiguous]);
    /// assert!(MemoryLayout::all(&[2, 3, 4, 4]).contains(&MemoryLayout::ChannelsLast));
    /// ```
    pub fn all(shape: &[usize]) -> Vec<MemoryLayout> {
        let mut layouts = vec![MemoryLayout::Contiguous];
        if shape.len() == 4 {
            layouts.push(MemoryLayout::ChannelsLast);
            layouts.push(MemoryLayout::ChannelsSlice(1, 2));
        }
        if shape.len() > 1 {
            layouts.push(MemoryLayout::Permuted((0..shape.len()).rev().collect()));
        }
        for (dim, &size) in shape.iter().enumerate() {
            layouts.push(MemoryLayout::Sliced(dim, 1, 1));
            if size > 1 {
                layouts.push(MemoryLayout::Flipped(dim));
            }
        }
        layouts
    }
}

/// The elements of an input.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Float(Vec<f64>),
    Index(Vec<i64>),
}

/// An input of an operator: shape, values in row-major order, memory layout, and whether a gradient
/// is wanted. Its `Debug` form is the Rust expression that makes it.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, MemoryLayout};
///
/// let input = Input::new([2, 2], [1.0, 2.0, 3.0, 4.0])?.laid_out(MemoryLayout::Flipped(1));
/// let array = input.on(&Device::new(Reference::new()))?;
/// assert_eq!(array.to_vec::<f64>()?, [1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(array.layout().strides(), [2, -1]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Input {
    shape: Shape,
    values: Values,
    layout: MemoryLayout,
    tracked: bool,
}

impl Input {
    /// Floats with a gradient, in f64.
    ///
    /// ```
    /// use ferrotape_gradcheck::Input;
    ///
    /// let x = Input::new([2, 2], [1.0, 2.0, 3.0, 4.0])?;
    /// assert!(x.is_tracked());
    /// assert_eq!((x.shape().dims(), x.floats()), (&[2, 2][..], Some(&[1.0, 2.0, 3.0, 4.0][..])));
    /// assert!(Input::new([3], [1.0, 2.0]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of values is not the shape's.
    pub fn new(shape: impl IntoShape, values: impl Into<Vec<f64>>) -> Result<Self> {
        let values = values.into();
        let shape = filled(shape.into_shape()?, values.len())?;
        let (layout, values) = (MemoryLayout::Contiguous, Values::Float(values));
        Ok(Input { shape, values, layout, tracked: true })
    }

    /// Integers (i64), which have no gradient: indices, target classes, masks.
    ///
    /// ```
    /// use ferrotape_gradcheck::Input;
    ///
    /// let targets = Input::indices([3], [0, 2, 1])?;
    /// assert!(!targets.is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The number of values is not the shape's.
    pub fn indices(shape: impl IntoShape, values: impl Into<Vec<i64>>) -> Result<Self> {
        let values = values.into();
        let shape = filled(shape.into_shape()?, values.len())?;
        let (layout, values) = (MemoryLayout::Contiguous, Values::Index(values));
        Ok(Input { shape, values, layout, tracked: false })
    }

    /// The values of an array, laid out contiguously.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_gradcheck::Input;
    ///
    /// let device = Device::new(Reference::new());
    /// assert!(Input::from_array(&Array::zeros(&device, DType::F64, [2])?).is_ok());
    /// let error = Input::from_array(&Array::zeros(&device, DType::F32, [2])?).unwrap_err();
    /// assert!(error.to_string().contains("cast it to f64"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The floats are not f64: in f32 a difference quotient has three or four correct digits, and a
    /// check that tolerates the rest would let wrong gradients pass.
    pub fn from_array(array: &Array) -> Result<Self> {
        match array.dtype() {
            DType::F64 => Input::new(array.shape(), array.to_vec::<f64>()?),
            DType::I64 | DType::U8 => {
                Input::indices(array.shape(), array.cast(DType::I64)?.to_vec::<i64>()?)
            }
            other => Err(refused(other)),
        }
    }

    /// The same values in another memory layout. It is checked when the input is put
    /// [on a device](Self::on).
    ///
    /// ```
    /// use ferrotape_gradcheck::{Input, MemoryLayout};
    ///
    /// let x = Input::new([2], [1.0, 2.0])?.laid_out(MemoryLayout::Flipped(0));
    /// assert_eq!(x.layout(), &MemoryLayout::Flipped(0));
    /// assert_eq!(format!("{x:?}"), "Input::new([2], [1.0, 2.0])?.laid_out(MemoryLayout::Flipped(0))");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn laid_out(mut self, layout: MemoryLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The same values without a gradient.
    ///
    /// ```
    /// use ferrotape_gradcheck::Input;
    ///
    /// let mean = Input::new([1], [0.5])?.constant();
    /// assert_eq!(format!("{mean:?}"), "Input::new([1], [0.5])?.constant()");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn constant(mut self) -> Self {
        self.tracked = false;
        self
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Where the elements lie in memory.
    pub fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    /// Whether a gradient is wanted.
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// The values in row-major order, if they are floats.
    ///
    /// ```
    /// use ferrotape_gradcheck::Input;
    ///
    /// assert_eq!(Input::new([2], [0.5, 1.5])?.floats(), Some(&[0.5, 1.5][..]));
    /// assert_eq!(Input::indices([2], [0, 1])?.floats(), None);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn floats(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Float(values) => Some(values),
            Values::Index(_) => None,
        }
    }

    /// The same input with other values; itself if it holds indices.
    pub(crate) fn with_floats(&self, values: Vec<f64>) -> Input {
        let mut input = self.clone();
        if let Values::Float(own) = &mut input.values {
            *own = values;
        }
        input
    }

    /// The same input with the values at index 0 of a dimension repeated along it.
    pub(crate) fn repeated(&self, dim: usize) -> Input {
        let at_zero = |position: usize| {
            let inner: usize = self.shape[dim + 1..].iter().product();
            let size = self.shape[dim];
            position / (size * inner) * size * inner + position % inner
        };
        let mut input = self.clone();
        let count = self.shape.numel();
        match (&self.values, &mut input.values) {
            (Values::Float(from), Values::Float(to)) => {
                *to = (0..count).map(|p| from[at_zero(p)]).collect();
            }
            (Values::Index(from), Values::Index(to)) => {
                *to = (0..count).map(|p| from[at_zero(p)]).collect();
            }
            _ => unreachable!("a clone holds the same kind of values"),
        }
        input
    }

    /// The array on a device, in this input's memory layout.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_gradcheck::{Input, MemoryLayout};
    ///
    /// let device = Device::new(Reference::new());
    /// let rows = Input::new([2, 3], [1.0; 6])?;
    /// assert_eq!(rows.on(&device)?.shape().dims(), [2, 3]);
    /// let error = rows.laid_out(MemoryLayout::Flipped(2)).on(&device).unwrap_err().to_string();
    /// assert!(error.contains("there is no such dimension"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A layout that this shape or these values cannot have; out of memory.
    pub fn on(&self, device: &Device) -> Result<Array> {
        self.on_as(device, DType::F64)
    }

    /// The same with floats of another type; indices stay i64.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, reference::Reference};
    /// use ferrotape_gradcheck::{Input, MemoryLayout};
    ///
    /// let input = Input::new([2], [1.0, 2.0])?.laid_out(MemoryLayout::Sliced(0, 1, 1));
    /// let array = input.on_as(&Device::new(Reference::new()), DType::F32)?;
    /// assert_eq!(array.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`on`](Self::on).
    pub fn on_as(&self, device: &Device, dtype: DType) -> Result<Array> {
        let shape = self.shape;
        let rank = shape.rank();
        let dense = self.dense(device, dtype)?;
        let misfit = |why: &str| {
            Error::argument(format!("shape {shape} cannot be laid out as {:?}: {why}", self.layout))
        };
        let within = |dim: usize| {
            if dim < rank { Ok(dim) } else { Err(misfit("there is no such dimension")) }
        };
        match &self.layout {
            MemoryLayout::Contiguous => Ok(dense),
            MemoryLayout::ChannelsLast => dense.channels_last(),
            &MemoryLayout::ChannelsSlice(before, after) => {
                let [n, c, h, w] = shape.nchw()?;
                let wide = Shape::new(&[n, before + c + after, h, w])?;
                let wide = self.surroundings(device, dtype, Layout::channels_last(wide)?)?;
                self.filled_in(wide.narrow(1, before, c)?, &dense)
            }
            &MemoryLayout::Sliced(dim, before, after) => {
                let size = shape[within(dim)?];
                let wide = Layout::contiguous(shape.with(dim, before + size + after)?);
                let wide = self.surroundings(device, dtype, wide)?;
                self.filled_in(wide.narrow(dim, before, size)?, &dense)
            }
            MemoryLayout::Permuted(order) => {
                let mut inverse = order.clone();
                let stored = dense.permute(order)?.contiguous()?;
                for (to, &from) in order.iter().enumerate() {
                    inverse[from] = to;
                }
                stored.permute(&inverse)
            }
            &MemoryLayout::Flipped(dim) => dense.flip(within(dim)?)?.contiguous()?.flip(dim),
            &MemoryLayout::Broadcast(dim) => {
                if shape[within(dim)?] == 0 || self.repeated(dim) != *self {
                    return Err(misfit("the values are not equal along the dimension"));
                }
                dense.narrow(dim, 0, 1)?.contiguous()?.broadcast_to(shape)
            }
        }
    }

    fn dense(&self, device: &Device, dtype: DType) -> Result<Array> {
        match &self.values {
            Values::Float(values) => Array::from_f64(device, values, dtype, self.shape),
            Values::Index(values) => Array::from_slice(device, values, self.shape),
        }
    }

    fn surroundings(&self, device: &Device, dtype: DType, layout: Layout) -> Result<Array> {
        let (dtype, value) = match self.values {
            Values::Float(_) => (dtype, f64::NAN),
            Values::Index(_) => (DType::I64, -4_444_444.0),
        };
        let mut array = Array::empty(device, dtype, layout)?;
        device.backend().fill(&mut array, value)?;
        Ok(array)
    }

    fn filled_in(&self, mut part: Array, values: &Array) -> Result<Array> {
        values.device().backend().copy(values, &mut part)?;
        Ok(part)
    }
}

/// Why floats that are not f64 are refused.
pub(crate) fn refused(dtype: DType) -> Error {
    if !dtype.is_float() {
        return Error::dtype(format!(
            "gradients are checked of f64, got {dtype}, which has no gradient; check what is computed from it"
        ));
    }
    Error::dtype(format!(
        "gradients are checked in f64, got {dtype}: a difference quotient loses half of the digits, \
         so that a tolerance wide enough for {dtype} would let wrong gradients pass; cast it to f64"
    ))
}

fn filled(shape: Shape, count: usize) -> Result<Shape> {
    if count != shape.numel() {
        return Err(Error::shape(format!(
            "{count} values do not fill shape {shape}, which takes {}",
            shape.numel()
        )));
    }
    Ok(shape)
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values {
            Values::Float(values) => write!(f, "Input::new({}, {:?})?", self.shape, Few(values))?,
            Values::Index(values) => {
                write!(f, "Input::indices({}, {:?})?", self.shape, Few(values))?;
            }
        }
        match &self.layout {
            MemoryLayout::Contiguous => {}
            MemoryLayout::Permuted(order) => {
                write!(f, ".laid_out(MemoryLayout::Permuted(vec!{order:?}))")?;
            }
            layout => write!(f, ".laid_out(MemoryLayout::{layout:?})")?,
        }
        if !self.tracked && self.floats().is_some() {
            f.write_str(".constant()")?;
        }
        Ok(())
    }
}

/// A list of which no more than [`PRINTED`] are printed, and then how many there are.
struct Few<'a, T>(&'a [T]);

/// What a person may still look at, or paste.
const PRINTED: usize = 256;

impl<T: fmt::Debug> fmt::Debug for Few<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) =
            self.0.split_at_checked(PRINTED).filter(|(_, rest)| !rest.is_empty())
        else {
            return self.0.fmt(f);
        };
        f.write_str("[")?;
        first.iter().try_for_each(|value| write!(f, "{value:?}, "))?;
        write!(f, "/* and {} more of this test */]", rest.len())
    }
}

/// Numbers of a size around 1 and away from 0 with random signs, to weigh elements with: none is
/// so small that a mistake in its element could hide.
pub(crate) fn weights(rng: Rng, count: usize) -> Vec<f64> {
    let weight = |i: u64| {
        let size = 0.5 + rng.uniform_f64(2 * i);
        if rng.uniform_f64(2 * i + 1) < 0.5 { -size } else { size }
    };
    (0..count as u64).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotape_backend::reference::Reference;

    #[test]
    fn every_layout_holds_the_same_logical_values() -> Result<()> {
        let device = Device::new(Reference::new());
        for shape in [vec![], vec![3], vec![2, 3], vec![2, 3, 1, 2], vec![2, 2, 2, 2]] {
            let count = shape.iter().product::<usize>();
            let values: Vec<f64> = (0..count).map(|i| i as f64).collect();
            let plain = Input::new(&shape, values.clone())?;
            for layout in MemoryLayout::all(&shape) {
                let array = plain.clone().laid_out(layout.clone()).on(&device)?;
                assert_eq!(array.to_vec::<f64>()?, values, "{layout:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_broadcast_layout_wants_equal_values() -> Result<()> {
        let device = Device::new(Reference::new());
        let layout = MemoryLayout::Broadcast(0);
        let input = Input::new([2, 2], [1.0, 2.0, 3.0, 4.0])?.laid_out(layout);
        assert!(input.on(&device).unwrap_err().to_string().contains("not equal along"));
        let array = input.repeated(0).on(&device)?;
        assert_eq!(array.to_vec::<f64>()?, [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(array.layout().strides(), [0, 1]);
        Ok(())
    }

    #[test]
    fn an_input_prints_as_the_expression_that_makes_it() -> Result<()> {
        let order = MemoryLayout::Permuted(vec![1, 0]);
        let input = Input::new([1, 2], [0.5, -1.0])?.laid_out(order).constant();
        let text = "Input::new([1, 2], [0.5, -1.0])?\
                    .laid_out(MemoryLayout::Permuted(vec![1, 0])).constant()";
        assert_eq!(format!("{input:?}"), text);
        Ok(())
    }
}
