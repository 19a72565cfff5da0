//! What a configuration reads, writes and refuses.

use super::*;

fn lenet() -> RunConfig {
    RunConfig { model: "lenet5".into(), ..Default::default() }
}

#[test]
fn what_is_written_is_read_back_to_the_last_bit() {
    let config = RunConfig {
        data: "a \"quoted\" folder\\with\nall = sorts".into(),
        threads: Some(3),
        seed: i64::MAX as u64,
        learning_rate: 0.1 + 0.2,
        weight_decay: 5e-324,
        optimizer: OptimizerName::Sgd,
        ..lenet()
    };
    assert_eq!(RunConfig::from_toml(&config.to_toml()).unwrap(), config);
}

#[test]
fn every_field_is_a_known_key() {
    let full = RunConfig { model: "lenet5".into(), ..RunConfig::with_all_keys() };
    assert_eq!(RunConfig::from_toml(&full.to_toml()).unwrap(), full);
    let json = serde_json::to_value(full).unwrap();
    let fields = json.as_object().unwrap();
    let known = RunConfig::known_keys();
    assert_eq!(known.len(), fields.len());
    assert!(fields.keys().all(|key| known.contains(key)), "{known:?}");
}

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    for (typed, meant) in [
        ("epoch", "epochs"),
        ("lr", "learning_rate"),
        ("learnign_rate", "learning_rate"),
        ("batch-size", "batch_size"),
        ("Weight_Decay", "weight_decay"),
    ] {
        let error = RunConfig::from_toml(&format!("model = 'm'\n{typed} = 1")).unwrap_err();
        let expected = format!("did you mean `{meant}`?");
        assert!(error.to_string().ends_with(&expected), "{typed}: {error}");
    }
    let error = RunConfig::from_toml("zzz = 1").unwrap_err().to_string();
    assert!(error.contains("the known ones are model, data,"), "{error}");
}

#[test]
fn what_no_run_can_do_is_refused_with_its_key() {
    for (bad, key) in [
        (RunConfig { model: " ".into(), ..lenet() }, "model"),
        (RunConfig { epochs: 0, ..lenet() }, "epochs"),
        (RunConfig { batch_size: 0, ..lenet() }, "batch_size"),
        (RunConfig { threads: Some(0), ..lenet() }, "threads"),
        (RunConfig { learning_rate: -0.1, ..lenet() }, "learning_rate"),
        (RunConfig { learning_rate: f64::NAN, ..lenet() }, "learning_rate"),
        (RunConfig { warmup_epochs: f64::INFINITY, ..lenet() }, "warmup_epochs"),
        (RunConfig { momentum: 1.0, ..lenet() }, "momentum"),
        (RunConfig { seed: 1 << 63, ..lenet() }, "seed"),
        (RunConfig { batch_size: usize::MAX, ..lenet() }, "batch_size"),
        (RunConfig { limit: Some(usize::MAX), ..lenet() }, "limit"),
        (RunConfig { format: Some("tar".into()), ..lenet() }, "format"),
        (RunConfig { mean: vec![0.5], ..lenet() }, "mean"),
        (RunConfig { mean: vec![0.5], std: vec![0.0], ..lenet() }, "mean"),
        (RunConfig { mean: vec![f32::NAN], std: vec![0.1], ..lenet() }, "mean"),
    ] {
        let text = bad.validate().unwrap_err().to_string();
        assert!(text.starts_with(key), "{text}");
        // Printing a configuration that will be refused must not be what fails.
        bad.to_toml();
    }
    lenet().validate().unwrap();
}

#[test]
fn every_key_that_counts_is_held_to_the_largest_number_of_toml() {
    let mut full = RunConfig { model: "lenet5".into(), ..RunConfig::with_all_keys() };
    let json = serde_json::to_value(&full).unwrap();
    let whole = json.as_object().unwrap().iter().filter(|(_, value)| value.is_u64());
    let mut expected: Vec<&str> =
        whole.map(|(key, _)| key.as_str()).filter(|key| *key != "seed").collect();
    let mut counts: Vec<&str> = full.counts().into_iter().map(|(key, _)| key).collect();
    expected.sort_unstable();
    counts.sort_unstable();
    assert_eq!(counts, expected);
}

#[test]
fn a_wrong_value_is_shown_with_its_line() {
    let text = RunConfig::from_toml("model = 'm'\nepochs = 'many'").unwrap_err().to_string();
    assert!(text.contains("line 2") && text.contains("'many'"), "{text}");
    let text = RunConfig::from_toml("model = 'm'\noptimizer = 'adma'").unwrap_err().to_string();
    assert!(text.contains("`adam`"), "{text}");
    // The sentence stays one where the file is one endless line.
    let text = RunConfig::from_toml(&"[".repeat(100_000)).unwrap_err().to_string();
    assert!(text.len() < 300 && !text.contains('\n'), "{text}");
}
