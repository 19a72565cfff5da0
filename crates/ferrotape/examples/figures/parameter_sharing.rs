//! The matrix that a convolution is, found by asking it for every pixel, beside that of a dense layer.

use ferrotape::backend::Conv2d;
use ferrotape::nn::{Init, Linear, LinearConfig};
use ferrotape::prelude::*;

use crate::raster::{Shade, Sheet};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let device = &studio.device;
    let (side, out) = (6, 4);
    let kernel = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0];
    let kernel = Tensor::from(Array::from_slice(device, &kernel, [1, 1, 3, 3])?);
    let pixels = side * side;
    // Image i is black but for pixel i: what comes out is column i of the matrix.
    let mut units = vec![0.0; pixels * pixels];
    (0..pixels).for_each(|pixel| units[pixel * pixels + pixel] = 1.0);
    let units = Tensor::from(Array::from_slice(device, &units, [pixels, 1, side, side])?);
    let columns = units.conv2d(&kernel, None, &Conv2d::default())?;
    let matrix = columns.reshape(&[pixels as isize, -1])?.transpose(0, 1)?.to_vec::<f64>()?;
    let init = Init::new(device, Rng::new(1));
    let dense = Linear::new(&init, LinearConfig::new(pixels, out * out))?.weight.value();
    let dense = dense.to_f64_vec()?;
    let zoom = 11;
    let mut sheet = Sheet::new(2 * pixels * zoom + 24, out * out * zoom);
    sheet.plane([0, 0], &matrix, pixels, zoom, Shade::Signed(9.0));
    let most = Shade::signed_of(&dense);
    sheet.plane([pixels * zoom + 24, 0], &dense, pixels, zoom, most);
    sheet.frame([0, 0], [pixels * zoom, out * out * zoom]);
    sheet.frame([pixels * zoom + 24, 0], [pixels * zoom, out * out * zoom]);
    sheet.save("parameter-sharing")
}
