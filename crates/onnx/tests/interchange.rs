//! Exported networks in onnxruntime: the same logits, at batches of one and of three, and onnx's own checks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use ferrotape_autograd::{Tensor, ops::Padding};
use ferrotape_backend::{Array, DType, Device, Pool2d, Result, Rng, Shape};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_nn::{Classifier, Conv2dConfig, Init, Layer, Module, Pass, Sequential};
use ferrotape_onnx::{Exporter, proto::Model, to_bytes};
use serde_json::Value;

/// Runs each model of a folder on its inputs, and prints the largest error relative to the largest logit.
const RUNNER: &str = r#"
import json, sys, pathlib
import numpy as np, onnx, onnxruntime
folder = pathlib.Path(sys.argv[1])
for case in json.loads((folder / "cases.json").read_text()):
    path = folder / (case["name"] + ".onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    errors = []
    for batch in case["batches"]:
        read = lambda kind: np.fromfile(folder / f"{case['name']}.{kind}{batch}", dtype="<f4")
        x = read("x").reshape([batch] + case["input"])
        want = read("y").reshape([batch, -1])
        got = session.run(None, {"input": x})[0].reshape([batch, -1])
        errors.append(float(np.abs(got - want).max() / np.abs(want).max()))
    print(json.dumps({"name": case["name"], "nodes": len(model.graph.node), "errors": errors}))
"#;

/// What onnxruntime may differ by, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

/// The batches that are run. Two and three are recorded.
const BATCHES: [usize; 2] = [1, 3];

/// A Python that has onnx and onnxruntime; none, with the reason printed, where there is none. Where
/// `FERROTAPE_NO_SKIP` is set, as in CI, that is a failure.
fn python() -> Option<Command> {
    let python = std::env::var("FERROTAPE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import numpy, onnx, onnxruntime"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(python));
    }
    let why = format!(
        "{python} lacks onnx or onnxruntime; pip install onnx onnxruntime, or name a Python in FERROTAPE_PYTHON"
    );
    assert!(
        std::env::var_os("FERROTAPE_NO_SKIP").is_none(),
        "skipped although it must not be: {why}"
    );
    println!("skipped: {why}");
    None
}

fn device() -> Device {
    Device::new(Cpu::new(CpuOptions::default()).unwrap())
}

/// Numbers as pixels are after normalisation.
fn images(device: &Device, batch: usize, input: &[usize]) -> Array {
    let rng = Rng::new(9).step(batch as u64);
    let count = batch * input.iter().product::<usize>();
    let values: Vec<f32> =
        (0..count as u64).map(|at| rng.uniform_f64(at) as f32 * 4.0 - 2.0).collect();
    Array::from_slice(device, &values, Shape::new(&[&[batch], input].concat()).unwrap()).unwrap()
}

fn floats(array: &Array) -> Vec<u8> {
    array.to_vec::<f32>().unwrap().iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes a model with inputs and what we compute from them.
fn write(
    folder: &Path,
    name: &str,
    device: &Device,
    input: &[usize],
    model: &Model,
    forward: impl Fn(&Pass, &Tensor) -> Result<Tensor>,
) -> Value {
    fs::write(folder.join(format!("{name}.onnx")), to_bytes(model)).unwrap();
    for batch in BATCHES {
        let x = images(device, batch, input);
        let cx = Pass::eval(device);
        let y = forward(&cx, &cx.input(x.clone()).unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.x{batch}")), floats(&x)).unwrap();
        fs::write(folder.join(format!("{name}.y{batch}")), floats(&y)).unwrap();
    }
    serde_json::json!({ "name": name, "input": input, "batches": BATCHES })
}

/// Exports a network whose statistics are those of a batch, as they are after training.
fn network(folder: &Path, device: &Device, name: &str, input: [usize; 3]) -> Value {
    let entry = ferrotape_zoo::find(name).unwrap();
    let network = entry.build(&Init::new(device, Rng::new(5)), entry.classes).unwrap();
    if !network.named_states().is_empty() {
        let cx = Pass::train(device, Rng::new(1)).without_grad();
        network.scores(&cx, &cx.input(images(device, 2, &input)).unwrap()).unwrap();
    }
    let network: &dyn Classifier = &*network;
    let forward = |cx: &Pass, x: &Tensor| network.scores(cx, x);
    let model = Exporter::new(device, input).export(network, forward).unwrap();
    write(folder, name, device, &input, &model, forward)
}

/// Operators that no network of the zoo has.
fn others(folder: &Path, device: &Device) -> Value {
    let input = [3, 11, 10];
    let network = Sequential::new(&Init::new(device, Rng::new(3)))
        .named(
            "conv",
            Conv2dConfig { stride: [2, 1], padding: [1, 2], ..Conv2dConfig::new(3, 6, 3) },
        )
        .unwrap();
    let order = Array::from_slice(device, &[5i64, 0, 3, 3], [4]).unwrap();
    let forward = |cx: &Pass, x: &Tensor| -> Result<Tensor> {
        let x = network.forward(cx, x)?;
        let [a, b] = [x.leaky_relu(0.1)?.index_select(1, &order)?, x.elu(1.0)?.narrow(1, 1, 4)?];
        let x = Tensor::cat(&[&a.gelu()?, &b.hardswish()?.flip(3)?], 1)?;
        let pool =
            Pool2d { stride: [2, 2], padding: [1, 1], ceil_mode: true, ..Pool2d::new([3, 3]) };
        let counted = Pool2d { padding: [1, 0], stride: [1, 1], ..Pool2d::new([2, 2]) };
        let x = x.max_pool2d(&pool)?.avg_pool2d(&counted)?;
        let x = x.pad(&[1, 0, 0, 2], Padding::Constant(0.5))?.permute(&[0, 2, 3, 1])?;
        let weights = x.max(&[3], true)?.broadcast_to(*x.shape())?.softmax(2)?;
        let x = x.mul(&weights)?.contiguous()?;
        let [n, h, w, c] = x.shape().nchw()?;
        let products = x.reshape(&[(n * h) as isize, w as isize, c as isize])?;
        let products = products.matmul(&products.transpose(1, 2)?)?.log_softmax(2)?;
        products.sum(&[2], false)?.reshape(&[n as isize, -1])?.softplus()
    };
    let model = Exporter::new(device, input).export(&network, forward).unwrap();
    write(folder, "others", device, &input, &model, forward)
}

/// Runs the cases; a line each with nodes and errors.
fn run(mut python: Command, folder: &Path, cases: &[Value]) -> Vec<Value> {
    fs::write(folder.join("cases.json"), serde_json::to_string(cases).unwrap()).unwrap();
    let output = python.arg("-c").arg(RUNNER).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), cases.len());
    for line in &lines {
        for error in line["errors"].as_array().unwrap() {
            assert!(error.as_f64().unwrap() <= TOLERANCE, "{line}");
        }
    }
    lines
}

#[test]
fn onnxruntime_computes_the_same_logits() {
    let Some(python) = python() else { return };
    let (place, device) = (tempfile::tempdir().unwrap(), device());
    let place = place.path();
    let cases = [
        network(place, &device, "lenet5", [1, 28, 28]),
        network(place, &device, "lenet5_1998", [1, 28, 28]),
        network(place, &device, "cifar_resnet20", [3, 32, 32]),
        network(place, &device, "slim_vgg_bn", [1, 28, 28]),
        network(place, &device, "resnet18", [3, 64, 64]),
        network(place, &device, "googlenet_2014", [3, 64, 64]),
        others(place, &device),
    ];
    run(python, place, &cases);
}

/// Every network at its own size: minutes, so only when the variable names a file for the table.
#[test]
fn every_network_of_the_zoo_computes_the_same_logits() {
    let Some(file) = std::env::var_os("FERROTAPE_ONNX_TABLE") else {
        println!("skipped: takes minutes; run it by cargo xtask onnx");
        return;
    };
    let python = || python().expect("the table is made with onnx and onnxruntime");
    let device = device();
    let mut table = String::from(
        "| network | nodes | file, MB | largest error at batch 1 | at batch 3 |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for model in ferrotape_zoo::models() {
        let place = tempfile::tempdir().unwrap();
        let case = network(place.path(), &device, model.name, model.input);
        let size = fs::metadata(place.path().join(format!("{}.onnx", model.name))).unwrap().len();
        let line = run(python(), place.path(), &[case]).remove(0);
        let error = |at: usize| line["errors"][at].as_f64().unwrap();
        let (mb, nodes) = (size as f64 / 1e6, &line["nodes"]);
        let _ = writeln!(
            table,
            "| `{}` | {nodes} | {mb:.1} | {:.1e} | {:.1e} |",
            model.name,
            error(0),
            error(1)
        );
        println!("{}", table.lines().last().unwrap_or_default());
    }
    fs::write(file, table).unwrap();
}

#[test]
fn what_has_no_form_is_named_with_its_layer() {
    let device = device();
    let network = Sequential::new(&Init::new(&device, Rng::new(3)))
        .named("conv", Conv2dConfig::new(3, 6, 3))
        .unwrap();
    let export = |forward: &dyn Fn(&Pass, &Tensor) -> Result<Tensor>| {
        Exporter::new(&device, [3, 8, 8]).export(&network, forward).unwrap_err().to_string()
    };
    let error = export(&|cx, x| cx.scope(&"head".into(), || x.logsumexp(&[1], false)));
    assert!(error.contains("logsumexp in head") && error.contains("no form in ONNX"), "{error}");
    let error = export(&|_, x| if x.shape()[0] == 2 { x.exp() } else { x.square() });
    assert!(error.contains("other operations for another size of the batch"), "{error}");
    let error = export(&|_, x| x.sum(&[0], true)?.broadcast_to(*x.shape()));
    assert!(error.contains("repeated for each image of a batch"), "{error}");
    let error = export(&|_, x| x.mul(&x.sum_all()?.detach()));
    assert!(error.contains("mul") && error.contains("beside the tape"), "{error}");
    let error = export(&|cx, _| cx.input(Array::zeros(&device, DType::I64, [1])?));
    assert!(error.contains("nothing to export"), "{error}");
}

#[test]
fn weights_keep_their_names_and_the_batch_is_open() {
    let device = device();
    let network = ferrotape_zoo::resnet18(&Init::new(&device, Rng::new(5)), 10).unwrap();
    let export =
        Exporter::new(&device, [3, 32, 32]).export(&network, |cx, x| network.forward(cx, x));
    let graph = export.unwrap().graph.unwrap();
    let names: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for (name, _) in network.named_parameters() {
        assert!(names.contains(&name.as_str()), "{name}");
    }
    assert!(names.contains(&"layer4.1.bn2.running_var"));
    let count = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
    assert_eq!((count("Conv"), count("BatchNormalization"), count("Gemm")), (20, 20, 1));
    let sizes = &graph.input[0].r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape;
    let first = sizes.as_ref().unwrap().dim[0].value.clone();
    assert_eq!(first, Some(ferrotape_onnx::proto::SizeValue::Name("batch".into())));
}
