//! The kit passes the reference and catches backends that are broken on purpose.

use super::*;
use crate::meta::Meta;
use crate::pointwise::{Expr, Program};
use crate::reference::Reference;
use crate::{
    Array, Backend, Conv2d, CrossEntropy, DType, ErrorKind, Memory, MemoryStats, Pool2d, Random,
    Reduce, Rng, Taps,
};

#[test]
fn the_reference_conforms() {
    let device = Device::new(Reference::new());
    let options = Options { cases: 24, seed: 1, ..Options::default() };
    let report = check(&device, &options).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.verbs.len(), list().len());
    assert!(report.verbs.iter().all(|verb| verb.unsupported == 0), "{report}");
}

#[test]
fn a_device_without_values_conforms_in_all_else() {
    let device = Device::new(Meta::new());
    let options = Options { cases: 64, values: false, ..Options::default() };
    let report = check(&device, &options).unwrap_or_else(|failure| panic!("{failure}"));
    // What goes up does not come down again.
    let whole = report.verbs.iter().filter(|verb| verb.unsupported == 0);
    assert_eq!(whole.count(), list().len() - 1, "{report}");
}

/// What is wrong with a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    GemmOffByALittle,
    GemmOverwrites,
    GemmNeedsTwoRows,
    PoolIgnoresPadding,
    PoolPrefersTheLast,
    ResampleSwapsAxes,
    ConvolutionIgnoresDilation,
    FillRunsOverGaps,
    MomentsCancel,
    SoftmaxUnshifted,
    RandomInMemoryOrder,
    ScatterDropsDuplicates,
    OverlapAllowed,
    Panics,
    Leaks,
    DeclinesHalf,
    NanIsZero,
    SingleAlone,
}

/// The reference with one fault.
#[derive(Debug)]
struct Faulty {
    inner: Reference,
    fault: Fault,
}

type Outcome = crate::Result<()>;

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// A verb of the reference on copies in row-major order, whose output is given to `change`.
    fn changed(&self, array: &mut Array, change: impl FnOnce(&mut Vec<f64>)) -> Outcome {
        let mut values = array.to_f64_vec()?;
        change(&mut values);
        let values = Array::from_f64(array.device(), &values, array.dtype(), array.shape())?;
        self.inner.copy(&values, array)
    }

    /// What a verb reads of an input.
    fn seen(&self, array: &Array) -> crate::Result<Array> {
        if !self.has(Fault::NanIsZero) || !array.to_f64_vec()?.iter().any(|value| value.is_nan()) {
            return Ok(array.clone());
        }
        let mut seen = array.copy()?;
        self.changed(&mut seen, |values| {
            values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        })?;
        Ok(seen)
    }
}

impl Backend for Faulty {
    fn name(&self) -> String {
        "faulty".to_owned()
    }
    fn memory(&self) -> MemoryStats {
        self.inner.memory()
    }
    fn allocate(&self, dtype: DType, len: usize) -> crate::Result<Box<dyn Memory>> {
        if self.has(Fault::SingleAlone) && dtype != DType::F32 {
            return Err(crate::Error::unsupported(format!("this device has no {dtype}")));
        }
        self.inner.allocate(dtype, len)
    }
    fn upload(&self, src: &[u8], dst: &mut Array) -> Outcome {
        self.inner.upload(src, dst)
    }
    fn download(&self, src: &Array, dst: &mut [u8]) -> Outcome {
        self.inner.download(src, dst)
    }
    fn copy(&self, src: &Array, dst: &mut Array) -> Outcome {
        if self.has(Fault::OverlapAllowed) && src.buffer().id() == dst.buffer().id() {
            return Ok(());
        }
        self.inner.copy(src, dst)
    }
    fn fill(&self, dst: &mut Array, value: f64) -> Outcome {
        self.inner.fill(dst, value)?;
        if let (Fault::FillRunsOverGaps, Some((low, high))) = (self.fault, dst.layout().span()) {
            let whole =
                dst.with_layout(crate::Layout::contiguous(crate::Shape::new(&[high + 1])?))?;
            self.inner.fill(&mut whole.narrow(0, low, high + 1 - low)?, value)?;
        }
        Ok(())
    }
    fn pointwise(
        &self,
        program: &Program,
        scalars: &[f64],
        inputs: &[&Array],
        outputs: &mut [&mut Array],
    ) -> Outcome {
        let seen = inputs.iter().map(|x| self.seen(x)).collect::<crate::Result<Vec<_>>>()?;
        let inputs: Vec<&Array> = seen.iter().collect();
        self.inner.pointwise(program, scalars, &inputs, outputs)
    }
    fn reduce(
        &self,
        kind: Reduce,
        src: &Array,
        dst: &mut Array,
        index: Option<&mut Array>,
    ) -> Outcome {
        self.inner.reduce(kind, src, dst, index)
    }
    fn gemm(&self, a: &Array, b: &Array, c: &mut Array, accumulate: bool) -> Outcome {
        if self.has(Fault::Panics) && a.shape().contains(&0) {
            panic!("nothing to multiply");
        }
        if self.has(Fault::DeclinesHalf) && a.dtype() == DType::F16 {
            return Err(crate::Error::unsupported("this device has no f16"));
        }
        self.inner.gemm(&self.seen(a)?, b, c, accumulate && !self.has(Fault::GemmOverwrites))?;
        if self.has(Fault::GemmOffByALittle) {
            self.changed(c, |values| values.iter_mut().for_each(|value| *value += 1e-3))?;
        }
        if self.has(Fault::GemmNeedsTwoRows) && c.shape()[1] == 1 && c.layout().strides()[2] != 1 {
            self.changed(c, |values| values.fill(0.0))?;
        }
        if self.has(Fault::Leaks) {
            std::mem::forget(c.copy()?);
        }
        Ok(())
    }
    fn conv2d(
        &self,
        x: &Array,
        w: &Array,
        bias: Option<&Array>,
        y: &mut Array,
        params: &Conv2d,
    ) -> Outcome {
        self.inner.conv2d(&self.seen(x)?, w, bias, y, params)?;
        if self.has(Fault::ConvolutionIgnoresDilation) && params.dilation != [1, 1] {
            self.changed(y, |values| values.reverse())?;
        }
        Ok(())
    }
    fn conv2d_input_grad(&self, gy: &Array, w: &Array, gx: &mut Array, params: &Conv2d) -> Outcome {
        self.inner.conv2d_input_grad(gy, w, gx, params)
    }
    fn conv2d_weight_grad(
        &self,
        x: &Array,
        gy: &Array,
        gw: &mut Array,
        params: &Conv2d,
    ) -> Outcome {
        self.inner.conv2d_weight_grad(x, gy, gw, params)
    }
    fn max_pool2d(&self, x: &Array, y: &mut Array, index: &mut Array, params: &Pool2d) -> Outcome {
        self.inner.max_pool2d(x, y, index, params)?;
        if self.has(Fault::PoolIgnoresPadding) && params.padding != [0, 0] {
            // The padding as zeros, which win over negative numbers.
            let relu = Program::new(&[Expr::previous(0).maximum(&0.0.into())]);
            self.inner.pointwise(&relu, &[], &[], &mut [y])?;
        }
        if self.has(Fault::PoolPrefersTheLast) {
            let flat = x.to_f64_vec()?;
            let plane = x.shape()[2] * x.shape()[3];
            let values = y.to_f64_vec()?;
            let outputs = y.shape()[2] * y.shape()[3];
            self.changed(index, |index| {
                for (at, index) in index.iter_mut().enumerate() {
                    let next = *index as usize + 1;
                    let start = at / outputs * plane;
                    if next < plane && flat[start + next] == values[at] {
                        *index = next as f64;
                    }
                }
            })?;
        }
        Ok(())
    }
    fn max_pool2d_grad(&self, gy: &Array, index: &Array, gx: &mut Array) -> Outcome {
        self.inner.max_pool2d_grad(gy, index, gx)
    }
    fn max_pool2d_pick(&self, x: &Array, index: &Array, y: &mut Array) -> Outcome {
        self.inner.max_pool2d_pick(x, index, y)
    }
    fn avg_pool2d(&self, x: &Array, y: &mut Array, params: &Pool2d) -> Outcome {
        let params = &Pool2d {
            count_include_pad: params.count_include_pad || self.has(Fault::PoolIgnoresPadding),
            ..*params
        };
        self.inner.avg_pool2d(&self.seen(x)?, y, params)
    }
    fn avg_pool2d_grad(&self, gy: &Array, gx: &mut Array, params: &Pool2d) -> Outcome {
        self.inner.avg_pool2d_grad(gy, gx, params)
    }
    fn resample2d(&self, x: &Array, rows: &Taps, columns: &Taps, y: &mut Array) -> Outcome {
        let square = rows.inputs() == columns.inputs() && rows.outputs() == columns.outputs();
        if self.has(Fault::ResampleSwapsAxes) && square {
            return self.inner.resample2d(x, columns, rows, y);
        }
        self.inner.resample2d(x, rows, columns, y)
    }
    fn channel_moments(&self, x: &Array, mean: &mut Array, var: &mut Array) -> Outcome {
        self.inner.channel_moments(&self.seen(x)?, mean, var)?;
        if self.has(Fault::MomentsCancel) && x.dtype() == DType::F32 {
            let means = mean.to_f64_vec()?;
            self.changed(var, |vars| {
                for (var, mean) in vars.iter_mut().zip(means) {
                    // What is left of E[x^2] - E[x]^2 in f32.
                    let square = (mean * mean) as f32;
                    *var = f64::from((*var + mean * mean) as f32 - square);
                }
            })?;
        }
        Ok(())
    }
    fn batch_norm(
        &self,
        x: &Array,
        stats: [&Array; 2],
        affine: Option<[&Array; 2]>,
        eps: f64,
        y: &mut Array,
    ) -> Outcome {
        self.inner.batch_norm(x, stats, affine, eps, y)
    }
    fn batch_norm_grad(
        &self,
        gy: &Array,
        x: &Array,
        stats: [&Array; 2],
        weight: Option<&Array>,
        eps: f64,
        gx: &mut Array,
        gw: &mut Array,
        gb: &mut Array,
    ) -> Outcome {
        self.inner.batch_norm_grad(gy, x, stats, weight, eps, gx, gw, gb)
    }
    fn softmax(&self, x: &Array, y: &mut Array, dim: usize, log: bool) -> Outcome {
        self.inner.softmax(x, y, dim, log)?;
        if self.has(Fault::SoftmaxUnshifted) && x.to_f64_vec()?.iter().any(|x| *x > 88.0) {
            self.changed(y, |values| values.fill(f64::NAN))?;
        }
        Ok(())
    }
    fn softmax_grad(
        &self,
        gy: &Array,
        y: &Array,
        gx: &mut Array,
        dim: usize,
        log: bool,
    ) -> Outcome {
        self.inner.softmax_grad(gy, y, gx, dim, log)
    }
    fn cross_entropy(
        &self,
        logits: &Array,
        targets: &Array,
        loss: &mut Array,
        params: &CrossEntropy,
    ) -> Outcome {
        self.inner.cross_entropy(logits, targets, loss, params)
    }
    fn cross_entropy_grad(
        &self,
        gloss: &Array,
        logits: &Array,
        targets: &Array,
        gx: &mut Array,
        params: &CrossEntropy,
    ) -> Outcome {
        self.inner.cross_entropy_grad(gloss, logits, targets, gx, params)
    }
    fn gather(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Outcome {
        self.inner.gather(src, dim, index, dst)
    }
    fn scatter_add(&self, src: &Array, dim: usize, index: &Array, dst: &mut Array) -> Outcome {
        self.inner.scatter_add(src, dim, index, dst)?;
        if self.has(Fault::ScatterDropsDuplicates) && index.shape()[dim] > dst.shape()[dim] {
            self.changed(dst, |values| values.iter_mut().for_each(|value| *value *= 0.5))?;
        }
        Ok(())
    }
    fn random(&self, kind: Random, rng: Rng, dst: &mut Array) -> Outcome {
        if self.has(Fault::RandomInMemoryOrder) && dst.layout().is_dense_channels_last() {
            return self.inner.random(kind, rng, &mut dst.permute(&[0, 2, 3, 1])?);
        }
        self.inner.random(kind, rng, dst)
    }
}

fn failure(fault: Fault, verb: &str) -> Failure {
    let device = Device::new(Faulty { inner: Reference::new(), fault });
    let verb = list().iter().find(|entry| entry.name() == verb).expect("the verb is listed");
    match verb.check(&device, &Options::default()) {
        Err(failure) => failure,
        Ok(report) => panic!("{fault:?} was not noticed: {report:?}"),
    }
}

#[test]
fn wrong_values_are_caught() {
    for (fault, verb) in [
        (Fault::GemmOffByALittle, "gemm"),
        (Fault::GemmOverwrites, "gemm"),
        (Fault::GemmNeedsTwoRows, "gemm"),
        (Fault::PoolIgnoresPadding, "max_pool2d"),
        (Fault::PoolIgnoresPadding, "max_pool2d_values"),
        (Fault::PoolIgnoresPadding, "avg_pool2d"),
        (Fault::PoolPrefersTheLast, "max_pool2d"),
        (Fault::ResampleSwapsAxes, "resample2d"),
        (Fault::ConvolutionIgnoresDilation, "conv2d"),
        (Fault::MomentsCancel, "channel_moments"),
        (Fault::SoftmaxUnshifted, "softmax"),
        (Fault::RandomInMemoryOrder, "random"),
        (Fault::ScatterDropsDuplicates, "scatter_add"),
    ] {
        let failure = failure(fault, verb);
        assert!(failure.message.contains("the reference says"), "{fault:?}: {failure}");
    }
}

#[test]
fn broken_promises_beside_the_values_are_caught() {
    for (fault, verb, message) in [
        (Fault::FillRunsOverGaps, "fill", "between the elements"),
        (Fault::OverlapAllowed, "copy", "shares memory"),
        (Fault::Panics, "gemm", "the verb panicked: nothing to multiply"),
        (Fault::Leaks, "gemm", "bytes were live"),
    ] {
        let failure = failure(fault, verb);
        assert!(failure.message.contains(message), "{fault:?}: {failure}");
    }
}

#[test]
fn a_nan_that_is_lost_is_noticed() {
    for verb in ["pointwise", "gemm", "conv2d", "avg_pool2d", "channel_moments"] {
        let failure = failure(Fault::NanIsZero, verb);
        assert!(failure.message.contains("the reference says NaN"), "{failure}");
    }
}

#[test]
fn a_device_of_few_types_gets_as_many_cases() {
    let device = Device::new(Faulty { inner: Reference::new(), fault: Fault::SingleAlone });
    let all = Options { cases: 32, ..Options::default() };
    let declined = pointwise(&device, &all).expect("declining is allowed").unsupported;
    assert!(declined > 16, "{declined}");
    let own = Options { dtypes: &[DType::F32], ..all };
    let report = check(&device, &own).unwrap_or_else(|failure| panic!("{failure}"));
    let (whole, lacking): (Vec<&VerbReport>, Vec<&VerbReport>) =
        report.verbs.iter().partition(|report| report.unsupported == 0);
    assert!(lacking.iter().all(|report| report.unsupported == report.cases), "{report}");
    let names = |list: &[&VerbReport]| list.iter().map(|report| report.verb).collect::<Vec<_>>();
    assert!(names(&whole).contains(&"pointwise") && names(&lacking).contains(&"gather"));
    assert!(!report.is_complete());
    let lines: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
    assert!(lines.iter().all(|line| line.find(" cases") == lines[0].find(" cases")), "{report}");
}

#[test]
fn failures_are_shrunk_to_the_simplest_case() {
    let failure = failure(Fault::GemmOffByALittle, "gemm");
    for simple in ["a: f32 [1, 1, 1], contiguous", "b: f32 [1, 1, 1], contiguous"] {
        assert!(failure.case.contains(simple), "{failure}");
    }
}

#[test]
fn what_a_device_declines_is_counted_and_not_a_failure() {
    let device = Device::new(Faulty { inner: Reference::new(), fault: Fault::DeclinesHalf });
    let report = gemm(&device, &Options::default()).expect("declining is allowed");
    assert!(report.unsupported > 0 && report.unsupported < report.cases, "{report:?}");
    assert_eq!(ErrorKind::Unsupported, crate::Error::unsupported("").kind());
}

#[test]
fn the_same_seed_gives_the_same_failure() {
    let first = failure(Fault::PoolIgnoresPadding, "max_pool2d");
    assert_eq!(first, failure(Fault::PoolIgnoresPadding, "max_pool2d"));
}
