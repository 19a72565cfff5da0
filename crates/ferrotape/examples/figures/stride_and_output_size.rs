//! Where the windows of a row of pixels lie, for five choices of stride and padding.

use ferrotape::backend::Conv2d;

use crate::paper::{BLUE, GREEN, INK, PALE, line, svg, tile, words, words_from};
use crate::{Result, Studio};

pub(crate) fn draw(_: &Studio) -> Result<()> {
    let (pixels, kernel) = (7, 3);
    svg("stride-and-output-size", (680, 560), |area| {
        for (number, (stride, padding)) in
            [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1)].into_iter().enumerate()
        {
            let params = Conv2d { stride: [1, stride], padding: [0, padding], ..Conv2d::default() };
            let [_, size] = params.output_size([1, pixels], [1, kernel])?;
            let (left, top) = (40, 20 + 108 * number as i32);
            let cell = 34;
            for pixel in 0..pixels + 2 * padding {
                let x = left + cell * (1 + pixel as i32 - padding as i32);
                let inside = (padding..padding + pixels).contains(&pixel);
                tile(area, (x, top), (x + cell, top + cell), if inside { BLUE } else { PALE })?;
                let text = if inside { format!("{}", pixel - padding + 1) } else { "0".to_owned() };
                words(area, (x + cell / 2, top + cell / 2), 13, INK, &text)?;
            }
            for output in 0..size {
                let first = left + cell * (1 + (output * stride) as i32 - padding as i32);
                let middle = first + cell * kernel as i32 / 2;
                let (low, high) = (top + 66, top + 36);
                line(
                    area,
                    &[(first + 3, high), (middle, low), (first + 3 * cell - 3, high)],
                    INK,
                    1,
                )?;
                tile(area, (middle - 12, low), (middle + 12, low + 24), GREEN)?;
                words(area, (middle, low + 12), 12, INK, &format!("{}", output + 1))?;
            }
            let text = format!("stride {stride}, padding {padding}:");
            words_from(area, (390, top + 30), 16, &text)?;
            let sum = if padding == 0 { String::new() } else { format!(" + 2*{padding}") };
            let text = format!("floor(({pixels} - {kernel}{sum}) / {stride}) + 1 = {size} outputs");
            words_from(area, (390, top + 54), 16, &text)?;
        }
        Ok(())
    })
}
