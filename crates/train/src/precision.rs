//! The data types that a run computes in.

use ferrotape_backend::{DType, Device};
use ferrotape_nn::Pass;

use crate::{Error, Result, RunConfig};

/// The data types that the `dtype` of a configuration stands for.
///
/// | `dtype` | parameters | convolutions and products |
/// | --- | --- | --- |
/// | `f32` | f32 | f32 |
/// | `f64` | f64 | f64 |
/// | `bf16` | f32 | bf16 (autocast) |
///
/// ```
/// use ferrotape_backend::DType;
/// use ferrotape_train::{Precision, RunConfig};
///
/// let config = RunConfig { dtype: "bf16".into(), ..Default::default() };
/// let precision = Precision::of(&config)?;
/// assert_eq!((precision.parameters, precision.autocast), (DType::F32, Some(DType::BF16)));
///
/// let config = RunConfig { dtype: "i64".into(), ..Default::default() };
/// let error = Precision::of(&config).unwrap_err().to_string();
/// assert!(error.ends_with("use f32, f64 or bf16"), "{error}");
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// The type of parameters, images and losses.
    pub parameters: DType,
    /// The type that convolutions and products are computed in, if it is another.
    pub autocast: Option<DType>,
}

impl Precision {
    /// What a configuration asks for.
    ///
    /// # Errors
    /// A `dtype` that is none of the table's.
    pub fn of(config: &RunConfig) -> Result<Self> {
        let (parameters, autocast) = match config.dtype.as_str() {
            "f32" => (DType::F32, None),
            "f64" => (DType::F64, None),
            "bf16" => (DType::F32, Some(DType::BF16)),
            other => {
                let message = format!(
                    "dtype is '{other}', which no network can be trained in; use f32, f64 or bf16"
                );
                return Err(Error::Config { path: None, message });
            }
        };
        Ok(Precision { parameters, autocast })
    }

    /// A pass in evaluation mode that computes in these types.
    ///
    /// ```
    /// use ferrotape_backend::{Device, reference::Reference};
    /// use ferrotape_train::{Precision, RunConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let pass = Precision::of(&RunConfig::default())?.eval(&device);
    /// assert!(!pass.tracks());
    /// # Ok::<(), ferrotape_train::Error>(())
    /// ```
    pub fn eval(self, device: &Device) -> Pass {
        self.cast(Pass::eval(device))
    }

    /// The same pass, computing in these types.
    pub(crate) fn cast(self, pass: Pass) -> Pass {
        match self.autocast {
            Some(dtype) => pass.autocast(dtype),
            None => pass,
        }
    }
}
