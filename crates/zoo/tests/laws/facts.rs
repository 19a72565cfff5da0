//! What the fixtures say of a network.

use std::sync::LazyLock;

use serde_json::Value;

/// The reference file that `ferrotape-parity` runs: nine networks, computed.
static COMPUTED: LazyLock<Vec<Value>> =
    LazyLock::new(|| models(include_str!("../../../parity/tests/fixtures/zoo.json")));

/// The structure of torchvision's other networks, by the script beside the file.
static VARIANTS: LazyLock<Vec<Value>> =
    LazyLock::new(|| models(include_str!("fixtures/variants.json")));

fn models(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["models"].as_array().unwrap().clone()
}

/// Every network of both files.
pub(crate) fn all() -> impl Iterator<Item = &'static Value> {
    COMPUTED.iter().chain(VARIANTS.iter())
}

/// All numbers in nested lists.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// The same as sizes.
pub(crate) fn sizes(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|size| size as usize).collect()
}
