//! Convolution and its gradients of images of bf16, multiplied in pairs where the machine does that.
//!
//! Sums are f32. A pair is two channels of a pixel, or two pixels of a row in the gradient of the weight.

use std::borrow::Cow;

use ferrotape_backend::check::ConvShapes;
use ferrotape_backend::{Array, Conv2d, DType, Epilogue, Layout, Result, Shape};
use half::bf16;

use super::{Added, forward, input_grad, pixels, weight_grad};
use crate::Cpu;
use crate::kernels::conv::Geometry;
use crate::kernels::dispatch::Pairs;
use crate::kernels::images::Pixels;
use crate::kernels::split::{Chunks, for_each_part};
use crate::memory::{Before, Form, input, open, output};

/// Pixels of a task that lays images out anew.
const TASK_PIXELS: usize = 1 << 14;

/// A convolution of bf16.
pub(super) struct Paired<'a> {
    cpu: &'a Cpu,
    level: Pairs,
    shapes: &'a ConvShapes,
    params: &'a Conv2d,
}

impl<'a> Paired<'a> {
    /// With the images' and the outputs' arrays as they are, if the machine and they suit.
    pub(super) fn new(
        cpu: &'a Cpu,
        shapes: &'a ConvShapes,
        params: &'a Conv2d,
        [x, y]: [&Array; 2],
    ) -> Option<Self> {
        let level = cpu.level.pairs()?;
        let geometry = Geometry::new(shapes, params, x.layout(), y.layout());
        let suits = x.dtype() == DType::BF16 && forward::takes(cpu, &geometry);
        suits.then_some(Paired { cpu, level, shapes, params })
    }

    /// As [`super::conv2d_act`], if channels can be paired: an odd number of them with one more, of zeros.
    pub(super) fn forward(
        &self,
        [x, w]: [&Array; 2],
        bias: Option<&Array>,
        epilogue: Epilogue<'_>,
        y: &mut Array,
    ) -> Result<bool> {
        let Paired { cpu, level, shapes, params } = *self;
        let channels = shapes.x[1];
        if channels == 1 {
            return Ok(false);
        }
        let (even_x, even_w);
        let (mut x, mut w, mut shapes) = (x, w, *shapes);
        if !channels.is_multiple_of(2) {
            (even_x, even_w) = (even_images(cpu, x)?, even_weights(w)?);
            (x, w) = (&even_x, &even_w);
            (shapes.x[1], shapes.w[1]) = (channels + 1, channels + 1);
        }
        let x = in_words(x)?;
        let w = input(w, DType::BF16, Form::Contiguous)?;
        let added = Added::new(bias, epilogue, DType::BF16)?;
        output(y, DType::BF16, Form::Images, Before::Ignored, |y| {
            let geometry = Geometry::new(&shapes, params, x.layout(), y.layout());
            let [bias, residual] = added.or(&w);
            open([&*x, &*w, bias, residual], [&*y], |[x, w, bias, residual], [y]| {
                let ending = added.ending([bias, residual], &geometry)?;
                forward::forward::<bf16, bf16>(cpu, level, &geometry, [x, w], ending, y)
            })
        })?;
        Ok(true)
    }

    /// As [`super::conv2d_input_grad`], if channels can be paired.
    pub(super) fn input_grad(&self, [gy, w]: [&Array; 2], gx: &mut Array) -> Result<bool> {
        let Paired { cpu, level, shapes, params } = *self;
        if !shapes.y[1].is_multiple_of(2) {
            return Ok(false);
        }
        let gy = in_words(gy)?;
        let w = input(w, DType::BF16, Form::Contiguous)?;
        output(gx, DType::BF16, Form::Images, Before::Ignored, |gx| {
            let geometry = Geometry::new(shapes, params, gx.layout(), gy.layout());
            open([&*gy, &*w], [&*gx], |operands, [gx]| {
                input_grad::by_phases::<bf16>(cpu, level, &geometry, operands, gx)
            })
        })?;
        Ok(true)
    }

    /// As [`super::conv2d_weight_grad`].
    pub(super) fn weight_grad(&self, [x, gy]: [&Array; 2], gw: &mut Array) -> Result<()> {
        let Paired { cpu, level, shapes, params } = *self;
        let x = input(x, DType::BF16, Form::Images)?;
        let gy = input(gy, DType::BF16, Form::Images)?;
        let geometry = Geometry::new(shapes, params, x.layout(), gy.layout());
        output(gw, DType::F32, Form::Contiguous, Before::Ignored, |gw| {
            open([&*x, &*gy], [&*gw], |operands, [gw]| match pixels::takes(&geometry) {
                true => pixels::weight_grad::<bf16>(cpu, level, &geometry, operands, gw),
                false => weight_grad::weight_grad::<bf16>(cpu, level, &geometry, operands, gw),
            })
        })
    }
}

/// Images of an even number of channels, each pixel of which begins with a whole word.
fn in_words(images: &Array) -> Result<Cow<'_, Array>> {
    let images = input(images, DType::BF16, Form::Images)?;
    let layout = images.layout();
    let whole = layout.pixel_pitch().is_some_and(|pitch| pitch.is_multiple_of(2))
        && layout.offset().is_multiple_of(2);
    if whole {
        return Ok(images);
    }
    let mut copy = Array::empty(images.device(), DType::BF16, Form::Images.dense(layout)?)?;
    images.device().backend().copy(&images, &mut copy)?;
    Ok(Cow::Owned(copy))
}

/// The images with one more channel, of zeros.
fn even_images(cpu: &Cpu, images: &Array) -> Result<Array> {
    let images = input(images, DType::BF16, Form::Images)?;
    let [n, channels, h, w] = images.shape().nchw()?;
    let layout = Layout::channels_last(Shape::new(&[n, channels + 1, h, w])?)?;
    let even = Array::empty(images.device(), DType::BF16, layout)?;
    open([&*images], [&even], |[from], [mut to]| {
        let from = Pixels::<bf16>::new(from)?;
        let to = to.span::<bf16>()?;
        let parts = Chunks::new(to, TASK_PIXELS * (channels + 1));
        for_each_part(cpu.team_for(from.rows * channels), &parts, |index, part| {
            let pixels = part.chunks_exact_mut(channels + 1);
            for (to, pixel) in pixels.zip(index * TASK_PIXELS..) {
                if let [to @ .., zero] = to {
                    to.copy_from_slice(from.rows(pixel, 1));
                    *zero = bf16::ZERO;
                }
            }
            Ok(())
        })
    })?;
    Ok(even)
}

/// The weights with one more input channel, of zeros.
fn even_weights(w: &Array) -> Result<Array> {
    let [o, channels, kh, kw] = w.shape().nchw()?;
    let even = Array::zeros(w.device(), DType::BF16, [o, channels + 1, kh, kw])?;
    w.device().backend().copy(w, &mut even.narrow(1, 0, channels)?)?;
    Ok(even)
}
