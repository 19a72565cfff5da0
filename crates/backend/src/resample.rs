//! How the outputs of a resampling draw on its inputs along one axis: a sparse matrix.

use std::fmt;

use crate::{Error, ErrorKind, Result};

/// A sparse matrix of one row an output and one column an input, in compressed rows: output `i` is
/// the sum over its taps `(k, weight)` of `weight x[k]`. See
/// [`Backend::resample2d`](crate::Backend::resample2d).
///
/// ```
/// use ferrotape_backend::Taps;
///
/// let halves = Taps::average(4, 2)?;
/// assert_eq!(halves.row(1).collect::<Vec<_>>(), [(2, 0.5), (3, 0.5)]);
/// assert_eq!(halves.transposed().row(3).collect::<Vec<_>>(), [(1, 0.5)]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Taps {
    inputs: usize,
    /// Where each row begins among the taps, and where the last one ends.
    offsets: Vec<usize>,
    indices: Vec<usize>,
    weights: Vec<f64>,
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Taps({} from {}, {} taps)", self.outputs(), self.inputs, self.indices.len())
    }
}

/// Room for a list whose length the caller chose.
fn room<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| {
        Error::new(ErrorKind::OutOfMemory, format!("there is no room for {count} resampled pixels"))
    })?;
    Ok(list)
}

impl Taps {
    /// A matrix with these rows of taps `(input, weight)`. Inputs may be named twice.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let difference = Taps::new(3, (0..2).map(|i| [(i, -1.0), (i + 1, 1.0)]))?;
    /// assert_eq!((difference.outputs(), difference.inputs()), (2, 3));
    /// assert!(Taps::new(2, [[(2, 1.0)]]).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An input that does not exist.
    pub fn new<R>(inputs: usize, rows: impl IntoIterator<Item = R>) -> Result<Self>
    where
        R: IntoIterator<Item = (usize, f64)>,
    {
        let mut taps = Taps { inputs, offsets: vec![0], indices: Vec::new(), weights: Vec::new() };
        for row in rows {
            for (index, weight) in row {
                if index >= inputs {
                    return Err(Error::argument(format!(
                        "a tap reads input {index}, but there are {inputs}"
                    )));
                }
                taps.indices.push(index);
                taps.weights.push(weight);
            }
            taps.offsets.push(taps.indices.len());
        }
        Ok(taps)
    }

    /// Every output is a mean over some of the inputs, or a weighted one.
    fn resized<const N: usize>(
        inputs: usize,
        outputs: usize,
        row: impl Fn(usize) -> [(usize, f64); N],
    ) -> Result<Self> {
        not_from_nothing(inputs, outputs)?;
        let mut offsets = room(outputs.saturating_add(1))?;
        let (mut indices, mut weights) = (room(outputs)?, room(outputs)?);
        offsets.push(0);
        for output in 0..outputs {
            let start = indices.len();
            // What counts for nothing is not read, and what is read twice is read once.
            for (index, weight) in row(output).into_iter().filter(|(_, weight)| *weight != 0.0) {
                match indices[start..].iter().position(|&other| other == index) {
                    Some(at) => weights[start + at] += weight,
                    None => {
                        indices.push(index);
                        weights.push(weight);
                    }
                }
            }
            offsets.push(indices.len());
        }
        Ok(Taps { inputs, offsets, indices, weights })
    }

    /// Every output is `1 / divisor` of the sum over a range of the inputs.
    fn windows(
        inputs: usize,
        outputs: usize,
        window: impl Fn(usize) -> (std::ops::Range<usize>, usize),
    ) -> Result<Self> {
        let mut offsets = room(outputs.saturating_add(1))?;
        let total = (0..outputs).map(|output| window(output).0.len());
        let total = total.fold(0, usize::saturating_add);
        let (mut indices, mut weights) = (room(total)?, room(total)?);
        offsets.push(0);
        for output in 0..outputs {
            let (range, divisor) = window(output);
            weights.extend(range.clone().map(|_| 1.0 / divisor as f64));
            indices.extend(range);
            offsets.push(indices.len());
        }
        Ok(Taps { inputs, offsets, indices, weights })
    }

    /// Each output is the input of its number.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// assert!(Taps::identity(3)?.is_identity());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn identity(size: usize) -> Result<Self> {
        Taps::windows(size, size, |i| (i..i + 1, 1))
    }

    /// Output `i` is the mean of the inputs `floor(i I / O) .. ceil((i + 1) I / O)`, for I inputs and
    /// O outputs: the windows of `torch.nn.functional.adaptive_avg_pool2d` and of the mode `area` of
    /// `interpolate`.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let taps = Taps::average(3, 2)?;
    /// assert_eq!(taps.row(0).collect::<Vec<_>>(), [(0, 0.5), (1, 0.5)]);
    /// assert_eq!(taps.row(1).collect::<Vec<_>>(), [(1, 0.5), (2, 0.5)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Outputs of no inputs; out of memory.
    pub fn average(inputs: usize, outputs: usize) -> Result<Self> {
        not_from_nothing(inputs, outputs)?;
        Taps::windows(inputs, outputs, |output| {
            let range = Taps::adaptive_window(inputs, outputs, output);
            let divisor = range.len();
            (range, divisor)
        })
    }

    /// The inputs that output `output` of an adaptive pooling is made from; see [`Taps::average`].
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// assert_eq!(Taps::adaptive_window(7, 3, 1), 2..5);
    /// ```
    pub fn adaptive_window(inputs: usize, outputs: usize, output: usize) -> std::ops::Range<usize> {
        // Products of two sizes need twice the bits.
        let (size, count) = (inputs as u128, outputs.max(1) as u128);
        let start = output as u128 * size / count;
        let end = ((output as u128 + 1) * size).div_ceil(count);
        start as usize..end as usize
    }

    /// Output `i` is input `floor(i I / O)`, computed in f32 as PyTorch does (`interpolate` with mode
    /// `nearest`).
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let taps = Taps::nearest(2, 4)?;
    /// let inputs: Vec<_> = (0..4).flat_map(|output| taps.row(output)).collect();
    /// assert_eq!(inputs, [(0, 1.0), (0, 1.0), (1, 1.0), (1, 1.0)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Outputs of no inputs; out of memory.
    pub fn nearest(inputs: usize, outputs: usize) -> Result<Self> {
        let scale = inputs as f32 / outputs as f32;
        Taps::resized(inputs, outputs, |i| {
            [(((i as f32 * scale).floor() as usize).min(inputs - 1), 1.0)]
        })
    }

    /// Output `i` is the input whose centre is nearest, `floor((i + 1/2) I / O)`, computed in f32 as
    /// PyTorch does (`interpolate` with mode `nearest-exact`).
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// // Of five pixels to two: the centres are nearest to pixels 1 and 3, not 0 and 2.
    /// let inputs = |taps: &Taps| [0, 1].map(|output| taps.row(output).next());
    /// assert_eq!(inputs(&Taps::nearest_exact(5, 2)?), [Some((1, 1.0)), Some((3, 1.0))]);
    /// assert_eq!(inputs(&Taps::nearest(5, 2)?), [Some((0, 1.0)), Some((2, 1.0))]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Outputs of no inputs; out of memory.
    pub fn nearest_exact(inputs: usize, outputs: usize) -> Result<Self> {
        let scale = inputs as f32 / outputs as f32;
        Taps::resized(inputs, outputs, |i| {
            [((((i as f32 + 0.5) * scale).floor() as usize).min(inputs - 1), 1.0)]
        })
    }

    /// Linear interpolation between the two inputs beside each output's place, which is
    /// `i (I - 1) / (O - 1)` with `align_corners`, else `(i + 1/2) I / O - 1/2` and at least 0
    /// (`interpolate` with mode `bilinear`).
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let taps = Taps::linear(2, 4, false)?;
    /// assert_eq!(taps.row(0).collect::<Vec<_>>(), [(0, 1.0)]);
    /// assert_eq!(taps.row(1).collect::<Vec<_>>(), [(0, 0.75), (1, 0.25)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Outputs of no inputs; out of memory.
    pub fn linear(inputs: usize, outputs: usize, align_corners: bool) -> Result<Self> {
        let place = place(inputs, outputs, align_corners);
        Taps::resized(inputs, outputs, |i| {
            let x = place(i).max(0.0);
            let first = (x.floor() as usize).min(inputs - 1);
            let share = (x - first as f64).clamp(0.0, 1.0);
            [(first, 1.0 - share), ((first + 1).min(inputs - 1), share)]
        })
    }

    /// Cubic convolution with `a = -3/4` of the four inputs around each output's place, which is that
    /// of [`Taps::linear`] without the bound; inputs past the ends are the last ones (`interpolate`
    /// with mode `bicubic`; Keys 1981).
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// // Half way between two inputs, the weights are those of Keys: -3/32, 19/32.
    /// let taps = Taps::cubic(8, 4, false)?;
    /// let row: Vec<_> = taps.row(1).collect();
    /// assert_eq!(row, [(1, -0.09375), (2, 0.59375), (3, 0.59375), (4, -0.09375)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Outputs of no inputs; out of memory.
    pub fn cubic(inputs: usize, outputs: usize, align_corners: bool) -> Result<Self> {
        const A: f64 = -0.75;
        // Up to a distance of 1, and beyond.
        let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
        let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
        let place = place(inputs, outputs, align_corners);
        Taps::resized(inputs, outputs, |i| {
            let x = place(i);
            let t = x - x.floor();
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            let mut nth = -1.0;
            weights.map(|weight| {
                let index = (x.floor() + nth).clamp(0.0, (inputs - 1) as f64) as usize;
                nth += 1.0;
                (index, weight)
            })
        })
    }

    /// Output `i` is `1 / size` of the sum of the inputs `i - size / 2 ..= i + (size - 1) / 2`; those
    /// past the ends are zeros and count (the windows of `torch.nn.functional.local_response_norm`).
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let taps = Taps::sliding_mean(4, 3)?;
    /// assert_eq!(taps.row(1).map(|(input, _)| input).collect::<Vec<_>>(), [0, 1, 2]);
    /// // Past the end is a zero that counts.
    /// assert_eq!(taps.row(3).collect::<Vec<_>>(), [(2, 1.0 / 3.0), (3, 1.0 / 3.0)]);
    /// assert!(Taps::sliding_mean(4, 0).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size of 0; out of memory.
    pub fn sliding_mean(inputs: usize, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::argument("the window's size is 0, it must be at least 1"));
        }
        Taps::windows(inputs, inputs, |i| {
            let end = i.saturating_add((size - 1) / 2).saturating_add(1).min(inputs);
            (i.saturating_sub(size / 2)..end, size)
        })
    }

    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many taps all outputs have.
    pub fn count(&self) -> usize {
        self.indices.len()
    }

    /// The taps of an output: inputs and their weights; none if there is no such output.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let taps = Taps::linear(2, 3, true)?;
    /// assert_eq!((taps.inputs(), taps.outputs()), (2, 3));
    /// assert_eq!(taps.row(1).collect::<Vec<_>>(), [(0, 0.5), (1, 0.5)]);
    /// assert_eq!(taps.row(3).count(), 0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn row(&self, output: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = match self.offsets.get(output..).unwrap_or(&[]) {
            &[start, end, ..] => start..end,
            _ => 0..0,
        };
        let weights = &self.weights[range.clone()];
        self.indices[range].iter().copied().zip(weights.iter().copied())
    }

    /// The matrix with outputs and inputs exchanged: the gradient of a resampling is a resampling by
    /// this.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// let back = Taps::nearest(2, 4)?.transposed();
    /// assert_eq!((back.inputs(), back.outputs(), back.count()), (4, 2, 4));
    /// // The gradient of a pixel is the sum over those that were made from it.
    /// assert_eq!(back.row(0).collect::<Vec<_>>(), [(0, 1.0), (1, 1.0)]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut offsets = vec![0; self.inputs + 1];
        for &index in &self.indices {
            offsets[index + 1] += 1;
        }
        for index in 0..self.inputs {
            offsets[index + 1] += offsets[index];
        }
        let mut next = offsets.clone();
        let (mut indices, mut weights) = (vec![0; self.count()], vec![0.0; self.count()]);
        for output in 0..self.outputs() {
            for (index, weight) in self.row(output) {
                indices[next[index]] = output;
                weights[next[index]] = weight;
                next[index] += 1;
            }
        }
        Taps { inputs: self.outputs(), offsets, indices, weights }
    }

    /// Whether each output is the input of its number, so that nothing is to be computed.
    ///
    /// ```
    /// use ferrotape_backend::Taps;
    ///
    /// assert!(Taps::nearest(3, 3)?.is_identity() && !Taps::nearest(3, 6)?.is_identity());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn is_identity(&self) -> bool {
        self.outputs() == self.inputs
            && self.count() == self.inputs
            && (0..self.inputs).all(|i| self.row(i).eq([(i, 1.0)]))
    }
}

fn not_from_nothing(inputs: usize, outputs: usize) -> Result<()> {
    if inputs > 0 || outputs == 0 {
        return Ok(());
    }
    Err(Error::shape(format!("{outputs} pixels cannot be resampled from none")))
}

/// Where an output lies among the inputs.
fn place(inputs: usize, outputs: usize, align_corners: bool) -> impl Fn(usize) -> f64 {
    let scale = match align_corners {
        true if outputs > 1 => (inputs as f64 - 1.0) / (outputs as f64 - 1.0),
        true => 0.0,
        false => inputs as f64 / outputs as f64,
    };
    move |i| match align_corners {
        true => scale * i as f64,
        false => scale * (i as f64 + 0.5) - 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(taps: &Taps) -> Vec<Vec<(usize, f64)>> {
        (0..taps.outputs()).map(|i| taps.row(i).collect()).collect()
    }

    #[test]
    fn every_resizing_keeps_a_constant_and_at_equal_size_everything() -> Result<()> {
        for inputs in 1..9 {
            for outputs in 1..9 {
                for taps in [
                    Taps::average(inputs, outputs)?,
                    Taps::nearest(inputs, outputs)?,
                    Taps::nearest_exact(inputs, outputs)?,
                    Taps::linear(inputs, outputs, false)?,
                    Taps::linear(inputs, outputs, true)?,
                    Taps::cubic(inputs, outputs, false)?,
                    Taps::cubic(inputs, outputs, true)?,
                ] {
                    assert_eq!((taps.inputs(), taps.outputs()), (inputs, outputs));
                    for row in rows(&taps) {
                        let sum: f64 = row.iter().map(|(_, weight)| weight).sum();
                        assert!((sum - 1.0).abs() < 1e-12, "{taps:?} {row:?}");
                    }
                    assert_eq!(taps.is_identity(), inputs == outputs, "{:?}", rows(&taps));
                    assert_eq!(rows(&taps.transposed().transposed()), {
                        let mut sorted = rows(&taps);
                        sorted.iter_mut().for_each(|row| row.sort_by_key(|(index, _)| *index));
                        sorted
                    });
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_sliding_window_hangs_over_the_far_end_by_less_where_its_size_is_even() -> Result<()> {
        let third = 1.0 / 4.0;
        let taps = Taps::sliding_mean(4, 4)?;
        assert_eq!(rows(&taps)[0], [(0, third), (1, third)]);
        assert_eq!(rows(&taps)[3], [(1, third), (2, third), (3, third)]);
        assert_eq!(Taps::sliding_mean(2, usize::MAX)?.count(), 4);
        assert_eq!(Taps::sliding_mean(2, 0).unwrap_err().kind(), ErrorKind::Argument);
        Ok(())
    }

    #[test]
    fn pixels_from_nothing_and_more_than_memory_holds_are_errors() {
        assert_eq!(Taps::linear(0, 3, false).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(Taps::average(0, 3).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(Taps::nearest(3, usize::MAX).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(Taps::identity(usize::MAX).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(Taps::nearest(0, 0).is_ok_and(|taps| taps.outputs() == 0));
    }
}
