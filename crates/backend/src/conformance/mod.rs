//! The conformance kit: whether a device computes what the verbs of [`Backend`](crate::Backend) say.
//!
//! There is one function a verb. It generates cases, with sizes from 0 and many equal ones, in all
//! layouts and data types and over the verb's attributes, runs each on the device and on the
//! [reference backend](crate::reference), and compares. The errors that are allowed follow from the
//! data type, the number of terms summed and their magnitudes. A quarter as many cases again have a
//! NaN among the inputs, and what the reference makes NaN of it must be NaN. Beside the values it looks at
//! everything else that the trait promises: that the elements between those of an output stay as
//! they were, inputs too; that writing bumps a buffer's generation and reading does not; that the
//! same call gives the same bits again; that no memory is left over; and that calls with operands
//! that do not fit, from another device, of other types or sharing memory fail with an error of the
//! right kind and without a panic.
//!
//! A case that fails is made smaller until it is as simple as it gets; see [`Failure`].
//!
//! ```
//! use ferrotape_backend::{Device, conformance, reference::Reference};
//!
//! let device = Device::new(Reference::new());
//! let options = conformance::Options { cases: 2, ..Default::default() };
//! for verb in conformance::list() {
//!     let report = verb.check(&device, &options)?;
//!     assert_eq!(report.unsupported, 0);
//! }
//! # Ok::<(), conformance::Failure>(())
//! ```

mod case;
mod convolution;
mod data;
mod harness;
mod index;
mod memory;
mod mistakes;
mod nan;
mod norm;
mod operand;
mod pointwise;
mod pool;
mod product;
mod resample;
mod softmax;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{DType, Device};

pub use convolution::{conv2d, conv2d_act, conv2d_input_grad, conv2d_weight_grad};
pub use data::{copy, fill, random, reduce};
pub use index::{gather, scatter_add};
pub use memory::{allocate, transfer};
pub use norm::{batch_norm, batch_norm_act, batch_norm_act_grad, batch_norm_grad, channel_moments};
pub use pointwise::{pointwise, pointwise_each};
pub use pool::{
    avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad, max_pool2d_pick, max_pool2d_values,
    max_pool2d_window_grad,
};
pub use product::gemm;
pub use resample::resample2d;
pub use softmax::{cross_entropy, cross_entropy_grad, softmax, softmax_grad};

/// How much is checked.
///
/// ```
/// use ferrotape_backend::{Device, conformance, meta::Meta};
///
/// // A device that has shapes only is held to everything but values.
/// let options = conformance::Options { cases: 2, values: false, ..Default::default() };
/// conformance::gemm(&Device::new(Meta::new()), &options)?;
/// # Ok::<(), conformance::Failure>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Generated cases for each verb.
    pub cases: u32,
    /// Other seeds give other cases; the same seed gives the same ones everywhere.
    pub seed: u64,
    /// Whether the device computes values. One that computes shapes only, as
    /// the one of the feature `meta` does, is held to the rest: that valid calls succeed and bump
    /// generations, and that operands that do not fit are refused.
    pub values: bool,
    /// The data types that the device has. No case has an operand of another, so that all of a
    /// verb's cases are spent on what can fail; a verb of which every case has an operand of another
    /// is reported as unsupported.
    ///
    /// ```
    /// use ferrotape_backend::{DType, Device, conformance, reference::Reference};
    ///
    /// let device = Device::new(Reference::new());
    /// let floats = &[DType::F32][..];
    /// let options = conformance::Options { cases: 8, dtypes: floats, ..Default::default() };
    /// assert_eq!(conformance::pointwise(&device, &options)?.unsupported, 0);
    /// // An index is i64.
    /// assert_eq!(conformance::gather(&device, &options)?.unsupported, 8);
    /// # Ok::<(), conformance::Failure>(())
    /// ```
    pub dtypes: &'static [DType],
}

impl Default for Options {
    /// 256 cases a verb, seed 0, of all data types: a few seconds in an optimised build.
    fn default() -> Self {
        Options { cases: 256, seed: 0, values: true, dtypes: &DType::ALL }
    }
}

/// A verb that passed.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 3, ..Default::default() };
/// let report: conformance::VerbReport = conformance::fill(&Device::new(Reference::new()), &options)?;
/// assert_eq!((report.verb, report.unsupported), ("fill", 0));
/// # Ok::<(), conformance::Failure>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerbReport {
    /// The verb.
    pub verb: &'static str,
    /// How many cases ran.
    pub cases: u32,
    /// How many of them the device declined with an error of the kind `Unsupported`.
    pub unsupported: u32,
}

/// All verbs passed.
///
/// ```
/// use ferrotape_backend::conformance::{Report, VerbReport};
///
/// let verbs = vec![VerbReport { verb: "gemm", cases: 256, unsupported: 32 }];
/// let line = Report { verbs }.to_string();
/// assert!(line.starts_with("gemm ") && line.contains("256 cases, 32 of them unsupported"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One entry a verb, in the order of [`list`].
    pub verbs: Vec<VerbReport>,
}

impl Report {
    /// Whether the device has every verb: of none were all cases declined.
    ///
    /// ```
    /// use ferrotape_backend::conformance::{Report, VerbReport};
    ///
    /// let some = VerbReport { verb: "gemm", cases: 256, unsupported: 32 };
    /// let none = VerbReport { verb: "softmax", cases: 256, unsupported: 256 };
    /// assert!(Report { verbs: vec![some] }.is_complete());
    /// assert!(!Report { verbs: vec![some, none] }.is_complete());
    /// ```
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.verbs.iter().all(|verb| verb.unsupported < verb.cases)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.verbs.iter().map(|report| report.verb.len()).max().unwrap_or(0);
        for VerbReport { verb, cases, unsupported } in &self.verbs {
            writeln!(f, "{verb:<width$} {cases:>6} cases, {unsupported} of them unsupported")?;
        }
        Ok(())
    }
}

/// The simplest case found that a device gets wrong, and how.
///
/// ```
/// use ferrotape_backend::{Device, conformance, meta::Meta};
///
/// // Where values are looked at, a device that has shapes only fails.
/// let options = conformance::Options { cases: 2, ..Default::default() };
/// let failure = conformance::fill(&Device::new(Meta::new()), &options).unwrap_err();
/// assert_eq!(failure.verb, "fill");
/// assert!(failure.to_string().starts_with("fill: "), "{failure}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The verb.
    pub verb: &'static str,
    /// The attributes and operands: data types, shapes, layouts, and the seeds of their values.
    pub case: String,
    /// What is wrong: for a value, its index, both values and the tolerance.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.verb, self.message, self.case)
    }
}

impl std::error::Error for Failure {}

/// One entry of [`list`].
///
/// ```
/// use ferrotape_backend::conformance;
///
/// let names: Vec<&str> = conformance::list().iter().map(|verb| verb.name()).collect();
/// assert!(names.contains(&"conv2d_weight_grad"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    name: &'static str,
    check: fn(&Device, &Options) -> Result<VerbReport, Failure>,
}

impl Verb {
    /// The verb's name; `transfer` is both upload and download.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the verb.
    ///
    /// ```
    /// use ferrotape_backend::{Device, conformance, reference::Reference};
    ///
    /// let options = conformance::Options { cases: 2, seed: 7, ..Default::default() };
    /// for verb in conformance::list().iter().filter(|verb| verb.name().starts_with("softmax")) {
    ///     verb.check(&Device::new(Reference::new()), &options)?;
    /// }
    /// # Ok::<(), conformance::Failure>(())
    /// ```
    ///
    /// # Errors
    /// The simplest case that fails.
    pub fn check(&self, device: &Device, options: &Options) -> Result<VerbReport, Failure> {
        (self.check)(device, options)
    }
}

macro_rules! verbs {
    ($($name:ident),* $(,)?) => {
        &[$(Verb { name: stringify!($name), check: $name }),*]
    };
}

/// Every verb, in an order in which each relies on those before it only.
///
/// ```
/// use ferrotape_backend::conformance;
///
/// assert_eq!(conformance::list()[0].name(), "allocate");
/// ```
pub fn list() -> &'static [Verb] {
    verbs![
        allocate,
        transfer,
        copy,
        fill,
        pointwise,
        pointwise_each,
        reduce,
        gemm,
        conv2d,
        conv2d_act,
        conv2d_input_grad,
        conv2d_weight_grad,
        max_pool2d,
        max_pool2d_values,
        max_pool2d_grad,
        max_pool2d_window_grad,
        max_pool2d_pick,
        avg_pool2d,
        avg_pool2d_grad,
        resample2d,
        channel_moments,
        batch_norm,
        batch_norm_act,
        batch_norm_grad,
        batch_norm_act_grad,
        softmax,
        softmax_grad,
        cross_entropy,
        cross_entropy_grad,
        gather,
        scatter_add,
        random,
    ]
}

/// Checks all verbs. Nothing else may use the device meanwhile, for its live bytes are watched.
///
/// ```
/// use ferrotape_backend::{Device, conformance, reference::Reference};
///
/// let options = conformance::Options { cases: 1, ..Default::default() };
/// let report = conformance::check(&Device::new(Reference::new()), &options)?;
/// assert_eq!(report.verbs.len(), conformance::list().len());
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// The simplest case that fails of the first verb that does; to see more, go through [`list`].
pub fn check(device: &Device, options: &Options) -> Result<Report, Failure> {
    let verbs = list().iter().map(|verb| verb.check(device, options));
    Ok(Report { verbs: verbs.collect::<Result<_, _>>()? })
}
