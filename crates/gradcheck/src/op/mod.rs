//! The laws of an operator, checked on given inputs.

mod difference;
mod equality;
mod laws;
mod problem;
mod smooth;

pub use equality::check_equal;
pub(crate) use laws::{differ, same_bits};
pub(crate) use smooth::{Comparison, REACH, Subject, compare, unravel};

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Device, Result};

use crate::failure::Failure;
use crate::input::Input;
use crate::record;
use problem::Problem;

/// How an operator is checked.
///
/// ```
/// use ferrotape_gradcheck::Options;
///
/// let once = Options { seed: 3, second_derivative: false, ..Options::default() };
/// assert_eq!(once.tolerance, 1e-7);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Of the random directions and cotangents. The same seed checks the same numbers.
    pub seed: u64,
    /// How far a difference quotient may be off, relative to the sum of its terms.
    pub tolerance: f64,
    /// How far two computations of the same number may be apart, relative to the larger of the
    /// largest number beside it and 1: by rounding, and no more.
    pub rounding: f64,
    /// Whether the operator has a second derivative.
    pub second_derivative: bool,
    /// Whether its gradient in each layout of each input is computed.
    pub layouts: bool,
    /// Rust code that defines what the operator's source names, printed in a reproduction. The
    /// macro [`check_op!`](crate::check_op!) writes it.
    pub attributes: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 0,
            tolerance: 1e-7,
            rounding: 1e-10,
            second_derivative: true,
            layouts: true,
            attributes: String::new(),
        }
    }
}

/// Checks every [law](crate::Law) of an operator at these inputs on this device, which nothing else
/// may use meanwhile, as its live bytes are counted. `source` names the operator in reproductions;
/// [`check_op!`](crate::check_op!) fills it in.
///
/// The operator is called many times, with tracked and untracked inputs, on this device and on the
/// reference backend: what else it needs (an index, a mask) must be an [`Input`] or be made on the
/// device of its inputs. Choose inputs away from kinks, as [`strategy`](crate::strategy) does: where
/// there is no derivative, no gradient equals it.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Options, check_op};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([2, 2], [0.3, -0.7, 1.1, -1.9])?];
/// check_op(&device, "|x| x[0].tanh()", &inputs, &Options::default(), |x| x[0].tanh())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first law that does not hold, with code that shows it again.
pub fn check_op(
    device: &Device,
    source: &str,
    inputs: &[Input],
    options: &Options,
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<(), Failure> {
    let problem = Problem { device, op: &op, inputs, options };
    record::begin();
    laws::check(&problem).map_err(|failure| {
        let code = reproduction(source, inputs, options, &device.name());
        failure.reproduced_by(code)
    })?;
    record::passed("law", source, "f64", &device.name());
    Ok(())
}

/// Checks that value and gradients have the same bits on all of these devices, which differ in their
/// number of threads only. Choose inputs so large that the work is divided.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, Options, check_same_bits};
///
/// let devices = [Device::new(Reference::new()), Device::new(Reference::new())];
/// let inputs = [Input::new([2], [0.3, -0.7])?];
/// check_same_bits(&devices, "|x| x[0].exp()", &inputs, &Options::default(), |x| x[0].exp())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first device whose numbers differ from the first one's, and where.
pub fn check_same_bits(
    devices: &[Device],
    source: &str,
    inputs: &[Input],
    options: &Options,
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<(), Failure> {
    let Some((device, others)) = devices.split_first() else { return Ok(()) };
    let problem = Problem { device, op: &op, inputs, options };
    laws::same_on(&problem, others).map_err(|failure| {
        let code = reproduction(source, inputs, options, &device.name());
        failure.reproduced_by(code)
    })
}

/// Checks every law of an operator: `check_op!(device, inputs, operator, attribute ...)`.
///
/// As the function [`check_op`](fn@crate::check_op), but the reproduction of a failure shows the
/// operator's own source and the values of the attributes that it names, which are printed with
/// `Debug`. Options other than the default follow after a semicolon.
///
/// ```
/// use ferrotape_backend::{Device, Pool2d, reference::Reference};
/// use ferrotape_gradcheck::{Input, Options, check_op};
///
/// let device = Device::new(Reference::new());
/// let inputs = [Input::new([1, 1, 2, 2], [0.1, 0.4, 0.2, 0.3])?];
/// let params = Pool2d::new([2, 2]);
/// check_op!(&device, &inputs, |x| x[0].max_pool2d(&params), params)?;
/// let options = Options { seed: 7, ..Options::default() };
/// check_op!(&device, &inputs, |x| x[0].avg_pool2d(&params), params; options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As the function.
#[macro_export]
macro_rules! check_op {
    ($device:expr, $inputs:expr, $op:expr $(, $attribute:ident)* $(,)?) => {
        $crate::check_op!($device, $inputs, $op $(, $attribute)*; $crate::Options::default())
    };
    ($device:expr, $inputs:expr, $op:expr $(, $attribute:ident)*; $options:expr) => {{
        let mut options: $crate::Options = $options;
        $(options.attributes.push_str(&::std::format!(
            "let {} = {:?};\n",
            ::std::stringify!($attribute),
            $attribute
        ));)*
        $crate::check_op($device, ::std::stringify!($op), $inputs, &options, $op)
    }};
}

/// The body of a test that shows the failure again.
fn reproduction(source: &str, inputs: &[Input], options: &Options, device: &str) -> String {
    reproduction_of("check_op!", source, inputs, options, device)
}

fn reproduction_of(
    check: &str,
    source: &str,
    inputs: &[Input],
    options: &Options,
    device: &str,
) -> String {
    let (attributes, seed) = (&options.attributes, options.seed);
    let mut code = format!("// device: {device}, seed: {seed}\n{attributes}let inputs = [\n");
    for input in inputs {
        code.push_str(&format!("    {input:?},\n"));
    }
    let default = Options { attributes: options.attributes.clone(), ..Options::default() };
    let mut fields = Vec::new();
    if options.seed != default.seed {
        fields.push(format!("seed: {}, ", options.seed));
    }
    if options.tolerance != default.tolerance {
        fields.push(format!("tolerance: {:?}, ", options.tolerance));
    }
    if options.rounding != default.rounding {
        fields.push(format!("rounding: {:?}, ", options.rounding));
    }
    if !options.second_derivative {
        fields.push("second_derivative: false, ".to_owned());
    }
    if !options.layouts {
        fields.push("layouts: false, ".to_owned());
    }
    let options = match fields.is_empty() {
        true => String::new(),
        false => format!("; Options {{ {}..Options::default() }}", fields.concat()),
    };
    code.push_str(&format!("];\n{check}(&device, &inputs, {source}{options})?;\n"));
    code
}
