//! The results as people read them on a terminal.

use super::ceilings::Ceilings;
use super::line::Line;
use super::machine::Machine;
use super::passes::{Entry, Verdict};
use super::text::{Table, or_blank, percent, three_digits};

/// Everything that a run has to say: the rows, and the peers where some were measured.
pub(super) fn report(lines: &[Line]) -> String {
    let entries = Entry::all(lines);
    let ceilings = Ceilings::of(lines);
    let mut text = rows(&entries, &ceilings).to_string();
    text += &format!("{}\n", Machine::of(lines));
    text += &disturbed(&entries, &ceilings);
    let verdicts = Verdict::all(&entries);
    if !verdicts.is_empty() {
        text += &format!("\n{}", beside_peers(&verdicts));
    }
    let memory = memory(&verdicts);
    if !memory.is_empty() {
        text += &format!("\nactivations and workspace of a training step\n{memory}");
    }
    text
}

/// A warning where a row computes clearly faster than the peak allows, even by the algorithm with the fewest
/// products. Traffic says nothing of the kind, since a small row lives in the caches.
pub(super) fn disturbed(entries: &[Entry], ceilings: &Ceilings) -> String {
    const CLEARLY: f64 = 1.05;
    let is_above = |entry: &&Entry| {
        let pair = entry.work().gflops().zip(ceilings.peak(&entry.name));
        let fewest = if may_take_tiles(&entry.name) { TILES } else { 1.0 };
        entry.is_ours() && pair.is_some_and(|(rate, peak)| rate > peak * CLEARLY * fewest)
    };
    match entries.iter().filter(is_above).count() {
        0 => String::new(),
        count => format!(
            "{count} of the rows are above the peak of arithmetic, so the machine was busy while that was \
             measured; measure again when nothing else runs\n"
        ),
    }
}

/// How many products of the direct algorithm one product in tiles stands for: 36 / 16.
const TILES: f64 = 2.25;

/// Whether a row may have convolutions that are computed in tiles.
fn may_take_tiles(name: &str) -> bool {
    ["train/", "infer/", "conv2d/"].iter().any(|room| name.starts_with(room))
}

/// Our rows: time, spread, rate, and what that is of the machine's ceilings.
fn rows(entries: &[Entry], ceilings: &Ceilings) -> Table {
    let heads =
        &["name", "median", "spread", "runs", "rate", "GFLOP/s", "of peak", "GB/s", "of copy"];
    let mut table = Table::new(heads, &[0]);
    for entry in entries.iter().filter(|entry| entry.is_ours()) {
        let work = entry.work();
        let rate = match (entry.value, entry.unit.as_str()) {
            // A benchmark without declared work has no rate but its time, which stands there already.
            (_, "ms") | (None, _) => String::new(),
            (Some(value), unit) => format!("{} {unit:<5}", three_digits(value)),
        };
        table.row(vec![
            entry.name.clone(),
            entry.median_ms.map_or_else(String::new, |ms| format!("{} ms", three_digits(ms))),
            entry.spread().map_or_else(String::new, |s| format!("{:.1} %", s * 100.0)),
            entry.runs.to_string(),
            rate,
            or_blank(work.gflops()),
            percent(work.gflops(), ceilings.peak(&entry.name)),
            or_blank(work.gbytes()),
            percent(work.gbytes(), ceilings.copy),
        ]);
    }
    table
}

/// Ours beside the best peer. Where that is faster, the line says so.
pub(super) fn beside_peers(verdicts: &[Verdict<'_>]) -> Table {
    let heads = &["name", "ours", "best peer", "", "ours / best", "passes", "verdict"];
    let mut table = Table::new(heads, &[0, 3, 6]);
    for verdict in verdicts {
        let ours = verdict.ours;
        let (value, who, said) = match verdict.best() {
            Some(best) => {
                let who = format!("{} {}", best.peer, best.mode);
                let said = match verdict.is_slower() {
                    true => format!("{} is faster", best.peer),
                    false => String::new(),
                };
                (or_blank(best.value), who, said)
            }
            None => (String::new(), String::new(), "no peer could be measured".to_owned()),
        };
        table.row(vec![
            ours.name.clone(),
            format!("{} {}", or_blank(ours.value), ours.unit),
            value,
            who,
            verdict.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            ours.passes.to_string(),
            said,
        ]);
    }
    table
}

/// Activations and workspace in MiB, ours and those of the fastest mode of each peer.
pub(super) fn memory(verdicts: &[Verdict<'_>]) -> Table {
    let mut table = Table::new(&["name", "ours MiB", "peer MiB", "peer", "ours / peer"], &[0, 3]);
    for verdict in verdicts {
        let Some(ours) = verdict.ours.working_mib else { continue };
        for peer in &verdict.peers {
            let Some(theirs) = peer.working_mib else { continue };
            table.row(vec![
                verdict.ours.name.clone(),
                three_digits(ours),
                three_digits(theirs),
                format!("{} {}", peer.peer, peer.mode),
                if theirs > 0.0 { format!("{:.2}", ours / theirs) } else { String::new() },
            ]);
        }
    }
    table
}

/// Modes that could not be measured, each with the reason.
pub(super) fn failures(verdicts: &[Verdict<'_>]) -> Table {
    let mut table = Table::new(&["name", "peer", "why"], &[0, 1, 2]);
    for entry in verdicts.iter().flat_map(|verdict| &verdict.failed) {
        table.row(vec![
            entry.name.clone(),
            format!("{} {}", entry.peer, entry.mode),
            entry.error.clone().unwrap_or_default().replace('|', "/"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn words(text: &str, start: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn lines() -> Vec<Line> {
        let ceiling = |name: &str, value| line("ferrotape", "default", name, value);
        let mut ours = line("ferrotape", "default", "train/x/b1/f32", 100.0);
        // 10 ms: 1 GFLOP and 20 MB are 100 GFLOP/s and 2 GB/s.
        ours.flops = Some(1e9);
        ours.bytes = Some(2e7);
        ours.peak_rss_mib = Some(150.0);
        ours.rss_before_mib = Some(40.0);
        ours.grad_and_momentum_mib = Some(10.0);
        let mut theirs = line("torch", "compile", "train/x/b1/f32", 125.0);
        theirs.peak_rss_mib = Some(300.0);
        theirs.rss_before_mib = Some(90.0);
        theirs.grad_and_momentum_mib = Some(10.0);
        let mut failed = line("candle", "default", "train/x/b1/f32", 1.0);
        failed.value = None;
        failed.error = Some("no backward".to_owned());
        let fma = Line { threads: Some(2), ..ceiling("ceiling/fma/f32", 200.0) };
        vec![fma, ceiling("ceiling/copy", 8.0), ours, theirs, failed]
    }

    #[test]
    fn a_row_shows_its_time_its_rate_and_its_share_of_the_ceilings() {
        let text = report(&lines());
        let row = words(&text, "train/x/b1/f32");
        let expected = "train/x/b1/f32 10.0 ms 20.0 % 5 100 img/s 100 50 % 2.00 25 %";
        assert_eq!(row.join(" "), expected);
        assert!(text.contains("2 threads of"), "{text}");
    }

    #[test]
    fn a_row_above_the_peak_is_a_warning_about_the_peak() {
        let mut lines = lines();
        assert!(!report(&lines).contains("was busy"));
        lines[2].flops = Some(3e9);
        assert!(!report(&lines).contains("was busy"), "tiles take fewer products");
        lines[2].flops = Some(6e9);
        assert!(report(&lines).contains("1 of the rows are above"), "{}", report(&lines));
    }

    #[test]
    fn a_row_without_known_work_has_blank_cells() {
        let text = report(&[line("ferrotape", "default", "tape/x", 100.0)]);
        assert_eq!(words(&text, "tape/x").join(" "), "tape/x 10.0 ms 20.0 % 5 100 img/s");
        assert!(!text.contains("best peer"), "{text}");
    }

    #[test]
    fn where_a_peer_is_faster_the_table_says_so() {
        let lines = lines();
        let entries = Entry::all(&lines);
        let verdicts = Verdict::all(&entries);
        let text = beside_peers(&verdicts).to_string();
        assert!(text.contains("torch compile") && text.contains("0.80"), "{text}");
        assert!(text.contains("torch is faster"), "{text}");
        assert!(failures(&verdicts).to_string().contains("no backward"));
    }

    #[test]
    fn memory_is_held_against_each_peer() {
        let lines = lines();
        let entries = Entry::all(&lines);
        let text = memory(&Verdict::all(&entries)).to_string();
        assert_eq!(words(&text, "train/").join(" "), "train/x/b1/f32 100 200 torch compile 0.50");
    }
}
