//! What a model remembers and training does not differentiate: running statistics, counters.

use std::fmt;
use std::sync::Arc;

use ferrotape_backend::{Array, Context, DType, Result, Shape};

use crate::cell::Cell;
use crate::{Module, Path, Ties, Visitor};

/// An array that belongs to a model's saved state but is no parameter: what PyTorch calls a
/// buffer. A handle on a shared cell; clones of the handle are the same state.
///
/// Layers change it during a forward pass through [`Pass::effect`](crate::Pass::effect), so that
/// the pass can suppress and record the change.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
/// use ferrotape_nn::{Path, State};
///
/// let device = Device::new(Reference::new());
/// let seen = State::new(Path::new("bn.num_batches_tracked"), Array::zeros(&device, DType::I64, [])?)?;
/// seen.set(Array::from_slice(&device, &[7i64], [])?)?;
/// assert_eq!(seen.value().item()?, 7.0);
/// assert_eq!(seen.path().name(), "num_batches_tracked");
/// assert_eq!((seen.shape().rank(), seen.dtype()), (0, DType::I64));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    path: Path,
    cell: Cell,
}

impl State {
    /// A state with this value, of any data type. The array is taken over, or copied if anything
    /// else shares its memory.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, reference::Reference};
    /// use ferrotape_nn::{Path, State};
    ///
    /// let device = Device::new(Reference::new());
    /// let mean = State::new(Path::new("bn.running_mean"), Array::zeros(&device, DType::F32, [3])?)?;
    /// assert_eq!(format!("{mean:?}"), "State(bn.running_mean f32 [3])");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(path: Path, array: Array) -> Result<Self> {
        let cell = Cell::new(array).at(|| path.as_str())?;
        Ok(State(Arc::new(Inner { path, cell })))
    }

    /// The path it was made under.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The value; it shares the state's memory.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::Init;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let mean = init.state("mean", [1], 1.0)?;
    /// let before = mean.value().copy()?;
    /// mean.set(Array::full(&device, DType::F32, [1], 2.0)?)?;
    /// assert_eq!((before.item()?, mean.value().item()?), (1.0, 2.0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn value(&self) -> Array {
        self.0.cell.value()
    }

    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        *self.value().shape()
    }

    /// The type of the elements.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.value().dtype()
    }

    /// Replaces the value.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::Init;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let mean = init.state("bn.mean", [2], 0.0)?;
    /// let error = mean.set(Array::zeros(&device, DType::F32, [3])?).unwrap_err().to_string();
    /// assert!(error.starts_with("bn.mean: "), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape, data type or device than the state's.
    pub fn set(&self, array: Array) -> Result<()> {
        self.0.cell.set(array).at(|| self.path().as_str())
    }

    /// Changes the value in place.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::Init;
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let mean = init.state("mean", [2], 0.0)?;
    /// mean.update(|array| device.backend().fill(array, 0.5))?;
    /// assert_eq!(mean.value().to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the closure says; an array that the closure put there and that does not fit.
    pub fn update(&self, change: impl FnOnce(&mut Array) -> Result<()>) -> Result<()> {
        self.0.cell.update(change).at(|| self.path().as_str())
    }

    /// Converts a state of floats to another float type; integers stay.
    pub(crate) fn convert(&self, dtype: DType) -> Result<()> {
        let value = self.value();
        if value.dtype().is_float() && value.dtype() != dtype {
            self.0.cell.replace(value.cast(dtype)?).at(|| self.path().as_str())?;
        }
        Ok(())
    }

    /// A number for the cell while it lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn fork(&self, path: Path) -> Self {
        State(Arc::new(Inner { path, cell: self.0.cell.fork() }))
    }
}

impl Module for State {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.state(self);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        let path = ties.path(self.path());
        ties.state(self, |original| original.fork(path))
    }

    fn kind(&self) -> &'static str {
        "State"
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        write!(f, "State({} {} {})", self.path(), value.dtype(), value.shape())
    }
}
