//! Operands of a generated case: shape, data type, layout and values, and how they get on a device.

use std::fmt;

use half::{bf16, f16};

use crate::{Array, DType, Device, Element, Layout, Result, Rng, Shape};

/// How an operand lies in its buffer. The default is row-major order without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View {
    pub(super) order: Order,
    /// Elements of the buffer that the operand leaves out.
    pub(super) cut: Cut,
    /// Bit `i`: dimension `i` is in reverse order.
    pub(super) flips: u8,
    /// Bit `i`: dimension `i` is broadcast. Outputs ignore it.
    pub(super) stretch: u8,
}

/// The order of the dimensions in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    RowMajor,
    /// Channels-last for images, row-major for all else.
    ChannelsLast,
    /// An order drawn with this key.
    Permuted(u64),
}

/// What part of a larger array the operand is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Cut {
    #[default]
    Whole,
    /// So many channels (or whatever dimension 1 is) before and after.
    Channels(usize, usize),
    /// Margins and steps of every dimension, drawn with this key.
    Everywhere(u64),
}

impl View {
    /// The layout and the number of elements of the buffer.
    pub(super) fn layout(&self, shape: &[usize]) -> Result<(Layout, usize)> {
        let rank = shape.len();
        // Before, step and after of each dimension.
        let margins: Vec<[usize; 3]> = (0..rank)
            .map(|dim| match self.cut {
                Cut::Channels(before, after) if dim == 1 => [before, 1, after],
                Cut::Everywhere(key) => {
                    let draw = |i: u64, n| Rng::new(key).below(3 * dim as u64 + i, n) as usize;
                    [draw(0, 3), draw(1, 2) + 1, draw(2, 2)]
                }
                _ => [0, 1, 0],
            })
            .collect();
        let stretched = |dim: usize| self.stretch >> dim & 1 == 1 && shape[dim] > 0;
        let size = |dim: usize| if stretched(dim) { 1 } else { shape[dim] };
        let whole: Vec<usize> = (0..rank)
            .map(|dim| {
                let [before, step, after] = margins[dim];
                before + size(dim).saturating_sub(1) * step + size(dim).min(1) + after
            })
            .collect();
        let mut layout = self.order(&whole)?;
        let length = layout.shape().numel();
        for (dim, [before, step, _]) in margins.into_iter().enumerate() {
            if step > 1 {
                layout = layout.step(dim, before, step)?.narrow(dim, 0, size(dim))?;
            } else {
                layout = layout.narrow(dim, before, size(dim))?;
            }
            if self.flips >> dim & 1 == 1 {
                layout = layout.flip(dim)?;
            }
        }
        Ok((layout.broadcast_to(Shape::new(shape)?)?, length))
    }

    fn order(&self, whole: &[usize]) -> Result<Layout> {
        match self.order {
            Order::ChannelsLast if whole.len() == 4 => Layout::channels_last(Shape::new(whole)?),
            Order::Permuted(key) => {
                let order = Rng::new(key).permutation(whole.len());
                let stored: Vec<usize> = order.iter().map(|&dim| whole[dim]).collect();
                let mut inverse = vec![0; order.len()];
                for (place, &dim) in order.iter().enumerate() {
                    inverse[dim] = place;
                }
                Layout::contiguous(Shape::new(&stored)?).permute(&inverse)
            }
            _ => Ok(Layout::contiguous(Shape::new(whole)?)),
        }
    }
}

/// What a verb wants of an operand's data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A float, the same for all operands or its accumulator.
    Float,
    /// i64.
    Index,
    /// Anything.
    Any,
}

/// Which values an operand holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Values {
    /// Standard normal times the factor, plus the offset.
    Normal(f64, f64),
    /// Uniform between the two.
    Uniform(f64, f64),
    /// Small integers, of which many are equal.
    Ties,
    /// Small integers, infinities, NaN and -0.
    Special,
    /// Integers from 0 to below the limit; now and then the second number, if there is one.
    Index(usize, Option<i64>),
    /// What stands in an output before: NaN, or 77 for integers.
    Garbage,
}

impl Values {
    fn draw(self, rng: Rng, i: u64) -> f64 {
        let small = |n: u64| rng.below(i, n) as f64;
        match self {
            Values::Normal(factor, offset) => offset + factor * rng.normal_f64(i),
            Values::Uniform(low, high) => low + (high - low) * rng.uniform_f64(i),
            Values::Ties => small(5) - 2.0,
            Values::Special => match rng.below(i, 12) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 | 3 => f64::NEG_INFINITY,
                4 => -0.0,
                _ => small(5) - 2.0,
            },
            Values::Index(_, Some(other)) if rng.bits(i).is_multiple_of(4) => other as f64,
            Values::Index(limit, _) => small(limit as u64),
            Values::Garbage => f64::NAN,
        }
    }
}

/// Up to here f64 holds every integer.
const EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

/// One operand of a case.
#[derive(Clone)]
pub(super) struct Operand {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) view: View,
    pub(super) values: Values,
    pub(super) seed: u64,
    /// The element, in row-major order, that is NaN whatever the values are.
    pub(super) nan: Option<usize>,
    /// Whether one more dimension makes the case invalid.
    pub(super) rank_matters: bool,
}

impl fmt::Debug for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.name, self.dtype, self.shape)?;
        match self.view.layout(&self.shape) {
            Ok((layout, _)) if self.view == View::default() && layout.is_contiguous() => {
                write!(f, ", contiguous")?;
            }
            Ok((layout, length)) => write!(
                f,
                ", strides {:?}, offset {}, {:?}, in a buffer of {length}",
                layout.strides(),
                layout.offset(),
                layout.format()
            )?,
            Err(error) => write!(f, ", no layout: {error}")?,
        }
        write!(f, ", values {:?} of seed {}", self.values, self.seed)?;
        self.nan.map_or(Ok(()), |nth| write!(f, ", NaN at element {nth} of the indices' order"))
    }
}

/// An operand on the device under test, with what its buffer held at first.
pub(super) struct Placed {
    pub(super) array: Array,
    before: Vec<u8>,
}

impl Operand {
    /// Whether it holds indices of which some are out of range: nothing but a look at them can tell.
    pub(super) fn is_misplaced(&self) -> bool {
        let outside =
            |limit: usize, index: i64| usize::try_from(index).map_or(true, |i| i >= limit);
        matches!(self.values, Values::Index(limit, Some(index)) if outside(limit, index))
    }

    pub(super) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values of the whole buffer and the layout. Elements that do not belong to the operand
    /// are such that reading them shows.
    fn raw(&self) -> Result<(Vec<f64>, Layout)> {
        let (layout, length) = self.view.layout(&self.shape)?;
        let gap = if self.dtype.is_float() { f64::NAN } else { 1e12 };
        let mut raw = vec![round(self.dtype, gap); length];
        let rng = Rng::new(self.seed);
        for (nth, position) in layout.positions().enumerate() {
            // Where the operand is broadcast the last draw stays, the same for all.
            let value = match self.values {
                Values::Garbage if !self.dtype.is_float() => 77.0,
                _ if self.nan == Some(nth) => f64::NAN,
                values => values.draw(rng, nth as u64),
            };
            let value = match self.dtype {
                // The largest integers that the reference can hold.
                DType::I64 => value.clamp(-EXACT, EXACT),
                _ => value,
            };
            raw[position] = round(self.dtype, value);
        }
        Ok((raw, layout))
    }

    /// The elements in row-major order of the logical indices.
    pub(super) fn elements(&self) -> Result<Vec<f64>> {
        let (raw, layout) = self.raw()?;
        Ok(layout.positions().map(|position| raw[position]).collect())
    }

    /// The operand on a device.
    pub(super) fn place(&self, device: &Device) -> Result<Placed> {
        let (raw, layout) = self.raw()?;
        let before = encode(self.dtype, &raw);
        let flat = Layout::contiguous(Shape::new(&[raw.len()])?);
        let mut array = Array::empty(device, self.dtype, flat)?;
        device.backend().upload(&before, &mut array)?;
        Ok(Placed { array: array.with_layout(layout)?, before })
    }
}

impl Placed {
    /// The bytes of the whole buffer as they are now.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let length = self.array.buffer().len();
        let flat = self.array.with_layout(Layout::contiguous(Shape::new(&[length])?))?;
        let mut bytes = vec![0; self.before.len()];
        self.array.device().backend().download(&flat, &mut bytes)?;
        Ok(bytes)
    }

    /// The elements, from the bytes of the buffer.
    pub(super) fn elements(&self, bytes: &[u8]) -> Vec<f64> {
        let raw = decode(self.array.dtype(), bytes);
        self.array.layout().positions().map(|position| raw[position]).collect()
    }

    /// The first element of the buffer that changed, of those that may not: all of an input, the
    /// gaps of an output.
    pub(super) fn trespass(&self, bytes: &[u8], is_output: bool) -> Option<usize> {
        let size = self.array.dtype().size();
        let mut allowed = vec![false; self.array.buffer().len()];
        if is_output {
            self.array.layout().positions().for_each(|position| allowed[position] = true);
        }
        (0..allowed.len()).find(|&at| {
            let range = at * size..(at + 1) * size;
            !allowed[at] && self.before[range.clone()] != bytes[range]
        })
    }
}

/// Calls a generic function with the element type of a data type.
macro_rules! dispatch {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            DType::F32 => $function::<f32>($($argument),*),
            DType::F64 => $function::<f64>($($argument),*),
            DType::BF16 => $function::<bf16>($($argument),*),
            DType::F16 => $function::<f16>($($argument),*),
            DType::I64 => $function::<i64>($($argument),*),
            DType::U8 => $function::<u8>($($argument),*),
        }
    };
}

/// The nearest value of a data type.
pub(super) fn round(dtype: DType, value: f64) -> f64 {
    fn through<T: Element>(value: f64) -> f64 {
        T::from_f64(value).to_f64()
    }
    dispatch!(dtype, through(value))
}

fn encode(dtype: DType, values: &[f64]) -> Vec<u8> {
    fn bytes<T: Element>(values: &[f64]) -> Vec<u8> {
        let elements: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
        bytemuck::cast_slice(&elements).to_vec()
    }
    dispatch!(dtype, bytes(values))
}

fn decode(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    fn values<T: Element>(bytes: &[u8]) -> Vec<f64> {
        let elements = bytes.chunks_exact(size_of::<T>());
        elements.map(|chunk| bytemuck::pod_read_unaligned::<T>(chunk).to_f64()).collect()
    }
    dispatch!(dtype, values(bytes))
}
