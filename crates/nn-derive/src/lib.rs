//! The derive macro for ferrotape-nn's `Module` trait.
//!
//! It is used through that crate, which documents it: `use ferrotape_nn::Module;` brings both the
//! trait and the macro.
//!
//! ```
//! use ferrotape_nn::{Conv2d, Linear, Module, Path};
//!
//! #[derive(Debug, Module)]
//! struct Model {
//!     conv1: Conv2d,
//!     blocks: Vec<Conv2d>,
//!     #[module(rename = "fc")]
//!     head: Linear,
//!     #[module(skip)]
//!     classes: usize,
//!     path: Path,
//! }
//!
//! // `conv1.weight`, `conv1.bias`, `blocks.0.weight`, ..., `fc.weight`, `fc.bias`.
//! fn names(model: &Model) -> Vec<String> {
//!     model.named_parameters().into_iter().map(|(name, _)| name).collect()
//! }
//! ```

mod expand;

use proc_macro::TokenStream;

/// Implements `Module` and a deep `Clone` for a struct or enum, from the names of its fields.
///
/// - Every field is visited under its name; fields of tuple structs are named `0`, `1`, and so on.
///   An enum's variant of one unnamed field is visited without a name of its own.
/// - `#[module(skip)]` on a field: it is not visited, and cloned by its own `Clone`.
/// - `#[module(rename = "downsample")]` on a field: it is visited under this name, which no other
///   field has.
/// - `#[module(crate = "ferrotape::nn")]` on the type: where to find the trait, for crates that do
///   not depend on `ferrotape-nn` by its own name.
///
/// Cloning is deep: the clone has parameters of its own, and two fields that held one parameter
/// still do. Type parameters must implement `Module`.
///
/// `Clone` is not derived beside it. A field that is no module and not marked is an error at its type:
///
/// ```compile_fail,E0277
/// #[derive(ferrotape_nn::Module)]
/// struct Model {
///     head: ferrotape_nn::Linear,
///     classes: usize,
/// }
/// ```
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::module(input).unwrap_or_else(|error| error.to_compile_error()).into()
}
