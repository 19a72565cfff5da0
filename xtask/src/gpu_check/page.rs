//! The section on GPUs of `docs/performance.md`, from what `run.sh` left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::{Result, marked};

/// Where the section stands: in the page, and in the notes that a later run of the benchmarks puts there.
const PAGES: [&str; 2] = ["docs/performance.md", "benches/performance-notes.md"];

/// The name of the marks around it.
const NAME: &str = "gpu-check";

/// Kernels with a smaller share of a step are not listed, in percent.
const LEAST_SHARE: f64 = 1.0;

/// A line of `speed.jsonl`: a row of ours or of a peer, or how busy the GPU was during ours.
#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    peer: Option<String>,
    mode: Option<String>,
    value: Option<f64>,
    peak_mib: Option<u64>,
    busy: Option<String>,
    percent: Option<f64>,
}

/// Writes the section.
///
/// # Errors
/// The folder has no `speed.jsonl`, or a file is not as `run.sh` writes it.
pub(super) fn write(root: &Path, folder: &Path) -> Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| {
            format!("{}: {error}; give the folder that run.sh left its logs in", path.display())
        })
    };
    let mut text = speed(&read(&folder.join("speed.jsonl"))?)?;
    let mut profiles = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            profiles.push(path);
        }
    }
    profiles.sort();
    for path in profiles {
        text.push_str(&profile(&read(&path)?)?);
    }
    PAGES.iter().try_for_each(|page| marked::write(root, page, NAME, &text))?;
    print!("{text}");
    Ok(())
}

/// The table of rows.
fn speed(text: &str) -> Result<String> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(serde_json::from_str).collect::<std::result::Result<Vec<Line>, _>>()?;
    let busy: BTreeMap<&str, f64> =
        lines.iter().filter_map(|line| Some((line.busy.as_deref()?, line.percent?))).collect();
    let of_peer = |name: &str, mode: &str| {
        let fits =
            |line: &&Line| line.name.as_deref() == Some(name) && line.mode.as_deref() == Some(mode);
        lines.iter().find(fits).and_then(|line| Some((line.value?, line.peak_mib)))
    };
    let mut table = String::from(
        "\n| row | images/s | PyTorch | ours / PyTorch | PyTorch compiled | ours / compiled | GPU busy | MiB, ours and \
         PyTorch |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for line in lines.iter().filter(|line| line.peer.is_none()) {
        let (Some(name), Some(value)) = (line.name.as_deref(), line.value) else { continue };
        let (eager, compiled) = (of_peer(name, "eager"), of_peer(name, "compile"));
        let images =
            |peer: Option<(f64, _)>| peer.map_or(String::new(), |(v, _)| format!("{v:.0}"));
        let ratio = |peer: Option<(f64, _)>| {
            peer.map_or(String::new(), |(v, _)| format!("{:.2}", value / v))
        };
        let percent = busy.get(name).map_or(String::new(), |percent| format!("{percent:.0} %"));
        let memory = |mib: Option<u64>| mib.map_or("?".to_owned(), |mib| mib.to_string());
        writeln!(
            table,
            "| `{name}` | {value:.0} | {} | {} | {} | {} | {percent} | {}, {} |",
            images(eager),
            ratio(eager),
            images(compiled),
            ratio(compiled),
            memory(line.peak_mib),
            memory(eager.and_then(|(_, mib)| mib)),
        )?;
    }
    table.push('\n');
    Ok(table)
}

/// The kernels of a step, and how fast cuDNN's engines are.
fn profile(text: &str) -> Result<String> {
    let name = text.split(':').next().unwrap_or_default();
    let after =
        |mark: &'static str| text.lines().skip_while(move |line| !line.contains(mark)).skip(1);
    let mut table = format!(
        "Kernels of `{name}`, each timed alone (which adds some 10 µs to each):\n\n\
         | kernel | launches a step | ms a step | % |\n| --- | ---: | ---: | ---: |\n"
    );
    for line in after("  kernel, ").take_while(|line| !line.is_empty()) {
        let wrong = || format!("'{line}' is no line of a profile");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ms, share, calls, kernel @ ..] = &words[..] else { return Err(wrong().into()) };
        if share.parse::<f64>().map_err(|_| wrong())? >= LEAST_SHARE {
            writeln!(table, "| {} | {calls} | {ms} | {share} |", kernel.join(" "))?;
        }
    }
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for line in after("  convolution").take_while(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = ["forward", "input gradient", "weight gradient"];
        let kind = kind.into_iter().find(|kind| line.contains(kind));
        // An engine that writes the gradient in f32 is timed too, and taken where it is faster.
        if let (Some(kind), Some(Ok(rate))) = (kind, words.get(1).map(|word| word.parse::<f64>()))
            && rate.is_finite()
            && !line.contains(" in f32")
        {
            rates.entry(kind).or_default().push(rate);
        }
    }
    table.push_str(
        "\n| engines of cuDNN | shapes | TFLOP/s: least | median | most |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for (kind, mut rates) in rates {
        rates.sort_by(f64::total_cmp);
        let (least, most) = (rates[0], rates[rates.len() - 1]);
        let (count, median) = (rates.len(), rates[rates.len() / 2]);
        writeln!(table, "| {kind} | {count} | {least:.0} | {median:.0} | {most:.0} |")?;
    }
    table.push('\n');
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_beside_its_peers() {
        let text = "noise\n\
            {\"name\": \"train/a/b1/f32\", \"value\": 300.0, \"peak_mib\": 7}\n\
            {\"busy\": \"train/a/b1/f32\", \"percent\": 97}\n\
            {\"peer\": \"torch\", \"mode\": \"eager\", \"name\": \"train/a/b1/f32\", \"value\": 200.0, \"peak_mib\": 9}\n\
            {\"peer\": \"torch\", \"mode\": \"compile\", \"name\": \"train/a/b1/f32\", \"error\": \"no\"}\n";
        let table = speed(text).unwrap();
        assert!(
            table.contains("| `train/a/b1/f32` | 300 | 200 | 1.50 |  |  | 97 % | 7, 9 |"),
            "{table}"
        );
    }

    #[test]
    fn a_profile_gives_its_larger_kernels_and_the_rates_of_engines() {
        let text = "train/a/b1/bf16: 2.0 ms a step\n\n ms a step      %   calls  kernel, 2.0 ms in all\n    \
            1.9   95.0    3.0  cuDNN forward\n    0.01    0.5    1.0  fill\n\n        ms   TFLOP/s  engine  \
            workspace  convolution\n    0.1     90.0      6      0 MiB  forward bf16 [1] to bf16 [1]\n    0.1     \
            10.0      6      0 MiB  weight gradient bf16 [1] to bf16 [1] in f32\n";
        let table = profile(text).unwrap();
        assert!(table.contains("| cuDNN forward | 3.0 | 1.9 | 95.0 |") && !table.contains("fill"));
        assert!(table.contains("| forward | 1 | 90 | 90 | 90 |") && !table.contains("weight"));
    }
}
