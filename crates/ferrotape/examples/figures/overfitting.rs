//! The ten remedies against overfitting, one by one and together, each on the same few digits.

use std::ops::Range;

use ferrotape::nn::Scaling;
use ferrotape::train::config::OptimizerName;
use plotters::prelude::*;

use crate::experiment::{DIGITS, EPOCHS, Outcome, Plan, run, side_by_side};
use crate::material::spread;
use crate::page;
use crate::paper::{
    Area, Axes, CURVES, Curve, GREY, INK, PALE, UPPER_RIGHT, chart, line, svg, tile, words,
    words_to,
};
use crate::{Result, Studio};

/// Runs of each plan, each on other digits and from other first values.
const RUNS: usize = 5;

fn plans() -> Vec<(&'static str, Plan)> {
    let plan = |change: fn(&mut Plan)| {
        let mut plan = Plan::default();
        change(&mut plan);
        plan
    };
    vec![
        ("no remedy", Plan::default()),
        ("1. augmentation: moved, turned, zoomed", plan(augmented)),
        ("2. dropout 0.5 before both dense layers", plan(|plan| plan.dropout = 0.5)),
        ("3a. L1, 0.0003", plan(|plan| plan.config.l1 = 3e-4)),
        ("3b. L2 (weight decay), 0.02", plan(|plan| plan.config.weight_decay = 0.02)),
        ("4. ensemble of five", plan(|plan| plan.members = 5)),
        ("5a. RMSprop", plan(|plan| optimizer(plan, OptimizerName::RmsProp, 1e-3))),
        ("5b. Adam", plan(|plan| optimizer(plan, OptimizerName::Adam, 3e-3))),
        ("beside 5: no remedy, rate 0.03", plan(|plan| plan.config.learning_rate = 0.03)),
        ("6. early stopping by 100 of the 500", plan(|plan| plan.held_back = 0.2)),
        (
            "7. He's initialisation",
            plan(|plan| plan.init = Some(Scaling::FanIn.normal(2_f64.sqrt()))),
        ),
        ("8. batch norm", plan(|plan| plan.batch_norm = true)),
        ("9. a smaller model", plan(|plan| (plan.channels, plan.hidden) = ([8, 16], 64))),
        ("10. 3x3 twice in place of 5x5", plan(|plan| plan.small_filters = true)),
        (
            "1, 2, 8 and 10 together",
            plan(|plan| {
                augmented(plan);
                (plan.dropout, plan.batch_norm, plan.small_filters) = (0.5, true, true);
            }),
        ),
    ]
}

fn augmented(plan: &mut Plan) {
    (plan.config.translate, plan.config.rotate, plan.config.zoom) = (2, 10.0, 0.1);
}

fn optimizer(plan: &mut Plan, name: OptimizerName, learning_rate: f64) {
    (plan.config.optimizer, plan.config.learning_rate) = (name, learning_rate);
    plan.config.momentum = 0.0;
}

pub(crate) fn draw(studio: &Studio) -> Result<()> {
    let plans = plans();
    let outcomes = side_by_side(plans.len() * RUNS, |job| {
        let (number, digits) = (job / RUNS, job % RUNS);
        // The curve of one run without a remedy is drawn.
        let with_curve = number == 0 && digits == 0;
        run(&plans[number].1, digits, &studio.train, &studio.test, with_curve)
    })?;
    let runs: Vec<&[Outcome]> = outcomes.chunks_exact(RUNS).collect();
    let plain = runs[0];
    let of = |runs: &[Outcome], value: fn(&Outcome) -> f64| {
        spread(&runs.iter().map(value).collect::<Vec<_>>())
    };
    let mut rows = Vec::new();
    let mut gains = Vec::new();
    for ((name, plan), runs) in plans.iter().zip(&runs) {
        let gain: Vec<f64> =
            runs.iter().zip(plain).map(|(run, plain)| 100.0 * (run.test - plain.test)).collect();
        let (mean, deviation) = spread(&gain);
        gains.push((*name, mean, deviation));
        rows.push(vec![
            (*name).to_owned(),
            page::count(plan.parameters()? * plan.members),
            format!("{:.1} %", 100.0 * of(runs, |run| run.train).0),
            page::percent(of(runs, |run| run.test)),
            if gains.len() == 1 { String::new() } else { format!("{mean:+.1} ± {deviation:.1}") },
            format!("{:.2}", of(runs, |run| run.test_loss).0),
        ]);
    }
    let head = [
        "remedy",
        "parameters",
        "right of the 500",
        "right of 10,000 new",
        "gain, points",
        "loss on new",
    ];
    let stopped: Vec<String> = plans
        .iter()
        .zip(&runs)
        .filter(|((_, plan), _)| plan.held_back > 0.0)
        .flat_map(|(_, runs)| runs.iter().map(|run| run.epochs.to_string()))
        .collect();
    let text = format!(
        "{}\nEarly stopping kept the weights of epochs {}.",
        page::table(&head, &rows),
        stopped.join(", ")
    );
    page::write("overfitting", "remedies", &text)?;
    svg("overfitting", (640, 330), |area| curve(area, &plain[0].curve))?;
    svg("overfitting-remedies", (820, 430), |area| bars(area, &gains[1..]))
}

fn curve(area: &Area<'_>, losses: &[[f64; 2]]) -> Result<()> {
    let series = |which: usize, name| {
        let points = losses.iter().enumerate().map(|(at, both)| ((at + 1) as f64, both[which]));
        Curve::new(name, which, points.collect())
    };
    let axes = Axes {
        title: "A network that learns by heart",
        x: &format!("passes over {DIGITS} digits"),
        y: "cross entropy",
        xs: 1.0..EPOCHS as f64,
        ys: 0.0..1.2,
        legend: Some(UPPER_RIGHT),
    };
    chart(area, axes, &[series(0, "the digits it learns from"), series(1, "new digits")])
}

/// A bar from 0 to each gain, with its spread.
fn bars(area: &Area<'_>, gains: &[(&str, f64, f64)]) -> Result<()> {
    let ends = gains.iter().flat_map(|(_, mean, deviation)| [mean - deviation, mean + deviation]);
    let Range { start, end } =
        ends.fold(0.0..0.0, |range: Range<f64>, at| range.start.min(at)..range.end.max(at));
    let (least, most) = (start.floor(), end.ceil());
    let x = |gain: f64| 320 + ((gain - least) / (most - least) * 470.0) as i32;
    let bottom = 30 + 27 * gains.len() as i32;
    for points in least as i32..=most as i32 {
        let at = x(f64::from(points));
        line(area, &[(at, 20), (at, bottom)], if points == 0 { INK } else { PALE }, 1)?;
        words(area, (at, bottom + 12), 12, INK, &format!("{points}"))?;
    }
    words(area, (555, bottom + 34), 13, INK, "points gained on new digits over no remedy")?;
    for (number, (name, mean, deviation)) in gains.iter().enumerate() {
        let y = 24 + 27 * number as i32;
        words_to(area, (310, y + 9), 13, name)?;
        let (zero, end) = (x(0.0), x(*mean));
        let colour = if *mean < 0.0 { CURVES[1] } else { CURVES[0] };
        tile(area, (zero.min(end), y), (zero.max(end), y + 18), paler(colour))?;
        line(area, &[(x(mean - deviation), y + 9), (x(mean + deviation), y + 9)], GREY, 3)?;
    }
    Ok(())
}

/// Half way to white, so that the spread can be seen on a bar.
fn paler(colour: RGBColor) -> RGBColor {
    let half = |value: u8| value / 2 + 127;
    RGBColor(half(colour.0), half(colour.1), half(colour.2))
}
