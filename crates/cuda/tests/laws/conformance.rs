//! The backend passes the conformance kit, verb by verb, and its kernels compile for every GPU.

use std::any::Any;
use std::time::{Duration, Instant};

use ferrotape_backend::conformance::{self, Options};
use ferrotape_backend::{Device, ErrorKind};
use ferrotape_cuda::{Cuda, CudaOptions};

use crate::{emulator, gpu};

/// What the kernels are compiled for: Ampere and Hopper.
const ARCHITECTURES: [&str; 2] = ["80", "90"];

/// The variable with another number of cases a verb: a checker of memory accesses takes long for each.
const CASES: &str = "FERROTAPE_CONFORMANCE_CASES";

fn conforms(device: &Device, verb: &str, cases: u32) {
    let cases = std::env::var(CASES).ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let options = Options { cases, ..Options::default() };
    let found = conformance::list().iter().find(|listed| listed.name() == verb);
    let verb = found.expect("the verbs of this file are those of the kit");
    match verb.check(device, &options) {
        Ok(report) => assert_eq!(report.unsupported, 0, "{}", verb.name()),
        Err(failure) => panic!("{failure}"),
    }
}

/// How long the cases of a verb may take on a device that measures: for most of them engines are tried anew.
const MEASURED: Duration = Duration::from_secs(20);

/// What the kit says of a device whose results are right, and another time right in other bits.
const OTHER_BITS: &str = "the verb gave other bits the second time";

/// Holds a device that takes the fastest way to the values of the kit, one case after another while there is time.
/// The fastest way may add up in another order each time: that alone is no failure.
fn conforms_measured(device: &Device, verb: &str, cases: u32) {
    let found = conformance::list().iter().find(|listed| listed.name() == verb);
    let verb = found.expect("the verbs of this file are those of the kit");
    let began = Instant::now();
    let mut done = 0;
    for seed in (0..u64::from(cases)).take_while(|_| began.elapsed() < MEASURED) {
        let options = Options { cases: 1, seed, ..Options::default() };
        match verb.check(device, &options) {
            Ok(report) => assert_eq!(report.unsupported, 0, "{}", verb.name()),
            Err(failure) if failure.message.starts_with(OTHER_BITS) => {}
            Err(failure) => panic!("seed {seed}: {failure}"),
        }
        done += 1;
    }
    println!("{done} cases of {}", verb.name());
}

/// Compiles what the emulator was asked to run for GPUs, if the compiler for those is there.
fn compiles(device: &Device) {
    let backend: &dyn Any = device.backend();
    let cuda = backend.downcast_ref::<Cuda>().expect("the emulator is this backend");
    for (name, text) in cuda.compiled_sources() {
        for architecture in ARCHITECTURES {
            match ferrotape_cuda::compile(name, &text, architecture) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    return crate::skip("FERROTAPE_NO_SKIP", &error);
                }
                Err(error) => panic!("{error}\n{text}"),
            }
        }
    }
}

macro_rules! verbs {
    ($($verb:ident),* $(,)?) => {
        mod on_the_host {
            $(#[test]
            fn $verb() {
                let Some(device) = super::emulator() else { return };
                super::conforms(&device, stringify!($verb), 40);
                super::compiles(&device);
            })*
        }

        mod on_a_gpu {
            $(#[test]
            fn $verb() {
                // The kit asks for the same bits from the same call.
                let options = super::CudaOptions { deterministic: true, ..Default::default() };
                let Some(device) = super::gpu(options) else { return };
                super::conforms(&device, stringify!($verb), 256);
            })*
        }

        #[test]
        fn every_verb_of_the_kit_is_here() {
            let here = [$(stringify!($verb)),*];
            let kit: Vec<&str> = conformance::list().iter().map(|verb| verb.name()).collect();
            assert_eq!(here[..], kit);
        }
    };
}

/// Verbs for which a device has several ways, the fastest of which it takes.
macro_rules! measured {
    ($($verb:ident),* $(,)?) => {
        mod measured_on_a_gpu {
            $(#[test]
            fn $verb() {
                let Some(device) = super::gpu(super::CudaOptions::default()) else { return };
                super::conforms_measured(&device, stringify!($verb), 128);
            })*
        }
    };
}

measured![gemm, conv2d, conv2d_act, conv2d_input_grad, conv2d_weight_grad];

verbs![
    allocate,
    transfer,
    copy,
    fill,
    pointwise,
    pointwise_each,
    reduce,
    gemm,
    conv2d,
    conv2d_act,
    conv2d_input_grad,
    conv2d_weight_grad,
    max_pool2d,
    max_pool2d_values,
    max_pool2d_grad,
    max_pool2d_window_grad,
    max_pool2d_pick,
    avg_pool2d,
    avg_pool2d_grad,
    resample2d,
    channel_moments,
    batch_norm,
    batch_norm_act,
    batch_norm_grad,
    batch_norm_act_grad,
    softmax,
    softmax_grad,
    cross_entropy,
    cross_entropy_grad,
    gather,
    scatter_add,
    random,
];
