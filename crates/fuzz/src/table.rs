//! The table of targets.

/// A function that is fed with bytes from anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called: a program of `fuzz/`, and a folder of `fuzz/seeds`.
    pub name: &'static str,
    /// What the bytes become.
    pub feeds: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// The most bytes that are worth trying.
    pub longest: usize,
    /// The folders under `crates/` whose sources it runs.
    pub reaches: &'static [&'static str],
}

/// What computes on a tape, and what it is compared with.
const TAPE: &[&str] = &["autograd", "backend", "cpu", "gradcheck"];

/// Every target, the readers of files first.
pub const TARGETS: &[Target] = &[
    Target {
        name: "idx",
        feeds: "two IDX files, plain or gzip, as images and labels of a dataset",
        run: crate::idx,
        longest: 4096,
        reaches: &["data"],
    },
    Target {
        name: "cifar",
        feeds: "a folder of CIFAR-10 or CIFAR-100 in binary",
        run: crate::cifar,
        longest: 8192,
        reaches: &["data"],
    },
    Target {
        name: "picture",
        feeds: "a PNG, JPEG, WebP, BMP or GIF, as a folder of images reads it",
        run: crate::picture,
        longest: 4096,
        reaches: &["data"],
    },
    Target {
        name: "safetensors",
        feeds: "a state dict in a safetensors file",
        run: crate::safetensors,
        longest: 4096,
        reaches: &["backend", "cpu", "nn"],
    },
    Target {
        name: "pth",
        feeds: "a file of `torch.save` in both formats, and the pickle in each",
        run: crate::pth,
        longest: 8192,
        reaches: &["backend", "cpu", "nn"],
    },
    Target {
        name: "onnx",
        feeds: "an ONNX file; a made-up network that is exported and read back",
        run: crate::onnx,
        longest: 4096,
        reaches: &["autograd", "backend", "nn", "onnx"],
    },
    Target {
        name: "checkpoint",
        feeds: "a checkpoint, and the position in its header",
        run: crate::checkpoint,
        longest: 4096,
        reaches: &["backend", "nn", "train"],
    },
    Target {
        name: "config",
        feeds: "a `config.toml`",
        run: crate::config,
        longest: 4096,
        reaches: &["train"],
    },
    Target {
        name: "run_folder",
        feeds: "the folder of a run: `metrics.jsonl`, `config.toml`, events for TensorBoard",
        run: crate::run_folder,
        longest: 4096,
        reaches: &["train"],
    },
    Target {
        name: "fixtures",
        feeds: "reference fixtures: operators, optimizers and schedules in JSON",
        run: crate::fixtures,
        longest: 8192,
        reaches: &["autograd", "backend", "gradcheck", "nn", "parity"],
    },
    Target {
        name: "operators",
        feeds: "one operation with any shapes, types, layouts and attributes, right and wrong",
        run: crate::operators,
        longest: 512,
        reaches: TAPE,
    },
    Target {
        name: "programs",
        feeds: "a list of operations on a tape, and its gradients",
        run: crate::programs,
        longest: 256,
        reaches: TAPE,
    },
    Target {
        name: "gradients",
        feeds: "a list of smooth operations, whose gradients are differentiated by differences",
        run: crate::gradients,
        longest: 128,
        reaches: TAPE,
    },
    Target {
        name: "optimizers",
        feeds: "an optimizer with any settings, and the gradients of its steps",
        run: crate::optimizers,
        longest: 256,
        reaches: &["autograd", "backend", "cpu", "nn", "parity"],
    },
    Target {
        name: "conv",
        feeds: "a convolution and both its gradients",
        run: crate::conv,
        longest: 128,
        reaches: &["backend", "cpu"],
    },
    Target {
        name: "pool",
        feeds: "a maximum, average or adaptive pooling and its gradient",
        run: crate::pool,
        longest: 128,
        reaches: TAPE,
    },
];
