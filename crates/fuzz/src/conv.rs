//! Small convolutions and their gradients in every kernel but that of tiles, which begins at 32 channels and is held by
//! the laws of the CPU backend. Sums are exact here in every type, so results are equal.

use ferrotape_backend::{Array, Conv2d, DType, Device, Epilogue, Layout, Result, Shape};
use ferrotape_gradcheck::Input;

use crate::draw::{Draw, shrink};
use crate::verdict::{cpus, reference};

/// A convolution with its operands.
#[derive(Debug)]
struct Case {
    params: Conv2d,
    dtype: DType,
    x: Input,
    w: Input,
    /// Of the shape of the output, if there is one.
    y: Input,
    bias: Input,
    residual: Option<Input>,
    relu: bool,
    last: bool,
}

/// The bytes are a float type, shapes and attributes, and how the operands lie in memory.
pub fn conv(bytes: &[u8]) {
    let case = Case::draw(&mut Draw::new(bytes));
    let expected = case.compute(&reference());
    for device in cpus() {
        match (&expected, case.compute(&device)) {
            (Ok(expected), Ok(found)) => assert!(*expected == found, "{case:#?}"),
            (Err(expected), Err(found)) => assert_eq!(expected.kind(), found.kind(), "{case:#?}"),
            (expected, found) => {
                panic!("{:?} and {:?}: {case:#?}", expected.as_ref().err(), found.err())
            }
        }
    }
}

impl Case {
    fn draw(draw: &mut Draw<'_>) -> Self {
        let dtype = draw.float();
        let pair = |draw: &mut Draw<'_>, from: &[usize]| [draw.pick(from), draw.pick(from)];
        let kernel = pair(draw, &[1, 3, 2, 5, 4, 7, 3, 1]);
        let groups = draw.pick(&[1, 1, 1, 2, 3, 4]);
        let params = Conv2d {
            stride: pair(draw, &[1, 1, 2, 3, 4, 1]),
            padding: pair(draw, &[0, 1, 2, 3, 4, 0]),
            dilation: pair(draw, &[1, 1, 2, 3]),
            groups,
        };
        let mut sizes = [draw.count(3), draw.size(), draw.size(), draw.size(), draw.size()];
        shrink(&mut sizes, 512);
        let [n, per_group, outputs, h, w] = sizes;
        let mut x = [n, per_group * groups, h, w];
        for axis in 0..2 {
            let reach = (kernel[axis] - 1) * params.dilation[axis] + 1;
            // Now and then the window is larger than the image.
            if draw.count(15) != 15 {
                x[2 + axis] = x[2 + axis].max(reach.saturating_sub(2 * params.padding[axis]));
            }
        }
        let weight = [outputs * groups, per_group, kernel[0], kernel[1]];
        let mut y = params.output_shape(x, weight).unwrap_or([n, weight[0], 1, 1]);
        let mut bias = [weight[0]];
        if draw.count(31) == 31 {
            y[draw.count(3)] += 1;
        }
        if draw.count(31) == 31 {
            bias[0] += 1;
        }
        Case {
            params,
            dtype,
            x: draw.input(&x),
            w: draw.input(&weight),
            y: draw.input(&y),
            bias: draw.input(&bias),
            residual: draw.flag().then(|| draw.input(&y)),
            relu: draw.flag(),
            last: draw.flag(),
        }
    }

    /// The outputs of all verbs, as numbers.
    fn compute(&self, device: &Device) -> Result<[Vec<f64>; 4]> {
        let place = |input: &Input| input.on_as(device, self.dtype);
        let [x, w, y, bias] = [&self.x, &self.w, &self.y, &self.bias].map(place);
        let (x, w, gy, bias) = (x?, w?, y?, bias?);
        let residual = self.residual.as_ref().map(place).transpose()?;
        let backend = device.backend();
        let [mut y, mut act] = [self.output(device, gy.shape())?, self.output(device, gy.shape())?];
        let [mut gx, mut gw] = [self.output(device, x.shape())?, self.output(device, w.shape())?];
        backend.conv2d(&x, &w, Some(&bias), &mut y, &self.params)?;
        // In 16 bits a device may round before it adds, and exact sums are no more than that.
        let wide = matches!(self.dtype, DType::F32 | DType::F64);
        let epilogue = Epilogue { residual: residual.as_ref().filter(|_| wide), relu: self.relu };
        backend.conv2d_act(&x, &w, None, epilogue, &mut act, &self.params)?;
        backend.conv2d_input_grad(&gy, &w, &mut gx, &self.params)?;
        backend.conv2d_weight_grad(&x, &gy, &mut gw, &self.params)?;
        Ok([y.to_f64_vec()?, act.to_f64_vec()?, gx.to_f64_vec()?, gw.to_f64_vec()?])
    }

    /// Memory for an output, full of what is no number.
    fn output(&self, device: &Device, shape: &Shape) -> Result<Array> {
        let layout = match self.last && shape.rank() == 4 {
            true => Layout::channels_last(*shape)?,
            false => Layout::contiguous(*shape),
        };
        let mut array = Array::empty(device, self.dtype, layout)?;
        device.backend().fill(&mut array, f64::NAN)?;
        Ok(array)
    }
}
