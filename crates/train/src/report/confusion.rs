//! Who was taken for whom, drawn so that the mistakes are what is seen.

use std::fmt::Write;

use super::html::escape;
use super::{ReportData, pictures};
use crate::Result;
use crate::format::{count, percent};
use crate::metrics::{ClassScores, Confusion};

/// Up to this many classes the matrix is a table with numbers, above it a picture.
const MOST_IN_TABLE: usize = 25;

/// How many kinds of mistakes are listed.
const MOST_LISTED: usize = 8;

/// The matrix and the commonest mistakes.
pub(super) fn matrix(data: &ReportData, confusion: &Confusion) -> Result<String> {
    let mut html = String::from("<div class=\"split\"><div class=\"wide\">");
    if confusion.classes() <= MOST_IN_TABLE {
        table(data, confusion, &mut html);
    } else {
        picture(confusion, &mut html)?;
    }
    html += "</div><div>";
    commonest(data, confusion, &mut html);
    Ok(html + "</div></div>")
}

/// How strongly a count of mistakes is coloured: by its root, so that a single one is visible
/// beside twenty.
fn strength(count: u64, most: u64) -> f64 {
    if most == 0 { 0.0 } else { (count as f64 / most as f64).sqrt() }
}

fn most_of_one_kind(confusion: &Confusion) -> u64 {
    confusion.top_mistakes(1).first().map_or(0, |mistake| mistake.count)
}

fn table(data: &ReportData, confusion: &Confusion, html: &mut String) {
    let most = most_of_one_kind(confusion);
    let classes = 0..confusion.classes();
    *html += "<p class=\"note\">Rows are what an image is, columns what it was taken for.</p>\
              <div class=\"scroll\" role=\"region\" aria-label=\"Confusion matrix\" tabindex=\"0\">\
              <table class=\"matrix\"><caption class=\"unseen\">Confusion matrix</caption><thead><tr><th scope=\"col\"><span class=\"unseen\">Truth</span></th>";
    for class in classes.clone() {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(&data.class(class)));
    }
    *html += "</tr></thead><tbody>";
    for truth in classes.clone() {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&data.class(truth)));
        for predicted in classes.clone() {
            let times = confusion.count(truth, predicted);
            let _ = match (truth == predicted, times) {
                (true, _) => write!(html, "<td class=\"right\">{times}</td>"),
                (false, 0) => write!(
                    html,
                    "<td><span class=\"none\" aria-hidden=\"true\">·</span>\
                     <span class=\"unseen\">0</span></td>"
                ),
                (false, _) => write!(
                    html,
                    "<td class=\"wrong\" style=\"--heat:{:.2}\" title=\"{} taken for {}: {times}\">{times}</td>",
                    0.12 + 0.48 * strength(times, most),
                    escape(&data.class(truth)),
                    escape(&data.class(predicted)),
                ),
            };
        }
        *html += "</tr>";
    }
    *html += "</tbody></table></div>";
}

fn picture(confusion: &Confusion, html: &mut String) -> Result<()> {
    let side = confusion.classes();
    let most = most_of_one_kind(confusion);
    let shares: Vec<f64> = (0..side * side)
        .map(|i| (i / side, i % side))
        .map(|(truth, predicted)| match truth == predicted {
            // The diagonal is only a thread to find one's way by.
            true => 0.15,
            false => strength(confusion.count(truth, predicted), most),
        })
        .collect();
    let alt = format!(
        "Confusion matrix of {side} classes as a heat map; the commonest mistakes are listed as text."
    );
    *html += &pictures::heat(&shares, side, &alt)?;
    let _ = write!(
        html,
        "<p class=\"note\">Rows are what an image is, columns what it was taken for; the deepest \
         colour is {} images.</p>",
        count(most)
    );
    Ok(())
}

fn commonest(data: &ReportData, confusion: &Confusion, html: &mut String) {
    let mistakes = confusion.top_mistakes(MOST_LISTED);
    if mistakes.is_empty() {
        *html += "<p>Every image was classified rightly.</p>";
        return;
    }
    let most = most_of_one_kind(confusion);
    *html += "<table class=\"bars\"><caption>The commonest mistakes</caption><thead><tr>\
              <th scope=\"col\">Is</th><th scope=\"col\">Taken for</th>\
              <th scope=\"col\" class=\"number\">Images</th></tr></thead><tbody>";
    for mistake in mistakes {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">\
             <span class=\"bar\" style=\"--share:{:.1}%\"></span>{}</td></tr>",
            escape(&data.class(mistake.truth)),
            escape(&data.class(mistake.predicted)),
            100.0 * mistake.count as f64 / most as f64,
            count(mistake.count)
        );
    }
    *html += "</tbody></table>";
}

/// Precision, recall and F1, a class a row.
pub(super) fn classes(data: &ReportData, confusion: &Confusion) -> String {
    // The unit stands once, above the column: on a phone every row would have to make room for it.
    let share = |value: Option<f64>| {
        value.map_or_else(|| "–".into(), |value| percent(value).trim_end_matches(" %").to_owned())
    };
    let mut html = String::from(
        "<p class=\"note\">Precision: of those taken for the class, the share that is of it. Recall: of \
         those of the class, the share that was recognised. F1: their harmonic mean. The last row has \
         the means over the classes.</p>\
         <div class=\"scroll\" role=\"region\" aria-label=\"Scores of each class\" tabindex=\"0\">\
         <table><caption class=\"unseen\">Scores of each class</caption>\
         <thead><tr><th scope=\"col\">Class</th><th scope=\"col\" class=\"number\">Images</th>\
         <th scope=\"col\" class=\"number\">Missed</th><th scope=\"col\" class=\"number\">Precision %</th>\
         <th scope=\"col\" class=\"number\">Recall %</th><th scope=\"col\" class=\"number\">F1 %</th></tr>\
         </thead><tbody>",
    );
    for class in 0..confusion.classes() {
        let scores = confusion.scores(class);
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(&data.class(class)),
            count(scores.support),
            count(scores.support - confusion.count(class, class)),
            share(scores.precision),
            share(scores.recall),
            share(scores.f1),
        );
    }
    let scores: Vec<ClassScores> = (0..confusion.classes()).map(|c| confusion.scores(c)).collect();
    let mean = |of: fn(&ClassScores) -> Option<f64>| {
        let values: Vec<f64> = scores.iter().filter_map(of).collect();
        share((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64))
    };
    let _ = write!(
        html,
        "</tbody><tfoot><tr><th scope=\"row\">All</th><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td></tr></tfoot></table></div>",
        count(confusion.total()),
        count(confusion.total() - confusion.correct()),
        mean(|scores| scores.precision),
        mean(|scores| scores.recall),
        mean(|scores| scores.f1),
    );
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_mistake_is_the_deepest_and_right_answers_carry_no_heat() {
        let mut confusion = Confusion::new(2);
        for (truth, predicted) in [(0, 0), (0, 1), (0, 1), (0, 1), (0, 1), (1, 0)] {
            confusion.add(truth, predicted).unwrap();
        }
        let html = matrix(&ReportData::default(), &confusion).unwrap();
        assert!(html.contains("<td class=\"right\">1</td>"));
        assert!(html.contains("--heat:0.60\" title=\"0 taken for 1: 4\""), "{html}");
        assert!(html.contains("--heat:0.36\" title=\"1 taken for 0: 1\""), "{html}");
    }

    #[test]
    fn a_thousand_classes_are_a_picture_and_a_list() {
        let mut confusion = Confusion::new(1000);
        confusion.add(998, 999).unwrap();
        let html = matrix(&ReportData::default(), &confusion).unwrap();
        assert!(html.len() < 100_000, "{} bytes", html.len());
        assert!(html.contains("<td>998</td><td>999</td>"));
    }

    #[test]
    fn a_perfect_run_is_told_so() {
        let mut confusion = Confusion::new(2);
        confusion.add(0, 0).unwrap();
        let html = matrix(&ReportData::default(), &confusion).unwrap();
        assert!(html.contains("Every image was classified rightly."));
        assert!(
            classes(&ReportData::default(), &confusion).contains("<td class=\"number\">–</td>")
        );
    }
}
