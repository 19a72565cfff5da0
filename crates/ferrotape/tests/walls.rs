//! The walls: one block (convolution, batch norm, ReLU, residual, and a second use of the same
//! weight) through everything that the design promises, on the CPU and on the reference backend.

use ferrotape::backend::reference::Reference;
use ferrotape::backend::{ErrorKind, Result};
use ferrotape::cpu::{Cpu, CpuOptions};
use ferrotape::nn::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Mode, Path};
use ferrotape::prelude::*;

const CHANNELS: usize = 3;
const SHAPE: [usize; 4] = [2, CHANNELS, 5, 4];

#[derive(Debug, Module)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm2d,
    again: Conv2d,
    path: Path,
}

impl Block {
    fn new(init: &Init) -> Result<Self> {
        let config = Conv2dConfig { padding: [1, 1], ..Conv2dConfig::new(CHANNELS, CHANNELS, 3) };
        let conv = Conv2d::new(&init.at("conv"), config)?;
        let again = conv.tied(init.at("again").path().clone());
        let norm = BatchNorm2d::new(&init.at("norm"), BatchNormConfig::new(CHANNELS))?;
        Ok(Block { conv, norm, again, path: init.path().clone() })
    }

    /// The output and the hidden map before the second convolution.
    fn both(&self, cx: &Pass, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let hidden = self.norm.forward(cx, &self.conv.forward(cx, x)?)?.relu()?;
        let y = self.again.forward(cx, &hidden)?.add(&cx.compute(x)?)?;
        Ok((y, hidden))
    }
}

impl Layer for Block {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        Ok(self.both(cx, x)?.0)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn cpu(threads: usize) -> Device {
    Device::new(Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).unwrap())
}

fn devices() -> [Device; 2] {
    [Device::new(Reference::new()), cpu(2)]
}

fn block(device: &Device, dtype: DType) -> Block {
    let block = Block::new(&Init::new(device, Rng::new(5)).dtype(dtype)).unwrap();
    // Weights of one would hide a forgotten factor.
    let scale = numbers(9, CHANNELS).iter().map(|v| 1.0 + 0.3 * v).collect::<Vec<_>>();
    let weight = block.norm.weight.as_ref().unwrap();
    weight.set(Array::from_f64(device, &scale, dtype, [CHANNELS]).unwrap()).unwrap();
    block
}

/// Normal numbers that do not depend on a device.
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    (0..count as u64).map(|i| Rng::new(seed).normal_f64(i)).collect()
}

fn normal(device: &Device, dtype: DType, seed: u64) -> Array {
    let values = numbers(seed, SHAPE.iter().product());
    Array::from_f64(device, &values, dtype, SHAPE).unwrap()
}

fn pass(device: &Device) -> Pass {
    Pass::train(device, Rng::new(1)).without_effects()
}

/// The block's output projected on a fixed direction: a scalar with a gradient everywhere.
fn loss(block: &Block, cx: &Pass, x: &Tensor) -> Result<Tensor> {
    let y = block.forward(cx, x)?;
    let direction = normal(x.device(), y.dtype(), 77);
    y.mul(&Tensor::from(direction))?.sum_all()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs())), "{what}: {a} and {b}");
}

/// The slope of `f` along `direction` in the value that `set` sets, by fourth-order differences.
fn slope(value: &[f64], direction: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> f64 {
    const STEP: f64 = 1e-4;
    let mut at =
        |t: f64| f(&value.iter().zip(direction).map(|(v, d)| v + t * STEP * d).collect::<Vec<_>>());
    (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP)
}

/// Checks gradients of the input and of every parameter, under any pass, against differences.
fn check_gradients(device: &Device, block: &Block, make: impl Fn() -> Pass) {
    let x = normal(device, DType::F64, 3);
    let cx = make();
    let input = cx.variable(x.clone()).unwrap();
    let gradients = loss(block, &cx, &input).unwrap().backward().unwrap();
    let value = |x: &Array| {
        let cx = make();
        loss(block, &cx, &cx.input(x.clone()).unwrap()).unwrap().item().unwrap()
    };

    let (flat, direction) = (x.to_f64_vec().unwrap(), numbers(11, SHAPE.iter().product()));
    let numeric = slope(&flat, &direction, |values| {
        value(&Array::from_slice(device, values, SHAPE).unwrap())
    });
    let analytic = dot(&gradients.of(&input).unwrap().to_f64_vec().unwrap(), &direction);
    close(analytic, numeric, 1e-8, "input");

    for (name, parameter) in block.named_parameters() {
        let kept = parameter.value().copy().unwrap();
        let flat = kept.to_f64_vec().unwrap();
        let direction = numbers(13, flat.len());
        let numeric = slope(&flat, &direction, |values| {
            parameter.set(Array::from_slice(device, values, kept.shape()).unwrap()).unwrap();
            value(&x)
        });
        parameter.set(kept).unwrap();
        let gradient = gradients.of(&parameter).unwrap().to_f64_vec().unwrap();
        close(dot(&gradient, &direction), numeric, 1e-8, &name);
    }
}

#[test]
fn gradients_equal_differences_in_training_evaluation_and_with_a_frozen_norm() {
    for device in devices() {
        let block = block(&device, DType::F64);
        check_gradients(&device, &block, || pass(&device));
        check_gradients(&device, &block, || Pass::eval(&device).with_grad());
        check_gradients(&device, &block, || pass(&device).mode_for("norm", Mode::Eval));
    }
}

#[test]
fn the_tied_weight_is_one_parameter_with_one_gradient() {
    let device = cpu(1);
    let block = block(&device, DType::F64);
    let names: Vec<String> = block.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]);
    assert_eq!(block.conv.weight.id(), block.again.weight.id());
    let copy = block.clone();
    assert_eq!(copy.conv.weight.id(), copy.again.weight.id());
    assert_ne!(copy.conv.weight.id(), block.conv.weight.id());
}

#[test]
fn second_gradients_equal_differences_of_first_ones() {
    for device in devices() {
        let block = block(&device, DType::F64);
        let x = normal(&device, DType::F64, 3);
        let along = normal(&device, DType::F64, 21);
        let weight = &block.conv.weight;

        // The slope of the loss along a direction of x, as a tensor that can be differentiated.
        let first = |x: &Array, create_graph: bool| {
            let cx = pass(&device);
            let input = cx.variable(x.clone()).unwrap();
            let options = BackwardOptions { create_graph, ..Default::default() };
            let gradients = loss(&block, &cx, &input).unwrap().backward_with(&options).unwrap();
            let slope = gradients.of(&input).unwrap();
            let slope = slope.mul(&Tensor::from(along.clone())).unwrap().sum_all().unwrap();
            (slope, input)
        };
        let (slope_along, input) = first(&x, true);
        let second = slope_along.backward().unwrap();

        let flat = x.to_f64_vec().unwrap();
        let direction = numbers(31, flat.len());
        let numeric = slope(&flat, &direction, |values| {
            let moved = Array::from_slice(&device, values, SHAPE).unwrap();
            first(&moved, false).0.item().unwrap()
        });
        let analytic = dot(&second.of(&input).unwrap().to_f64_vec().unwrap(), &direction);
        close(analytic, numeric, 1e-7, "second gradient in the input");

        let kept = weight.value().copy().unwrap();
        let flat = kept.to_f64_vec().unwrap();
        let direction = numbers(33, flat.len());
        let numeric = slope(&flat, &direction, |values| {
            weight.set(Array::from_slice(&device, values, kept.shape()).unwrap()).unwrap();
            first(&x, false).0.item().unwrap()
        });
        weight.set(kept).unwrap();
        let analytic = dot(&second.of(weight).unwrap().to_f64_vec().unwrap(), &direction);
        close(analytic, numeric, 1e-7, "mixed gradient in the tied weight");
    }
}

#[test]
fn the_cpu_agrees_with_the_reference_in_value_and_gradients() {
    let [reference, cpu] = devices();
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
        let results = [&reference, &cpu].map(|device| {
            let block = block(device, dtype);
            let cx = pass(device);
            let x = cx.variable(normal(device, dtype, 3)).unwrap();
            let y = loss(&block, &cx, &x).unwrap();
            let gradients = y.backward().unwrap();
            let mut flat = vec![y.item().unwrap()];
            flat.extend(gradients.of(&x).unwrap().to_f64_vec().unwrap());
            for parameter in block.parameters() {
                flat.extend(gradients.of(&parameter).unwrap().to_f64_vec().unwrap());
            }
            flat
        });
        for (a, b) in results[0].iter().zip(&results[1]) {
            close(*a, *b, tolerance, "reference and CPU");
        }
    }
}

#[test]
fn autocast_computes_low_and_keeps_gradients_of_parameters_in_f32() {
    for device in devices() {
        let block = block(&device, DType::F32);
        let gradients = [false, true].map(|low| {
            let cx = if low { pass(&device).autocast(DType::BF16) } else { pass(&device) };
            let x = cx.variable(normal(&device, DType::F32, 3)).unwrap();
            let (y, hidden) = block.both(&cx, &x).unwrap();
            let wanted = if low { DType::BF16 } else { DType::F32 };
            assert_eq!((y.dtype(), hidden.dtype()), (wanted, wanted));
            let direction = Tensor::from(normal(&device, DType::F32, 77));
            let y = y.cast(DType::F32).unwrap().mul(&direction).unwrap().sum_all().unwrap();
            y.backward().unwrap()
        });
        for parameter in block.parameters() {
            let [exact, low] = [0, 1].map(|i| gradients[i].of(&parameter).unwrap());
            assert_eq!(low.dtype(), DType::F32, "{}", parameter.path());
            let (exact, low) = (exact.to_f64_vec().unwrap(), low.to_f64_vec().unwrap());
            let difference: Vec<f64> = exact.iter().zip(&low).map(|(a, b)| a - b).collect();
            let (error, size) = (dot(&difference, &difference), dot(&exact, &exact));
            assert!(error.sqrt() < 0.05 * size.sqrt().max(1.0), "{}", parameter.path());
            assert!(error > 0.0 || size == 0.0, "{} was not computed low", parameter.path());
        }
    }
}

#[test]
fn a_gradient_of_an_intermediate_tensor_can_be_asked_for() {
    for device in devices() {
        let block = block(&device, DType::F64);
        let cx = pass(&device);
        let x = cx.variable(normal(&device, DType::F64, 3)).unwrap();
        let (y, hidden) = block.both(&cx, &x).unwrap();
        let result = y.square().unwrap().sum_all().unwrap();
        let options = BackwardOptions { wrt: &[&hidden], retain: true, ..Default::default() };
        let gradient = result.backward_with(&options).unwrap().of(&hidden).unwrap().clone();

        // From the hidden map on, the block is a convolution and a constant.
        let cx = pass(&device);
        let start = cx.variable(hidden.array().clone()).unwrap();
        let y = block.again.forward(&cx, &start).unwrap().add(&x.detach()).unwrap();
        let expected = y.square().unwrap().sum_all().unwrap().backward().unwrap();
        let expected = expected.of(&start).unwrap().to_f64_vec().unwrap();
        for (a, b) in gradient.to_f64_vec().unwrap().iter().zip(expected) {
            close(*a, b, 1e-12, "intermediate gradient");
        }
        let unasked = result.backward().unwrap();
        assert!(unasked.of(&hidden).is_err(), "gradients of unnamed tensors are not kept");
    }
}

#[test]
fn contiguous_channels_last_and_sliced_inputs_give_the_same() {
    for device in devices() {
        let block = block(&device, DType::F64);
        let x = normal(&device, DType::F64, 3);
        let [n, c, h, w] = SHAPE;
        let wide = Array::full(&device, DType::F64, [n + 1, c + 2, h, w + 3], 9.0).unwrap();
        let fill = |array: Array| {
            let part = array.narrow(0, 1, n).unwrap().narrow(1, 1, c).unwrap();
            let mut part = part.narrow(3, 2, w).unwrap();
            device.backend().copy(&x, &mut part).unwrap();
            part
        };
        let pitched = Array::full(&device, DType::F64, [n, c + 2, h, w], 9.0).unwrap();
        let mut channels = pitched.channels_last().unwrap().narrow(1, 1, c).unwrap();
        device.backend().copy(&x, &mut channels).unwrap();
        assert_eq!(channels.layout().pixel_pitch(), Some(c + 2));
        let inputs = [x.clone(), x.channels_last().unwrap(), fill(wide.copy().unwrap()), channels];
        let results = inputs.map(|input| {
            let cx = pass(&device);
            let input = cx.variable(input).unwrap();
            let y = loss(&block, &cx, &input).unwrap();
            let gradients = y.backward().unwrap();
            let mut flat = gradients.of(&input).unwrap().to_f64_vec().unwrap();
            flat.extend(gradients.of(&block.conv.weight).unwrap().to_f64_vec().unwrap());
            flat.push(y.item().unwrap());
            flat
        });
        for other in &results[1..] {
            for (a, b) in results[0].iter().zip(other) {
                close(*a, *b, 1e-12, "layouts");
            }
        }
    }
}

#[test]
fn optimizer_steps_may_stand_between_forwards_but_not_before_their_backward() {
    for device in devices() {
        let block = block(&device, DType::F32);
        let mut sgd = Sgd::new(
            block.parameters(),
            SgdConfig { lr: 0.05, momentum: 0.9, ..Default::default() },
        )
        .unwrap();
        let forward = || {
            let cx = pass(&device);
            let x = cx.input(normal(&device, DType::F32, 3)).unwrap();
            block.forward(&cx, &x).unwrap().square().unwrap().mean_all().unwrap()
        };
        let mut losses = Vec::new();
        for _ in 0..5 {
            let loss = forward();
            losses.push(loss.item().unwrap());
            sgd.step(&loss.backward().unwrap()).unwrap();
        }
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");

        let (early, late) = (forward(), forward());
        sgd.step(&early.backward().unwrap()).unwrap();
        let error = late.backward().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Modified);
        let said = error.to_string();
        assert!(said.contains("conv2d") && said.contains("changed in place"), "{said}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // Large enough that every kernel cuts its work into many parts.
    let shape = [12, CHANNELS, 48, 40];
    let values = numbers(3, shape.iter().product());
    let results = [1, 2, 5].map(|threads| {
        let device = cpu(threads);
        let block = block(&device, DType::F32);
        let mut sgd = Sgd::new(block.parameters(), SgdConfig { lr: 0.1, ..Default::default() });
        let sgd = sgd.as_mut().unwrap();
        let mut bits = Vec::new();
        for step in 0..3 {
            let cx = Pass::train(&device, Rng::new(1).step(step));
            let x = Array::from_f64(&device, &values, DType::F32, shape).unwrap();
            let x = cx.variable(x).unwrap();
            let y = block.forward(&cx, &x).unwrap();
            let gradients = y.square().unwrap().mean_all().unwrap().backward().unwrap();
            bits.extend(gradients.of(&x).unwrap().to_vec::<f32>().unwrap());
            sgd.step(&gradients).unwrap();
        }
        for (_, array) in block.state_dict().unwrap().iter() {
            if array.dtype() == DType::F32 {
                bits.extend(array.to_vec::<f32>().unwrap());
            }
        }
        bits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn nothing_lives_after_the_tape_is_dropped() {
    for device in devices() {
        let block = block(&device, DType::F64);
        let x = normal(&device, DType::F64, 3);
        let before = device.memory().live_bytes;
        for backward in [false, true] {
            let cx = pass(&device);
            let input = cx.variable(x.clone()).unwrap();
            let loss = loss(&block, &cx, &input).unwrap();
            assert!(device.memory().live_bytes > before);
            if backward {
                let options = BackwardOptions { create_graph: true, ..Default::default() };
                let gradients = loss.backward_with(&options).unwrap();
                let slope = gradients.of(&input).unwrap().square().unwrap().sum_all().unwrap();
                slope.backward().unwrap();
            }
            drop((cx, input, loss));
            assert_eq!(device.memory().live_bytes, before, "{device}, backward {backward}");
        }
        drop((block, x));
        assert_eq!(device.memory().live_bytes, 0, "{device}");
    }
}

#[test]
fn running_statistics_move_once_a_call_and_only_with_effects() {
    for device in devices() {
        let block = block(&device, DType::F64);
        let mean = || block.norm.running.as_ref().unwrap().mean.value().to_f64_vec().unwrap();
        let run = |cx: Pass| {
            let x = cx.input(normal(&device, DType::F64, 3)).unwrap();
            let loss = loss(&block, &cx, &x).unwrap();
            if cx.tracks() {
                loss.backward().unwrap();
            }
        };
        let start = mean();
        run(pass(&device));
        run(Pass::eval(&device));
        run(Pass::train(&device, Rng::new(1)).mode_for("norm", Mode::Eval));
        assert_eq!(mean(), start);
        run(Pass::train(&device, Rng::new(1)));
        let once = mean();
        assert_ne!(once, start);
        run(Pass::train(&device, Rng::new(1)).without_grad());
        // The mean starts at 0 and moves a tenth of the way to the same batch mean at each call.
        for (first, second) in once.iter().zip(mean()) {
            close(second, first * 1.9, 1e-12, "two moves");
        }
    }
}
