//! Weights by a rule, so that a network can be compared without a file of weights.
//!
//! Number `i` of the tensor `name` is `v = 2u - 1`, where
//! `u = (splitmix64(fnv1a64(name) + i) >> 11) 2^-53`. A parameter or statistic is `v` scaled by what
//! its name and rank say ([`fill`]).

use ferrotape::backend::{Array, Device, Result, Shape};
use ferrotape::nn::{Item, Module, Visitor};

/// The numbers of the tensor `name`, in -1..1, without end.
///
/// ```
/// let first: Vec<f64> = ferrotape_parity::zoo::numbers("input").take(2).collect();
/// assert!(first.iter().all(|v| v.abs() < 1.0) && first[0] != first[1]);
/// ```
pub fn numbers(name: &str) -> impl Iterator<Item = f64> {
    // FNV-1a of the name, then one output of splitmix64 for each index.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (0u64..).map(move |index| {
        let z = hash.wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = z ^ (z >> 31);
        2.0 * ((bits >> 11) as f64 / (1u64 << 53) as f64) - 1.0
    })
}

/// A parameter or statistic by the rule: `v sqrt(6 / fan_in)` for two or more dimensions, else
/// `1 + 0.5 v` for a running variance, `1 + 0.2 v` for another weight, and `0.1 v` for the rest.
fn tensor(name: &str, shape: &Shape) -> Vec<f64> {
    let (offset, scale) = if shape.rank() >= 2 {
        let fan_in: usize = shape[1..].iter().product();
        (0.0, (6.0 / fan_in as f64).sqrt())
    } else if name.ends_with(".running_var") {
        (1.0, 0.5)
    } else if name.ends_with(".weight") {
        (1.0, 0.2)
    } else {
        (0.0, 0.1)
    };
    numbers(name).take(shape.numel()).map(|v| offset + v * scale).collect()
}

/// Sets every parameter and every statistic of a network by the rule, one after the other, so that
/// no more than one is in memory twice. Counters stay.
///
/// # Errors
/// Out of memory.
pub fn fill(model: &dyn Module, device: &Device) -> Result<()> {
    let mut result = Ok(());
    let mut each = |name: &str, item: Item<'_>| {
        let array =
            |shape: Shape, dtype| Array::from_f64(device, &tensor(name, &shape), dtype, shape);
        let set = || match item {
            Item::Parameter(parameter) => {
                parameter.set(array(parameter.shape(), parameter.value().dtype())?)
            }
            Item::State(state) if state.dtype().is_float() => {
                state.set(array(state.shape(), state.dtype())?)
            }
            _ => Ok(()),
        };
        if result.is_ok() {
            result = set();
        }
    };
    model.visit(&mut Visitor::new(&mut each));
    result
}
