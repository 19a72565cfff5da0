//! One window of a convolution: the nine products that make one number.

use ferrotape::backend::Conv2d;
use ferrotape::prelude::*;

use crate::paper::{BLUE, INK, PALE, YELLOW, cells, frame, grid, svg, words};
use crate::{Result, Studio};

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let image: Vec<f64> = (0..5).flat_map(|_| [0.0, 0.0, 0.0, 9.0, 9.0]).collect();
    let kernel = [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0];
    let device = &studio.device;
    let x = Tensor::from(Array::from_slice(device, &image, [1, 1, 5, 5])?);
    let w = Tensor::from(Array::from_slice(device, &kernel, [1, 1, 3, 3])?);
    let y = x.conv2d(&w, None, &Conv2d::default())?.to_vec::<f64>()?;
    // The window whose number is shown: the second row, the second column.
    let (row, column) = (1, 1);
    svg("how-convolution-works", (760, 300), |area| {
        let seen =
            |r: usize, c: usize| (row..row + 3).contains(&r) && (column..column + 3).contains(&c);
        let side = 48;
        grid(
            area,
            (20, 20),
            side,
            &cells(&image, 5),
            |r, c| if seen(r, c) { YELLOW } else { PALE },
        )?;
        let (left, top) = (20 + side * column as i32, 20 + side * row as i32);
        frame(area, (left, top), (left + 3 * side, top + 3 * side), INK, 3)?;
        words(area, (140, 280), 15, INK, "image, 5 x 5")?;
        words(area, (295, 140), 30, INK, "*")?;
        grid(area, (330, 68), side, &cells(&kernel, 3), |_, _| BLUE)?;
        words(area, (402, 280), 15, INK, "kernel, 3 x 3")?;
        words(area, (510, 140), 30, INK, "=")?;
        let here = |r: usize, c: usize| if (r, c) == (row, column) { YELLOW } else { PALE };
        grid(area, (550, 68), side, &cells(&y, 3), here)?;
        words(area, (622, 280), 15, INK, "output, 3 x 3")
    })
}
