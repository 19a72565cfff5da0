//! Bars: each row by us and by the best mode of each peer, as long as they are fast.

use plotters::prelude::*;

use super::{Area, WIDTH};
use crate::Result;
use crate::bench::passes::{Entry, Verdict};
use crate::bench::text::three_digits;

/// Pixels of the caption, of a bar with its gap, of the gap below a row, and of the names.
const CAPTION: i32 = 44;
const BAR: i32 = 15;
const GAP: i32 = 10;
const NAMES: i32 = 190;

/// Pixels of the longest bar; beside it stand the peer and its figure.
const LONGEST: f64 = 470.0;

const COLOURS: [(&str, RGBColor); 5] = [
    ("ferrotape", RGBColor(213, 94, 0)),
    ("torch", RGBColor(0, 114, 178)),
    ("candle", RGBColor(0, 158, 115)),
    ("burn", RGBColor(204, 121, 167)),
    ("crates", RGBColor(120, 120, 120)),
];

/// The height that the picture needs.
pub(super) fn height(verdicts: &[Verdict<'_>]) -> u32 {
    let rows = verdicts.iter().map(|verdict| BAR * bars(verdict).len() as i32 + GAP);
    (CAPTION + rows.sum::<i32>()).unsigned_abs()
}

/// Draws the rows below each other; the fastest of each row has the longest bar.
pub(super) fn draw(verdicts: &[Verdict<'_>], area: &Area<'_>) -> Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let caption = "Beside the peers (best mode of each; longer is faster)";
    let text = ("sans-serif", 12).into_font();
    let middle = i32::try_from(WIDTH / 2)? - 230;
    area.draw(&Text::new(caption, (middle, 12), ("sans-serif", 20).into_font()))?;
    let mut y = CAPTION;
    for verdict in verdicts {
        area.draw(&Text::new(verdict.ours.name.clone(), (12, y), text.clone()))?;
        let bars = bars(verdict);
        let most = bars.iter().filter_map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for bar in bars {
            let value = bar.value.unwrap_or(0.0);
            let end = NAMES + (value / most * LONGEST) as i32;
            let shape = [(NAMES, y), (end.max(NAMES + 1), y + BAR - 3)];
            area.draw(&Rectangle::new(shape, colour(&bar.peer).filled()))?;
            let mode = if bar.is_ours() { "" } else { bar.mode.as_str() };
            let label = format!("{} {mode}", bar.peer);
            let label = format!("{}: {} {}", label.trim(), three_digits(value), bar.unit);
            area.draw(&Text::new(label, (end + 6, y), text.clone()))?;
            y += BAR;
        }
        y += GAP;
    }
    Ok(())
}

/// Ours first, then the peers, the fastest first.
fn bars<'a>(verdict: &Verdict<'a>) -> Vec<&'a Entry> {
    std::iter::once(verdict.ours).chain(verdict.peers.iter().copied()).collect()
}

fn colour(peer: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == peer).map_or(BLACK, |(_, colour)| *colour)
}
