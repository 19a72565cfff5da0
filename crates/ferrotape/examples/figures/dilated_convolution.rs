//! Where the nine pixels of a dilated window lie, a stack whose dilation doubles, and how far both see.

use ferrotape::backend::Conv2d;
use ferrotape::prelude::*;
use ferrotape::zoo::blocks::WaveNetConfig;

use crate::paper::{
    Area, Axes, CURVES, Curve, INK, PALE, UPPER_LEFT, YELLOW, cells, chart, grid, line, svg, tile,
    words, words_from,
};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    ramp(&studio.device)?;
    svg("wavenet", (940, 400), |area| {
        let (left, right) = area.split_horizontally(550);
        tree(&left)?;
        reach(&right)
    })
}

/// The ramp from 1 to 64 under the window of the first output, for dilations 1, 2 and 3.
fn ramp(device: &Device) -> Result<()> {
    let values: Vec<f64> = (1..=64).map(f64::from).collect();
    let x = Tensor::from(Array::from_slice(device, &values, [1, 1, 8, 8])?);
    let w = Tensor::from(Array::full(device, DType::F64, [1, 1, 3, 3], 1.0)?);
    svg("dilated-convolution", (900, 350), |area| {
        for dilation in 1..=3_usize {
            let left = 20 + 295 * (dilation as i32 - 1);
            let params = Conv2d { dilation: [dilation; 2], ..Conv2d::default() };
            let y = x.conv2d(&w, None, &params)?;
            let [_, _, height, width] = y.shape().nchw()?;
            let taken = |r: usize, c: usize| {
                [r, c].iter().all(|place| place % dilation == 0 && place / dilation < 3)
            };
            let fill = |r, c| if taken(r, c) { YELLOW } else { PALE };
            grid(area, (left, 20), 33, &cells(&values, 8), fill)?;
            let span = 2 * dilation + 1;
            let text = format!("dilation {dilation}: nine pixels of {span} x {span}");
            words_from(area, (left, 302), 14, &text)?;
            let first = y.to_vec::<f64>()?[0];
            let text = format!("first output {first}, output {height} x {width}");
            words_from(area, (left, 326), 14, &text)?;
        }
        Ok(())
    })
}

/// The four layers of WaveNet's figure 3: what the last sample of the output comes from.
fn tree(area: &Area<'_>) -> Result<()> {
    let config = WaveNetConfig::new(1, 1, 4);
    let samples = config.receptive_field();
    let x = |sample: usize| 24 + 26 * sample as i32;
    let y = |layer: usize| 350 - 75 * layer as i32;
    let mut used = vec![samples - 1];
    let mut links = Vec::new();
    let mut nodes = vec![(samples - 1, config.dilations.len())];
    for (layer, &dilation) in config.dilations.iter().enumerate().rev() {
        let mut below = Vec::new();
        for &sample in &used {
            for tap in 0..config.kernel {
                let from = sample - tap * dilation;
                links.push([(x(from), y(layer)), (x(sample), y(layer + 1))]);
                below.push(from);
            }
        }
        below.sort_unstable();
        below.dedup();
        nodes.extend(below.iter().map(|&sample| (sample, layer)));
        used = below;
    }
    links.iter().try_for_each(|link| line(area, link, CURVES[0], 2))?;
    for layer in 0..=config.dilations.len() {
        for sample in 0..samples {
            let fill = if nodes.contains(&(sample, layer)) { YELLOW } else { PALE };
            let (x, y) = (x(sample), y(layer));
            tile(area, (x - 8, y - 8), (x + 8, y + 8), fill)?;
        }
        let text = match layer {
            0 => "input".to_owned(),
            _ => format!("dilation {}", config.dilations[layer - 1]),
        };
        words_from(area, (x(samples), y(layer)), 13, &text)?;
    }
    words(area, (235, 385), 14, INK, &format!("one output sees {} samples", used.len()))
}

/// How many samples are seen after so many layers.
fn reach(area: &Area<'_>) -> Result<()> {
    let doubled = |layers: u32| WaveNetConfig::new(1, 1, layers).receptive_field() as f64;
    let plain = |layers: u32| {
        let dilations = vec![1; layers as usize];
        WaveNetConfig { dilations, ..WaveNetConfig::new(1, 1, layers) }.receptive_field() as f64
    };
    let curve = |name, colour, of: &dyn Fn(u32) -> f64| {
        Curve::new(name, colour, (1..=8).map(|layers| (f64::from(layers), of(layers))).collect())
    };
    let axes = Axes {
        title: "Seen by one output",
        x: "layers of two taps each",
        y: "samples",
        xs: 1.0..8.0,
        ys: 0.0..260.0,
        legend: Some(UPPER_LEFT),
    };
    let curves = [curve("dilation doubles", 0, &doubled), curve("no dilation", 1, &plain)];
    chart(area, axes, &curves)
}
