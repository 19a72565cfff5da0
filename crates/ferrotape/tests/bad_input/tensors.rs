//! Operations on tensors that do not fit each other.

use ferrotape::autograd::ops::Unfold;
use ferrotape::backend::Conv2d;
use ferrotape::backend::meta::Meta;
use ferrotape::prelude::*;

use crate::layers::device;
use crate::{Case, Outcome, case};

fn zeros_as(dtype: DType, shape: &[usize]) -> Result<Tensor, ferrotape::Error> {
    Ok(Tensor::from(Array::zeros(&device(), dtype, shape)?))
}

fn zeros(shape: &[usize]) -> Result<Tensor, ferrotape::Error> {
    zeros_as(DType::F32, shape)
}

fn indices(values: &[i64]) -> Result<Array, ferrotape::Error> {
    Array::from_slice(&device(), values, [values.len()])
}

pub(crate) fn cases() -> Vec<Case> {
    [pairs(), places(), arrays(), gradients()].into_iter().flatten().collect()
}

fn pairs() -> Vec<Case> {
    vec![
        case("adding [2, 3] and [2, 4]", || zeros(&[2, 3])?.add(&zeros(&[2, 4])?).map(drop)),
        case("adding f32 and f64", || zeros(&[2])?.add(&zeros_as(DType::F64, &[2])?).map(drop)),
        case("adding tensors of two devices", || {
            let elsewhere = Array::zeros(&Device::new(Meta::new()), DType::F32, [2])?;
            zeros(&[2])?.add(&Tensor::from(elsewhere)).map(drop)
        }),
        case("the product of [2, 3] and [4, 2]", || {
            zeros(&[2, 3])?.matmul(&zeros(&[4, 2])?).map(drop)
        }),
        case("the product of vectors of i64", || {
            let a = zeros_as(DType::I64, &[2, 2])?;
            a.matmul(&a).map(drop)
        }),
        case("a convolution with a weight of another type", || {
            let weight = zeros_as(DType::F64, &[4, 3, 3, 3])?;
            zeros(&[1, 3, 8, 8])?.conv2d(&weight, None, &Conv2d::default()).map(drop)
        }),
        case("joining [2, 3] and [2, 4] along rows", || {
            Tensor::cat(&[&zeros(&[2, 3])?, &zeros(&[2, 4])?], 0).map(drop)
        }),
        case("joining nothing", || Tensor::cat(&[], 0).map(drop)),
    ]
}

fn places() -> Vec<Case> {
    let windows = |stride| Unfold { stride: [stride; 2], ..Unfold::new([2, 2]) };
    vec![
        case("a sum over a dimension that is not there", || {
            zeros(&[2, 3])?.sum(&[2], false).map(drop)
        }),
        case("a sum over one dimension twice", || zeros(&[2, 3])?.sum(&[0, -2], false).map(drop)),
        case("the largest of no elements", || zeros(&[2, 0])?.max(&[1], false).map(drop)),
        case("softmax along a dimension that is not there", || zeros(&[2])?.softmax(1).map(drop)),
        case("[2, 3] reshaped to [4, -1]", || zeros(&[2, 3])?.reshape(&[4, -1]).map(drop)),
        case("a shape with two -1", || zeros(&[2, 3])?.reshape(&[-1, -1]).map(drop)),
        case("[2, 3] broadcast to [2, 4]", || {
            zeros(&[2, 3])?.broadcast_to(Shape::new(&[2, 4])?).map(drop)
        }),
        case("a permutation that names a dimension twice", || {
            zeros(&[2, 3])?.permute(&[0, 0]).map(drop)
        }),
        case("a slice beyond the end", || zeros(&[4])?.narrow(0, 3, 2).map(drop)),
        case("a slice whose end overflows", || zeros(&[4])?.narrow(0, 2, usize::MAX).map(drop)),
        case("an index beyond the end", || zeros(&[4])?.index_select(0, &indices(&[4])?).map(drop)),
        case("an embedding of a negative index", || {
            zeros(&[4, 2])?.embedding(&indices(&[-1])?, None).map(drop)
        }),
        case("windows with stride 0", move || zeros(&[1, 1, 4, 4])?.unfold(&windows(0)).map(drop)),
        case("windows laid back into an image of another size", move || {
            zeros(&[1, 4, 5])?.fold([4, 4], &windows(2)).map(drop)
        }),
    ]
}

fn arrays() -> Vec<Case> {
    let array = |shape: [usize; 2]| Array::zeros(&device(), DType::F32, shape).map(drop);
    vec![
        case("5 values for [2, 3]", || {
            Array::from_slice(&device(), &[0.0f32; 5], [2, 3]).map(drop)
        }),
        case("a shape whose number of elements overflows", move || array([usize::MAX, 3])),
        case("a shape whose number of bytes overflows", move || array([1 << 40, 1 << 23])),
        case("an array of 4 TiB", move || array([1 << 20, 1 << 20])),
        case("an array of f32 read as i64", || zeros(&[2])?.array().to_vec::<i64>().map(drop)),
        case("two elements read as one number", || zeros(&[2])?.item().map(drop)),
        case("an array of shapes alone read", || {
            Array::zeros(&Device::new(Meta::new()), DType::F32, [2])?.to_vec::<f32>().map(drop)
        }),
        case("a device that does not exist", || Device::open("abacus").map(drop)),
        case("a device with no threads", || {
            Device::open_with("cpu", DeviceOptions { threads: Some(0), ..Default::default() })
                .map(drop)
        }),
    ]
}

fn variable(shape: &[usize]) -> Result<(Tape, Tensor), ferrotape::Error> {
    let tape = Tape::new();
    let x = tape.variable(Array::zeros(&device(), DType::F32, shape)?)?;
    Ok((tape, x))
}

fn gradients() -> Vec<Case> {
    vec![
        case("the gradient of what is no scalar", || -> Outcome {
            let (_tape, x) = variable(&[2])?;
            x.square()?.backward()?;
            Ok(())
        }),
        case("the gradient of what depends on nothing", || -> Outcome {
            zeros(&[])?.backward()?;
            Ok(())
        }),
        case("the gradient a second time", || -> Outcome {
            let (_tape, x) = variable(&[2])?;
            let y = x.square()?.sum_all()?;
            y.backward()?;
            y.backward()?;
            Ok(())
        }),
        case("tensors of two tapes", || -> Outcome {
            let ((_a, x), (_b, y)) = (variable(&[2])?, variable(&[2])?);
            x.add(&y)?;
            Ok(())
        }),
        case("a variable of integers", || -> Outcome {
            Tape::new().variable(Array::zeros(&device(), DType::I64, [2])?)?;
            Ok(())
        }),
    ]
}
