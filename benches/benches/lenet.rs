//! LeNet-5: the whole step, and each operator at its shapes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferrotape::backend::{Conv2d, Pool2d};
use ferrotape::prelude::*;
use ferrotape_benches::{device, images, labels, normal};

const BATCH: usize = 64;

fn model(device: &Device) -> Result<Box<dyn Classifier>, ferrotape::Error> {
    zoo::build("lenet5", &Init::new(device, Rng::new(1)), 10)
}

fn whole(c: &mut Criterion) {
    let device = device();
    let model = model(&device).expect("lenet5 is in the zoo");
    for batch in [BATCH, 1] {
        let input = images(&device, [batch, 1, 28, 28]);
        let mut group = c.benchmark_group(format!("infer/lenet5/b{batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function("f32", |b| {
            b.iter(|| {
                let cx = Pass::eval(&device);
                model.scores(&cx, &Tensor::from(input.clone())).expect("the shapes fit")
            });
        });
        group.finish();
    }
    let (input, targets) = (images(&device, [BATCH, 1, 28, 28]), labels(&device, BATCH, 10));
    let config = SgdConfig { lr: 1e-3, momentum: 0.9, ..Default::default() };
    let mut sgd = Sgd::new(model.parameters(), config).expect("the settings are valid");
    let mut group = c.benchmark_group(format!("train/lenet5/b{BATCH}"));
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut step = 0;
    group.bench_function("f32", |b| {
        b.iter(|| {
            step += 1;
            let cx = Pass::train(&device, Rng::new(1).step(step));
            let outcome =
                model.loss(&cx, &Tensor::from(input.clone()), &targets).expect("the shapes fit");
            sgd.step(&outcome.loss.backward().expect("the loss is tracked")).expect("it steps");
        });
    });
    group.finish();
}

/// A convolution's forward and both gradients, timed with the backend's verbs alone.
fn convolution(c: &mut Criterion, name: &str, x: [usize; 4], w: [usize; 4], params: Conv2d) {
    let device = device();
    let backend = device.backend();
    let y = params.output_shape(x, w).expect("the shapes fit");
    let (x, w) = (images(&device, x), normal(&device, &w));
    let (mut out, mut gx) = (images(&device, y), images(&device, x.shape().nchw().expect("4-d")));
    let (gy, mut gw) = (images(&device, y), normal(&device, w.shape()));
    let operations = 2 * y.iter().product::<usize>() * w.shape()[1..].iter().product::<usize>();
    let mut group = c.benchmark_group(format!("conv2d/{name}"));
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function("forward", |b| {
        b.iter(|| backend.conv2d(&x, &w, None, &mut out, &params).expect("the shapes fit"));
    });
    group.bench_function("input_grad", |b| {
        b.iter(|| backend.conv2d_input_grad(&gy, &w, &mut gx, &params).expect("the shapes fit"));
    });
    group.bench_function("weight_grad", |b| {
        b.iter(|| backend.conv2d_weight_grad(&x, &gy, &mut gw, &params).expect("the shapes fit"));
    });
    group.finish();
}

fn operators(c: &mut Criterion) {
    let same = Conv2d { padding: [2, 2], ..Conv2d::default() };
    convolution(c, "lenet5.conv1", [BATCH, 1, 28, 28], [6, 1, 5, 5], same);
    convolution(c, "lenet5.conv2", [BATCH, 6, 14, 14], [16, 6, 5, 5], Conv2d::default());

    let device = device();
    let maps = Tensor::from(images(&device, [BATCH, 6, 28, 28]));
    let mut group = c.benchmark_group("pointwise/lenet5");
    group.throughput(Throughput::Elements(maps.shape().numel() as u64));
    group.bench_function("tanh", |b| b.iter(|| maps.tanh().expect("floats")));
    group.finish();

    let pool = Pool2d::new([2, 2]);
    let mut group = c.benchmark_group("pool/lenet5");
    group.throughput(Throughput::Elements(maps.shape().numel() as u64));
    group.bench_function("average", |b| b.iter(|| maps.avg_pool2d(&pool).expect("it fits")));
    group.bench_function("maximum", |b| b.iter(|| maps.max_pool2d(&pool).expect("it fits")));
    group.finish();

    let (x, w) = (normal(&device, &[BATCH, 400]), normal(&device, &[120, 400]));
    let (x, w) = (Tensor::from(x), Tensor::from(w));
    let mut group = c.benchmark_group("linear/lenet5");
    group.throughput(Throughput::Elements(2 * (BATCH * 400 * 120) as u64));
    group.bench_function("400x120", |b| b.iter(|| x.linear(&w, None).expect("it fits")));
    group.finish();
}

/// What recording costs: a chain of additions of one element.
fn tape(c: &mut Criterion) {
    const LENGTH: usize = 1000;
    let device = device();
    let one = normal(&device, &[1]);
    let chain = |x: &Tensor| {
        (0..LENGTH).try_fold(x.clone(), |y, _| y.add(x)).expect("the shapes are equal")
    };
    let mut group = c.benchmark_group("tape");
    group.throughput(Throughput::Elements(LENGTH as u64));
    group.bench_function("untracked", |b| b.iter(|| chain(&Tensor::from(one.clone()))));
    group.bench_function("recorded", |b| {
        b.iter(|| chain(&Tape::new().variable(one.clone()).expect("a float")));
    });
    group.bench_function("recorded_and_backward", |b| {
        b.iter(|| {
            let x = Tape::new().variable(one.clone()).expect("a float");
            chain(&x).backward().expect("a scalar of one element")
        });
    });
    group.finish();
}

criterion_group!(benches, whole, operators, tape);
criterion_main!(benches);
