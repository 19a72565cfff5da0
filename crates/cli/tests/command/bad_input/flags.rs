//! Flags that no run can have.

use super::{Row, row};

/// What is wrong, and the flags of a training on good digits.
const TRAIN: &[(&str, &str)] = &[
    ("no passes", "--epochs 0"),
    ("a number that is none", "--epochs many"),
    ("a number that is too large for the machine", "--epochs 99999999999999999999"),
    ("a number that is too large for a configuration", "--epochs 18446744073709551615"),
    ("no images a step", "--batch-size 0"),
    ("more images a step than can be counted", "--batch-size 18446744073709551615"),
    ("no images", "--limit 0"),
    ("images without pixels", "--size 0"),
    ("images too small for the network", "--size 4"),
    ("images too large for the network", "--size 100000000"),
    ("a learning rate of NaN", "--lr nan"),
    ("a negative learning rate", "--lr -0.1"),
    ("a learning rate that no weights survive", "--out run --epochs 3 --batch-size 8 --lr 1e38"),
    ("the same in the very last step", "--out run --epochs 1 --lr-factor *=1e300"),
    ("no threads", "--threads 0"),
    ("too many threads", "--threads 100000"),
    ("a device that there is not", "--device abacus"),
    ("a type that there is not", "--dtype f33"),
    ("a type that is none to train in", "--dtype u8"),
    ("an optimizer that there is not", "--optimizer sdg"),
    ("a schedule that needs a validation loss, without one", "--schedule plateau"),
    ("Nesterov's momentum without momentum", "--optimizer adam --nesterov"),
    ("a validation share of everything", "--validation 1"),
    ("one fold", "--folds 1"),
    ("a fold that there is not", "--folds 3 --fold 9"),
    ("steps that are never taken", "--accumulate 0"),
    ("a checkpoint that never comes", "--checkpoint-every 0"),
    ("a factor for no parameter", "--lr-factor nose.*=2"),
    ("a factor that is none", "--lr-factor *"),
    ("frozen layers that there are not", "--freeze nose.*"),
    ("everything frozen", "--freeze *"),
    ("a rotation by NaN", "--rotate nan"),
    ("a zoom to nothing", "--zoom 1"),
    ("a crop larger than the image", "--resized-crop 2"),
    ("a curve in a folder that is not there", "--find-lr no/such/curve.svg"),
    ("a flag that there is not", "--quickly"),
    ("a form of data that there is not", "--format tar"),
];

/// Everything else that needs no file.
const OTHERS: &[(&str, &str)] = &[
    ("no model", "train"),
    ("a model that there is not", "train lenet6"),
    ("a network for which there is no memory", "train vgg16 --data bars --threads 2"),
    ("data that are not there", "train lenet5 --data nowhere"),
    ("data that are a device", "train lenet5 --data /dev/zero"),
    ("a form for data that are no folder", "train lenet5 --data synthetic --format idx"),
    ("a place that is not empty", "train lenet5 --data bars --out bars"),
    ("a model and a configuration", "train lenet5 --config config.toml"),
    ("a run to go on with that is not there", "train --resume nowhere"),
    ("a run to test that is not there", "eval nowhere"),
    ("a model to test without weights", "eval lenet5"),
    ("a network without classes", "summary lenet5 --classes 0"),
    ("a network of 2⁶⁴ - 1 classes", "summary lenet5 --classes 18446744073709551615"),
    ("samples of no images", "samples lenet5 --data bars --images 0 --out drawn.png"),
    ("a million samples", "samples lenet5 --data bars --images 1000000 --out drawn.png"),
    ("weights to write in a form that is only read", "convert in.pth out.pth"),
    ("a run to export that is not there", "export nowhere out.onnx"),
    ("a form to export to that there is not", "export lenet5 out.txt"),
    ("heat of a run that is not there", "gradcam nowhere x.png"),
    ("filters of a run that is not there", "filters nowhere"),
    ("a page of runs that are not there", "report nowhere"),
    ("a shell that there is not", "completions fizz"),
    ("a command that there is not", "dance"),
];

pub(super) fn rows() -> Vec<Row> {
    let train =
        TRAIN.iter().map(|(what, flags)| row(what, &format!("train lenet5 --data bars {flags}")));
    train.chain(OTHERS.iter().map(|(what, call)| row(what, call))).collect()
}
