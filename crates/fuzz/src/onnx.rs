//! ONNX files: those that are read, and those of made-up networks.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Error, Rng};
use ferrotape_nn::{Init, Sequential};
use ferrotape_onnx::proto::Model;
use ferrotape_onnx::{Exporter, from_bytes, to_bytes};

use crate::draw::Draw;
use crate::memory::bounded;
use crate::place::said;
use crate::tape::Program;
use crate::verdict::{Shake, reference};

/// The first byte says whether the rest is a file, or the operations of a network.
pub fn onnx(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        match bounded(rest, 0, || from_bytes(rest)) {
            Ok(model) => is_stable(&model),
            Err(error) => said(&error),
        }
        return;
    }
    match exported(rest) {
        Ok(model) => {
            is_stable(&model);
            is_in_order(&model);
        }
        Err(error) => assert!(!error.message().is_empty()),
    }
}

/// A model that is written and read is the same. Numbers that are none are not equal to themselves, so the bytes
/// are compared.
fn is_stable(model: &Model) {
    let written = to_bytes(model);
    let again = from_bytes(&written).expect("what was written can be read");
    assert_eq!(to_bytes(&again), written);
}

/// Every node reads what stands before it.
fn is_in_order(model: &Model) {
    let graph = model.graph.as_ref().expect("a model that was exported has a graph");
    let mut known: Vec<&str> = graph.input.iter().map(|value| value.name.as_str()).collect();
    known.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    for node in &graph.node {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            assert!(known.contains(&name.as_str()), "{} reads {name}", node.name);
        }
        known.extend(node.output.iter().map(String::as_str));
    }
    for output in &graph.output {
        assert!(known.contains(&output.name.as_str()), "nothing computes {}", output.name);
    }
}

/// The model of a list of operations.
fn exported(bytes: &[u8]) -> Result<Model, Error> {
    let mut draw = Draw::new(bytes);
    let rank = 1 + draw.count(2);
    let sample: Vec<usize> = draw.shape(rank).into_iter().map(|size| size.clamp(1, 8)).collect();
    let program = Program::draw(&mut draw, 8, false);
    let device = reference();
    let nothing = Sequential::new(&Init::new(&device, Rng::new(1)));
    Exporter::new(&device, sample).export(&nothing, |_, x| {
        let weights = &mut |array| Ok(Tensor::from(array));
        let results = program.run(std::slice::from_ref(x), Shake::none(), weights);
        results.into_iter().flatten().last().ok_or_else(|| Error::argument("nothing fits"))
    })
}
