//! Several runs on one page: curves over each other, figures side by side, what was set differently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::chart::{Chart, Series};
use super::html::escape;
use crate::format::{count, loss, percent, seconds, setting};
use crate::{EpochRecord, Error, FinalRecord, Result, RunConfig};

/// The most runs whose curves the eye tells apart.
const MOST: usize = 8;

/// The style's colour of each run.
const CLASSES: [&str; MOST] = ["run1", "run2", "run3", "run4", "run5", "run6", "run7", "run8"];

/// A run beside others.
///
/// ```
/// use ferrotape_train::report::{Compared, compare};
///
/// let run = |name: &str| Compared { name: name.into(), ..Compared::default() };
/// let page = compare(&[run("runs/plain"), run("runs/mixup")])?;
/// assert!(page.contains("runs/plain") && page.contains("runs/mixup"));
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// What it is called, usually its folder.
    pub name: String,
    /// Its configuration.
    pub config: RunConfig,
    /// Its epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// Its end; `None` where it has none yet.
    pub result: Option<FinalRecord>,
}

/// The page that compares runs, complete in itself as that of [`render`](super::render) is.
///
/// ```
/// use ferrotape_train::report::{Compared, compare};
///
/// let error = compare(&vec![Compared::default(); 9]).unwrap_err().to_string();
/// assert!(error.contains("9 runs cannot be compared on one page; name 1 to 8"), "{error}");
/// ```
///
/// # Errors
/// No run, or more than eight.
pub fn compare(runs: &[Compared]) -> Result<String> {
    if runs.is_empty() || runs.len() > MOST {
        return Err(Error::Figures(format!(
            "{} runs cannot be compared on one page; name 1 to {MOST}",
            runs.len()
        )));
    }
    let title = match runs {
        [one] => escape(&one.name),
        runs => format!("{} runs", runs.len()),
    };
    let header = format!(
        "<header><p class=\"eyebrow\">Ferrotape comparison</p><h1>{title}</h1><p class=\"subtitle\">{}</p></header>",
        escape(&models(runs).join(", "))
    );
    let mut sections = vec![("figures", "Figures", figures(runs))];
    if runs.iter().any(|run| !run.epochs.is_empty()) {
        sections.insert(0, ("curves", "Curves", curves(runs)));
    }
    sections.push(("differences", "What differs", differences(runs)));
    Ok(super::sections::complete(&title, &header, &sections, env!("CARGO_PKG_VERSION")))
}

/// The models of the runs, each once.
fn models(runs: &[Compared]) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    for run in runs {
        if !models.contains(&run.config.model) {
            models.push(run.config.model.clone());
        }
    }
    models
}

fn curves(runs: &[Compared]) -> String {
    // The epochs that some run has: the numbers up to the highest may be more than memory holds.
    let records: Vec<BTreeMap<usize, &EpochRecord>> = runs
        .iter()
        .map(|run| run.epochs.iter().map(|record| (record.epoch, record)).collect())
        .collect();
    let epochs: BTreeSet<usize> = records.iter().flat_map(|run| run.keys().copied()).collect();
    let chart = |title, axis, of: &dyn Fn(&EpochRecord) -> Option<f64>| {
        let series = runs.iter().zip(&records).zip(CLASSES).map(|((run, records), class)| {
            let at = |epoch: &usize| {
                records.get(epoch).copied().and_then(of).filter(|value| value.is_finite())
            };
            Series { name: &run.name, class, values: epochs.iter().map(at).collect() }
        });
        Chart {
            title,
            axis,
            epochs: epochs.iter().copied().collect(),
            series: series.filter(|s| s.values.iter().any(Option::is_some)).collect(),
            tick: setting,
            exact: loss,
            may_log: true,
        }
    };
    let mut charts = vec![chart("Training loss", "Mean per image", &|e| Some(e.train_loss))];
    charts.push(chart("Validation loss", "Mean per image", &|e| e.validation_loss));
    charts.push(Chart {
        tick: |value| format!("{} %", setting(100.0 * value)),
        exact: percent,
        ..chart("Validation error", "Images classified wrongly", &|e| {
            e.validation_accuracy.map(|right| 1.0 - right)
        })
    });
    charts.push(Chart {
        exact: setting,
        may_log: false,
        ..chart("Learning rate", "At the epoch's last step", &|e| Some(e.learning_rate))
    });
    let drawn = charts.iter().filter(|chart| !chart.series.is_empty()).map(Chart::figure);
    format!("<div class=\"charts compared\">{}</div>", drawn.collect::<String>())
}

fn figures(runs: &[Compared]) -> String {
    let mut html = String::from(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Figures\" tabindex=\"0\"><table>\
         <caption class=\"unseen\">Figures of each run</caption><thead><tr><th scope=\"col\">Run</th>\
         <th scope=\"col\">Model</th>",
    );
    for name in [
        "Epochs",
        "Test accuracy",
        "Test loss",
        "Validation accuracy",
        "Parameters",
        "Images/s",
        "Time",
    ] {
        let _ = write!(html, "<th scope=\"col\" class=\"number\">{name}</th>");
    }
    html += "</tr></thead><tbody>";
    let absent = || "–".to_owned();
    for (run, class) in runs.iter().zip(CLASSES) {
        let result = run.result.as_ref();
        let speeds = run.epochs.iter().map(|epoch| epoch.images_per_second);
        let speed = speeds.sum::<f64>() / run.epochs.len().max(1) as f64;
        let validation = result.and_then(|result| result.validation_accuracy);
        let last = || run.epochs.last().and_then(|epoch| epoch.validation_accuracy);
        let _ = write!(
            html,
            "<tr><th scope=\"row\" class=\"{class}\"><span class=\"key\"></span>{}</th><td>{}</td>",
            escape(&run.name),
            escape(&run.config.model)
        );
        for value in [
            format!("{} of {}", run.epochs.len(), run.config.epochs),
            result.map_or_else(|| "not finished".into(), |r| percent(r.test_accuracy)),
            result.map_or_else(absent, |r| loss(r.test_loss)),
            validation.or_else(last).map_or_else(absent, percent),
            result.map_or_else(absent, |r| count(r.parameters)),
            count(speed.round() as u64),
            seconds(run.epochs.iter().map(|epoch| epoch.seconds).sum()),
        ] {
            let _ = write!(html, "<td class=\"number\">{value}</td>");
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// The settings that are not the same in all runs.
fn differences(runs: &[Compared]) -> String {
    let entries: Vec<_> = runs.iter().map(|run| run.config.entries()).collect();
    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in entries.iter().flatten() {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let value = |run: usize, key: &String| {
        entries[run].iter().find(|(found, _)| found == key).map_or("", |(_, value)| value.as_str())
    };
    keys.retain(|key| (1..runs.len()).any(|run| value(run, key) != value(0, key)));
    if keys.is_empty() {
        return "<p class=\"note\">All settings are the same.</p>".into();
    }
    let mut html = String::from(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Settings that differ\" tabindex=\"0\"><table>\
         <caption class=\"unseen\">Settings that differ</caption><thead><tr><th scope=\"col\">Setting</th>",
    );
    for (run, class) in runs.iter().zip(CLASSES) {
        let name = escape(&run.name);
        let _ = write!(
            html,
            "<th scope=\"col\" class=\"{class}\"><span class=\"key\"></span>{name}</th>"
        );
    }
    html += "</tr></thead><tbody>";
    for key in keys {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(key));
        for run in 0..runs.len() {
            let _ = write!(html, "<td>{}</td>", escape(value(run, key)));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, rate: f64, losses: &[f64]) -> Compared {
        let epoch = |(at, &train_loss): (usize, &f64)| EpochRecord {
            epoch: at + 1,
            train_loss,
            validation_accuracy: Some(0.9),
            ..EpochRecord::default()
        };
        Compared {
            name: name.into(),
            config: RunConfig {
                model: "lenet5".into(),
                learning_rate: rate,
                ..RunConfig::default()
            },
            epochs: losses.iter().enumerate().map(epoch).collect(),
            result: None,
        }
    }

    #[test]
    fn curves_of_all_runs_lie_in_one_chart_and_only_differences_are_listed() {
        let page = compare(&[run("a<b", 0.1, &[1.0, 0.5]), run("other", 0.2, &[2.0])]).unwrap();
        assert_eq!(page.matches("class=\"curve run1\"").count(), 3);
        assert_eq!(page.matches("class=\"curve run2\"").count(), 3);
        assert!(page.contains("a&lt;b") && !page.contains("a<b"));
        let differing = page.split("id=\"differences\"").nth(1).unwrap();
        assert!(differing.contains("learning_rate") && !differing.contains("batch_size"));
        assert!(page.contains("not finished") && !page.contains("Validation loss"));
    }

    #[test]
    fn a_chart_has_the_epochs_that_there_are_however_high_they_count() {
        let mut far = run("far", 0.1, &[1.0, 0.5]);
        far.epochs[1].epoch = usize::MAX;
        let page = compare(&[far, run("near", 0.2, &[1.0, 0.5, 0.25])]).unwrap();
        for said in ["over 4 epochs", "Epoch 1: far 1.0000, near 1.0000<", "Epoch 3: near 0.2500<"]
        {
            assert!(page.contains(said), "{said}");
        }
        assert!(page.contains(&format!("Epoch {}: far 0.5000<", usize::MAX)));
    }

    #[test]
    fn one_run_is_a_page_and_more_than_can_be_told_apart_are_not() {
        assert!(compare(&[run("alone", 0.1, &[])]).unwrap().contains("All settings are the same"));
        let many: Vec<Compared> = (0..9).map(|i| run(&i.to_string(), 0.1, &[1.0])).collect();
        assert!(compare(&many).unwrap_err().to_string().contains("9 runs"));
        assert!(compare(&[]).is_err());
    }
}
