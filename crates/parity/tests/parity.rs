//! PyTorch's numbers agree, wrong ones do not, and the program says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferrotape::backend::{DType, Device, reference::Reference};
use ferrotape::nn::optim::Optimizer;
use ferrotape::nn::{Parameter, Path as Name, StateDict};
use ferrotape::prelude::OpenDevice;
use ferrotape_parity::{Verdict, check, optim};
use serde_json::{Value, json};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optim.json")
}

fn cases() -> Value {
    serde_json::from_str(&fs::read_to_string(fixture()).unwrap()).unwrap()
}

fn devices() -> [Device; 2] {
    [Device::new(Reference::new()), Device::open("cpu").unwrap()]
}

#[test]
fn every_optimizer_and_schedule_takes_the_steps_that_pytorch_takes() {
    for device in devices() {
        for dtype in [DType::F64, DType::F32] {
            let outcomes = check(&fixture(), &device, dtype).unwrap();
            assert_eq!(outcomes.len(), 24);
            for outcome in outcomes {
                assert!(outcome.passed(), "{outcome} in {dtype} on {device}");
            }
        }
    }
}

fn steps(optimizer: &mut dyn Optimizer, parameter: &Parameter, gradients: &[Vec<f64>]) {
    for gradient in gradients {
        optim::step(optimizer, parameter, gradient).unwrap();
    }
}

#[test]
fn a_saved_optimizer_goes_on_to_the_bit() {
    let rows =
        |case: &Value| -> Vec<Vec<f64>> { serde_json::from_value(case["grads"].clone()).unwrap() };
    let device = Device::new(Reference::new());
    for case in cases()["optimizers"].as_array().unwrap() {
        let gradients = rows(case);
        let (first, second) = gradients.split_at(gradients.len() / 2);
        let whole = optim::start(case, &device, DType::F64).unwrap();
        let mut optimizer = optim::optimizer(case, vec![whole.clone()]).unwrap();
        steps(&mut *optimizer, &whole, first);
        optimizer.set_lr(0.5 * optimizer.lr());
        let saved = optimizer.state_dict().unwrap().to_bytes().unwrap();
        let resumed = Parameter::new(Name::new("p"), whole.value().copy().unwrap()).unwrap();
        steps(&mut *optimizer, &whole, second);

        let mut optimizer = optim::optimizer(case, vec![resumed.clone()]).unwrap();
        optimizer.load_state_dict(&StateDict::from_bytes(&device, &saved).unwrap()).unwrap();
        steps(&mut *optimizer, &resumed, second);
        let bits = |p: &Parameter| p.value().to_vec::<f64>().unwrap();
        assert_eq!(bits(&resumed), bits(&whole), "{}", case["options"]);
        assert_ne!(bits(&resumed), rows(case)[0]);
    }
}

#[test]
fn a_number_that_is_wrong_in_the_tenth_digit_is_found() {
    let mut file = cases();
    let number = &mut file["optimizers"][6]["params"][3][2];
    *number = json!(number.as_f64().unwrap() * (1.0 + 1e-9));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optim.json");
    fs::write(&path, file.to_string()).unwrap();

    let outcomes = check(&path, &devices()[0], DType::F64).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].id, "optimizers/6/adam");
    let Verdict::Differs { tensor, .. } = &failed[0].verdict else { panic!("{}", failed[0]) };
    assert_eq!(tensor, "params/3");
    assert!(check(&path, &devices()[0], DType::F32).unwrap().iter().all(|o| o.passed()));
}

#[test]
fn what_is_unknown_or_missing_is_a_failure_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optim.json");
    let steps = json!({ "start": [1.0], "grads": [[1.0]], "params": [[0.9]] });
    for (change, reason) in [
        (json!({ "optimizer": "lion", "options": {} }), "there is no optimizer lion"),
        (json!({ "optimizer": "sgd", "options": { "foreach": true } }), "foreach is not known"),
        (json!({ "optimizer": "sgd", "options": { "lr": "high" } }), "must be a number"),
        (json!({ "optimizer": "sgd", "options": { "lr": -1.0 } }), "lr is -1"),
        (
            json!({ "optimizer": "sgd", "options": { "lr": 1e300 } }),
            "lr is 1e300, it must be at most 3.4",
        ),
        (json!({ "optimizer": "sgd", "options": {}, "start": null }), "start is not a list"),
        (json!({ "optimizer": "sgd", "options": {}, "grads": [] }), "different numbers of steps"),
        (json!({ "optimizer": "sgd", "options": {}, "grads": [[1.0, 2.0]] }), "params/0"),
    ] {
        let mut case = steps.clone();
        case.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        fs::write(&path, json!({ "optimizers": [case] }).to_string()).unwrap();
        let outcomes = check(&path, &devices()[0], DType::F64).unwrap();
        assert_eq!(outcomes.len(), 1);
        assert!(
            !outcomes[0].passed() && outcomes[0].to_string().contains(reason),
            "{}",
            outcomes[0]
        );
    }
}

#[test]
fn a_path_of_another_form_is_refused_with_what_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let device = &devices()[0];
    let message = |path: &Path| check(path, device, DType::F64).unwrap_err().to_string();
    assert!(message(folder.path()).contains("ops.json"));
    let file = folder.path().join("other.json");
    assert!(message(&file).contains("cannot be read"));
    fs::write(&file, "{").unwrap();
    assert!(message(&file).contains("is not JSON"));
    fs::write(&file, "[1]").unwrap();
    assert!(message(&file).contains("of the form of optim.json"));
}

fn program(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrotape-parity")).args(args).output().unwrap()
}

#[test]
fn the_program_counts_the_cases_in_its_last_line() {
    let path = fixture();
    let path = path.to_str().unwrap();
    let good = program(&[path, path, "--dtype", "f32"]);
    assert!(good.status.success());
    assert_eq!(String::from_utf8(good.stdout).unwrap(), "48 cases, 0 failed\n");

    let folder = tempfile::tempdir().unwrap();
    let ops = json!({ "cases": [{ "id": "x_0", "op": "no_such", "attrs": { "k": 3 }, "inputs": [],
                      "outputs": 1, "grads": [] }] });
    fs::write(folder.path().join("ops.json"), ops.to_string()).unwrap();
    // A safetensors file without tensors: the length of its header, and the header.
    fs::write(folder.path().join("ops.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    let bad = program(&[path, folder.path().to_str().unwrap()]);
    assert!(!bad.status.success());
    let lines = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(
        lines,
        "FAILED x_0: there is no operator no_such with attributes {\"k\":3}\n25 cases, 1 failed\n"
    );
    assert!(!program(&["no/such/path"]).status.success());
}
