//! The tape: random programs, memory, length, weight tying, ops without a gradient.

use ferrotape_autograd::{
    Backward, BackwardOptions, Forward, InputGrads, LeafId, Op, Tape, Tensor,
};
use ferrotape_backend::{Array, DType, Device, Error, ErrorKind, Result, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::strategy::{Values, inputs};
use ferrotape_gradcheck::{Options, check_op};
use proptest::collection::vec;
use proptest::prelude::any;

use crate::{devices, for_all};

/// One step of a random program: which operator, and which earlier results it reads.
type Step = (u8, u8, u8);

/// Runs a program on registers that begin with the inputs, and sums up all of them, so that the
/// result depends on every input.
fn run(program: &[Step], inputs: &[Tensor]) -> Result<Tensor> {
    let mut registers = inputs.to_vec();
    for &(op, a, b) in program {
        let a = &registers[usize::from(a) % registers.len()];
        let b = &registers[usize::from(b) % registers.len()];
        let y = match op % 16 {
            0 => a.add(b)?,
            1 => a.sub(b)?,
            2 => a.mul(&b.tanh()?)?,
            3 => a.div(&b.square()?.add_scalar(1.0)?)?,
            4 => a.sigmoid()?,
            5 => a.sin()?.mul_scalar(0.5)?,
            6 => a.softmax(1)?,
            7 => a.mean(&[0], true)?.add(b)?,
            8 => a.tanh()?.matmul(&b.tanh()?.transpose(0, 1)?)?.sum(&[1], true)?.add(a)?,
            9 => a.narrow(1, 0, 2)?.sum(&[1], true)?.mul(&b.sigmoid()?)?,
            10 => Tensor::cat(&[a, b], 0)?.sum(&[0], true)?.broadcast_to(*a.shape())?,
            11 => a.flip(1)?.mul_scalar(-0.3)?,
            12 => a.reshape(&[3, 2])?.softplus()?.transpose(0, 1)?,
            13 => a.gelu()?,
            14 => a.maximum(&b.add_scalar(7.0)?)?,
            _ => a.log_softmax(0)?,
        };
        registers.push(y.mul_scalar(0.7)?);
    }
    let mut sum = registers[0].clone();
    for register in &registers[1..] {
        sum = sum.add(register)?;
    }
    Ok(sum)
}

#[test]
fn no_gradient_of_a_random_program_is_missing_or_wrong() {
    let programs = vec(any::<Step>(), 1..=12);
    let cases = (inputs(vec![vec![2, 3], vec![2, 3], vec![2, 3]], Values::Any), programs);
    for_all(cases, |device, (inputs, program)| {
        // Sums of many operators are steeper than one of them.
        let options = Options { tolerance: 1e-6, layouts: false, ..Options::default() };
        Ok(check_op!(device, &inputs, |x| run(&program, x), program; options)?)
    });
}

#[test]
fn a_thousand_forward_passes_without_backward_leave_no_bytes() -> Result<()> {
    for device in devices() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        let x = Array::from_slice(&device, &values, [2, 3])?;
        let before = device.memory().live_bytes;
        for step in 0..1000u32 {
            let tape = Tape::new();
            let inputs = [tape.variable(x.clone())?, tape.variable(x.clone())?];
            let program: Vec<Step> = (0..8).map(|i| ((step % 16) as u8 + i, i, i * 3)).collect();
            let y = run(&program, &inputs)?;
            assert!(y.is_tracked() && device.memory().live_bytes > before);
        }
        assert_eq!(device.memory().live_bytes, before, "{device}");
    }
    Ok(())
}

#[test]
fn a_backward_pass_frees_what_the_forward_pass_saved() -> Result<()> {
    for device in devices() {
        let x = Array::full(&device, ferrotape_backend::DType::F64, [64], 0.5)?;
        let tape = Tape::new();
        let mut y = tape.variable(x)?;
        for _ in 0..20 {
            y = y.sin()?;
        }
        let loss = y.sum_all()?;
        drop(y);
        let kept = device.memory().live_bytes;
        let gradients = loss.backward()?;
        // The gradient of the leaf is new, the twenty saved inputs are gone but the leaf's own.
        assert!(device.memory().live_bytes < kept / 2, "{device}");
        drop((gradients, loss, tape));
        assert_eq!(device.memory().live_bytes, 0, "{device}");
    }
    Ok(())
}

#[test]
fn a_tape_of_100_000_nodes_is_walked_and_dropped_on_a_small_stack() {
    let body = || -> Result<()> {
        let options = CpuOptions { threads: Some(1), ..CpuOptions::default() };
        let device = Device::new(Cpu::new(options)?);
        let tape = Tape::new();
        let x = tape.variable(Array::from_slice(&device, &[1.0f64], [1])?)?;
        let mut y = x.clone();
        for _ in 0..100_000 {
            y = y.neg()?;
        }
        assert_eq!(tape.len(), 100_001);
        let options = BackwardOptions { retain: true, ..BackwardOptions::default() };
        assert_eq!(y.backward_with(&options)?.of(&x)?.item()?, 1.0);
        let recorded = BackwardOptions { create_graph: true, ..BackwardOptions::default() };
        assert_eq!(y.backward_with(&recorded)?.of(&x)?.item()?, 1.0);
        drop((x, y, tape));
        assert_eq!(device.memory().live_bytes, 0);
        Ok(())
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(body);
    let thread = thread.expect("a thread with a small stack can be had");
    assert!(matches!(thread.join(), Ok(Ok(()))));
}

#[test]
fn a_leaf_that_is_put_on_the_tape_twice_has_one_gradient_the_sum() -> Result<()> {
    let device = Device::new(Reference::new());
    let tape = Tape::new();
    let (id, array) = (LeafId::fresh(), Array::from_slice(&device, &[3.0f64], [1])?);
    let (a, b) = (tape.leaf(id, array.clone())?, tape.leaf(id, array)?);
    let gradients = a.mul(&b)?.sum_all()?.backward()?;
    assert_eq!(gradients.leaves().count(), 1);
    assert_eq!(gradients.of(&a)?.item()?, 6.0);
    assert_eq!(gradients.of(&b)?.item()?, 6.0);
    Ok(())
}

/// Rounds to whole numbers, which has no gradient.
#[derive(Debug)]
struct Round;

impl Op for Round {
    fn name(&self) -> &'static str {
        "round"
    }

    fn forward(&self, _: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let rounded: Vec<f64> = inputs[0].to_f64_vec()?.iter().map(|v| v.round()).collect();
        Array::from_slice(inputs[0].device(), &rounded, inputs[0].shape())
    }

    fn backward(&self, _: &Backward<'_>, _: &Tensor) -> Result<InputGrads> {
        Err(Error::gradient("rounding has no gradient"))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

#[test]
fn a_float_result_without_a_gradient_is_an_error_and_no_silence() -> Result<()> {
    let device = Device::new(Reference::new());
    let x = Array::from_slice(&device, &[1.3f64], [1])?;
    assert_eq!(Tensor::apply(Round, &[&Tensor::from(x.clone())])?.item()?, 1.0);
    let tracked = Tape::new().variable(x)?;
    let error = Tensor::apply(Round, &[&tracked]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gradient);
    assert!(error.to_string().contains("detach() the input if that is meant"), "{error}");
    Ok(())
}

#[test]
fn clipping_scales_gradients_of_any_size_to_the_norm() {
    for device in devices() {
        for size in [3e-30f32, 3.0, 3e30] {
            let factor = Array::from_slice(&device, &[size, 4.0 / 3.0 * size], [2]).unwrap();
            let x = Array::zeros(&device, DType::F32, [2]).unwrap();
            let x = Tape::new().variable(x).unwrap();
            let y = x.mul(&factor.into()).unwrap().sum_all().unwrap();
            let mut gradients = y.backward().unwrap();
            let norm = gradients.norm().unwrap();
            assert!((norm / (f64::from(size) / 3.0 * 5.0) - 1.0).abs() < 1e-6, "{norm}");
            gradients.clip_norm(norm / 2.0).unwrap();
            let clipped = gradients.norm().unwrap();
            assert!(clipped <= norm / 2.0 * (1.0 + 1e-6), "{clipped}");
            assert!(clipped > 0.0 || size < 1e-20, "{clipped}");
        }
    }
}
