//! Strategies for `proptest`: shapes, values away from kinks and ties, memory layouts, attributes.
//!
//! Everything shrinks: sizes and attributes to small ones, layouts to contiguous.

mod attributes;
mod shapes;
mod values;

pub use attributes::{Conv2dCase, Pool2dCase, avg_pool2d, conv2d, max_pool2d};
pub use shapes::{broadcast_pair, dims_of, images, matrices, shapes};
pub use values::{Values, inputs};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// Checks a law on generated cases, as many as `PROPTEST_CASES` says, else [`CASES`]. A case that
/// breaks it is shrunk, and the panic shows the smallest one.
///
/// The cases are the same in every run, so that a build does not fail by chance;
/// `PROPTEST_RNG_SEED` chooses others.
///
/// ```
/// use ferrotape_backend::{Device, reference::Reference};
/// use ferrotape_gradcheck::strategy::{Values, for_all, inputs, shapes};
/// use ferrotape_gradcheck::check_op;
/// use proptest::strategy::Strategy;
///
/// let device = Device::new(Reference::new());
/// let cases = shapes(0..=3, 3).prop_flat_map(|shape| inputs(vec![shape], Values::Any));
/// for_all(cases, |inputs| Ok(check_op!(&device, &inputs, |x| x[0].sigmoid())?));
/// ```
///
/// # Panics
/// A case breaks the law.
#[track_caller]
pub fn for_all<S: Strategy>(cases: S, law: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    if let Err(error) = runner().run(&cases, law) {
        panic!("{error}");
    }
}

/// How many cases [`for_all`] checks if `PROPTEST_CASES` says nothing.
pub const CASES: u32 = 48;

/// What [`for_all`] runs, for who wants the error and no panic.
///
/// ```
/// use ferrotape_gradcheck::strategy::runner;
///
/// let outcome = runner().run(&(0..10), |number| {
///     proptest::prop_assert!(number < 7);
///     Ok(())
/// });
/// assert!(outcome.is_err());
/// ```
pub fn runner() -> TestRunner {
    // The default configuration reads the environment.
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if std::env::var_os("PROPTEST_MAX_SHRINK_ITERS").is_none() {
        // A changed shape draws new values, and each of them is tried to be simplified.
        config.max_shrink_iters = 4096;
    }
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(0x7461_7065);
    }
    TestRunner::new(config)
}
