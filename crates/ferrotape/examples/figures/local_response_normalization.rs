//! The responses of sixteen maps at one pixel, before and after their neighbours were heard.

use ferrotape::nn::{Conv2dConfig, Flatten, LinearConfig, PoolConfig, activation, max_pool2d};
use ferrotape::prelude::*;

use crate::material::{digit, first_of, learner, some};
use crate::paper::{Area, CURVES, GREY, INK, line, svg, tile, words, words_from};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let network = Sequential::new(&Init::new(device, Rng::new(4)))
        .add(Conv2dConfig::new(1, 16, 5).padding(2))?
        .named("relu", activation("relu", Tensor::relu))?
        .add(max_pool2d(PoolConfig::new(4)))?
        .add(Flatten::new)?
        .add(LinearConfig::new(16 * 49, 10))?;
    let mut model = learner(network, 4);
    model.fit_alone(&some(&studio.train, 0, 10_000)?, 2)?;
    let cx = Pass::eval(device).probe("relu");
    let x = cx.input(digit(device, &studio.test, first_of(&studio.test, 3))?)?;
    model.network().scores(&cx, &x)?;
    let (_, maps) = &cx.probes()[0];
    // The pixel at which the maps respond most, all together.
    let sums = maps.sum(&[1], false)?.to_f64_vec()?;
    let most = (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0);
    let normed = maps.local_response_norm(5, 1.0, 0.75, 1.0)?;
    let at = |tensor: &Tensor| -> Result<Vec<f64>> {
        let pixel = tensor.narrow(2, most / 28, 1)?.narrow(3, most % 28, 1)?;
        Ok(pixel.to_f64_vec()?)
    };
    let (before, after) = (at(maps)?, at(&normed)?);
    svg("local-response-normalization", (760, 300), |area| {
        bars(area, 30, "before", &before)?;
        bars(area, 410, "after, size 5, alpha 1, beta 0.75, k 1", &after)
    })
}

fn bars(area: &Area<'_>, left: i32, title: &str, values: &[f64]) -> Result<()> {
    let most = values.iter().copied().fold(1e-9, f64::max);
    words_from(area, (left, 20), 15, title)?;
    words_from(area, (left, 40), 12, &format!("the longest bar is {most:.2}"))?;
    for (channel, value) in values.iter().enumerate() {
        let x = left + 20 * channel as i32;
        let height = (value / most * 200.0) as i32;
        tile(area, (x, 260 - height), (x + 15, 260), CURVES[5])?;
        words(area, (x + 8, 272), 10, INK, &format!("{}", channel + 1))?;
    }
    line(area, &[(left - 4, 260), (left + 20 * values.len() as i32, 260)], GREY, 1)?;
    words(area, (left + 10 * values.len() as i32, 290), 12, INK, "map")
}
