//! The networks of the zoo compute what PyTorch computes, and a wrong one is found.

use std::fs;
use std::path::{Path, PathBuf};

use ferrotape::backend::{DType, Device, reference::Reference};
use ferrotape::prelude::OpenDevice;
use ferrotape_parity::{Outcome, Verdict, check};
use serde_json::{Value, json};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn cpu() -> Device {
    Device::open("cpu").unwrap()
}

/// The fixture with one network, changed.
fn changed(model: &str, change: impl FnOnce(&mut Value)) -> Value {
    let file: Value =
        serde_json::from_str(&fs::read_to_string(fixtures("zoo.json")).unwrap()).unwrap();
    let cases = file["models"].as_array().unwrap();
    let mut case = cases.iter().find(|case| case["model"] == model).unwrap().clone();
    change(&mut case);
    json!({ "models": [case] })
}

fn outcomes(file: &Value, device: &Device, dtype: DType) -> Vec<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.json");
    fs::write(&path, file.to_string()).unwrap();
    check(&path, device, dtype).unwrap()
}

#[test]
fn every_network_computes_what_pytorch_computes() {
    for outcome in check(&fixtures("zoo.json"), &cpu(), DType::F64).unwrap() {
        assert!(outcome.passed(), "{outcome}");
    }
}

#[test]
fn so_do_the_depths_that_the_first_file_leaves_out() {
    let outcomes = check(&fixtures("zoo_more.json"), &cpu(), DType::F64).unwrap();
    let ids: Vec<_> = outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    let expected = [
        "models/0/resnet34",
        "models/1/resnet101",
        "models/2/resnet152",
        "models/3/cifar_resnet32",
        "models/4/cifar_resnet44",
        "models/5/cifar_resnet56",
    ];
    assert_eq!(ids, expected);
    for outcome in outcomes {
        assert!(outcome.passed(), "{outcome}");
    }
}

#[test]
fn networks_in_f32_are_as_near_as_f32_can_be() {
    for name in ["lenet5", "resnet18", "cifar_resnet20"] {
        let file = changed(name, |_| {});
        for outcome in outcomes(&file, &cpu(), DType::F32) {
            assert!(outcome.passed(), "{outcome}");
        }
    }
}

#[test]
fn what_f32_was_measured_to_hold_widens_no_other_comparison() {
    let off = |dtype, measured: f64| {
        let file = changed("lenet5", |case| {
            case["train_loss"] = json!(case["train_loss"].as_f64().unwrap() * (1.0 + 1e-4));
            let names =
                ["eval_logits", "train_logits", "train_loss", "norm", "projection", "running"];
            for name in names {
                case["float32"][name] = json!(0.0);
            }
            case["float32"]["train_loss"] = json!(measured);
        });
        outcomes(&file, &cpu(), dtype)[0].passed()
    };
    assert!(off(DType::F32, 1e-4));
    assert!(!off(DType::F32, 1e-6));
    assert!(!off(DType::F64, 1e-4));
}

#[test]
fn the_reference_backend_computes_it_too() {
    let file = changed("lenet5", |_| {});
    let outcome = &outcomes(&file, &Device::new(Reference::new()), DType::F64)[0];
    assert!(outcome.passed(), "{outcome}");
}

#[test]
fn a_number_that_is_wrong_in_the_seventh_digit_is_found_and_named() {
    let wrong = |value: &mut Value| {
        let right = value.as_f64().unwrap();
        *value = json!(right + 1e-7 * right.abs().max(10.0));
    };
    type Change = fn(&mut Value) -> &mut Value;
    let changes: [(&str, Change); 7] = [
        ("eval_logits", |case| &mut case["eval_logits"][1][4]),
        ("eval_norm", |case| &mut case["eval_norm"]),
        ("train_logits", |case| &mut case["train_logits"][0][2]),
        ("train_loss", |case| &mut case["train_loss"]),
        ("grads/layer2.0.bn1.weight", |case| &mut case["grads"]["layer2.0.bn1.weight"][0]),
        ("grads/layer3.1.conv2.weight", |case| &mut case["grads"]["layer3.1.conv2.weight"][1]),
        (
            "running_after/layer1.0.bn2.running_var",
            |case| &mut case["running_after"]["layer1.0.bn2.running_var"],
        ),
    ];
    for (expected, place) in changes {
        let file = changed("cifar_resnet20", |case| wrong(place(case)));
        let outcome = &outcomes(&file, &cpu(), DType::F64)[0];
        let Verdict::Differs { tensor, .. } = &outcome.verdict else { panic!("{outcome}") };
        assert_eq!(tensor, expected);
    }
    let file = changed("cifar_resnet20", |case| case["eval_argmax"][0] = json!(0));
    let outcome = &outcomes(&file, &cpu(), DType::F64)[0];
    assert!(outcome.to_string().contains("eval_argmax differs"), "{outcome}");
}

#[test]
fn what_does_not_fit_is_a_failure_with_a_reason() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 13] = [
        ("there is no model 'cifar_resnet21'", |case| case["model"] = json!("cifar_resnet21")),
        ("tensor 0 is conv1.weight [16, 3, 3, 3]", |case| case["tensors"][0][1][0] = json!(17)),
        ("tensor 1 is bn1.weight [16], the fixture has bn1.bias [16]", |case| {
            case["tensors"].as_array_mut().unwrap().swap(1, 2);
        }),
        ("tensor 97 is none, the fixture has extra [10]", |case| {
            case["tensors"].as_array_mut().unwrap().push(json!(["extra", [10]]));
        }),
        ("269722 parameters", |case| case["parameters"] = json!(1)),
        ("multiply-adds", |case| case["macs"] = json!(1)),
        ("has no fc.bias", |case| {
            case["grads"].as_object_mut().unwrap().remove("fc.bias");
        }),
        ("has extra, the network has not", |case| case["running_after"]["extra"] = json!(1.0)),
        ("labels has 1 rows for 2 images", |case| case["labels"] = json!([3])),
        ("input is", |case| case["input"] = json!([2, 3, usize::MAX, 32])),
        ("missing field `macs`", |case| {
            case.as_object_mut().unwrap().remove("macs");
        }),
        ("does not end with the last bias", |case| case["tensors"] = json!([])),
        ("numbers a row", |case| case["eval_logits"][0] = json!(vec![0.0; 11])),
    ];
    for (reason, change) in changes {
        let file = changed("cifar_resnet20", change);
        let outcome = &outcomes(&file, &cpu(), DType::F64)[0];
        assert!(matches!(outcome.verdict, Verdict::Impossible(_)), "{outcome}");
        assert!(outcome.to_string().contains(reason), "{outcome}");
    }
    let outcome = &outcomes(&changed("lenet5", |_| {}), &cpu(), DType::BF16)[0];
    assert!(outcome.to_string().contains("not bf16"), "{outcome}");
}
