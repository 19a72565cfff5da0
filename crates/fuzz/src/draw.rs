//! Numbers, shapes and operands that are drawn from bytes.

use arbitrary::Unstructured;
use ferrotape_backend::{DType, Rng};
use ferrotape_gradcheck::{Input, MemoryLayout};

/// What is left of the bytes; zeros where nothing is.
pub(crate) struct Draw<'a>(Unstructured<'a>);

/// The most elements of an operand.
const MOST: usize = 384;

impl<'a> Draw<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Draw(Unstructured::new(bytes))
    }

    /// Whether all bytes are used up.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number from 0 to `most`.
    pub(crate) fn count(&mut self, most: usize) -> usize {
        let byte = usize::from(self.0.arbitrary::<u8>().unwrap_or_default());
        byte % (most + 1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.count(1) == 1
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.count(from.len() - 1)]
    }

    /// Up to so many bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.count(most).min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// A size: small ones, those around the widths of vectors, 0 now and then.
    pub(crate) fn size(&mut self) -> usize {
        self.pick(&[1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 33, 0, 6])
    }

    /// Sizes of at most [`MOST`] elements in all, all equal now and then.
    pub(crate) fn shape(&mut self, rank: usize) -> Vec<usize> {
        let mut sizes: Vec<usize> = match self.count(5) {
            0 => vec![self.size(); rank],
            _ => (0..rank).map(|_| self.size()).collect(),
        };
        shrink(&mut sizes, MOST);
        sizes
    }

    /// A float type, f32 and f64 most often.
    pub(crate) fn float(&mut self) -> DType {
        self.pick(&[DType::F32, DType::F64, DType::F32, DType::F64, DType::BF16, DType::F16])
    }

    /// Floats of a shape, in any layout: multiples of an eighth from -2 to 2, so that sums of products of few
    /// thousand terms are exact in f32 in any order.
    pub(crate) fn input(&mut self, shape: &[usize]) -> Input {
        let rng = Rng::new(u64::from(self.bits() as u16));
        let count: usize = shape.iter().product();
        let values = (0..count as u64).map(|at| rng.below(at, 33) as f64 / 8.0 - 2.0);
        let input = Input::new(shape, values.collect::<Vec<f64>>());
        input.expect("as many values as the shape has elements").laid_out(self.layout(shape))
    }

    /// A layout that any values can have.
    pub(crate) fn layout(&mut self, shape: &[usize]) -> MemoryLayout {
        let all = MemoryLayout::all(shape);
        match self.flag() {
            true => all[self.count(all.len() - 1)].clone(),
            false => MemoryLayout::Contiguous,
        }
    }
}

/// Halves the largest size until there are few enough elements.
pub(crate) fn shrink(sizes: &mut [usize], most: usize) {
    while sizes.iter().product::<usize>() > most {
        if let Some(largest) = sizes.iter_mut().max() {
            *largest /= 2;
        }
    }
}
