//! Pictures of a run: the roofline of the convolutions, and bars beside the peers.

mod bars;
mod roofline;

use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::ceilings::Ceilings;
use super::line::Line;
use super::passes::{Entry, Verdict};
use crate::Result;

/// The paper that both pictures are drawn on.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The width of every picture in pixels.
const WIDTH: u32 = 960;

/// What can be drawn of a run; each part is a whole SVG file.
pub(super) struct Pictures {
    /// Our convolutions under the ceilings, where a line says what a convolution did.
    pub(super) roofline: Option<String>,
    /// Our rows and those of the peers, where a peer was measured.
    pub(super) bars: Option<String>,
}

impl Pictures {
    /// Draws a run.
    ///
    /// # Errors
    /// A picture cannot be drawn.
    pub(super) fn draw(lines: &[Line]) -> Result<Self> {
        let entries = Entry::all(lines);
        let scene = Scene::new(&entries, Ceilings::of(lines));
        let roofline = scene.roofline.as_ref();
        let bars = (!scene.verdicts.is_empty()).then_some(&scene.verdicts);
        Ok(Self {
            roofline: roofline
                .map(|roof| picture(roofline::HEIGHT, |a| roof.draw(a)))
                .transpose()?,
            bars: bars.map(|v| picture(bars::height(v), |a| bars::draw(v, a))).transpose()?,
        })
    }
}

/// Writes one file with everything that can be drawn of a run, one part above the other.
///
/// # Errors
/// There is nothing to draw, or the file cannot be written.
pub(super) fn write(file: &Path, lines: &[Line]) -> Result<()> {
    let entries = Entry::all(lines);
    let scene = Scene::new(&entries, Ceilings::of(lines));
    let upper = scene.roofline.as_ref().map_or(0, |_| roofline::HEIGHT);
    let lower = if scene.verdicts.is_empty() { 0 } else { bars::height(&scene.verdicts) };
    if upper + lower == 0 {
        let what = "conv2d/... or rows that a peer was measured on as well (--peers)";
        return Err(format!("there is nothing to draw for --plot: it takes rows {what}").into());
    }
    let text = picture(upper + lower, |area| {
        let (roof, bars) = area.split_vertically(upper);
        scene.roofline.as_ref().map_or(Ok(()), |roofline| roofline.draw(&roof))?;
        bars::draw(&scene.verdicts, &bars)
    })?;
    Ok(fs::write(file, text)
        .map_err(|error| format!("{} was not written: {error}", file.display()))?)
}

/// What there is to see.
struct Scene<'a> {
    roofline: Option<roofline::Roofline>,
    verdicts: Vec<Verdict<'a>>,
}

impl<'a> Scene<'a> {
    fn new(entries: &'a [Entry], ceilings: Ceilings) -> Self {
        let measured = |verdict: &Verdict<'_>| !verdict.peers.is_empty();
        Self {
            roofline: roofline::Roofline::new(entries, ceilings),
            verdicts: Verdict::all(entries).into_iter().filter(measured).collect(),
        }
    }
}

fn picture(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn convolution(name: &str) -> Line {
        let mut line = line("ferrotape", "default", name, 100.0);
        line.flops = Some(1e9);
        line.bytes = Some(1e7);
        line
    }

    fn lines() -> Vec<Line> {
        vec![
            line("ferrotape", "default", "ceiling/fma/f32", 200.0),
            line("ferrotape", "default", "ceiling/copy", 10.0),
            convolution("conv2d/x.conv1/b1/f32/forward"),
            line("ferrotape", "default", "train/x/b1/f32", 100.0),
            line("torch", "compile", "train/x/b1/f32", 50.0),
        ]
    }

    #[test]
    fn a_run_with_both_gives_two_pictures_and_one_plot() {
        let pictures = Pictures::draw(&lines()).unwrap();
        let roofline = pictures.roofline.unwrap();
        assert!(roofline.starts_with("<svg") && roofline.contains("forward, f32"), "{roofline}");
        let bars = pictures.bars.unwrap();
        assert!(bars.contains("train/x/b1/f32") && bars.contains("torch compile"), "{bars}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.svg");
        write(&file, &lines()).unwrap();
        let both = fs::read_to_string(&file).unwrap();
        assert!(both.contains("forward, f32") && both.contains("torch compile"), "{both}");
    }

    #[test]
    fn a_run_of_one_kind_gives_that_picture() {
        let pictures = Pictures::draw(&lines()[..3]).unwrap();
        assert!(pictures.roofline.is_some() && pictures.bars.is_none());
        let pictures = Pictures::draw(&lines()[3..]).unwrap();
        assert!(pictures.roofline.is_none() && pictures.bars.is_some());
    }

    #[test]
    fn a_run_with_nothing_to_draw_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("a.svg"), &lines()[..2]).unwrap_err().to_string();
        assert!(error.contains("--plot"), "{error}");
    }
}
