//! How much each pixel of an image moves one unit of a deep layer, before and after training.

use ferrotape::nn::{
    Conv2dConfig, Flatten, LinearConfig, PoolConfig, Summary, activation, adaptive_avg_pool2d,
    max_pool2d,
};
use ferrotape::prelude::*;

use crate::material::{Digits, accuracy, learner, some};
use crate::page;
use crate::raster::{GAP, Shade, Sheet};
use crate::{Result, Studio};

/// Five convolutions of 3x3, with a pooling after the second, and the mean of the last maps.
fn deep(device: &Device) -> Result<Sequential> {
    let mut layers = Sequential::new(&Init::new(device, Rng::new(5)));
    let mut inputs = 1;
    for (number, outputs) in [12, 12, 16, 16, 24].into_iter().enumerate() {
        let name = format!("conv{}", number + 1);
        layers = layers
            .named(&name, Conv2dConfig::new(inputs, outputs, 3).padding(1))?
            .add(activation("relu", Tensor::relu))?;
        if number == 1 {
            layers = layers.add(max_pool2d(PoolConfig::new(2)))?;
        }
        inputs = outputs;
    }
    Ok(layers
        .add(adaptive_avg_pool2d([1, 1]))?
        .add(Flatten::new)?
        .add(LinearConfig::new(inputs, 10))?)
}

/// The mean size of the derivative of the middle unit of the last convolution, over its maps and many digits.
fn felt(network: &dyn Classifier, device: &Device, digits: &Digits) -> Result<Vec<f64>> {
    let cx = Pass::eval(device).with_grad().probe("conv5");
    let count = digits.labels().len();
    let pixels: Vec<f32> = digits
        .pixels()
        .iter()
        .map(|&byte| (f32::from(byte) / 255.0 - ferrotape_mnist::MEAN) / ferrotape_mnist::STD)
        .collect();
    let x = cx.variable(Array::from_slice(device, &pixels, [count, 1, 28, 28])?)?;
    network.scores(&cx, &x)?;
    let (_, maps) = &cx.probes()[0];
    let [_, channels, height, width] = maps.shape().nchw()?;
    let unit = maps.narrow(2, height / 2, 1)?.narrow(3, width / 2, 1)?;
    let mut sum = vec![0.0; 28 * 28];
    for channel in 0..channels {
        let one = unit.narrow(1, channel, 1)?.sum_all()?;
        let options = BackwardOptions { retain: true, wrt: &[&x], ..Default::default() };
        let slopes = one.backward_with(&options)?.of(&x)?.to_f64_vec()?;
        for image in slopes.chunks_exact(28 * 28) {
            sum.iter_mut().zip(image).for_each(|(sum, slope)| *sum += slope.abs());
        }
    }
    Ok(sum)
}

/// The first and the last row and column that are felt at all: `[top, left, bottom, right]`.
fn extent(felt: &[f64]) -> [usize; 4] {
    let places = felt.iter().enumerate().filter(|(_, felt)| **felt > 0.0).map(|(i, _)| i);
    places.fold([28, 28, 0, 0], |[top, left, bottom, right], place| {
        let (row, column) = (place / 28, place % 28);
        [top.min(row), left.min(column), bottom.max(row), right.max(column)]
    })
}

/// How many pixels, the strongest first, make up this share of all that is felt.
fn strongest(felt: &[f64], share: f64) -> usize {
    let mut sorted = felt.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let wanted = share * sorted.iter().sum::<f64>();
    let mut sum = 0.0;
    sorted
        .iter()
        .take_while(|value| {
            let more = sum < wanted;
            sum += **value;
            more
        })
        .count()
}

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let image = Array::zeros(device, DType::F32, [1, 1, 28, 28])?;
    let summary = Summary::of(&deep(device)?, image)?;
    let last = summary.rows.iter().find(|row| row.path.as_str() == "conv5");
    let field = last.and_then(|row| row.receptive_field).unwrap_or([0; 2]);
    let seen = some(&studio.test, 0, 200)?;
    let mut model = learner(deep(device)?, 5);
    let before = felt(model.network(), device, &seen)?;
    model.fit_alone(&some(&studio.train, 0, 10_000)?, 6)?;
    let after = felt(model.network(), device, &seen)?;
    let zoom = 10;
    let mut sheet = Sheet::new(2 * 28 * zoom + GAP, 28 * zoom);
    let mut rows = Vec::new();
    for (number, (name, felt)) in
        [("before training", &before), ("after", &after)].iter().enumerate()
    {
        let left = number * (28 * zoom + GAP);
        let most = felt.iter().copied().fold(0.0, f64::max);
        sheet.plane([left, 0], felt, 28, zoom, Shade::Heat(most));
        let [top, start, bottom, end] = extent(felt);
        let size = [(end + 1 - start) * zoom, (bottom + 1 - top) * zoom];
        sheet.frame([left + start * zoom, top * zoom], size);
        let pixels = strongest(felt, 0.9);
        rows.push(vec![
            (*name).to_owned(),
            format!("{} x {}", field[0], field[1]),
            format!("{} x {}", bottom + 1 - top, end + 1 - start),
            format!("{pixels} of {}", field[0] * field[1]),
        ]);
    }
    sheet.save("receptive-fields")?;
    let head =
        ["network", "by the formula", "pixels with any derivative", "pixels with 90 % of it"];
    let right = 100.0 * accuracy(&model, &studio.test)?;
    let table = page::table(&head, &rows);
    let text =
        format!("{table}\nThe trained network takes {right:.1} % of new digits for what they are.");
    page::write("receptive-fields", "measured", &text)
}
