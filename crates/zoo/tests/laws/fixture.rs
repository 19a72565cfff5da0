//! Weights by a rule, so that a network can be compared without a file of weights.

use ferrotape_backend::{Array, Device};
use ferrotape_nn::{Module, StateDict};

/// Number `index` of the tensor `name`, in -1..1.
fn value(name: &str, index: u64) -> f64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let z = hash.wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = z ^ (z >> 31);
    2.0 * ((bits >> 11) as f64 / (1u64 << 53) as f64) - 1.0
}

/// The first numbers of the tensor `name`.
pub(crate) fn values(name: &str, count: usize) -> Vec<f64> {
    (0..count as u64).map(|index| value(name, index)).collect()
}

/// A parameter or statistic by the rule.
fn tensor(name: &str, shape: &[usize]) -> Vec<f64> {
    let values = values(name, shape.iter().product()).into_iter();
    if shape.len() >= 2 {
        let fan_in: usize = shape[1..].iter().product();
        let scale = (6.0 / fan_in as f64).sqrt();
        values.map(|v| v * scale).collect()
    } else if name.ends_with(".running_var") {
        values.map(|v| 1.0 + 0.5 * v).collect()
    } else if name.ends_with(".weight") {
        values.map(|v| 1.0 + 0.2 * v).collect()
    } else {
        values.map(|v| 0.1 * v).collect()
    }
}

/// Sets every parameter and statistic of a network by the rule.
pub(crate) fn fill(model: &dyn Module, device: &Device) {
    let own = model.state_dict().unwrap();
    let filled: StateDict = own
        .iter()
        .filter(|(_, array)| array.dtype().is_float())
        .map(|(name, array)| {
            let values = tensor(name, array.shape());
            (name, Array::from_slice(device, &values, array.shape()).unwrap())
        })
        .collect();
    model.load_state_dict(&filled, false).unwrap();
}
