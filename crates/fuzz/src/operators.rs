//! One operation on the CPU as on the reference backend, also where shapes, types or attributes do not fit.

use ferrotape_autograd::Tensor;
use ferrotape_backend::Array;
use ferrotape_backend::conformance::{Options, list};
use ferrotape_gradcheck::Input;
use ferrotape_gradcheck::fixtures::{Case, outputs};
use serde_json::{Map, Value, json};

use crate::draw::Draw;
use crate::memory::uncounted;
use crate::verdict::{Operand, Outcome, agree, cpus};

/// Every operation that fixtures have.
const NAMES: &[&str] = &[
    "relu",
    "sigmoid",
    "tanh",
    "silu",
    "softplus",
    "exp",
    "sin",
    "cos",
    "abs",
    "square",
    "neg",
    "log",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "gelu",
    "leaky_relu",
    "elu",
    "pow_scalar",
    "clamp",
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "where",
    "permute",
    "reshape",
    "permute_reshape",
    "narrow",
    "broadcast_to",
    "flip",
    "cat",
    "gather",
    "conv2d",
    "max_pool2d",
    "avg_pool2d",
    "linear",
    "matmul",
    "batch_norm_eval",
    "softmax",
    "log_softmax",
    "sum",
    "mean",
    "max",
    "min",
    "var",
    "argmax",
    "conv1d",
    "conv_transpose2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "interpolate_nearest",
    "interpolate_bilinear",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "local_response_norm",
    "batch_norm_train",
    "relu6",
    "selu",
    "mish",
    "hardswish",
    "hardsigmoid",
    "softsign",
    "prelu",
    "logsumexp",
    "stack",
    "pad_constant",
    "pad_reflect",
    "pixel_shuffle",
    "unfold",
    "index_select",
    "embedding",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "nll_loss",
    "cross_entropy",
    "cross_entropy_weighted",
];

/// What an input may be called after the first; some operations look for theirs by name.
const INPUTS: &[&str] = &[
    "weight",
    "bias",
    "target",
    "running_mean",
    "running_var",
    "class_weight",
    "pos_weight",
    "other",
];

const COUNTS: &[&str] = &["start", "length", "correction", "factor", "size"];
const SIGNED: &[&str] = &["dim", "padding_idx", "ignore_index"];
const LISTS: &[&str] = &["dims", "shape", "pad", "normalized_shape", "milestones"];
const FLAGS: &[&str] =
    &["keepdim", "ceil_mode", "count_include_pad", "align_corners", "log_target"];
const PAIRS: &[&str] = &["kernel", "stride", "padding", "output_padding", "dilation", "output"];
const NUMBERS: &[&str] = &[
    "negative_slope",
    "alpha",
    "exponent",
    "min",
    "max",
    "eps",
    "beta",
    "delta",
    "k",
    "momentum",
    "value",
    "label_smoothing",
];

/// Sizes that no memory holds: whatever is computed from them must notice.
const HUGE: [u64; 3] = [i64::MAX as u64, u64::MAX / 2 - 3, 1 << 62];

/// The first byte says whether the rest is the seed of a case of the conformance kit for one verb, or an operation
/// of tensors, its operands and its attributes.
pub fn operators(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let verbs = list();
    match usize::from(kind) {
        kind if kind < 4 * verbs.len() => {
            let seed = Draw::new(rest).bits();
            let options = Options { cases: 1, seed, ..Options::default() };
            for device in cpus() {
                if let Err(failure) = uncounted(|| verbs[kind / 4].check(&device, &options)) {
                    panic!("{}: {failure}", device.name());
                }
            }
        }
        _ => tensors(&mut Draw::new(rest)),
    }
}

fn tensors(draw: &mut Draw<'_>) {
    let op = draw.pick(NAMES);
    let (mut operands, mut names) = (Vec::new(), vec!["x".to_owned()]);
    let dtype = draw.float();
    let rank = draw.count(5);
    let shape = draw.shape(rank);
    operands.push(Operand { input: draw.input(&shape), dtype });
    for _ in 0..draw.count(4) {
        let shape = related(draw, &shape);
        let dtype = if draw.count(15) == 15 { draw.float() } else { dtype };
        let input = match draw.count(3) {
            0 => indices(draw, &shape),
            _ => draw.input(&shape),
        };
        operands.push(Operand { input, dtype });
        names.push(draw.pick(INPUTS).to_owned());
    }
    let case = Case {
        id: "case".to_owned(),
        op: op.to_owned(),
        attrs: attributes(draw, &shape),
        inputs: names,
        outputs: 1,
        grads: Vec::new(),
    };
    agree(&case, &operands, &|_, arrays, _| computed(&case, arrays));
}

fn computed(case: &Case, arrays: Vec<Array>) -> Outcome {
    let inputs: Vec<Tensor> = arrays.into_iter().map(Tensor::from).collect();
    let Some(outputs) = outputs(case, &inputs) else { return Ok(Vec::new()) };
    let named = |(at, tensor): (usize, Tensor)| (format!("output {at}"), tensor.into_array());
    Ok(outputs?.into_iter().enumerate().map(named).collect())
}

/// A shape like another, part of it, or any.
fn related(draw: &mut Draw<'_>, shape: &[usize]) -> Vec<usize> {
    let rank = shape.len();
    let mut related = shape.to_vec();
    match draw.count(7) {
        0 | 1 => {}
        2 => related.truncate(draw.count(rank)),
        3 => drop(related.drain(..draw.count(rank))),
        4 if rank > 0 => {
            let dim = draw.count(rank - 1);
            related[dim] = 1;
        }
        5 if rank > 1 => related.swap(rank - 2, rank - 1),
        6 if rank > 1 => related = vec![shape[1]],
        _ => {
            let rank = draw.count(4);
            // As weights of a window over as many channels.
            related = draw.shape(rank);
            if let (Some(to), Some(&channels)) = (related.get_mut(1), shape.get(1)) {
                *to = channels;
            }
            related.iter_mut().skip(2).for_each(|size| *size = *size % 3 + 1);
            crate::draw::shrink(&mut related, 4096);
        }
    }
    related
}

/// Small numbers, one in a while below 0.
fn indices(draw: &mut Draw<'_>, shape: &[usize]) -> Input {
    let floats = draw.input(shape);
    let limit = 1 + draw.count(4) as i64;
    let number = |value: &f64| (value * 8.0 + 16.0) as i64 % limit;
    let mut values: Vec<i64> = floats.floats().unwrap_or_default().iter().map(number).collect();
    if let (Some(value), true) = (values.first_mut(), draw.count(7) == 7) {
        *value = -1;
    }
    let input = Input::indices(shape, values).expect("as many values as the shape has elements");
    input.laid_out(draw.layout(shape))
}

/// Every attribute that any operation has.
fn attributes(draw: &mut Draw<'_>, shape: &[usize]) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, value: Value| all.insert(name.to_owned(), value);
    let size = |draw: &mut Draw<'_>| match draw.count(63) {
        63 => json!(HUGE[draw.count(2)]),
        _ => json!(draw.count(5)),
    };
    for name in COUNTS {
        add(name, size(draw));
    }
    for name in SIGNED {
        add(name, json!(draw.count(6) as i64 - 2));
    }
    for name in LISTS {
        let list: Value = match draw.count(3) {
            0 => shape.iter().map(|&size| json!(size)).collect(),
            1 => (0..shape.len()).rev().map(|dim| json!(dim)).collect(),
            2 => json!([-1]),
            _ => (0..draw.count(4)).map(|_| size(draw)).collect(),
        };
        add(name, list);
    }
    for name in FLAGS {
        add(name, json!(draw.flag()));
    }
    for name in PAIRS {
        let least = u64::from(draw.count(15) != 0 && !name.contains("padding"));
        let one = |draw: &mut Draw<'_>| match draw.count(63) {
            63 => HUGE[draw.count(2)],
            _ => draw.count(2) as u64 + least,
        };
        add(name, json!([one(draw), one(draw)]));
    }
    for name in NUMBERS {
        add(name, json!(draw.pick(&[0.5, 1.0, 0.1, 0.0, -1.0, 2.0, 3.0])));
    }
    // A number for some, a pair for others.
    if draw.flag() {
        for name in ["kernel", "stride", "padding", "dilation"] {
            add(name, json!(draw.count(2)));
        }
    }
    add("groups", json!(draw.pick(&[1, 1, 2, 3, 4, 0])));
    add("approximate", json!(draw.pick(&["none", "tanh"])));
    add("reduction", json!(draw.pick(&["mean", "sum", "none", "batchmean"])));
    if draw.flag() {
        all.remove("padding_idx");
        all.remove("ignore_index");
        all.remove("label_smoothing");
    }
    all
}
