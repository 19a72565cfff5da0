//! What filters made by hand make of a photograph, and what learned ones make of a digit.

use ferrotape::backend::Conv2d;
use ferrotape::prelude::*;

use crate::material::{digit, first_of, learner, photo, some};
use crate::raster::{Shade, Sheet, corner};
use crate::what_is_a_cnn::small;
use crate::{Result, Studio};

const SOBEL_X: [f32; 9] = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
const SOBEL_Y: [f32; 9] = [-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
const EDGES: [f32; 9] = [0.0, 1.0, 0.0, 1.0, -4.0, 1.0, 0.0, 1.0, 0.0];
const SHARPEN: [f32; 9] = [0.0, -1.0, 0.0, -1.0, 5.0, -1.0, 0.0, -1.0, 0.0];

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    by_hand(&studio.device)?;
    learned(studio)
}

/// The photograph, Sobel right, Sobel down; the Sobel magnitude, the Laplacian, a blur, a sharpened one.
fn by_hand(device: &Device) -> Result<()> {
    let side = 160;
    let image = photo(device, "chelsea.jpg", [1, side, side])?;
    let filtered = |kernel: &[f32], width: usize| -> Result<Tensor> {
        let kernel = Tensor::from(Array::from_slice(device, kernel, [1, 1, width, width])?);
        let params = Conv2d { padding: [width / 2; 2], ..Conv2d::default() };
        Ok(image.conv2d(&kernel, None, &params)?)
    };
    let (right, down) = (filtered(&SOBEL_X, 3)?, filtered(&SOBEL_Y, 3)?);
    let magnitude = right.square()?.add(&down.square()?)?.sqrt()?;
    let planes = [
        (image.clone(), Shade::Grey(0.0, 1.0)),
        (right, Shade::Signed(1.5)),
        (down, Shade::Signed(1.5)),
        (magnitude, Shade::Grey(0.0, 1.5)),
        (filtered(&EDGES, 3)?, Shade::Signed(0.6)),
        (filtered(&[1.0 / 49.0; 49], 7)?, Shade::Grey(0.0, 1.0)),
        (filtered(&SHARPEN, 3)?, Shade::Grey(0.0, 1.0)),
    ];
    let mut sheet = Sheet::of(8, 4, [side, side]);
    for (number, (plane, shade)) in planes.iter().enumerate() {
        sheet.plane(corner(number, 4, [side, side]), &plane.to_f64_vec()?, side, 1, *shade);
    }
    // The eighth: every pixel brighter by a bias, darker than 0 cut off, as ReLU does.
    let biased = planes[1].0.add_scalar(-0.5)?.relu()?.to_f64_vec()?;
    sheet.plane(corner(7, 4, [side, side]), &biased, side, 1, Shade::Grey(0.0, 1.0));
    sheet.save("filters")
}

/// The eight filters of a first layer, their maps of a digit, and the sixteen maps of the second layer.
fn learned(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let mut model = learner(small(device, 3)?, 3);
    model.fit_alone(&some(&studio.train, 0, 10_000)?, 3)?;
    let shown = first_of(&studio.test, 3);
    let cx = Pass::eval(device).probe("relu1").probe("relu2");
    let x = cx.input(digit(device, &studio.test, shown)?)?;
    model.network().scores(&cx, &x)?;
    let side = [84, 84];
    let mut sheet = Sheet::of(32, 8, side);
    let filters = model.network().parameters()[0].value().to_f64_vec()?;
    for (number, filter) in filters.chunks_exact(25).enumerate() {
        let [x, y] = corner(number, 8, side);
        sheet.plane([x + 2, y + 2], filter, 5, 16, Shade::signed_of(filter));
    }
    let mut number = 8;
    for (_, maps) in cx.probes() {
        let [_, _, height, width] = maps.shape().nchw()?;
        let values = maps.to_f64_vec()?;
        let shade = Shade::grey_of(&values);
        for map in values.chunks_exact(height * width) {
            sheet.plane(corner(number, 8, side), map, width, side[0] / width, shade);
            number += 1;
        }
    }
    sheet.save("feature-maps")
}
