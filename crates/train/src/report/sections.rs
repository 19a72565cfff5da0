//! The parts of the page and their order.

use std::fmt::Write;

use super::chart::{Chart, Series};
use super::html::escape;
use super::{Environment, ReportData, confusion, pictures};
use crate::format::{bytes, count, loss, percent, seconds, setting};
use crate::{EpochRecord, Result};

/// A part of the page: its anchor, its heading and what is in it.
pub(super) type Section = (&'static str, &'static str, String);

/// The whole page.
pub(super) fn page(data: &ReportData) -> Result<String> {
    let sections = sections(data)?;
    Ok(complete(&escape(&data.run), &head(data), &sections, &data.environment.version))
}

/// A page of a header and sections; all but the version is markup already.
pub(super) fn complete(title: &str, header: &str, sections: &[Section], version: &str) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <link rel=\"icon\" href=\"data:,\">",
    );
    let style = include_str!("style.css");
    let _ = write!(page, "<title>{title} · Ferrotape</title><style>{style}</style></head><body>");
    page += header;
    page += "<nav aria-label=\"Parts of this report\"><ul>";
    for (id, heading, _) in sections {
        let _ = write!(page, "<li><a href=\"#{id}\">{heading}</a></li>");
    }
    page += "</ul></nav><main>";
    for (id, heading, content) in sections {
        let _ = write!(
            page,
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{heading}</h2>\
             {content}</section>"
        );
    }
    let _ = write!(
        page,
        "</main><footer>Drawn by Ferrotape {}. This page is complete in itself: it fetches nothing.\
         </footer></body></html>",
        escape(version)
    );
    page
}

fn sections(data: &ReportData) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    if !data.epochs.is_empty() {
        sections.push(("curves", "Curves", curves(&data.epochs)));
    }
    if let Some(matrix) = &data.confusion {
        sections.push(("confusion", "Confusion", confusion::matrix(data, matrix)?));
        sections.push(("classes", "Classes", confusion::classes(data, matrix)));
    }
    if !data.mistakes.is_empty() {
        let pictures: String =
            data.mistakes.iter().map(|m| pictures::mistake(data, m)).collect::<Result<_>>()?;
        let content = format!(
            "<p class=\"note\">What the model said and how sure it was; below it, what the image \
             is.</p><ul class=\"gallery\">{pictures}</ul>"
        );
        sections.push(("mistakes", "Worst mistakes", content));
    }
    if !data.looks.is_empty() {
        let looks: String =
            data.looks.iter().map(|look| pictures::look(data, look)).collect::<Result<_>>()?;
        let layer = data.looks.first().map_or("", |look| &look.layer);
        let maps = data.maps.as_ref().map(pictures::maps).transpose()?.unwrap_or_default();
        let content = format!(
            "<p class=\"note\">The image; how much each pixel changes the score of the class that the model named \
             (saliency); and where the maps of {} speak for that class (Grad-CAM).</p>\
             <ul class=\"looks\">{looks}</ul>{maps}",
            escape(layer)
        );
        sections.push(("insight", "What it looks at", content));
    }
    if !data.filters.is_empty() {
        let banks: String = data.filters.iter().map(pictures::filters).collect::<Result<_>>()?;
        sections.push(("filters", "Learned filters", banks));
    }
    if !data.layers.is_empty() {
        sections.push(("model", "Model", layers(data)));
    }
    sections.push(("setup", "Set-up", setup(data)));
    Ok(sections)
}

/// Name of the run and the figures that matter most.
fn head(data: &ReportData) -> String {
    let result = &data.result;
    let mut html = format!(
        "<header><p class=\"eyebrow\">Ferrotape training report</p><h1>{}</h1>\
         <p class=\"subtitle\">{} trained on {}</p><dl class=\"figures\">",
        escape(&data.run),
        escape(if result.model.is_empty() { "A model" } else { &result.model }),
        escape(&data.config.data)
    );
    let mut figure = |class: &str, name: &str, value: String, beside: String| {
        let _ = write!(
            html,
            "<div{class}><dt>{name}</dt><dd>{value}<small>{beside}</small></dd></div>"
        );
    };
    if result.test_images > 0 {
        figure(
            " class=\"first\"",
            "Test accuracy",
            percent(result.test_accuracy),
            format!("{} of {} wrong", count(result.test_errors()), count(result.test_images)),
        );
        figure("", "Test loss", loss(result.test_loss), "mean per image".into());
        if let Some(top5) = result.test_top5 {
            figure("", "Top-5", percent(top5), "right class among five".into());
        }
        if let Some(area) = result.test_auc {
            figure("", "AUC", format!("{area:.4}"), "of the second class".into());
        }
    }
    if !data.epochs.is_empty() {
        let total: f64 = data.epochs.iter().map(|epoch| epoch.seconds).sum();
        let speed = data.epochs.iter().map(|epoch| epoch.images_per_second).sum::<f64>()
            / data.epochs.len() as f64;
        figure(
            "",
            "Training time",
            seconds(total),
            format!(
                "{} images/s, {:.0} % waiting for data",
                count(speed.round() as u64),
                100.0 * result.data_wait
            ),
        );
        let each = seconds(total / data.epochs.len() as f64);
        figure("", "Epochs", count(data.epochs.len() as u64), format!("{each} each"));
    }
    if result.parameters > 0 {
        let work: u64 = data.layers.iter().map(|layer| layer.multiply_adds).sum();
        let beside = match work {
            0 => "trainable".into(),
            _ => format!("{} multiply-adds", short(work)),
        };
        figure("", "Parameters", count(result.parameters), beside);
    }
    html + "</dl></header>"
}

/// A large count with three digits and a letter.
fn short(value: u64) -> String {
    let (size, unit) = match value {
        0..1_000 => return value.to_string(),
        1_000..1_000_000 => (value as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (value as f64 / 1e6, "M"),
        _ => (value as f64 / 1e9, "G"),
    };
    let decimals = if size < 10.0 { 2 } else { usize::from(size < 100.0) };
    format!("{size:.decimals$} {unit}")
}

fn curves(epochs: &[EpochRecord]) -> String {
    let finite = |value: f64| value.is_finite().then_some(value);
    let series = |name, class, of: &dyn Fn(&EpochRecord) -> Option<f64>| Series {
        name,
        class,
        values: epochs.iter().map(|epoch| of(epoch).and_then(finite)).collect(),
    };
    let chart = |title, axis, series: Vec<Series<'static>>| Chart {
        title,
        axis,
        epochs: epochs.iter().map(|epoch| epoch.epoch).collect(),
        // A curve that has no value at all would only be a riddle in the legend.
        series: series.into_iter().filter(|s| s.values.iter().any(Option::is_some)).collect(),
        tick: setting,
        exact: loss,
        may_log: true,
    };
    let losses = chart(
        "Loss",
        "Mean per image",
        vec![
            series("train", "train", &|e| Some(e.train_loss)),
            series("validation", "test", &|e| e.validation_loss),
        ],
    );
    let errors = Chart {
        tick: |value| format!("{} %", setting(100.0 * value)),
        exact: percent,
        ..chart(
            "Error",
            "Images classified wrongly",
            vec![
                series("train", "train", &|e| Some(1.0 - e.train_accuracy)),
                series("validation", "test", &|e| e.validation_accuracy.map(|right| 1.0 - right)),
            ],
        )
    };
    let rates = Chart {
        exact: setting,
        may_log: false,
        ..chart(
            "Learning rate",
            "At the epoch's last step",
            vec![series("rate", "rate", &|e| Some(e.learning_rate))],
        )
    };
    let mut html = format!(
        "<div class=\"charts\">{}{}{}</div>",
        losses.figure(),
        errors.figure(),
        rates.figure()
    );
    if epochs
        .iter()
        .any(|e| !e.train_loss.is_finite() || e.validation_loss.is_some_and(|l| !l.is_finite()))
    {
        html += "<p class=\"alert\">The loss stopped being a number; its curve has a gap there. A \
                 smaller learning rate is the usual cure.</p>";
    }
    html + &epoch_table(epochs)
}

fn epoch_table(epochs: &[EpochRecord]) -> String {
    let mut html = String::from(
        "<details><summary>The same as numbers</summary>\
         <div class=\"scroll\" role=\"region\" aria-label=\"Epochs\" tabindex=\"0\"><table>\
         <caption class=\"unseen\">Figures of each epoch</caption><thead><tr>",
    );
    let columns = [
        "Epoch",
        "Train loss",
        "Train accuracy",
        "Validation loss",
        "Validation accuracy",
        "Learning rate",
        "Images/s",
        "Time",
    ];
    for name in columns {
        let _ = write!(html, "<th scope=\"col\" class=\"number\">{name}</th>");
    }
    html += "</tr></thead><tbody>";
    let absent = || "–".to_owned();
    for epoch in epochs {
        let _ = write!(html, "<tr><th scope=\"row\" class=\"number\">{}</th>", epoch.epoch);
        for value in [
            loss(epoch.train_loss),
            percent(epoch.train_accuracy),
            epoch.validation_loss.map_or_else(absent, loss),
            epoch.validation_accuracy.map_or_else(absent, percent),
            setting(epoch.learning_rate),
            count(epoch.images_per_second.round() as u64),
            seconds(epoch.seconds),
        ] {
            let _ = write!(html, "<td class=\"number\">{value}</td>");
        }
        html += "</tr>";
    }
    html + "</tbody></table></div></details>"
}

fn layers(data: &ReportData) -> String {
    let mut html = String::from(
        "<p class=\"note\">For one image. The receptive field is the side of the square of pixels that \
         one output sees.</p><div class=\"scroll\" role=\"region\" aria-label=\"Layers\" tabindex=\"0\">\
         <table><caption class=\"unseen\">Layers of the model</caption>\
         <thead><tr><th scope=\"col\">Layer</th><th scope=\"col\">Kind</th>\
         <th scope=\"col\">Output</th><th scope=\"col\" class=\"number\">Parameters</th>\
         <th scope=\"col\" class=\"number\">Multiply-adds</th>\
         <th scope=\"col\" class=\"number\">Activation</th>\
         <th scope=\"col\" class=\"number\">Receptive field</th></tr></thead><tbody>",
    );
    for layer in &data.layers {
        let shape: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(&layer.name),
            escape(&layer.kind),
            shape.join(" × "),
            count(layer.parameters),
            count(layer.multiply_adds),
            bytes(layer.activation_bytes),
            layer.receptive_field.map_or_else(|| "all".into(), |side| side.to_string()),
        );
    }
    let total = |of: fn(&super::LayerRow) -> u64| data.layers.iter().map(of).sum::<u64>();
    let _ = write!(
        html,
        "</tbody><tfoot><tr><th scope=\"row\">All</th><td></td><td></td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{}</td><td></td></tr></tfoot></table></div>",
        count(total(|layer| layer.parameters)),
        count(total(|layer| layer.multiply_adds)),
        bytes(total(|layer| layer.activation_bytes)),
    );
    html
}

/// What the run was told and where it ran.
fn setup(data: &ReportData) -> String {
    let Environment { cpu, threads, device, dtype, version } = &data.environment;
    let ran = [
        ("CPU", cpu.clone()),
        ("threads", if *threads == 0 { String::new() } else { threads.to_string() }),
        ("device", device.clone()),
        ("dtype", dtype.clone()),
        ("ferrotape", version.clone()),
    ];
    let ran = ran.map(|(key, value)| (key.to_owned(), value));
    format!(
        "<div class=\"split even\"><div>{}</div><div>{}</div></div>",
        pairs("Configuration", &data.config.entries()),
        pairs("Environment", &ran)
    )
}

fn pairs(caption: &str, entries: &[(String, String)]) -> String {
    let mut html = format!("<table class=\"pairs\"><caption>{caption}</caption><tbody>");
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(key),
            escape(value)
        );
    }
    html + "</tbody></table>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_keep_three_digits() {
        assert_eq!(short(999), "999");
        assert_eq!(short(416_520), "417 k");
        assert_eq!(short(4_100_000_000), "4.10 G");
        assert_eq!(short(12_345_678), "12.3 M");
    }
}
