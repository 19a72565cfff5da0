//! Writes seeds into `fuzz/seeds`: small files of the crates' own writers, and bytes from which operations are
//! drawn. Those that are there already stay.

use std::error::Error;
use std::fs;
use std::path::Path;

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
use ferrotape_nn::{Init, LinearConfig, Module, Sequential, StateDict};
use ferrotape_onnx::Exporter;
use ferrotape_train::{Checkpoint, EpochRecord, FinalRecord, Record, RunConfig, recipe};
use image::{DynamicImage, ImageFormat, RgbImage};

type Done = Result<(), Box<dyn Error>>;

/// Targets that draw from any bytes, with how many seeds each.
const DRAWN: &[(&str, usize)] = &[
    ("operators", 48),
    ("programs", 12),
    ("gradients", 8),
    ("optimizers", 12),
    ("conv", 12),
    ("pool", 12),
];

fn main() -> Done {
    let device = Device::new(Reference::new());
    cifar()?;
    pictures()?;
    weights(&device)?;
    networks(&device)?;
    runs()?;
    fixtures()?;
    for &(target, count) in DRAWN {
        for seed in 0..count as u64 {
            let rng = Rng::new(seed).path(target);
            let length = 24 + rng.below(0, 72);
            let mut bytes: Vec<u8> = (1..=length).map(|at| rng.below(at, 256) as u8).collect();
            if target == "operators" && seed % 2 == 0 {
                // An operation of tensors, not a verb.
                bytes[0] = 255;
            }
            write(target, &format!("drawn_{seed}"), &bytes)?;
        }
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Done {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    if !path.exists() {
        fs::write(path, bytes)?;
    }
    Ok(())
}

fn cifar() -> Done {
    let image = |labels: &[u8]| [labels, &[128; 3072][..]].concat();
    write("cifar", "ten", &[&[0][..], &image(&[3])].concat())?;
    write("cifar", "hundred", &[&[1][..], &image(&[11, 98])].concat())?;
    write("cifar", "short_ten", &[2, 0, 9, 9, 200, 4, 0])?;
    write("cifar", "short_wrong_label", &[2, 0, 9, 10, 200])?;
    write("cifar", "short_hundred", &[3, 0, 99, 1, 19, 0, 255])?;
    let names: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    write("cifar", "named", &[&[7][..], names.join("\n").as_bytes(), &[0, 1, 50, 9]].concat())?;
    write("cifar", "cut", &[0, 1, 2, 3])
}

fn pictures() -> Done {
    let colour = |x: u32, y: u32| image::Rgb([(x * 20) as u8, (y * 20) as u8, (x * y) as u8]);
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(9, 7, colour));
    let forms = [
        ("png", ImageFormat::Png),
        ("jpeg", ImageFormat::Jpeg),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
        ("gif", ImageFormat::Gif),
    ];
    for (name, form) in forms {
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, form)?;
        write("picture", name, file.get_ref())?;
    }
    let mut file = std::io::Cursor::new(Vec::new());
    picture.to_luma_alpha16().write_to(&mut file, ImageFormat::Png)?;
    write("picture", "png_grey_alpha_16", file.get_ref())
}

/// State dicts and checkpoints: whole files, and headers without their length.
fn weights(device: &Device) -> Done {
    let dict: StateDict = DType::ALL
        .into_iter()
        .map(|dtype| Ok((format!("a.{dtype}"), Array::full(device, dtype, [2, 1], 1.5)?)))
        .collect::<Result<_, ferrotape_backend::Error>>()?;
    let both = |target: &str, name: &str, file: &[u8]| -> Done {
        write(target, name, &[&[0][..], file].concat())?;
        let length = u64::from_le_bytes(file[..8].try_into()?) as usize;
        let (header, elements) = file[8..].split_at(length);
        write(target, &format!("{name}_assembled"), &[&[1][..], header, &[0], elements].concat())
    };
    both("safetensors", "every_type", &dict.to_bytes()?)?;
    both("safetensors", "note", &dict.to_bytes_with_note("step 7")?)?;
    let mut checkpoint = Checkpoint { arrays: dict, ..Checkpoint::default() };
    checkpoint.position.loss.add(0.5, 3);
    both("checkpoint", "whole", &checkpoint.to_bytes()?)?;
    let note = StateDict::note(&checkpoint.to_bytes()?)?.unwrap_or_default();
    write("checkpoint", "position", &[&[2][..], note.as_bytes()].concat())?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/fixtures/torch");
    for file in ["mixed.pth", "views.pth", "types.pth", "parameters.pth", "checkpoint.legacy.pth"] {
        write(
            "pth",
            &file.replace('.', "_"),
            &[&[0][..], &fs::read(fixtures.join(file))?[..]].concat(),
        )?;
    }
    Ok(())
}

fn networks(device: &Device) -> Done {
    let network = Sequential::new(&Init::new(device, Rng::new(1))).add(LinearConfig::new(3, 2))?;
    let export = Exporter::new(device, [3]).metadata("a", "b");
    let model = export.export(&network as &dyn Module, |cx, x| {
        ferrotape_nn::Layer::forward(&network, cx, x)?.relu()
    })?;
    write("onnx", "linear", &[&[0][..], &ferrotape_onnx::to_bytes(&model)[..]].concat())?;
    for seed in 0..8 {
        let rng = Rng::new(seed).path("onnx");
        let bytes: Vec<u8> = (0..60).map(|at| rng.below(at, 256) as u8).collect();
        write("onnx", &format!("drawn_{seed}"), &[&[1][..], &bytes[..]].concat())?;
    }
    Ok(())
}

fn runs() -> Done {
    let config = RunConfig { model: "lenet5".into(), ..RunConfig::default() }.to_toml();
    write("config", "whole", config.as_bytes())?;
    write("config", "recipe", recipe("resnet18").to_toml().as_bytes())?;
    write("config", "short", b"model = 'lenet5'\nepochs = 3\nmean = [0.5]\nstd = [0.25]\n")?;
    write("config", "unknown", b"model = 'lenet5'\nbatch-sise = 64\n")?;
    let epoch = Record::Epoch(EpochRecord {
        epoch: 1,
        train_loss: f64::NAN,
        validation_loss: Some(0.1),
        ..EpochRecord::default()
    });
    let last = Record::Final(FinalRecord { model: "lenet5".into(), ..FinalRecord::default() });
    let records = format!("{}\n{}\n", epoch.to_json(), last.to_json());
    write("run_folder", "records", &[&[0][..], records.as_bytes()].concat())?;
    write("run_folder", "torn", &[&[0][..], &records.as_bytes()[..records.len() - 9]].concat())?;
    let config = format!("{:<64}", "model = 'lenet5'\ndata = 'digits'\n");
    write("run_folder", "both", &[&[2][..], config.as_bytes(), records.as_bytes()].concat())
}

/// Of the reference fixtures, those that are short.
fn fixtures() -> Done {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(crates.join("parity/tests/fixtures/optim.json"))?;
    let all: serde_json::Value = serde_json::from_str(&text)?;
    for kind in ["optimizers", "schedules"] {
        for (index, case) in all[kind].as_array().into_iter().flatten().enumerate() {
            let file = serde_json::json!({ kind: [case] }).to_string();
            if file.len() < 1200 {
                write(
                    "fixtures",
                    &format!("{kind}_{index}"),
                    &[&[0][..], file.as_bytes()].concat(),
                )?;
            }
        }
    }
    let case = |op: &str, attrs: serde_json::Value, names: &[&str]| -> Done {
        let case = serde_json::json!({
            "id": "a", "op": op, "attrs": attrs, "inputs": names, "outputs": 1, "grads": ["x"],
        });
        let cases = serde_json::json!({ "cases": [case] }).to_string();
        let (mut header, mut offset) = (serde_json::Map::new(), 0);
        let inputs = names.iter().map(|name| format!("a/in/{name}"));
        for name in inputs.chain(["a/out/0", "a/cot/0", "a/grad/x"].map(str::to_owned)) {
            header.insert(
                name,
                serde_json::json!({
                    "dtype": "F64", "shape": [1, 1, 2, 2], "data_offsets": [offset, offset + 32],
                }),
            );
            offset += 32;
        }
        let elements = 1.5f64.to_le_bytes().repeat(offset / 8);
        let header = serde_json::Value::Object(header).to_string();
        let file =
            [&[1][..], cases.as_bytes(), &[0], header.as_bytes(), &[0], &elements[..]].concat();
        write("fixtures", &format!("operator_{op}"), &file)
    };
    case("square", serde_json::json!({}), &["x"])?;
    case("add", serde_json::json!({}), &["x", "y"])?;
    case("sum", serde_json::json!({ "dims": [2, -1], "keepdim": true }), &["x"])?;
    let pooling = serde_json::json!({
        "kernel": 2, "stride": 1, "padding": [0, 1], "dilation": 1, "ceil_mode": false,
    });
    case("max_pool2d", pooling, &["x"])
}
