//! The laws of a layer, checked on a given input.

mod laws;

use ferrotape_backend::{Device, Result};
use ferrotape_nn::{Init, Layer};

use crate::failure::Failure;
use crate::input::Input;

/// How a layer is checked.
///
/// ```
/// use ferrotape_gradcheck::LayerOptions;
///
/// // A layer that normalizes over its batch, in evaluation too.
/// let options = LayerOptions { batch_independent: false, ..LayerOptions::default() };
/// assert_eq!(options.tolerance, 1e-7);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOptions {
    /// Of the first weights, the random directions and the dropout masks.
    pub seed: u64,
    /// How far a difference quotient may be off, relative to the sum of its terms.
    pub tolerance: f64,
    /// How far two computations of the same number may be apart, relative to the larger of the
    /// largest number beside it and 1.
    pub rounding: f64,
    /// Whether, in evaluation mode, a sample's output does not depend on the rest of its batch.
    pub batch_independent: bool,
    /// Rust code that defines what the constructor's source names, printed in a reproduction. The
    /// macro [`check_layer!`](crate::check_layer!) writes it.
    pub attributes: String,
}

impl Default for LayerOptions {
    fn default() -> Self {
        LayerOptions {
            seed: 0,
            tolerance: 1e-7,
            rounding: 1e-10,
            batch_independent: true,
            attributes: String::new(),
        }
    }
}

/// Checks every [law](crate::Law) of a layer, which the closure makes, at this input, on this
/// device, which nothing else may use meanwhile. [`check_layer!`](crate::check_layer!) fills in
/// `source`.
///
/// In training and in evaluation mode: the gradients of the input and of every parameter against
/// difference quotients in f64, none left out; the same value in every memory layout of the input. Then:
/// paths equal the names in the state dict, and the pass is told of the layer; another
/// layer that loads it computes the same, as does a clone; evaluation changes nothing, and training nothing but by
/// effects; the samples of a batch do not depend on each other; nothing stays in memory.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, LayerOptions, check_layer};
/// use ferrotape_nn::{Linear, LinearConfig};
///
/// let device = Device::new(Reference::new());
/// let input = Input::new([2, 3], [0.3, -0.7, 1.1, -1.9, 0.2, 0.6])?;
/// let source = "|init| Linear::new(init, LinearConfig::new(3, 2))";
/// check_layer(&device, source, &input, &LayerOptions::default(), |init| {
///     Linear::new(init, LinearConfig::new(3, 2))
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first law that does not hold, with code that shows it again.
pub fn check_layer<L: Layer>(
    device: &Device,
    source: &str,
    input: &Input,
    options: &LayerOptions,
    make: impl Fn(&Init) -> Result<L>,
) -> Result<(), Failure> {
    laws::check(device, input, options, &make).map_err(|failure| {
        let code = reproduction(source, input, options, &device.name());
        failure.reproduced_by(code)
    })
}

/// Checks every law of a layer: `check_layer!(device, input, constructor, attribute ...)`.
///
/// As the function [`check_layer`](fn@crate::check_layer), but the reproduction of a failure shows
/// the constructor's own source and the values of the attributes that it names. Options other than
/// the default follow after a semicolon.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::{Input, check_layer};
/// use ferrotape_nn::{Conv2d, Conv2dConfig};
///
/// let device = Device::new(Reference::new());
/// let input = Input::new([1, 1, 2, 2], [0.1, 0.4, 0.2, 0.3])?;
/// let config = Conv2dConfig::new(1, 2, 1);
/// check_layer!(&device, &input, |init| Conv2d::new(init, config), config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As the function.
#[macro_export]
macro_rules! check_layer {
    ($device:expr, $input:expr, $make:expr $(, $attribute:ident)* $(,)?) => {
        $crate::check_layer!(
            $device, $input, $make $(, $attribute)*; $crate::LayerOptions::default()
        )
    };
    ($device:expr, $input:expr, $make:expr $(, $attribute:ident)*; $options:expr) => {{
        let mut options: $crate::LayerOptions = $options;
        $(options.attributes.push_str(&::std::format!(
            "let {} = {:?};\n",
            ::std::stringify!($attribute),
            $attribute
        ));)*
        $crate::check_layer($device, ::std::stringify!($make), $input, &options, $make)
    }};
}

fn reproduction(source: &str, input: &Input, options: &LayerOptions, device: &str) -> String {
    let mut fields = String::new();
    let default = LayerOptions::default();
    if options.seed != default.seed {
        fields.push_str(&format!("seed: {}, ", options.seed));
    }
    if options.tolerance != default.tolerance {
        fields.push_str(&format!("tolerance: {:?}, ", options.tolerance));
    }
    if options.rounding != default.rounding {
        fields.push_str(&format!("rounding: {:?}, ", options.rounding));
    }
    if !options.batch_independent {
        fields.push_str("batch_independent: false, ");
    }
    let options_code = match fields.is_empty() {
        true => String::new(),
        false => format!("; LayerOptions {{ {fields}..LayerOptions::default() }}"),
    };
    format!(
        "// device: {device}\n{}let input = {input:?};\n\
         check_layer!(&device, &input, {source}{options_code})?;\n",
        options.attributes
    )
}
