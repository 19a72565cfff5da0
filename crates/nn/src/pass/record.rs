//! What a pass notes about the layers that run in it.

use std::ops::Range;
use std::sync::Arc;

use ferrotape_autograd::Tensor;
use ferrotape_backend::{DType, Result, Shape};

use super::Pass;
use crate::{Layer, Path};

/// The window that a layer moves over an image, `[vertical, horizontal]`.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Layer, MaxPool2d, PoolConfig, Window, receptive_field};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let pool = MaxPool2d::new(&init, PoolConfig::new(3).stride(2).padding(1))?;
/// let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1], dilation: [1, 1] };
/// assert_eq!(pool.window(), Some(window));
/// assert_eq!(receptive_field(&[window, window]), [7, 7]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Pixels added on each side.
    pub padding: [usize; 2],
    /// Pixels from one element of the window to the next.
    pub dilation: [usize; 2],
}

/// A layer's run in a traced pass.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Call, Init, Layer, LinearConfig, Pass, Sequential};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let model = Sequential::new(&init).named("fc", LinearConfig::new(3, 2))?;
/// let cx = Pass::eval(&device).trace();
/// model.forward(&cx, &cx.input(Array::zeros(&device, DType::F32, [4, 3])?)?)?;
/// let calls: Vec<Call> = cx.calls();
/// assert_eq!((calls[0].path.as_str(), calls[0].kind, calls[0].depth), ("fc", "Linear", 1));
/// assert_eq!((calls[1].kind, calls[1].shape.dims()), ("Sequential", &[4, 2][..]));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    /// The layer's path.
    pub path: Path,
    /// The layer's [`Module::kind`](crate::Module::kind).
    pub kind: &'static str,
    /// The layer's [`Layer::window`].
    pub window: Option<Window>,
    /// How many calls it is inside of.
    pub depth: usize,
    /// The tape's nodes that were recorded meanwhile, calls inside of it included.
    pub nodes: Range<usize>,
    /// The sizes of its output.
    pub shape: Shape,
    /// The data type of its output.
    pub dtype: DType,
}

impl Pass {
    /// Runs a layer's computation under its path: what is recorded on the tape bears the path, an
    /// error names it, probes and traces see the output. A layer's `forward` does all its work in
    /// here.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, Layer, Linear, LinearConfig, Pass};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let fc = Linear::new(&init.at("fc"), LinearConfig::new(3, 2))?;
    /// let cx = Pass::eval(&device);
    /// let wrong = Array::zeros(&device, DType::F32, [4, 5])?.into();
    /// let error = cx.within(&fc, || cx.weight(&fc.weight)?.add(&wrong)).unwrap_err();
    /// assert!(error.to_string().starts_with("fc: add("), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the closure says, with the path of the innermost layer.
    pub fn within(
        &self,
        layer: &dyn Layer,
        compute: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Tensor> {
        let path = layer.path();
        let (start, depth) = (self.tape.len(), self.inner().depth);
        let output = self.scope(path, compute)?;
        if self.probes.iter().any(|pattern| path.matches(pattern)) {
            self.inner().found.push((path.clone(), output.clone()));
        }
        if self.trace {
            let call = Call {
                path: path.clone(),
                kind: layer.kind(),
                window: layer.window(),
                depth,
                nodes: start..self.tape.len(),
                shape: *output.shape(),
                dtype: output.dtype(),
            };
            self.inner().calls.push(call);
        }
        Ok(output)
    }

    /// Whether someone will look at this layer's own output: the pass is traced or a probe names it.
    pub(crate) fn watches(&self, layer: &dyn Layer) -> bool {
        self.trace || self.probes.iter().any(|pattern| layer.path().matches(pattern))
    }

    /// Runs anything under a path, without probes and traces: for what is no [`Layer`].
    ///
    /// ```
    /// use ferrotape_backend::{Device, Error, reference::Reference};
    /// use ferrotape_nn::{Pass, Path};
    ///
    /// let cx = Pass::eval(&Device::new(Reference::new()));
    /// let failed = cx.scope(&Path::new("lstm"), || Err::<(), _>(Error::shape("no sequence")));
    /// assert_eq!(failed.unwrap_err().to_string(), "lstm: no sequence");
    /// ```
    ///
    /// # Errors
    /// What the closure says, with the path of the innermost scope.
    pub fn scope<R>(&self, path: &Path, compute: impl FnOnce() -> Result<R>) -> Result<R> {
        let guard = Guard::enter(self, path);
        let result = compute();
        drop(guard);
        result.map_err(|error| {
            let named = std::mem::replace(&mut self.inner().failed, true);
            if named { error } else { error.at(path.as_str()) }
        })
    }

    /// The outputs of the layers that [`Pass::probe`] named, in the order of computing; a layer
    /// that ran twice is there twice.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_nn::{Init, Layer, Pass, Sequential, activation};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
    ///     .named("act", activation("relu", Tensor::relu))?;
    /// let cx = Pass::eval(&device).probe("act");
    /// model.forward(&cx, &cx.input(Array::full(&device, DType::F32, [2], -1.0)?)?)?;
    /// assert_eq!(cx.probes()[0].1.to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn probes(&self) -> Vec<(Path, Tensor)> {
        self.inner().found.clone()
    }

    /// The layers that ran in a [traced](Pass::trace) pass, each after those inside of it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Flatten, Init, Layer, LinearConfig, Pass, Sequential};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).add(Flatten::new)?.add(LinearConfig::new(4, 2))?;
    /// let cx = Pass::eval(&device).trace();
    /// model.forward(&cx, &cx.input(Array::zeros(&device, DType::F32, [1, 1, 2, 2])?)?)?;
    /// let kinds: Vec<_> = cx.calls().iter().map(|call| call.kind).collect();
    /// assert_eq!(kinds, ["Flatten", "Linear", "Sequential"]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }
}

/// Puts the tape's path and the depth back on every way out.
struct Guard<'a> {
    pass: &'a Pass,
    outer: Option<Arc<str>>,
}

impl<'a> Guard<'a> {
    fn enter(pass: &'a Pass, path: &Path) -> Self {
        let mut inner = pass.inner();
        inner.depth += 1;
        inner.failed = false;
        drop(inner);
        Guard { pass, outer: pass.tape.set_path(Some(path.shared())) }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.pass.tape.set_path(self.outer.take());
        self.pass.inner().depth -= 1;
    }
}
