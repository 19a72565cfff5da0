//! Layer, group and instance norm.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, DType, Device, ErrorKind, Result, Shape, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, check_equal, check_op};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

/// Weight and bias among further inputs, as flags say.
fn parameters(x: &[Tensor], [weight, bias]: [bool; 2]) -> [Option<&Tensor>; 2] {
    let weight = if weight { x.get(1) } else { None };
    [weight, if bias { x.last() } else { None }]
}

fn with_parameters(shape: Vec<usize>, of: Vec<usize>, flags: [bool; 2]) -> Vec<Vec<usize>> {
    let mut shapes = vec![shape];
    shapes.extend(flags.into_iter().filter(|flag| *flag).map(|_| of.clone()));
    shapes
}

/// The unfused definition, with statistics over `dims` and parameters that broadcast.
fn by_definition(
    x: &Tensor,
    dims: &[isize],
    [weight, bias]: [Option<&Tensor>; 2],
    eps: f64,
) -> Result<Tensor> {
    let centred = x.sub(&x.mean(dims, true)?)?;
    let mut y = centred.mul(&x.var(dims, 0, true)?.add_scalar(eps)?.rsqrt()?)?;
    if let Some(weight) = weight {
        y = y.mul(weight)?;
    }
    match bias {
        Some(bias) => y.add(bias),
        None => Ok(y),
    }
}

/// `[C]` as `[C, 1, ..]` beside `[N, C, ..]`.
fn channels(parameter: Option<&Tensor>, rank: usize) -> Result<Option<Tensor>> {
    let Some(parameter) = parameter else { return Ok(None) };
    let mut shape = vec![1; rank - 1];
    shape[0] = parameter.shape()[0];
    parameter.view(Shape::new(&shape)?).map(Some)
}

type Case = (Vec<Input>, ([bool; 2], usize, f64));

/// `[N, C, ..]` of rank 3 to 4, where the channels are twice the groups.
fn per_channel() -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), any::<bool>());
    (shapes(3..=4, 3), flags, 1..=2usize, 1e-3..0.1).prop_flat_map(
        |(mut shape, (weight, bias), groups, eps)| {
            (shape[1], shape[2]) = (2 * groups, shape[2] + 1);
            let of = vec![shape[1]];
            let shapes = with_parameters(shape, of, [weight, bias]);
            (inputs(shapes, Values::Any), Just(([weight, bias], groups, eps)))
        },
    )
}

/// Any shape, of which some last dimensions are normalized.
fn trailing() -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), any::<bool>());
    (shapes(1..=4, 3), flags, 1..=4usize, 1e-3..0.1).prop_flat_map(
        |(shape, (weight, bias), count, eps)| {
            let count = count.min(shape.len());
            let of = shape[shape.len() - count..].to_vec();
            let shapes = with_parameters(shape, of, [weight, bias]);
            (inputs(shapes, Values::Any), Just(([weight, bias], count, eps)))
        },
    )
}

#[test]
fn layer_norm_obeys_the_laws_and_equals_its_definition() {
    for_all(trailing(), |device, (inputs, (flags, count, eps))| {
        let rank = inputs[0].shape().rank();
        let of = inputs[0].shape()[rank - count..].to_vec();
        let fused = |x: &[Tensor]| {
            let [weight, bias] = parameters(x, flags);
            x[0].layer_norm(&of, weight, bias, eps)
        };
        check_op!(
            device,
            &inputs,
            |x| {
                let [weight, bias] = parameters(x, flags);
                x[0].layer_norm(&of, weight, bias, eps)
            },
            of,
            eps,
            flags
        )?;
        let dims: Vec<isize> = (1..=count as isize).map(|dim| -dim).collect();
        let plain = |x: &[Tensor]| by_definition(&x[0], &dims, parameters(x, flags), eps);
        Ok(check_equal!(device, &inputs, fused, plain, of, eps)?)
    });
}

#[test]
fn group_norm_obeys_the_laws_and_equals_its_definition() {
    for_all(per_channel(), |device, (inputs, (flags, groups, eps))| {
        let fused = |x: &[Tensor]| {
            let [weight, bias] = parameters(x, flags);
            x[0].group_norm(groups, weight, bias, eps)
        };
        check_op!(
            device,
            &inputs,
            |x| {
                let [weight, bias] = parameters(x, flags);
                x[0].group_norm(groups, weight, bias, eps)
            },
            groups,
            eps,
            flags
        )?;
        let plain = |x: &[Tensor]| {
            let shape = *x[0].shape();
            let rows = x[0].reshape(&[shape[0] as isize, groups as isize, -1])?;
            let normal = by_definition(&rows, &[2], [None, None], eps)?.view(shape)?;
            let [weight, bias] = parameters(x, flags).map(|p| channels(p, shape.rank()));
            let one = match weight? {
                Some(weight) => normal.mul(&weight)?,
                None => normal,
            };
            match bias? {
                Some(bias) => one.add(&bias),
                None => Ok(one),
            }
        };
        Ok(check_equal!(device, &inputs, fused, plain, groups, eps)?)
    });
}

#[test]
fn instance_norm_obeys_the_laws_and_equals_its_definition() {
    for_all(per_channel(), |device, (inputs, (flags, _, eps))| {
        let fused = |x: &[Tensor]| {
            let [weight, bias] = parameters(x, flags);
            x[0].instance_norm(weight, bias, eps)
        };
        check_op!(
            device,
            &inputs,
            |x| {
                let [weight, bias] = parameters(x, flags);
                x[0].instance_norm(weight, bias, eps)
            },
            eps,
            flags
        )?;
        let plain = |x: &[Tensor]| {
            let rank = x[0].shape().rank();
            let [weight, bias] = parameters(x, flags).map(|p| channels(p, rank));
            let dims: Vec<isize> = (2..rank as isize).collect();
            by_definition(&x[0], &dims, [weight?.as_ref(), bias?.as_ref()], eps)
        };
        Ok(check_equal!(device, &inputs, fused, plain, eps)?)
    });
}

#[test]
fn one_value_a_row_is_the_bias_or_an_error_as_in_pytorch() {
    let device = Device::new(Reference::new());
    let full = |shape: &[usize], dtype, value| {
        let shape = Shape::new(shape).expect("a small shape");
        Tensor::from(Array::full(&device, dtype, shape, value).expect("memory suffices"))
    };
    let (x, two) = (full(&[3, 1], DType::F32, 5.0), full(&[1], DType::F32, 2.0));
    let y = x.layer_norm(&[1], Some(&two), Some(&two), 1e-5).expect("shapes fit");
    assert_eq!(y.to_vec::<f32>().expect("f32"), [2.0; 3]);
    let kind = |result: Result<Tensor>| result.expect_err("refused").kind();
    let pixel = full(&[1, 2, 1, 1], DType::F32, 1.0);
    assert_eq!(kind(pixel.instance_norm(None, None, 1e-5)), ErrorKind::Shape);
    assert_eq!(kind(pixel.group_norm(2, None, None, 1e-5)), ErrorKind::Shape);
    assert!(pixel.group_norm(1, None, None, 1e-5).is_ok());
    assert_eq!(kind(pixel.group_norm(0, None, None, 1e-5)), ErrorKind::Argument);
    assert_eq!(kind(pixel.group_norm(3, None, None, 1e-5)), ErrorKind::Argument);
    assert_eq!(kind(pixel.layer_norm(&[2], None, None, 1e-5)), ErrorKind::Shape);
    assert_eq!(kind(pixel.layer_norm(&[], None, None, 1e-5)), ErrorKind::Shape);
    assert_eq!(kind(x.layer_norm(&[1], None, None, -1.0)), ErrorKind::Argument);
    assert_eq!(kind(x.layer_norm(&[1], Some(&x), None, 0.0)), ErrorKind::Shape);
    assert_eq!(kind(two.instance_norm(None, None, 0.0)), ErrorKind::Shape);
    let (short, wide) = (full(&[2, 4], DType::BF16, 1.5), full(&[4], DType::F32, 1.0));
    assert_eq!(kind(short.layer_norm(&[4], Some(&short), None, 0.0)), ErrorKind::Shape);
    let narrow = full(&[4], DType::BF16, 1.0);
    assert_eq!(kind(short.layer_norm(&[4], Some(&narrow), None, 0.0)), ErrorKind::DType);
    let y = short.layer_norm(&[4], Some(&wide), None, 1e-5).expect("shapes and types fit");
    assert_eq!((y.dtype(), y.to_f64_vec().expect("floats")), (DType::BF16, vec![0.0; 8]));
}
