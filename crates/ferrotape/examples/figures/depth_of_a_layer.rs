//! Ten filters make ten maps: the shapes of one convolutional layer, as the layer gives them.

use ferrotape::nn::{Conv2d, Conv2dConfig};
use ferrotape::prelude::*;

use crate::paper::{BLUE, GREEN, INK, PALE, line, svg, volume, words};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let conv = Conv2d::new(&Init::new(device, Rng::new(42)), Conv2dConfig::new(3, 10, 3))?;
    let input = [1, 3, 5, 5];
    let x = Tensor::from(Array::zeros(device, DType::F32, input)?);
    let [_, maps, height, width] = conv.forward(&Pass::eval(device), &x)?.shape().nchw()?;
    let [filters, depth, kh, kw] = conv.weight.shape().nchw()?;
    svg("depth-of-a-layer", (820, 330), |area| {
        let unit = 26;
        let size = |c: usize, h: usize| [12 * c as i32, unit * h as i32, unit * h as i32 / 2];
        volume(area, (30, 230), size(input[1], input[2]), PALE)?;
        words(
            area,
            (90, 265),
            14,
            INK,
            &format!("image {} x {} x {}", input[2], input[3], input[1]),
        )?;
        for filter in 0..filters as i32 {
            let (column, row) = (filter % 5, filter / 5);
            volume(area, (230 + 62 * column, 130 + 105 * row), [18, 42, 20], BLUE)?;
            words(area, (250 + 62 * column, 143 + 105 * row), 11, INK, &format!("{}", filter + 1))?;
        }
        let text = format!("{filters} filters {kh} x {kw} x {depth}, one bias each");
        words(area, (385, 265), 14, INK, &text)?;
        volume(area, (620, 210), size(maps, height), GREEN)?;
        words(area, (700, 265), 14, INK, &format!("output {height} x {width} x {maps}"))?;
        let text = format!("{} parameters", conv.count_parameters());
        words(area, (385, 288), 14, INK, &text)?;
        for x in [195, 590] {
            line(area, &[(x - 16, 160), (x + 8, 160)], INK, 2)?;
            line(area, &[(x, 154), (x + 8, 160), (x, 166)], INK, 2)?;
        }
        Ok(())
    })
}
