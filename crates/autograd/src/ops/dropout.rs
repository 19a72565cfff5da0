//! Dropout (Srivastava et al., 2014).

use ferrotape_backend::{Array, Error, Random, Result, Rng};

use crate::tensor::Tensor;

/// # Dropout
impl Tensor {
    /// Each element is 0 with probability `p`, else divided by `1 - p`
    /// (`torch.nn.functional.dropout`). The mask depends on the key and the logical index alone:
    /// the same on every device, in every layout, for any number of threads.
    ///
    /// ```
    /// # use ferrotape_autograd::Tensor;
    /// # use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// # let device = Device::new(Reference::new());
    /// let x = Tensor::from(Array::full(&device, DType::F64, [100], 1.0)?);
    /// let y = x.dropout(0.5, Rng::new(1))?.to_vec::<f64>()?;
    /// assert!(y.contains(&0.0) && y.iter().all(|&y| y == 0.0 || y == 2.0));
    /// assert_eq!(y, x.dropout(0.5, Rng::new(1))?.to_vec::<f64>()?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// `p` outside 0 to 1; not a float.
    pub fn dropout(&self, p: f64, rng: Rng) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::argument(format!(
                "the dropout probability is {p}, it must lie between 0 and 1"
            )));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let like = self.layout().like(*self.shape());
        let mut mask = Array::empty(self.device(), self.dtype(), like)?;
        let kept = 1.0 - p;
        let value = if kept > 0.0 { 1.0 / kept } else { 0.0 };
        self.device().backend().random(Random::Bernoulli { p: kept, value }, rng, &mut mask)?;
        self.mul(&mask.into())
    }
}
