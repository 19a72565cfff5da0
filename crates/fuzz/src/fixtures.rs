//! Reference fixtures in JSON.

use ferrotape_backend::DType;
use ferrotape_gradcheck::fixtures::{Folder, run};
use ferrotape_parity::check;
use serde_json::Value;

use crate::memory::{bounded, uncounted};
use crate::place::{Place, said};
use crate::safetensors::assembled;
use crate::verdict::reference;

/// Attributes beyond this are sizes of something that would take too long.
const MOST: f64 = 32.0;

/// The first byte says whether the rest is a file of optimizers and schedules, or a list of operators up to a
/// zero and their tensors.
pub fn fixtures(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    match kind & 1 {
        0 => settings(rest),
        _ => operators(rest),
    }
}

fn settings(bytes: &[u8]) {
    let place = Place::new();
    let file = place.write("optim.json", bytes);
    // Networks are built by name, and some are of hundreds of millions of numbers.
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if json.get("models").is_some() || !is_small(&json) {
        return;
    }
    match check(&file, &reference(), DType::F64) {
        Ok(outcomes) => {
            for outcome in outcomes {
                assert!(outcome.to_string().starts_with(&outcome.id));
            }
        }
        Err(error) => said(&error),
    }
}

fn operators(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let tensors = assembled(bytes.get(end + 1..).unwrap_or_default());
    let place = Place::new();
    place.write("ops.json", &bytes[..end]);
    place.write("ops.safetensors", tensors);
    let folder = match bounded(bytes, 0, || Folder::read(place.path())) {
        Ok(folder) => folder,
        Err(error) => return said(&error),
    };
    let alone = std::str::from_utf8(&bytes[..end]).expect("what is JSON is text");
    let alone = Folder::from_json(alone).expect("it was read from a file");
    assert_eq!(alone.cases().len(), folder.cases().len());
    for case in folder.cases().iter().take(8) {
        if is_small(&Value::Object(case.attrs.clone()))
            && let Err(error) = uncounted(|| run(&folder, case, &reference(), DType::F64))
        {
            said(&error);
        }
    }
}

/// Whether no number in it asks for much.
fn is_small(json: &Value) -> bool {
    match json {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= MOST),
        Value::Array(list) => list.len() <= 64 && list.iter().all(is_small),
        Value::Object(map) => map.values().all(is_small),
        _ => true,
    }
}
