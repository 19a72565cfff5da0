//! The roofline: operations a byte against GFLOP/s, a mark for each convolution and pass, the
//! ceilings as lines that no mark should be above.

use plotters::prelude::*;

use super::Area;
use crate::Result;
use crate::bench::ceilings::Ceilings;
use crate::bench::passes::Entry;

/// The height of the picture in pixels.
pub(super) const HEIGHT: u32 = 560;

/// The passes of a convolution, each with its colour.
const PASSES: [(&str, RGBColor); 3] = [
    ("forward", RGBColor(0, 114, 178)),
    ("input_grad", RGBColor(213, 94, 0)),
    ("weight_grad", RGBColor(0, 158, 115)),
];

const DTYPES: [&str; 2] = ["f32", "bf16"];

/// A convolution in one pass.
#[derive(Debug, PartialEq)]
struct Mark {
    pass: &'static str,
    dtype: &'static str,
    intensity: f64,
    gflops: f64,
}

/// The marks and the ceilings of a run.
pub(super) struct Roofline {
    marks: Vec<Mark>,
    ceilings: Ceilings,
}

impl Roofline {
    /// The convolutions of a run; none where no line says what one did.
    pub(super) fn new(entries: &[Entry], ceilings: Ceilings) -> Option<Self> {
        let marks: Vec<_> = entries.iter().filter(|e| e.is_ours()).filter_map(mark).collect();
        (!marks.is_empty()).then_some(Self { marks, ceilings })
    }

    /// Draws axes, ceilings, marks and the legend.
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (x, y) = (self.intensities(), self.rates());
        let mut chart = ChartBuilder::on(area)
            .caption("Convolutions under the ceilings of the machine", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())?;
        let label = |value: &f64| crate::bench::text::three_digits(*value);
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("operations a byte")
            .y_desc("GFLOP/s")
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .draw()?;
        for (name, peak, colour) in [
            ("tiles, bf16", self.ceilings.amx, RGBColor(170, 170, 170)),
            ("pairs, bf16", self.ceilings.pairs, RGBColor(110, 110, 110)),
            ("FMA, f32", self.ceilings.fma, BLACK),
        ] {
            let Some(peak) = peak else { continue };
            let style = colour.stroke_width(2);
            let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], style);
            chart
                .draw_series(LineSeries::new(self.ceiling(peak, x), style))?
                .label(format!("{name}: {peak:.0} GFLOP/s"))
                .legend(legend);
        }
        for (pass, colour) in PASSES {
            for dtype in DTYPES {
                let marks = self.marks.iter().filter(|m| (m.pass, m.dtype) == (pass, dtype));
                let mut places = marks.map(|mark| (mark.intensity, mark.gflops)).peekable();
                if places.peek().is_none() {
                    continue;
                }
                // Filled marks are f32 and crosses bf16, so that grey paper tells them apart too.
                let label = format!("{pass}, {dtype}");
                if dtype == "f32" {
                    let mark = move |place| Circle::new(place, 4, colour.filled());
                    chart
                        .draw_series(places.map(mark))?
                        .label(label)
                        .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
                } else {
                    let mark = move |place| Cross::new(place, 4, colour.stroke_width(2));
                    chart
                        .draw_series(places.map(mark))?
                        .label(label)
                        .legend(move |(x, y)| Cross::new((x + 8, y), 4, colour.stroke_width(2)));
                }
            }
        }
        chart
            .configure_series_labels()
            // No mark can be above the bandwidth's slope, so nothing is hidden there.
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        Ok(())
    }

    /// min(peak, bandwidth x intensity), by its corners.
    fn ceiling(&self, peak: f64, (first, last): (f64, f64)) -> Vec<(f64, f64)> {
        let Some(copy) = self.ceilings.copy else { return vec![(first, peak), (last, peak)] };
        let ridge = (peak / copy).clamp(first, last);
        vec![
            (first, peak.min(copy * first)),
            (ridge, peak.min(copy * ridge)),
            (last, peak.min(copy * last)),
        ]
    }

    fn intensities(&self) -> (f64, f64) {
        let ridges = self.ceilings.peaks().filter_map(|peak| Some(peak / self.ceilings.copy?));
        range(self.marks.iter().map(|mark| mark.intensity).chain(ridges))
    }

    fn rates(&self) -> (f64, f64) {
        range(self.marks.iter().map(|mark| mark.gflops).chain(self.ceilings.peaks()))
    }
}

/// From half of the least to twice the most.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) =
        values.fold((f64::MAX, f64::MIN_POSITIVE), |(a, b), value| (a.min(value), b.max(value)));
    (least / 2.0, most * 2.0)
}

fn mark(entry: &Entry) -> Option<Mark> {
    let parts: Vec<_> = entry.name.strip_prefix("conv2d/")?.split('/').collect();
    let has = |wanted: &&str| parts.contains(wanted);
    let work = entry.work();
    let (intensity, gflops) = (work.intensity()?, work.gflops()?);
    let usable = intensity > 0.0 && gflops > 0.0;
    Some(Mark {
        pass: PASSES.iter().map(|(pass, _)| *pass).find(|pass| has(pass))?,
        dtype: DTYPES.into_iter().find(|dtype| has(dtype))?,
        intensity,
        gflops,
    })
    .filter(|_| usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            peer: "ferrotape".to_owned(),
            name: name.to_owned(),
            flops: Some(1e9),
            bytes: Some(1e7),
            median_ms: Some(10.0),
            ..Entry::default()
        }
    }

    #[test]
    fn a_convolution_is_a_mark_by_its_pass_and_dtype() {
        let found = mark(&entry("conv2d/x.layer1.0.conv1/b16/bf16/input_grad")).unwrap();
        let expected = Mark { pass: "input_grad", dtype: "bf16", intensity: 100.0, gflops: 100.0 };
        assert_eq!(found, expected);
        assert_eq!(mark(&entry("gemm/n8/f32")), None);
        assert_eq!(mark(&Entry { bytes: None, ..entry("conv2d/x/b1/f32/forward") }), None);
    }

    #[test]
    fn a_ceiling_rises_with_the_bandwidth_up_to_the_peak() {
        let ceilings = Ceilings { fma: Some(200.0), copy: Some(10.0), ..Default::default() };
        let roofline = Roofline { marks: Vec::new(), ceilings };
        let corners = roofline.ceiling(200.0, (1.0, 100.0));
        assert_eq!(corners, [(1.0, 10.0), (20.0, 200.0), (100.0, 200.0)]);
        assert_eq!(
            Roofline { ceilings: Ceilings { copy: None, ..ceilings }, ..roofline }
                .ceiling(200.0, (1.0, 2.0))
                .len(),
            2
        );
    }
}
