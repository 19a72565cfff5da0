//! The result of a backward pass.

use std::collections::{BTreeMap, HashMap};

use ferrotape_backend::{DType, Error, Result};

use crate::tape::{LeafId, NodeId};
use crate::tensor::Tensor;

/// What a gradient is looked up by.
///
/// ```
/// use ferrotape_autograd::{GradientKey, Key, Tape};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// let device = Device::new(Reference::new());
/// let tape = Tape::new();
/// let x = tape.variable(Array::from_slice(&device, &[3.0f64], [1])?)?;
/// assert!(matches!(x.key(), Key::Leaf(_)));
/// assert!(matches!(x.square()?.key(), Key::Node(..)));
/// assert_eq!(x.detach().key(), Key::None);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A parameter or variable.
    Leaf(LeafId),
    /// An intermediate tensor: the tape's key and the node.
    Node(u64, NodeId),
    /// Something untracked.
    None,
}

/// Something whose gradient can be asked for: a tensor or a parameter.
///
/// ```
/// use ferrotape_autograd::{GradientKey, Key, LeafId, Tape};
/// use ferrotape_backend::{Array, Device, reference::Reference};
///
/// /// A named array outside of any tape.
/// struct Weight {
///     id: LeafId,
///     array: Array,
/// }
///
/// impl GradientKey for Weight {
///     fn key(&self) -> Key {
///         Key::Leaf(self.id)
///     }
///     fn label(&self) -> String {
///         "the weight".into()
///     }
/// }
///
/// let device = Device::new(Reference::new());
/// let w = Weight { id: LeafId::fresh(), array: Array::from_slice(&device, &[3.0f64], [1])? };
/// let gradients = Tape::new().leaf(w.id, w.array.clone())?.square()?.backward()?;
/// assert_eq!(gradients.of(&w)?.item()?, 6.0);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
pub trait GradientKey {
    /// What to look up.
    fn key(&self) -> Key;
    /// How messages call it.
    fn label(&self) -> String;
}

impl GradientKey for Tensor {
    fn key(&self) -> Key {
        match (self.tape(), self.node()) {
            (Some(tape), Some(node)) => tape.gradient_key(node),
            _ => Key::None,
        }
    }

    fn label(&self) -> String {
        format!("{self:?}")
    }
}

/// Gradients of parameters, variables, and the intermediate tensors that were asked for.
///
/// ```
/// # use ferrotape_autograd::Tape;
/// # use ferrotape_backend::{Array, Device, reference::Reference};
/// # let device = Device::new(Reference::new());
/// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64, 4.0], [2])?)?;
/// let mut gradients = x.square()?.sum_all()?.backward()?;
/// assert_eq!(gradients.of(&x)?.to_vec::<f64>()?, [6.0, 8.0]);
/// assert_eq!(gradients.norm()?, 10.0);
/// gradients.scale(0.5)?;
/// assert_eq!(gradients.of(&x)?.to_vec::<f64>()?, [3.0, 4.0]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Default, Clone)]
pub struct Gradients {
    /// In the order of the leaves' creation, so that sums over all of them are reproducible.
    pub(crate) leaves: BTreeMap<LeafId, Tensor>,
    pub(crate) nodes: HashMap<(u64, NodeId), Tensor>,
    pub(crate) absent: Vec<LeafId>,
}

impl Gradients {
    /// The gradient, or `None` if the result does not depend on it.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let [x, unused] = [1.0f64, 2.0].map(|v| tape.variable(Array::from_slice(&device, &[v], [])?));
    /// let (x, unused) = (x?, unused?);
    /// let gradients = x.exp()?.backward()?;
    /// assert!(gradients.get(&x).is_some() && gradients.get(&unused).is_none());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn get(&self, of: &(impl GradientKey + ?Sized)) -> Option<&Tensor> {
        match of.key() {
            Key::Leaf(id) => self.leaves.get(&id),
            Key::Node(tape, node) => self.nodes.get(&(tape, node)),
            Key::None => None,
        }
    }

    /// The gradient.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [])?)?;
    /// let y = x.square()?;
    /// let gradients = y.exp()?.backward()?;
    /// assert_eq!(gradients.of(&x)?.item()?, 6.0 * 9f64.exp());
    /// // What lies between has to be asked for.
    /// let error = gradients.of(&y).unwrap_err().to_string();
    /// assert!(error.contains("nor named in BackwardOptions::wrt"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is none: the result does not depend on it, it is untracked, or it is an intermediate
    /// tensor that [`BackwardOptions::wrt`](crate::BackwardOptions) did not name.
    pub fn of(&self, of: &(impl GradientKey + ?Sized)) -> Result<&Tensor> {
        self.get(of).ok_or_else(|| {
            Error::gradient(format!(
                "there is no gradient of {}: the result does not depend on it, or it was neither a \
                 leaf nor named in BackwardOptions::wrt",
                of.label()
            ))
        })
    }

    /// Leaves that were on the tape and wanted, but do not influence the result.
    ///
    /// ```
    /// use ferrotape_autograd::{LeafId, Tape};
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let (used, unused) = (LeafId::fresh(), LeafId::fresh());
    /// let [x, _] = [used, unused].map(|id| tape.leaf(id, Array::from_slice(&device, &[1.0f64], [])?));
    /// assert_eq!(x?.exp()?.backward()?.absent(), [unused]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn absent(&self) -> &[LeafId] {
        &self.absent
    }

    /// The leaves that have a gradient.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, Result, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let [x, y] = [3.0f64, 5.0].map(|v| tape.variable(Array::from_slice(&device, &[v], [])?));
    /// let gradients = x?.mul(&y?)?.backward()?;
    /// let slopes: Result<Vec<f64>> = gradients.leaves().map(|(_, slope)| slope.item()).collect();
    /// assert_eq!(slopes?, [5.0, 3.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn leaves(&self) -> impl Iterator<Item = (LeafId, &Tensor)> {
        self.leaves.iter().map(|(id, tensor)| (*id, tensor))
    }

    /// Adds the gradients of another pass, leaf by leaf; intermediate ones are dropped.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64, 4.0], [2])?)?;
    /// let mut first = x.sum_all()?.backward()?;
    /// let second = x.square()?.sum_all()?.backward()?;
    /// first.add(&second)?;
    /// assert_eq!(first.of(&x)?.to_vec::<f64>()?, [7.0, 9.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes or data types differ.
    pub fn add(&mut self, other: &Gradients) -> Result<()> {
        for (id, gradient) in &other.leaves {
            let sum = match self.leaves.get(id) {
                Some(mine) => mine.add(gradient)?,
                None => gradient.clone(),
            };
            self.leaves.insert(*id, sum);
        }
        self.absent.retain(|id| !self.leaves.contains_key(id));
        self.nodes.clear();
        Ok(())
    }

    /// Multiplies every gradient of a leaf.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// // The mean over two batches: the sum of their gradients, halved.
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64], [])?)?;
    /// let mut gradients = x.square()?.backward()?;
    /// gradients.add(&x.mul_scalar(2.0)?.backward()?)?;
    /// gradients.scale(0.5)?;
    /// assert_eq!(gradients.of(&x)?.item()?, (6.0 + 2.0) / 2.0);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        for gradient in self.leaves.values_mut() {
            *gradient = gradient.mul_scalar(factor)?;
        }
        Ok(())
    }

    /// The square root of the sum of all squares, in f64, where no square of an f32 overflows:
    /// `torch.nn.utils.get_total_norm`.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let tape = Tape::new();
    /// let [x, y] = [3.0f64, 4.0].map(|v| tape.variable(Array::from_slice(&device, &[v], [])?));
    /// let gradients = x?.square()?.add(&y?.square()?)?.backward()?;
    /// assert_eq!(gradients.norm()?, (6f64 * 6.0 + 8.0 * 8.0).sqrt());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for gradient in self.leaves.values() {
            let gradient = gradient.detach();
            let wide = gradient.cast(DType::F64)?;
            sum += wide.square()?.sum_all()?.item()?;
        }
        Ok(sum.sqrt())
    }

    /// Scales all gradients so that their [norm](Self::norm) is at most `max_norm`, and returns
    /// the norm before: `torch.nn.utils.clip_grad_norm_`.
    ///
    /// ```
    /// # use ferrotape_autograd::Tape;
    /// # use ferrotape_backend::{Array, Device, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[3.0f64, 4.0], [2])?)?;
    /// let mut gradients = x.square()?.sum_all()?.backward()?;
    /// assert_eq!(gradients.clip_norm(1.0)?, 10.0);
    /// assert!((gradients.norm()? - 1.0).abs() < 1e-6);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device failed.
    pub fn clip_norm(&mut self, max_norm: f64) -> Result<f64> {
        let norm = self.norm()?;
        if norm > max_norm {
            self.scale(max_norm / (norm + 1e-6))?;
        }
        Ok(norm)
    }

    /// Brings every element of every gradient of a leaf between `-limit` and `limit`:
    /// `torch.nn.utils.clip_grad_value_`.
    ///
    /// ```
    /// use ferrotape_autograd::Tape;
    /// use ferrotape_backend::{Array, Device, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let x = Tape::new().variable(Array::from_slice(&device, &[0.1f64, 3.0], [2])?)?;
    /// let mut gradients = x.square()?.sum_all()?.backward()?;
    /// gradients.clip_value(1.0)?;
    /// assert_eq!(gradients.of(&x)?.to_vec::<f64>()?, [0.2, 1.0]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A limit that is negative or no number.
    pub fn clip_value(&mut self, limit: f64) -> Result<()> {
        for gradient in self.leaves.values_mut() {
            *gradient = gradient.clamp(-limit, limit)?;
        }
        Ok(())
    }
}
