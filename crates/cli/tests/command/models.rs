//! What is said of models without running one.

use std::path::Path;

use crate::support::{Outcome, ferrotape_in};

fn ferrotape<const N: usize>(arguments: [&str; N]) -> Outcome {
    ferrotape_in(Path::new("."), arguments)
}

#[test]
fn every_model_is_listed_with_what_it_takes() {
    let listed = ferrotape(["zoo", "--batch", "8", "--json"]).json_lines();
    let names: Vec<&str> = listed.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"lenet5"));
    assert!(names.contains(&"resnet50"));
    for model in &listed {
        let bytes = |name: &str| model[name].as_u64().unwrap();
        // Parameters, their gradients and their momentum are there at once in training.
        assert!(bytes("training_bytes") > 3 * 4 * bytes("parameters"), "{model}");
        assert!(bytes("inference_bytes") > 4 * bytes("parameters"), "{model}");
    }
    let table = ferrotape(["zoo"]);
    assert!(table.succeeded().contains("61,706"), "{}", table.stdout);
    assert_eq!(
        ferrotape(["zoo", "--batch", "0"]).refused(),
        "batch is 0; give 1 or more (--batch)"
    );
}

#[test]
fn a_summary_is_of_any_size_of_image() {
    let rows = ferrotape(["summary", "resnet50", "--input", "2x3x97x64", "--json"]).json_lines();
    let first = &rows[0];
    assert_eq!(first["output"], serde_json::json!([2, 64, 49, 32]));
    assert_eq!(first["size"], "(97 - 7 + 2*3) / 2 + 1 = 49, (64 - 7 + 2*3) / 2 + 1 = 32");
    assert_eq!(first["window"]["kernel"], serde_json::json!([7, 7]));
    let error = ferrotape(["summary", "resnet50", "--input", "3x0x4"]);
    assert!(error.refused().contains("larger than the input of 0"), "{}", error.stderr);
    let error = ferrotape(["summary", "resnet50", "--input", "big"]);
    assert_eq!(error.code, Some(2));
    assert!(error.stderr.contains("such as 3x224x224"), "{}", error.stderr);
}
