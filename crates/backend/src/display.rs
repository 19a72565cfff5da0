//! How an array is printed: the way PyTorch prints a tensor (`torch/_tensor_str.py`), with what it is
//! and where it lies in a last line.

use std::fmt;

use half::{bf16, f16};

use crate::{Array, DType, Element, Layout, Result, Shape};

/// Arrays of more elements are summarised: `torch.set_printoptions(threshold=...)`.
const THRESHOLD: usize = 1000;
/// Elements at each end of a dimension in a summary: `edgeitems`.
const EDGE: usize = 3;
/// Digits after the point.
const PRECISION: usize = 4;
/// Rows are broken before they are longer: `linewidth`.
const WIDTH: usize = 80;

/// Prints as PyTorch does: nested brackets, columns aligned, four digits after the point or as many
/// as `{:.2}` says, powers of ten where numbers are far apart, `1.` for whole ones. Of more than
/// 1,000 elements three at each end of each dimension are shown, and no others are copied from the
/// device. The last line says the type, the shape and the device.
///
/// An array that cannot be read prints why in brackets.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let x = Array::from_slice(&device, &[1.0f32, 2.5, -3.0, 40.0], [2, 2])?;
/// let printed = "\
/// [[ 1.0000,  2.5000],
///  [-3.0000, 40.0000]]
/// f32 [2, 2] on reference";
/// assert_eq!(x.to_string(), printed);
/// assert!(format!("{x:.1}").starts_with("[[ 1.0,  2.5],\n [-3.0, 40.0]]\n"));
///
/// let long = Array::zeros(&device, DType::I64, [2000])?.to_string();
/// assert_eq!(long, "[0, 0, 0, ..., 0, 0, 0]\ni64 [2000] on reference");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match printed(self, f.precision()) {
            Ok(elements) => writeln!(f, "{elements}")?,
            Err(error) => writeln!(f, "[{error}]")?,
        }
        write!(f, "{} {} on {}", self.dtype(), self.shape(), self.device().name())
    }
}

/// The elements in brackets.
fn printed(array: &Array, precision: Option<usize>) -> Result<String> {
    if array.shape().numel() == 0 {
        return Ok("[]".to_owned());
    }
    let summarised = array.shape().numel() > THRESHOLD;
    let shown = if summarised { edges(array)? } else { array.clone() };
    let mut items = items(&shown, precision)?;
    let width = items.iter().map(String::len).max().unwrap_or(0);
    items.iter_mut().for_each(|item| *item = format!("{item:>width$}"));
    // Where a dimension is longer than what is shown of it, something was left out.
    let sizes = array.shape().dims().iter().zip(shown.shape().dims());
    let dims: Vec<(usize, bool)> = sizes.map(|(all, &some)| (some, *all > some)).collect();
    Ok(nested(&items, &dims, 0))
}

/// The ends of every dimension that is longer than both of them, put together.
fn edges(array: &Array) -> Result<Array> {
    let sizes: Vec<usize> = array.shape().dims().iter().map(|&size| size.min(2 * EDGE)).collect();
    let shown = Layout::contiguous(Shape::new(&sizes)?);
    let shown = Array::empty(array.device(), array.dtype(), shown)?;
    let mut parts = vec![(array.clone(), shown.clone())];
    for (dim, &size) in array.shape().dims().iter().enumerate() {
        if size <= 2 * EDGE {
            continue;
        }
        let mut halves = Vec::new();
        for (from, to) in parts {
            halves.push((from.narrow(dim, 0, EDGE)?, to.narrow(dim, 0, EDGE)?));
            halves.push((from.narrow(dim, size - EDGE, EDGE)?, to.narrow(dim, EDGE, EDGE)?));
        }
        parts = halves;
    }
    for (from, mut to) in parts {
        array.device().backend().copy(&from, &mut to)?;
    }
    Ok(shown)
}

/// Every element as text, in row-major order.
fn items(array: &Array, precision: Option<usize>) -> Result<Vec<String>> {
    fn whole<T: Element + ToString>(array: &Array) -> Result<Vec<String>> {
        Ok(array.to_vec::<T>()?.iter().map(T::to_string).collect())
    }
    // The device need not have f64: numbers are widened here.
    fn wide<T: Element>(array: &Array) -> Result<Vec<f64>> {
        Ok(array.to_vec::<T>()?.into_iter().map(T::to_f64).collect())
    }
    let values = match array.dtype() {
        DType::I64 => return whole::<i64>(array),
        DType::U8 => return whole::<u8>(array),
        DType::F32 => wide::<f32>(array)?,
        DType::F64 => wide::<f64>(array)?,
        DType::BF16 => wide::<bf16>(array)?,
        DType::F16 => wide::<f16>(array)?,
    };
    let form = Form::of(&values, precision);
    Ok(values.into_iter().map(|value| form.write(value)).collect())
}

/// How the floats of one array are written: all in the same way.
enum Form {
    /// `1.`
    Whole,
    /// `1.0000`
    Fixed(usize),
    /// `1.0000e+00`
    Scientific(usize),
}

impl Form {
    /// PyTorch's choice: powers of ten where the largest is over 1,000 times the smallest or above
    /// 1e8, or a fraction below 1e-4; the point alone if there is no fraction.
    fn of(values: &[f64], precision: Option<usize>) -> Self {
        let finite = values.iter().filter(|value| value.is_finite() && **value != 0.0);
        let (mut smallest, mut largest, mut whole) = (f64::INFINITY, 0.0f64, true);
        for value in finite {
            (smallest, largest) = (smallest.min(value.abs()), largest.max(value.abs()));
            whole &= value.fract() == 0.0;
        }
        let digits = precision.unwrap_or(PRECISION);
        if largest / smallest > 1000.0 || largest > 1e8 || smallest < 1e-4 {
            Form::Scientific(digits)
        } else if whole && precision.is_none() {
            Form::Whole
        } else {
            Form::Fixed(digits)
        }
    }

    fn write(&self, value: f64) -> String {
        match *self {
            _ if value.is_nan() => "nan".to_owned(),
            _ if value.is_infinite() => value.to_string(),
            Form::Whole => format!("{value:.0}."),
            Form::Fixed(digits) => format!("{value:.digits$}"),
            Form::Scientific(digits) => {
                let text = format!("{value:.digits$e}");
                // `1e-7` becomes `1e-07`, as C and Python write it.
                let (number, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let sign = if exponent.starts_with('-') { '-' } else { '+' };
                format!("{number}e{sign}{:0>2}", exponent.trim_start_matches('-'))
            }
        }
    }
}

/// The items of these dimensions (how many are shown, whether some are left out) in brackets, behind
/// so many brackets that are open already.
fn nested(items: &[String], dims: &[(usize, bool)], indent: usize) -> String {
    let Some((&(size, cut), inner)) = dims.split_first() else { return items.concat() };
    let mut parts: Vec<String> = match inner {
        [] => items.to_vec(),
        _ => {
            items.chunks(items.len() / size).map(|chunk| nested(chunk, inner, indent + 1)).collect()
        }
    };
    if cut {
        parts.insert(EDGE, "...".to_owned());
    }
    let break_line = |lines: usize| format!(",{}{}", "\n".repeat(lines), " ".repeat(indent + 1));
    if !inner.is_empty() {
        return format!("[{}]", parts.join(&break_line(inner.len())));
    }
    let longest = parts.iter().map(String::len).max().unwrap_or(0);
    let in_line = (WIDTH.saturating_sub(indent) / (longest + 2)).max(1);
    let lines: Vec<String> = parts.chunks(in_line).map(|line| line.join(", ")).collect();
    format!("[{}]", lines.join(&break_line(1)))
}

#[cfg(all(test, feature = "reference"))]
mod tests {
    use super::*;
    use crate::Device;
    use crate::reference::Reference;

    fn device() -> Device {
        Device::new(Reference::new())
    }

    fn floats(values: &[f64], dtype: DType, dims: &[usize]) -> Array {
        let shape = Shape::new(dims).unwrap();
        Array::from_f64(&device(), values, dtype, shape).unwrap()
    }

    /// What is printed above the last line.
    fn body(array: &Array) -> String {
        let text = array.to_string();
        text.rsplit_once('\n').expect("there is a last line").0.to_owned()
    }

    fn body_of(values: &[f64]) -> String {
        body(&floats(values, DType::F64, &[values.len()]))
    }

    #[test]
    fn scalars_and_arrays_without_elements_are_printed() {
        assert_eq!(floats(&[2.5], DType::F32, &[]).to_string(), "2.5000\nf32 [] on reference");
        let empty = floats(&[], DType::F64, &[0, 3]);
        assert_eq!(empty.to_string(), "[]\nf64 [0, 3] on reference");
    }

    #[test]
    fn numbers_are_written_as_pytorch_writes_them() {
        assert_eq!(body_of(&[1.0, -2.0, 0.0]), "[ 1., -2.,  0.]");
        assert_eq!(body_of(&[0.0, 0.0]), "[0., 0.]");
        assert_eq!(body_of(&[0.5, 100.25]), "[  0.5000, 100.2500]");
        assert_eq!(body_of(&[0.5, 1000.0]), "[5.0000e-01, 1.0000e+03]");
        assert_eq!(body_of(&[3e-5]), "[3.0000e-05]");
        assert_eq!(body_of(&[1e300, -1e-300]), "[ 1.0000e+300, -1.0000e-300]");
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5];
        assert_eq!(body_of(&special), "[   nan,    inf,   -inf, 1.5000]");
        assert_eq!(body_of(&special[..2]), "[nan, inf]");
    }

    #[test]
    fn the_precision_asked_for_is_kept() {
        let x = floats(&[1.0, 2.0], DType::F32, &[2]);
        assert!(format!("{x:.2}").starts_with("[1.00, 2.00]\n"));
        let apart = floats(&[1.0, 1e9], DType::F32, &[2]);
        assert!(format!("{apart:.0}").starts_with("[1e+00, 1e+09]\n"));
    }

    #[test]
    fn integers_are_exact() {
        // The largest that the reference can hold.
        let values = [(1i64 << 53) - 1, -7];
        let x = Array::from_slice(&device(), &values, [2, 1]).unwrap();
        assert_eq!(body(&x), "[[9007199254740991],\n [              -7]]");
        let bytes = Array::from_slice(&device(), &[0u8, 255], [2]).unwrap();
        assert_eq!(bytes.to_string(), "[  0, 255]\nu8 [2] on reference");
    }

    #[test]
    fn sixteen_bits_show_what_they_hold() {
        let x = floats(&[0.1, 1.0], DType::BF16, &[2]);
        assert_eq!(x.to_string(), "[0.1001, 1.0000]\nbf16 [2] on reference");
        assert_eq!(body(&floats(&[0.1], DType::F16, &[1])), "[0.1000]");
    }

    #[test]
    fn indices_count_and_not_the_order_in_memory() {
        let values: Vec<f64> = (0..8).map(f64::from).collect();
        let x = floats(&values, DType::F32, &[1, 2, 2, 2]);
        let rows = "[[[[0., 1.],\n   [2., 3.]],\n\n  [[4., 5.],\n   [6., 7.]]]]";
        assert_eq!(body(&x), rows);
        assert_eq!(body(&x.channels_last().unwrap()), rows);
        let turned = floats(&values[..4], DType::F32, &[2, 2]).permute(&[1, 0]).unwrap();
        assert_eq!(body(&turned), "[[0., 2.],\n [1., 3.]]");
        let every = floats(&values, DType::F32, &[8]).flip(0).unwrap().narrow(0, 1, 2).unwrap();
        assert_eq!(body(&every), "[6., 5.]");
    }

    #[test]
    fn more_than_a_thousand_elements_are_summarised() {
        let range: Vec<i64> = (0..1200).collect();
        let x = Array::from_slice(&device(), &range, [3, 400]).unwrap();
        let printed = "[[   0,    1,    2, ...,  397,  398,  399],\n \
                       [ 400,  401,  402, ...,  797,  798,  799],\n \
                       [ 800,  801,  802, ..., 1197, 1198, 1199]]";
        assert_eq!(body(&x), printed);
        let turned = body(&x.permute(&[1, 0]).unwrap());
        assert!(turned.contains("2,  402,  802],\n ...,\n [ 397,"), "{turned}");
        let cube = body(&Array::from_slice(&device(), &range, [10, 12, 10]).unwrap());
        assert!(cube.contains(", 1199]]]") && cube.contains("\n\n ...,\n\n [["), "{cube}");
        assert_eq!(cube.matches("...").count(), 6 * 6 + 6 + 1);
    }

    #[test]
    fn long_rows_are_broken() {
        let x = Array::from_slice(&device(), &[10i64; 30], [1, 30]).unwrap();
        let lines: Vec<String> = body(&x).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].len() <= WIDTH && lines[0].ends_with("10,"), "{lines:?}");
        assert!(lines[1].starts_with("  10, "), "{lines:?}");
    }

    #[cfg(feature = "meta")]
    #[test]
    fn an_array_that_cannot_be_read_says_why() {
        let device = Device::new(crate::meta::Meta::new());
        let x = Array::zeros(&device, DType::F32, [2, 3]).unwrap();
        let text = x.to_string();
        let (why, what) = text.rsplit_once('\n').unwrap();
        assert!(why.starts_with('[') && why.ends_with(']') && why.contains("meta"), "{text}");
        assert_eq!(what, "f32 [2, 3] on meta");
    }
}
