//! `cargo xtask reproduce`: trains the classics on MNIST for real, and writes docs/reproduce.md from the runs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde_json::Value;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

const PAGE: &str = "docs/reproduce.md";
const CURVES: &str = "docs/reproduce-curves.svg";

/// What is written about a training that is not in its run folder.
struct Experiment {
    name: &'static str,
    what: &'static str,
    /// The goal, if the project has set one for it.
    goal: &'static str,
    arguments: &'static str,
}

/// The share of the training images by which models are chosen: 5,000 of 60,000.
const VALIDATION: &str = "0.08333";

const EXPERIMENTS: [Experiment; 4] = [
    Experiment {
        name: "lenet5_1998",
        what: "LeNet-5 as in 1998, the paper's loss, no distortions",
        goal: "0.95 % error (the paper)",
        arguments: "train lenet5_1998",
    },
    Experiment {
        name: "lenet5",
        what: "LeNet-5 as frameworks have it, shifted digits",
        goal: "",
        arguments: "train lenet5",
    },
    Experiment {
        name: "cifar_resnet20",
        what: "the CIFAR ResNet-20 on 28 x 28 pixels, distorted digits",
        goal: "",
        arguments: "train cifar_resnet20",
    },
    Experiment {
        name: "slim_vgg_bn",
        what: "a slim VGG with batch norm, distorted digits",
        goal: "",
        arguments: "train slim_vgg_bn",
    },
];

/// Flags of `reproduce`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Train these alone, and write no page.
    #[arg(long, value_name = "MODEL")]
    only: Vec<String>,
    /// Where the runs are, or are to be, relative to the workspace; those that are finished are not trained again.
    #[arg(long, value_name = "DIR", default_value = "target/reproduce")]
    runs: PathBuf,
}

/// A finished run.
struct Outcome {
    experiment: &'static Experiment,
    epochs: Vec<Value>,
    last: Value,
    config: String,
}

/// Trains what is not trained yet, and writes the page.
///
/// # Errors
/// A training fails, or the page cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    let runs = root.join(&args.runs);
    if let Some(unknown) =
        args.only.iter().find(|name| !EXPERIMENTS.iter().any(|e| e.name == **name))
    {
        let names: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
        return Err(
            format!("there is no experiment {unknown}; there is {}", names.join(", ")).into()
        );
    }
    Call::cargo("build --quiet --locked --release -p ferrotape-cli").run(root)?;
    let command = metadata.target_directory.join("release/ferrotape");
    let wanted =
        |e: &&Experiment| args.only.is_empty() || args.only.iter().any(|name| name == e.name);
    let mut outcomes = Vec::new();
    for experiment in EXPERIMENTS.iter().filter(wanted) {
        let folder = runs.join(experiment.name);
        let state = folder.join("metrics.jsonl");
        let is_finished =
            fs::read_to_string(&state).is_ok_and(|text| text.contains("\"event\":\"final\""));
        if !is_finished {
            let place = folder.to_string_lossy().into_owned();
            let call = match folder.join("checkpoint.safetensors").is_file() {
                true => Call::new(&command.to_string_lossy(), "train --resume").arg(place),
                false => Call::new(&command.to_string_lossy(), experiment.arguments)
                    .arg("--validation")
                    .arg(VALIDATION)
                    .arg("--keep")
                    .arg("best")
                    .arg("--out")
                    .arg(place),
            };
            eprintln!("reproduce: {call} ...");
            call.run(root)?;
        }
        outcomes.push(Outcome::read(experiment, &folder)?);
    }
    if !args.only.is_empty() {
        return Ok(());
    }
    let ensemble = Ensemble::of(&outcomes, &runs, &command, root)?;
    let revision = Call::new("git", "rev-parse --short HEAD").read(root)?;
    fs::write(root.join(CURVES), curves(&outcomes)?)?;
    fs::write(root.join(PAGE), page(&outcomes, &ensemble, revision.trim())?)?;
    println!("{PAGE} has {} trainings", outcomes.len());
    Ok(())
}

impl Outcome {
    fn read(experiment: &'static Experiment, folder: &Path) -> Result<Self> {
        let lines = fs::read_to_string(folder.join("metrics.jsonl"))?;
        let records: Vec<Value> =
            lines.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
        let (epochs, finals): (Vec<Value>, Vec<Value>) =
            records.into_iter().partition(|record| record["event"] == "epoch");
        let last = finals.into_iter().next_back().ok_or_else(|| {
            format!("{} is not finished; run the command again", folder.display())
        })?;
        let config = fs::read_to_string(folder.join("config.toml"))?;
        Ok(Outcome { experiment, epochs, last, config })
    }

    fn number(&self, key: &str) -> f64 {
        self.last[key].as_f64().unwrap_or(f64::NAN)
    }

    fn wrong(&self) -> u64 {
        ((1.0 - self.number("test_accuracy")) * self.number("test_images")).round() as u64
    }
}

/// The two models that were best on the validation images, together.
struct Ensemble {
    members: [&'static str; 2],
    accuracy: f64,
}

impl Ensemble {
    fn of(outcomes: &[Outcome], runs: &Path, command: &Path, root: &Path) -> Result<Self> {
        let mut ranked: Vec<&Outcome> = outcomes.iter().collect();
        ranked.sort_by(|a, b| {
            b.number("validation_accuracy").total_cmp(&a.number("validation_accuracy"))
        });
        let [first, second, ..] = ranked[..] else {
            return Err("an ensemble needs two trainings".into());
        };
        let members = [first.experiment.name, second.experiment.name];
        let mut call = Call::new(&command.to_string_lossy(), "eval --json");
        for member in members {
            call = call.arg(runs.join(member).to_string_lossy().into_owned());
        }
        let found: Value = serde_json::from_str(&call.read(root)?)?;
        let accuracy = found["test_accuracy"].as_f64().ok_or("eval printed no accuracy")?;
        Ok(Ensemble { members, accuracy })
    }
}

/// The page of the book.
fn page(outcomes: &[Outcome], ensemble: &Ensemble, revision: &str) -> Result<String> {
    let mut out = format!(
        "# Classics on MNIST\n\nThe classic networks, trained for real on MNIST on two cores. \
         `cargo xtask reproduce` trains them and writes this page; the last time at revision {revision}. Seconds \
         were taken with other work on the machine: they say how long you wait, not how fast it is; for that see \
         [Performance](performance.md).\n\nOf the 60,000 training images 5,000 are set aside, of each class \
         alike. They choose the epoch whose weights are kept, and the two networks of the ensemble. The 10,000 \
         test images are looked at once, at the end of each run.\n\n"
    );
    writeln!(
        out,
        "| network | parameters | epochs | validation accuracy | test error | wrong | seconds | goal |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for outcome in outcomes {
        writeln!(
            out,
            "| `{}`: {} | {} | {} | {:.2} % | {:.2} % | {} | {:.0} | {} |",
            outcome.experiment.name,
            outcome.experiment.what,
            outcome.number("parameters"),
            outcome.number("epochs"),
            100.0 * outcome.number("validation_accuracy"),
            100.0 * (1.0 - outcome.number("test_accuracy")),
            outcome.wrong(),
            outcome.number("seconds"),
            outcome.experiment.goal,
        )?;
    }
    let best = outcomes
        .iter()
        .max_by(|a, b| a.number("validation_accuracy").total_cmp(&b.number("validation_accuracy")))
        .ok_or("there is no training")?;
    writeln!(
        out,
        "\nThe best by validation is `{}`, with {:.2} % test accuracy; the goal for the best model is 99.6 %. \
         `{}` and `{}` together, their probabilities averaged by `ferrotape eval`, have {:.2} %.\n",
        best.experiment.name,
        100.0 * best.number("test_accuracy"),
        ensemble.members[0],
        ensemble.members[1],
        100.0 * ensemble.accuracy,
    )?;
    writeln!(out, "![Validation error over the epochs](reproduce-curves.svg)\n")?;
    writeln!(out, "## The same on your machine\n\n```sh")?;
    for outcome in outcomes {
        writeln!(
            out,
            "ferrotape {} --validation {VALIDATION} --keep best --out runs/{}",
            outcome.experiment.arguments, outcome.experiment.name
        )?;
    }
    writeln!(
        out,
        "ferrotape eval {}\n```\n",
        ensemble.members.map(|member| format!("runs/{member}")).join(" ")
    )?;
    writeln!(
        out,
        "Equal versions, instruction sets and flags give equal weights, to the bit, on any number of threads. What \
         each recipe is:\n"
    )?;
    for outcome in outcomes {
        let shown = |line: &&str| {
            let hidden = ["model", "data", "device", "dtype", "threads", "mean", "std", "classes"];
            !hidden.iter().any(|key| line.starts_with(&format!("{key} =")))
        };
        let lines: Vec<&str> = outcome.config.lines().filter(shown).collect();
        writeln!(out, "### {}\n\n```toml\n{}\n```\n", outcome.experiment.name, lines.join("\n"))?;
    }
    out += RECIPES;
    Ok(out)
}

/// What the page says of the networks that were not trained.
const RECIPES: &str = "## The other networks\n\n\
`ferrotape train MODEL --data FOLDER` trains any network of the zoo on your own pictures, and without `--data` on the \
digits. Where nothing else is said the recipe is taken from where the network was published:\n\n\
| networks | source | what is the same | what is not |\n| --- | --- | --- | --- |\n\
| AlexNet, VGG, GoogLeNet, ResNet | torchvision's reference scripts | SGD, momentum 0.9, weight decay 1e-4, rate per \
image, resized crops, mirrored, three stages with a tenth of the rate each | 32 images a step with the rate scaled to \
them, 30 epochs in place of 90 |\n\
| CIFAR ResNets | He et al. 2016, section 4.2 | SGD, momentum 0.9, weight decay 1e-4, shifted by up to 4 pixels, \
mirrored | 32 images a step with the rate scaled to them, 54 epochs in place of \
164, one drop of the rate, half way, in place of two |\n\n\
None of these ran on ImageNet or CIFAR-10 here: the data are not at hand. The command says so when it starts. On digits \
nothing is mirrored or cut, and they are shown in a smaller size (`--size`).\n";

/// Validation error over the epochs, a curve a network.
fn curves(outcomes: &[Outcome]) -> Result<String> {
    let errors = |outcome: &Outcome| -> Vec<(f64, f64)> {
        let point = |record: &Value| {
            let right = record["validation_accuracy"].as_f64()?;
            Some((record["epoch"].as_f64()?, 100.0 * (1.0 - right)))
        };
        outcome.epochs.iter().filter_map(point).collect()
    };
    let longest = outcomes.iter().map(|outcome| outcome.epochs.len()).max().unwrap_or(1);
    let all: Vec<f64> = outcomes.iter().flat_map(errors).map(|point| point.1).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min).max(0.05);
    let high = all.iter().copied().fold(low, f64::max);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (960, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(1.0..longest as f64, (0.8 * low..1.2 * high).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc("validation error in %")
            .x_label_formatter(&|epoch| format!("{epoch:.0}"))
            .y_label_formatter(&|error| format!("{error:.1}"))
            .light_line_style(WHITE)
            .draw()?;
        for (index, outcome) in outcomes.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            chart
                .draw_series(LineSeries::new(errors(outcome), colour.stroke_width(2)))?
                .label(outcome.experiment.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
                });
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(experiment: &'static Experiment, accuracy: f64) -> Outcome {
        let epochs = (1..=3).map(|epoch| {
            json!({ "event": "epoch", "epoch": epoch, "validation_accuracy": accuracy - 0.01 / f64::from(epoch) })
        });
        let last = json!({
            "event": "final", "parameters": 60000, "epochs": 3, "test_accuracy": accuracy,
            "validation_accuracy": accuracy, "test_images": 10000, "seconds": 12.4,
        });
        let config = "model = \"x\"\nepochs = 3\n".into();
        Outcome { experiment, epochs: epochs.collect(), last, config }
    }

    #[test]
    fn the_page_says_what_the_runs_came_to() {
        let outcomes = [outcome(&EXPERIMENTS[0], 0.9912), outcome(&EXPERIMENTS[3], 0.9961)];
        let ensemble = Ensemble { members: ["lenet5_1998", "slim_vgg_bn"], accuracy: 0.997 };
        let page = page(&outcomes, &ensemble, "abc1234").unwrap();
        assert!(
            page.contains("| 99.12 % | 0.88 % | 88 | 12 | 0.95 % error (the paper) |"),
            "{page}"
        );
        assert!(page.contains("`slim_vgg_bn`, with 99.61 % test accuracy"), "{page}");
        assert!(page.contains("have 99.70 %") && page.contains("epochs = 3"), "{page}");
        assert!(!page.contains("model = "), "{page}");
        assert!(curves(&outcomes).unwrap().contains("validation error in %"));
    }
}
