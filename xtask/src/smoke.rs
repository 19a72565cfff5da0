//! A step of `ci`: the main job on a slice of the data, and a look at what it left behind.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::shell::Call;

/// Trains LeNet-5 for one epoch on 2,000 digits into a fresh folder and checks the run.
///
/// # Errors
/// The command fails, or a file that it promises is missing or not what it should be.
pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let call = Call::cargo("run --release --locked -- train lenet5 --epochs 1 --limit 2000 --out");
    let call = call.arg(run.to_string_lossy());
    call.run(root)?;
    check_run(&run).map_err(|error| {
        format!("the run finished, but {error}. Repeat the run with\n    {call}").into()
    })
}

/// Checks that the folder of a finished run holds its four files and that each can be read.
fn check_run(run: &Path) -> Result<()> {
    check_metrics(&text(run, "metrics.jsonl")?)?;
    text(run, "config.toml")?
        .parse::<toml::Table>()
        .map_err(|error| format!("config.toml is not TOML ({error})"))?;
    check_report(&text(run, "report.html")?)?;
    let weights = run.join("model.safetensors");
    check_weights(&fs::read(&weights).map_err(|error| unreadable(&weights, &error))?)
}

fn text(run: &Path, name: &str) -> Result<String> {
    let path = run.join(name);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    if text.trim().is_empty() { Err(format!("{name} is empty").into()) } else { Ok(text) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read ({error})", path.display())
}

/// Every line is an object; the last one is the final event, with the accuracy as a fraction.
fn check_metrics(text: &str) -> Result<()> {
    let mut last = Value::Null;
    for (number, line) in text.lines().enumerate() {
        last = serde_json::from_str(line)
            .map_err(|error| format!("line {} of metrics.jsonl: {error}", number + 1))?;
    }
    if last["event"] != "final" {
        return Err("the last line of metrics.jsonl lacks \"event\":\"final\"".into());
    }
    let accuracy = last["test_accuracy"].as_f64().unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&accuracy) {
        return Err("test_accuracy in metrics.jsonl is not a fraction from 0 to 1".into());
    }
    let seconds = last["seconds"].as_f64().unwrap_or(f64::NAN);
    if seconds > 0.0 { Ok(()) } else { Err("seconds in metrics.jsonl is not above 0".into()) }
}

/// The report opens without a network: it loads nothing by address.
fn check_report(html: &str) -> Result<()> {
    if !html.contains("<html") {
        return Err("report.html has no <html> element".into());
    }
    for attribute in ["src=\"http", "href=\"http", "url(http", "@import"] {
        if html.contains(attribute) {
            return Err(format!("report.html is not self-contained: it has {attribute}").into());
        }
    }
    Ok(())
}

/// The header of a safetensors file: eight bytes of length, then JSON that names at least one tensor.
fn check_weights(bytes: &[u8]) -> Result<()> {
    let header = bytes
        .split_first_chunk::<8>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?))
        .ok_or("model.safetensors ends inside its header")?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header)
        .map_err(|error| format!("the header of model.safetensors is not JSON ({error})"))?;
    if header.keys().any(|name| name != "__metadata__") {
        Ok(())
    } else {
        Err("model.safetensors holds no tensor".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: &str = r#"{"event":"final","test_accuracy":0.5,"seconds":3.5}"#;

    fn weights(header: &str) -> Vec<u8> {
        let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// A folder as a good run leaves it.
    fn good_run() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("metrics.jsonl", format!("{{\"epoch\":1}}\n{FINAL}\n").as_bytes());
        write("config.toml", b"model = \"lenet5\"\n");
        write("report.html", b"<!doctype html><html></html>");
        write("model.safetensors", &weights(r#"{"conv1.weight":{}}"#));
        folder
    }

    #[test]
    fn a_good_run_passes() {
        check_run(good_run().path()).unwrap();
    }

    #[test]
    fn each_missing_file_is_named() {
        for name in ["metrics.jsonl", "config.toml", "report.html", "model.safetensors"] {
            let folder = good_run();
            fs::remove_file(folder.path().join(name)).unwrap();
            let error = check_run(folder.path()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn metrics_must_end_with_the_final_event_and_sane_figures() {
        for bad in [
            "{\"epoch\":1}",
            "not json",
            r#"{"event":"final","test_accuracy":99.0,"seconds":3.5}"#,
            r#"{"event":"final","test_accuracy":0.5}"#,
        ] {
            assert!(check_metrics(bad).is_err(), "{bad}");
            // What was final once must be last: a line after it is an unfinished run.
            assert!(check_metrics(&format!("{FINAL}\n{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_report_that_loads_from_elsewhere_is_refused() {
        assert!(check_report("<html><script src=\"https://a.example/x.js\"></html>").is_err());
        assert!(check_report("plain").is_err());
    }

    #[test]
    fn weights_that_are_cut_short_or_empty_are_refused() {
        let mut cut = weights(r#"{"a":{}}"#);
        cut.truncate(12);
        assert!(check_weights(&cut).is_err());
        assert!(check_weights(&[1, 2]).is_err());
        assert!(check_weights(&weights(r#"{"__metadata__":{}}"#)).is_err());
    }
}
