//! Vector drawings: charts, grids of numbers, boxes and arrows.

use std::fs;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::material::book;

/// What is drawn on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A place in pixels from the upper left corner.
pub(crate) type At = (i32, i32);

pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);
pub(crate) const GREY: RGBColor = RGBColor(150, 150, 150);
pub(crate) const PALE: RGBColor = RGBColor(238, 238, 238);
pub(crate) const YELLOW: RGBColor = RGBColor(255, 221, 128);
pub(crate) const BLUE: RGBColor = RGBColor(176, 214, 240);
pub(crate) const GREEN: RGBColor = RGBColor(178, 226, 204);

/// Colours of curves that most readers can tell apart (Okabe and Ito).
pub(crate) const CURVES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Draws `docs/pictures/NAME.svg`.
pub(crate) fn svg(
    name: &str,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(fs::write(book().join(format!("pictures/{name}.svg")), text)?)
}

/// Words around a place.
pub(crate) fn words(
    area: &Area<'_>,
    at: At,
    size: i32,
    colour: RGBColor,
    text: &str,
) -> Result<()> {
    placed(area, at, size, colour, HPos::Center, text)
}

/// Words that begin at a place.
pub(crate) fn words_from(area: &Area<'_>, at: At, size: i32, text: &str) -> Result<()> {
    placed(area, at, size, INK, HPos::Left, text)
}

/// Words that end at a place.
pub(crate) fn words_to(area: &Area<'_>, at: At, size: i32, text: &str) -> Result<()> {
    placed(area, at, size, INK, HPos::Right, text)
}

fn placed(
    area: &Area<'_>,
    at: At,
    size: i32,
    colour: RGBColor,
    side: HPos,
    text: &str,
) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(&colour).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

/// A filled box with a thin edge.
pub(crate) fn tile(area: &Area<'_>, from: At, to: At, fill: RGBColor) -> Result<()> {
    area.draw(&Rectangle::new([from, to], fill.filled()))?;
    Ok(area.draw(&Rectangle::new([from, to], GREY.stroke_width(1)))?)
}

/// The edge of a box.
pub(crate) fn frame(area: &Area<'_>, from: At, to: At, colour: RGBColor, width: u32) -> Result<()> {
    Ok(area.draw(&Rectangle::new([from, to], colour.stroke_width(width)))?)
}

/// A line through places.
pub(crate) fn line(area: &Area<'_>, through: &[At], colour: RGBColor, width: u32) -> Result<()> {
    Ok(area.draw(&PathElement::new(through.to_vec(), colour.stroke_width(width)))?)
}

/// A filled shape.
pub(crate) fn shape(area: &Area<'_>, corners: &[At], fill: RGBColor) -> Result<()> {
    area.draw(&Polygon::new(corners.to_vec(), fill.filled()))?;
    let mut edge = corners.to_vec();
    edge.extend(corners.first());
    line(area, &edge, GREY, 1)
}

/// A table of numbers in square cells; `fill` gives the colour of the cell in a row and a column.
pub(crate) fn grid(
    area: &Area<'_>,
    at: At,
    side: i32,
    rows: &[Vec<String>],
    fill: impl Fn(usize, usize) -> RGBColor,
) -> Result<()> {
    for (row, cells) in rows.iter().enumerate() {
        for (column, text) in cells.iter().enumerate() {
            let (x, y) = (at.0 + side * column as i32, at.1 + side * row as i32);
            tile(area, (x, y), (x + side, y + side), fill(row, column))?;
            words(area, (x + side / 2, y + side / 2), side * 2 / 5, INK, text)?;
        }
    }
    Ok(())
}

/// The numbers of a plane of that width, as the cells of a [`grid`].
pub(crate) fn cells(values: &[f64], width: usize) -> Vec<Vec<String>> {
    let text = |value: &f64| format!("{value}");
    values.chunks_exact(width).map(|row| row.iter().map(text).collect()).collect()
}

/// A curve of a [`chart`].
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) colour: RGBColor,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    /// A curve in the colour of this number.
    pub(crate) fn new(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Curve { name: name.to_owned(), colour: CURVES[colour % CURVES.len()], points }
    }
}

/// What stands around the curves of a [`chart`].
pub(crate) struct Axes<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) xs: Range<f64>,
    pub(crate) ys: Range<f64>,
    /// Where the names of the curves stand, if anywhere.
    pub(crate) legend: Option<SeriesLabelPosition>,
}

/// Curves over an axis.
pub(crate) fn chart(area: &Area<'_>, axes: Axes<'_>, curves: &[Curve]) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(axes.xs, axes.ys)?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .x_labels(9)
        .y_labels(7)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for curve in curves {
        let colour = curve.colour;
        let series = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        let drawn = chart.draw_series(series)?;
        if axes.legend.is_some() {
            drawn.label(curve.name.clone()).legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        }
    }
    if let Some(position) = axes.legend {
        chart
            .configure_series_labels()
            .position(position)
            .background_style(WHITE.mix(0.85))
            .border_style(PALE)
            .label_font(("sans-serif", 13))
            .draw()?;
    }
    Ok(())
}

/// A number of an axis without digits that say nothing.
fn short(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Where the names of curves stand.
pub(crate) const UPPER_RIGHT: SeriesLabelPosition = SeriesLabelPosition::UpperRight;
pub(crate) const LOWER_RIGHT: SeriesLabelPosition = SeriesLabelPosition::LowerRight;
pub(crate) const UPPER_LEFT: SeriesLabelPosition = SeriesLabelPosition::UpperLeft;
pub(crate) const LOWER_LEFT: SeriesLabelPosition = SeriesLabelPosition::LowerLeft;

/// A stack of `channels` planes of `[height, width]`, seen from the front and the right; its front's lower left
/// corner is at `at`. Returns the place right of its middle.
pub(crate) fn volume(area: &Area<'_>, at: At, size: [i32; 3], fill: RGBColor) -> Result<At> {
    let [depth, height, slant] = size;
    let (x, y) = at;
    let lift = slant / 2;
    let front = [(x, y), (x, y - height), (x + depth, y - height), (x + depth, y)];
    shape(area, &front, fill)?;
    let darker = |share: f64| {
        let part = |value: u8| (f64::from(value) * share) as u8;
        RGBColor(part(fill.0), part(fill.1), part(fill.2))
    };
    let top = [
        (x, y - height),
        (x + slant, y - height - lift),
        (x + depth + slant, y - height - lift),
        (x + depth, y - height),
    ];
    shape(area, &top, darker(0.92))?;
    let side = [
        (x + depth, y),
        (x + depth + slant, y - lift),
        (x + depth + slant, y - height - lift),
        (x + depth, y - height),
    ];
    shape(area, &side, darker(0.82))?;
    Ok((x + depth + slant, y - height / 2 - lift / 2))
}
