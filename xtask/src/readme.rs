//! `cargo xtask readme`: the main job for real, and of it the picture and the lines of the README's first screen.

use std::fmt::Write;
use std::fs;

use crate::metadata::Metadata;
use crate::shell::Call;
use crate::{Result, marked};

const PAGE: &str = "README.md";
const PICTURE: &str = "docs/lenet5-run.svg";

/// Filters and mistakes that the picture has room for.
const TILES: usize = 6;

/// Trains LeNet-5 on all digits and draws what came of it.
///
/// # Errors
/// The run fails, or its report is not of the form that this reads.
pub(crate) fn run() -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("lenet5-1");
    let call = Call::cargo("run --release --locked --quiet -- train lenet5 --out");
    let said = call.arg(run.to_string_lossy()).read(&root)?;
    let report = fs::read_to_string(run.join("report.html"))?;
    fs::write(root.join(PICTURE), picture(&report)?)?;
    marked::write(&root, PAGE, "readme", &lines(&said)?)?;
    println!("{PICTURE} and {PAGE} show a run of now");
    Ok(())
}

/// The first epochs, the last ones and the result, as the terminal has them.
fn lines(said: &str) -> Result<String> {
    let epochs: Vec<&str> = said.lines().filter(|line| line.starts_with("Epoch ")).collect();
    let result = said.lines().find(|line| line.starts_with("Test accuracy"));
    let ([first @ .., _, _], Some(result)) = (epochs.as_slice(), result) else {
        return Err(format!("a run prints its epochs and its result, and this one\n{said}").into());
    };
    let mut text = String::from("```text\n");
    for line in first.iter().take(3).chain(&["..."]).chain(&epochs[epochs.len() - 2..]) {
        writeln!(text, "{line}")?;
    }
    Ok(text + result + "\nReport: runs/lenet5-1/report.html\n```\n")
}

/// The curves, the first filters and the worst mistakes of a report, as one picture.
fn picture(report: &str) -> Result<String> {
    let curves = section(report, "curves")?;
    let [loss, error] = [0, 1].map(|chart| curves.split("<svg ").nth(chart + 1).unwrap_or(""));
    let filters = section(report, "filters")?;
    let mistakes = section(report, "mistakes")?;
    let wrong = between(report, "<small>", " wrong</small>")?;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 480\" role=\"img\" aria-label=\"Training of \
         LeNet-5 on MNIST: loss and error over the epochs, the filters of the first layer, and the worst \
         mistakes of the test\">\n<style>\n\
         text { font: 13px system-ui, sans-serif; fill: #5a616b; } .mid { text-anchor: middle; } \
         .end { text-anchor: end; }\n\
         .grid { stroke: #e2e0dc; } .base { stroke: #5a616b; } \
         .curve { fill: none; stroke: #2f6aa8; stroke-width: 2; }\n\
         .dot { fill: #2f6aa8; } .title { font-size: 15px; font-weight: 600; fill: #1c1f23; } \
         image { image-rendering: pixelated; }\n</style>\n\
         <rect width=\"920\" height=\"480\" rx=\"10\" fill=\"#ffffff\" stroke=\"#e2e0dc\"/>\n",
    );
    for (x, title, chart) in [(24, "Training loss", loss), (480, "Training error", error)] {
        // Without what the pointer shows: a picture has no pointer.
        let drawn = between(chart, ">", "</svg>")?;
        let drawn = drawn.split("<g class=\"column\">").next().unwrap_or("");
        writeln!(svg, "<text class=\"title\" x=\"{x}\" y=\"30\">{title}</text>")?;
        writeln!(svg, "<g transform=\"translate({x} 44)\">{drawn}</g>")?;
    }
    writeln!(svg, "<text class=\"title\" x=\"24\" y=\"356\">What the first layer learned</text>")?;
    for (tile, filter) in filters.split("<img ").skip(1).take(TILES).enumerate() {
        let x = 24 + 68 * tile;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"370\" width=\"60\" height=\"60\" fill=\"#fff\" stroke=\"#e2e0dc\"/>{}",
            image(x, filter)?
        )?;
    }
    writeln!(
        svg,
        "<text class=\"title\" x=\"480\" y=\"356\">The worst of {wrong} mistakes</text>"
    )?;
    for (tile, mistake) in mistakes.split("<figure>").skip(1).take(TILES).enumerate() {
        let x = 480 + 70 * tile;
        let (said, is) =
            (between(mistake, "class=\"said\"><b>", "</b>")?, between(mistake, "is <b>", "</b>")?);
        writeln!(
            svg,
            "{}<text class=\"mid\" x=\"{}\" y=\"450\">{said}, not {is}</text>",
            image(x, mistake)?,
            x + 30
        )?;
    }
    Ok(svg + "</svg>\n")
}

/// The picture of an element of the report, at its place.
fn image(x: usize, element: &str) -> Result<String> {
    let address = between(element, "src=\"", "\"")?;
    Ok(format!("<image x=\"{x}\" y=\"370\" width=\"60\" height=\"60\" href=\"{address}\"/>"))
}

fn section<'a>(report: &'a str, name: &str) -> Result<&'a str> {
    between(report, &format!("<section id=\"{name}\""), "</section>")
}

/// What stands between the first `open` and the next `close` after it.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Result<&'a str> {
    let found = text.split_once(open).and_then(|(_, rest)| rest.split_once(close));
    Ok(found.map(|(inside, _)| inside).ok_or_else(|| format!("the report lacks {open}…{close}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_the_first_and_the_last() {
        let said =
            "Data\nEpoch 1/5\nEpoch 2/5\nEpoch 3/5\nEpoch 4/5\nEpoch 5/5\nTest accuracy 99 %\n";
        let text = lines(said).unwrap();
        assert!(
            text.contains("Epoch 3/5\n...\nEpoch 4/5\nEpoch 5/5\nTest accuracy 99 %"),
            "{text}"
        );
        assert!(lines("Epoch 1/1\n").is_err());
    }

    #[test]
    fn a_report_becomes_a_picture() {
        let chart = "<svg a=\"b\"><path d=\"M0\"/><g class=\"column\"><rect/></g></svg>";
        let report = format!(
            "<dd>99 %<small>80 of 10,000 wrong</small></dd><section id=\"curves\">{chart}{chart}</section>\
             <section id=\"filters\"><img src=\"data:f\"></section>\
             <section id=\"mistakes\"><figure><img src=\"data:m\"><span class=\"said\"><b>0</b> 9 %</span>\
             <span class=\"truth\">is <b>6</b></span></figure></section>"
        );
        let svg = picture(&report).unwrap();
        assert_eq!(svg.matches("<path d=\"M0\"/></g>").count(), 2, "{svg}");
        for part in
            ["href=\"data:f\"", "href=\"data:m\"", "0, not 6", "worst of 80 of 10,000 mistakes"]
        {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert!(!svg.contains("column"));
        assert!(picture("<section id=\"curves\">").unwrap_err().to_string().contains("lacks"));
    }
}
