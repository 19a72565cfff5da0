//! Writes a report of a run that never was, for looking at the page while its design changes.
//!
//! `cargo run -p ferrotape-train --example sample_report -- sample.html`. The figures have the size
//! of those of LeNet-5 on MNIST and are drawn from a fixed seed; the images are strokes.

use ferrotape_train::metrics::Confusion;
use ferrotape_train::report::{
    Environment, FilterBank, LayerRow, MistakePicture, ReportData, render,
};
use ferrotape_train::{EpochRecord, FinalRecord, RunConfig, write_atomically};

/// SplitMix64 (Steele, Lea and Flood 2014): enough for a sample.
struct Rng(u64);

impl Rng {
    /// Uniform in `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// Near enough to a normal draw.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A digit as strokes in a unit square, x to the right and y down.
fn strokes(digit: usize) -> &'static [(f64, f64)] {
    match digit {
        0 => &[
            (0.5, 0.1),
            (0.75, 0.3),
            (0.75, 0.7),
            (0.5, 0.9),
            (0.25, 0.7),
            (0.25, 0.3),
            (0.5, 0.1),
        ],
        1 => &[(0.4, 0.2), (0.55, 0.1), (0.5, 0.9)],
        2 => &[(0.25, 0.25), (0.5, 0.1), (0.75, 0.3), (0.25, 0.88), (0.8, 0.88)],
        3 => &[(0.28, 0.12), (0.7, 0.15), (0.45, 0.45), (0.75, 0.7), (0.5, 0.9), (0.25, 0.8)],
        4 => &[(0.35, 0.1), (0.25, 0.5), (0.75, 0.5), (0.7, 0.1), (0.65, 0.9)],
        5 => &[(0.75, 0.12), (0.35, 0.12), (0.3, 0.45), (0.7, 0.55), (0.65, 0.88), (0.25, 0.88)],
        6 => &[(0.65, 0.1), (0.3, 0.5), (0.3, 0.85), (0.65, 0.88), (0.68, 0.6), (0.32, 0.6)],
        7 => &[(0.25, 0.15), (0.75, 0.12), (0.45, 0.9)],
        8 => &[
            (0.5, 0.48),
            (0.3, 0.25),
            (0.55, 0.1),
            (0.7, 0.27),
            (0.3, 0.7),
            (0.5, 0.9),
            (0.7, 0.7),
            (0.4, 0.45),
        ],
        _ => &[(0.7, 0.3), (0.45, 0.12), (0.3, 0.35), (0.6, 0.5), (0.7, 0.25), (0.6, 0.9)],
    }
}

/// A 28 x 28 drawing of a digit, bent at random.
fn drawing(rng: &mut Rng, digit: usize) -> Vec<u8> {
    let (slant, wide) = (0.12 * rng.normal(), 1.1 + 0.5 * rng.uniform());
    let points: Vec<(f64, f64)> = strokes(digit)
        .iter()
        .map(|(x, y)| (x + slant * (0.5 - y) + 0.03 * rng.normal(), y + 0.03 * rng.normal()))
        .map(|(x, y)| (4.0 + 20.0 * x, 4.0 + 20.0 * y))
        .collect();
    let distance = |x: f64, y: f64| {
        points
            .windows(2)
            .map(|pair| {
                let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
                let (dx, dy) = (bx - ax, by - ay);
                let t = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
                (x - ax - t * dx).hypot(y - ay - t * dy)
            })
            .fold(f64::INFINITY, f64::min)
    };
    (0..28 * 28)
        .map(|i| distance(f64::from(i % 28), f64::from(i / 28)))
        .map(|d| (255.0 * (wide + 0.6 - d).clamp(0.0, 1.0)) as u8)
        .collect()
}

fn epochs(rng: &mut Rng) -> Vec<EpochRecord> {
    (1..=12)
        .map(|epoch| {
            let t = epoch as f64;
            EpochRecord {
                epoch,
                train_loss: 0.005 + 0.26 * (-(t - 1.0) / 1.6).exp() + 0.03 / t,
                train_accuracy: 1.0 - (0.0012 + 0.075 * (-(t - 1.0) / 1.7).exp() + 0.006 / t),
                validation_loss: Some(
                    0.0285
                        + 0.055 * (-(t - 1.0) / 1.5).exp()
                        + if t < 12.0 { 0.002 * rng.uniform() } else { 0.0006 },
                ),
                validation_accuracy: Some(
                    0.9912
                        - 0.018 * (-(t - 1.0) / 1.5).exp()
                        - if t < 12.0 { 0.001 * rng.uniform() } else { 0.0 },
                ),
                learning_rate: 1e-3 * 0.5 * (1.0 + (std::f64::consts::PI * t / 12.0).cos()),
                images_per_second: 21_000.0 + 600.0 * rng.normal(),
                seconds: 3.1 + 0.1 * rng.uniform(),
                data_wait: 0.04,
            }
        })
        .collect()
}

fn confusion(rng: &mut Rng) -> Confusion {
    const IMAGES: [usize; 10] = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
    const PAIRS: [(usize, usize); 12] = [
        (4, 9),
        (9, 4),
        (7, 2),
        (5, 3),
        (3, 5),
        (6, 0),
        (8, 3),
        (2, 7),
        (9, 7),
        (6, 5),
        (9, 5),
        (8, 2),
    ];
    let mut confusion = Confusion::new(10);
    let mut wrong = [0; 10];
    for _ in 0..88 {
        let place = (rng.uniform() * rng.uniform() * 16.0) as usize;
        let (truth, predicted) =
            PAIRS.get(place).copied().unwrap_or((rng.below(5), 5 + rng.below(5)));
        wrong[truth] += 1;
        confusion.add(truth, predicted).expect("both are digits");
    }
    for (class, images) in IMAGES.into_iter().enumerate() {
        for _ in wrong[class]..images {
            confusion.add(class, class).expect("it is a digit");
        }
    }
    confusion
}

/// Filters that look like what edges and spots leave, with some noise.
fn bank(rng: &mut Rng, layer: &str, out: usize, inputs: usize) -> FilterBank {
    let mut values = Vec::new();
    for _ in 0..out * inputs {
        let (angle, phase) = (6.3 * rng.uniform(), 6.3 * rng.uniform());
        let gain = 0.15 + 0.35 * rng.uniform();
        for i in 0..25 {
            let (x, y) = (f64::from(i % 5) - 2.0, f64::from(i / 5) - 2.0);
            let wave = (1.1 * (x * angle.cos() + y * angle.sin()) + phase).cos();
            values
                .push((gain * wave * (-(x * x + y * y) / 9.0).exp() + 0.04 * rng.normal()) as f32);
        }
    }
    FilterBank { layer: layer.into(), out, inputs, height: 5, width: 5, values }
}

fn layers() -> Vec<LayerRow> {
    let row =
        |name: &str, kind: &str, output: &[usize], parameters, multiply_adds, field| LayerRow {
            name: name.into(),
            kind: kind.into(),
            output: output.into(),
            parameters,
            multiply_adds,
            activation_bytes: 4 * output.iter().product::<usize>() as u64,
            receptive_field: field,
        };
    vec![
        row("conv1", "Conv2d 5x5, padding 2", &[6, 28, 28], 156, 117_600, Some(5)),
        row("pool1", "MaxPool2d 2x2", &[6, 14, 14], 0, 0, Some(6)),
        row("conv2", "Conv2d 5x5", &[16, 10, 10], 2_416, 240_000, Some(14)),
        row("pool2", "MaxPool2d 2x2", &[16, 5, 5], 0, 0, Some(16)),
        row("flatten", "Flatten", &[400], 0, 0, Some(16)),
        row("fc1", "Linear", &[120], 48_120, 48_000, None),
        row("fc2", "Linear", &[84], 10_164, 10_080, None),
        row("fc3", "Linear", &[10], 850, 840, None),
    ]
}

fn sample() -> ReportData {
    let mut rng = Rng(42);
    let confusion = confusion(&mut rng);
    let mistakes = (0..24)
        .map(|i| {
            let pairs = confusion.top_mistakes(10);
            let pair = pairs[rng.below(pairs.len())];
            MistakePicture {
                index: rng.below(10_000),
                channels: 1,
                height: 28,
                width: 28,
                pixels: drawing(&mut rng, pair.truth),
                truth: pair.truth,
                predicted: pair.predicted,
                probability: 0.9999 - 0.012 * i as f32,
            }
        })
        .collect();
    ReportData {
        run: "lenet5-1 (sample)".into(),
        result: FinalRecord {
            model: "lenet5".into(),
            epochs: 12,
            parameters: 61_706,
            test_accuracy: 0.9912,
            test_loss: 0.0291,
            test_images: 10_000,
            seconds: 38.2,
            test_top5: Some(0.9999),
            validation_accuracy: Some(0.9911),
            data_wait: 0.04,
            ..FinalRecord::default()
        },
        config: RunConfig { model: "lenet5".into(), threads: Some(2), ..Default::default() },
        environment: Environment {
            cpu: "Sample CPU, AVX-512".into(),
            threads: 2,
            device: "cpu".into(),
            dtype: "f32".into(),
            ..Default::default()
        },
        layers: layers(),
        epochs: epochs(&mut rng),
        confusion: Some(confusion),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        filters: vec![bank(&mut rng, "conv1", 6, 1), bank(&mut rng, "conv2", 16, 6)],
        mistakes,
        ..ReportData::default()
    }
}

fn main() -> ferrotape_train::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "sample_report.html".into());
    write_atomically(path.as_ref(), render(&sample())?.as_bytes())
}
