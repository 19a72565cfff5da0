//! The graph of a model as TensorBoard draws it.

use std::collections::HashSet;

use ferrotape_backend::{Array, Device};
use ferrotape_nn::{Classifier, Pass};

use super::Message;
use crate::Result;

/// The operators that a forward pass on an image of zeros records, as a `GraphDef`: each is a node under
/// its layer's path, so that layers fold and unfold, with its sizes and attributes.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, LinearConfig, Sequential};
/// use ferrotape_train::tensorboard::graph;
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1))).add(LinearConfig::new(4, 3))?;
/// let bytes = graph(&model, &device, Array::zeros(&device, DType::F32, [1, 4])?)?;
/// assert!(bytes.windows(6).any(|window| window == b"linear"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What the model says of the image.
pub fn graph(model: &dyn Classifier, device: &Device, image: Array) -> Result<Vec<u8>> {
    let pass = Pass::eval(device).without_effects().trace();
    model.scores(&pass, &pass.input(image)?)?;
    let mut taken = HashSet::new();
    let mut names: Vec<String> = Vec::new();
    let mut graph = Message::default();
    for node in pass.tape().nodes() {
        let place = node.path.as_deref().unwrap_or_default().replace('.', "/");
        let name = match place.as_str() {
            "" => node.op.to_owned(),
            place => format!("{place}/{}", node.op),
        };
        let mut unique = name.clone();
        let mut number = 1;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        let mut message = Message::default();
        message.bytes(1, unique.as_bytes()).bytes(2, node.op.as_bytes());
        for input in node.inputs.iter().flatten() {
            if let Some(input) = names.get(input.index()) {
                message.bytes(3, input.as_bytes());
            }
        }
        for (key, text) in
            [("shape", node.shape.to_string()), ("attributes", node.attributes.clone())]
        {
            let mut value = Message::default();
            value.bytes(2, text.as_bytes());
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes()).message(2, &value);
            message.message(5, &entry);
        }
        graph.message(1, &message);
        names.push(unique);
    }
    // The version that TensorBoard's reader wants: `versions { producer: 22 }`.
    let mut versions = Message::default();
    versions.integer(1, 22);
    graph.message(4, &versions);
    Ok(graph.as_bytes().to_vec())
}
