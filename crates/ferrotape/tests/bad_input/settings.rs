//! Configurations of a run that cannot be.

use ferrotape::train::{Precision, RunConfig, RunFolder};

use crate::{Case, Outcome, case};

/// A configuration with one more line.
fn read(line: &str) -> Outcome {
    RunConfig::from_toml(&format!("model = \"lenet5\"\n{line}\n"))?;
    Ok(())
}

/// Lines of `config.toml`, each of which no run can have.
const LINES: &[(&str, &str)] = &[
    ("an unknown key", "batch_sise = 64"),
    ("a key twice", "model = \"vgg16\""),
    ("text where a number belongs", "epochs = \"many\""),
    ("a negative number of epochs", "epochs = -1"),
    ("no epochs", "epochs = 0"),
    ("no images a step", "batch_size = 0"),
    ("a learning rate of NaN", "learning_rate = nan"),
    ("an infinite learning rate", "learning_rate = inf"),
    ("a negative learning rate", "learning_rate = -0.1"),
    ("a momentum of 1", "momentum = 1.0"),
    ("an optimizer that there is not", "optimizer = \"sdg\""),
    ("a schedule that there is not", "schedule = \"zigzag\""),
    ("label smoothing of 2", "label_smoothing = 2.0"),
    ("a validation share of 1", "validation = 1.0"),
    ("an average that never moves", "ema = 1.0"),
    ("a negative norm to clip at", "clip_norm = -1.0"),
    ("no threads", "threads = 0"),
    ("a line that is no TOML", "epochs 3"),
];

pub(crate) fn cases() -> Vec<Case> {
    let lines = LINES.iter().map(|&(input, line)| case(input, move || read(line)));
    lines.chain(folders()).collect()
}

fn folders() -> Vec<Case> {
    vec![
        case("a type that there is not", || -> Outcome {
            Precision::of(&RunConfig { dtype: "f33".into(), ..RunConfig::default() })?;
            Ok(())
        }),
        case("a configuration that is not there", || -> Outcome {
            RunConfig::read("no/config.toml".as_ref())?;
            Ok(())
        }),
        case("a configuration that is no text", || -> Outcome {
            std::fs::write("binary.toml", [0xff, 0xfe, 0])?;
            RunConfig::read("binary.toml".as_ref())?;
            Ok(())
        }),
        case("a run that is not there", || -> Outcome {
            RunFolder::open("no/run".as_ref())?;
            Ok(())
        }),
        case("a folder that holds no run", || -> Outcome {
            std::fs::create_dir("empty")?;
            RunFolder::open("empty".as_ref())?;
            Ok(())
        }),
        case("a new run in a folder that is not empty", || -> Outcome {
            std::fs::create_dir("full")?;
            std::fs::write("full/letter.txt", "mine")?;
            RunFolder::create(Some("full".as_ref()), "lenet5")?;
            Ok(())
        }),
        case("a name of a run that leads elsewhere", || -> Outcome {
            RunFolder::create(None, "../elsewhere")?;
            Ok(())
        }),
    ]
}
