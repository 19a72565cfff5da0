//! A photograph, and what three ways to make it eight times smaller leave of it.

use ferrotape::backend::Pool2d;

use crate::material::photo;
use crate::raster::{Sheet, corner};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let side = 160;
    let image = photo(&studio.device, "coffee.jpg", [3, side, side])?;
    let window = Pool2d::new([8, 8]);
    let first = Pool2d { stride: [8, 8], ..Pool2d::new([1, 1]) };
    let mut sheet = Sheet::of(4, 4, [side, side]);
    sheet.colours(corner(0, 4, [side, side]), &image, 1)?;
    let pooled =
        [image.max_pool2d(&window)?, image.avg_pool2d(&window)?, image.max_pool2d(&first)?];
    for (number, small) in pooled.iter().enumerate() {
        sheet.colours(corner(number + 1, 4, [side, side]), small, 8)?;
    }
    sheet.save("pooling")
}
