//! The network of the page as a row of volumes, their sizes from the summary of the network itself.

use ferrotape::nn::{
    Conv2dConfig, Flatten, LinearConfig, PoolConfig, Softmax, Summary, activation, max_pool2d,
};
use ferrotape::prelude::*;

use crate::paper::{BLUE, GREEN, GREY, INK, PALE, YELLOW, svg, volume, words};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let model = Sequential::new(&Init::new(device, Rng::new(42)))
        .named("conv1", Conv2dConfig::new(3, 32, 3))?
        .named("relu1", activation("relu", Tensor::relu))?
        .named("pool1", max_pool2d(PoolConfig::new(2)))?
        .named("conv2", Conv2dConfig::new(32, 64, 3))?
        .named("relu2", activation("relu", Tensor::relu))?
        .named("pool2", max_pool2d(PoolConfig::new(2)))?
        .named("flatten", Flatten::new)?
        .named("fc1", LinearConfig::new(64 * 14 * 14, 128))?
        .named("relu3", activation("relu", Tensor::relu))?
        .named("fc2", LinearConfig::new(128, 10))?
        .named("softmax", Softmax::new)?;
    let summary = Summary::of(&model, Array::zeros(device, DType::F32, [1, 3, 64, 64])?)?;
    svg("typical-architecture", (790, 300), |area| {
        let mut x = 24;
        let mut put = |name: &str, dims: &[usize], fill| -> Result<()> {
            let (size, text) = match *dims {
                [_, c, h, w] => {
                    let side = (h as f64).sqrt() * 20.0;
                    let deep = (c as f64).sqrt() * 7.0;
                    ([deep as i32, side as i32, side as i32 / 2], format!("{h} x {w} x {c}"))
                }
                [_, n] => ([12, ((n as f64).ln() * 17.0) as i32, 6], format!("{n}")),
                _ => return Ok(()),
            };
            let bottom = 175 + size[1] / 2;
            volume(area, (x, bottom), size, fill)?;
            let middle = x + (size[0] + size[2]) / 2;
            words(area, (middle, 268), 13, INK, &text)?;
            words(area, (middle, 286), 13, GREY, name)?;
            x += size[0] + size[2] + 26;
            Ok(())
        };
        put("image", &[1, 3, 64, 64], PALE)?;
        for row in &summary.rows {
            let fill = match row.path.as_str() {
                "conv1" | "conv2" => BLUE,
                "pool1" | "pool2" => GREEN,
                "flatten" | "fc1" | "fc2" => YELLOW,
                _ => continue,
            };
            put(row.path.as_str(), row.shape.dims(), fill)?;
        }
        Ok(())
    })
}
