//! What training changes: shared cells with an identity.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_autograd::{GradientKey, Key, LeafId};
use ferrotape_backend::{Array, Context, DType, Device, Result, Shape};

use crate::cell::Cell;
use crate::{Module, Path, Ties, Visitor};

/// A trainable array: a handle on a shared cell. Cheap to clone; clones are the same parameter.
///
/// Two layers that hold the same parameter are tied: a tape has one leaf for it and there is one
/// gradient. Cloning a *model* makes new parameters ([`Module::clone_with`]) and keeps ties.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, reference::Reference};
/// use ferrotape_nn::{Parameter, Path};
///
/// let device = Device::new(Reference::new());
/// let scale = Parameter::new(Path::new("scale"), Array::from_slice(&device, &[1.0f32, 2.0], [2])?)?;
/// let tied = scale.clone();
/// tied.set(Array::from_slice(&device, &[3.0f32, 4.0], [2])?)?;
/// assert_eq!(scale.value().to_vec::<f32>()?, [3.0, 4.0]);
/// assert_eq!(scale.id(), tied.id());
/// assert_eq!((scale.path().as_str(), scale.shape().dims()), ("scale", &[2][..]));
/// assert_eq!((scale.dtype(), scale.device()), (DType::F32, device));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameter(Arc<Inner>);

struct Inner {
    id: LeafId,
    path: Path,
    cell: Cell,
    trainable: AtomicBool,
    casts: Mutex<Vec<Cast>>,
}

/// The value converted to another type, and what it was converted from.
struct Cast {
    buffer: u64,
    generation: u64,
    array: Array,
}

impl Parameter {
    /// A trainable parameter with this value. The array is taken over, or copied if anything else
    /// shares its memory.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::{Parameter, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let integers = Array::from_slice(&device, &[1i64, 2], [2])?;
    /// let error = Parameter::new(Path::new("fc.index"), integers).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "fc.index: a parameter holds floats, not i64; a State holds integers"
    /// );
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The array is not of floats; out of memory.
    pub fn new(path: Path, array: Array) -> Result<Self> {
        if !array.dtype().is_float() {
            return Err(ferrotape_backend::Error::dtype(format!(
                "a parameter holds floats, not {}; a State holds integers",
                array.dtype()
            ))
            .at(path.as_str()));
        }
        Ok(Parameter(Arc::new(Inner {
            id: LeafId::fresh(),
            cell: Cell::new(array).at(|| path.as_str())?,
            path,
            trainable: AtomicBool::new(true),
            casts: Mutex::default(),
        })))
    }

    /// The identity that gradients are kept under, the same for all handles.
    #[must_use]
    pub fn id(&self) -> LeafId {
        self.0.id
    }

    /// The path it was made under.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The value. It shares the parameter's memory: later steps show in it; [`Array::copy`] keeps
    /// the value of now.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let bias = init.parameter("bias", [2], Distribution::Zeros)?;
    /// let (shared, kept) = (bias.value(), bias.value().copy()?);
    /// bias.update(|array| device.backend().fill(array, 0.5))?;
    /// assert_eq!(shared.to_vec::<f32>()?, [0.5, 0.5]);
    /// assert_eq!(kept.to_vec::<f32>()?, [0.0, 0.0]);
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

    /// The device that holds it.
    #[must_use]
    pub fn device(&self) -> Device {
        self.value().device().clone()
    }

    /// Replaces the value.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)), LinearConfig::new(3, 2))?;
    /// fc.weight.set(Array::full(&device, DType::F32, [2, 3], 0.5)?)?;
    /// assert_eq!(fc.weight.value().to_vec::<f32>()?, [0.5; 6]);
    /// assert!(fc.weight.set(Array::zeros(&device, DType::F32, [3, 2])?).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another shape, data type or device than the parameter's.
    pub fn set(&self, array: Array) -> Result<()> {
        self.0.cell.set(array).at(|| self.path().as_str())
    }

    /// Changes the value in place, as an optimizer does. The memory's generation goes up, so that
    /// caches notice, and a backward pass that needs the old value answers with an error.
    ///
    /// ```
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    /// use ferrotape_nn::{Parameter, Path};
    ///
    /// let device = Device::new(Reference::new());
    /// let bias = Parameter::new(Path::new("bias"), Array::zeros(&device, ferrotape_backend::DType::F32, [2])?)?;
    /// bias.update(|array| device.backend().fill(array, 0.5))?;
    /// assert_eq!(bias.value().to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the closure says; an array that the closure put there and that does not fit.
    pub fn update(&self, change: impl FnOnce(&mut Array) -> Result<()>) -> Result<()> {
        self.0.cell.update(change).at(|| self.path().as_str())
    }

    /// The value, to be changed in place; see [`Parameter::update`].
    pub(crate) fn exclusive(&self) -> Result<Array> {
        self.0.cell.exclusive()
    }

    /// Whether a pass tracks it. A frozen parameter gets no gradient, and so no step.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weight = init.parameter("weight", [2], Distribution::Ones)?;
    /// let tied = weight.clone();
    /// weight.set_trainable(false);
    /// assert!(!tied.is_trainable(), "all handles are one parameter");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes (`false`) or thaws (`true`) it, for all handles: `requires_grad_` in PyTorch.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let fc = Linear::new(&Init::new(&device, Rng::new(42)), LinearConfig::new(3, 2))?;
    /// fc.weight.set_trainable(false);
    /// let cx = Pass::train(&device, Rng::new(1));
    /// assert!(!cx.param(&fc.weight)?.is_tracked());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// The value in another float type, converted once for each state of the value.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Distribution, Init};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let weight = init.parameter("weight", [1], Distribution::Constant(1.001))?;
    /// // BF16 keeps 8 binary digits: 1 + 1/128 is the next number after 1.
    /// assert_eq!(weight.cast(DType::BF16)?.item()?, 1.0);
    /// assert_eq!(weight.cast(DType::BF16)?.buffer().id(), weight.cast(DType::BF16)?.buffer().id());
    /// assert_eq!(weight.dtype(), DType::F32, "the parameter itself stays");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory.
    pub fn cast(&self, dtype: DType) -> Result<Array> {
        let value = self.value();
        if value.dtype() == dtype {
            return Ok(value);
        }
        let (buffer, generation) = (value.buffer().id(), value.buffer().generation());
        let mut casts = self.0.casts.lock().unwrap_or_else(PoisonError::into_inner);
        casts.retain(|c| c.buffer == buffer && c.generation == generation);
        if let Some(known) = casts.iter().find(|c| c.array.dtype() == dtype) {
            return Ok(known.array.clone());
        }
        let array = value.cast(dtype).at(|| self.path().as_str())?;
        casts.push(Cast { buffer, generation, array: array.clone() });
        Ok(array)
    }

    /// Converts the parameter itself to another float type.
    pub(crate) fn convert(&self, dtype: DType) -> Result<()> {
        let value = self.value();
        if value.dtype() != dtype {
            self.0.cell.replace(value.cast(dtype)?).at(|| self.path().as_str())?;
        }
        Ok(())
    }

    /// A parameter of its own with the same value and trainability.
    fn fork(&self, path: Path) -> Self {
        Parameter(Arc::new(Inner {
            id: LeafId::fresh(),
            path,
            cell: self.0.cell.fork(),
            trainable: AtomicBool::new(self.is_trainable()),
            casts: Mutex::default(),
        }))
    }
}

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter(self);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        let path = ties.path(self.path());
        ties.parameter(self, |original| original.fork(path))
    }

    fn kind(&self) -> &'static str {
        "Parameter"
    }
}

impl GradientKey for Parameter {
    fn key(&self) -> Key {
        Key::Leaf(self.id())
    }

    fn label(&self) -> String {
        format!("parameter {}", self.path())
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        write!(f, "Parameter({} {} {}", self.path(), value.dtype(), value.shape())?;
        f.write_str(if self.is_trainable() { ")" } else { ", frozen)" })
    }
}
