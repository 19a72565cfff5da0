//! The page of the book about performance, made from the lines of a run.
//!
//! Reasons that a person has to write stand in [`NOTES`], which the page ends with, so that making
//! the page again loses nothing.

use std::fs;
use std::path::Path;

use super::ceilings::{Ceilings, ROOM};
use super::line::Line;
use super::machine::Machine;
use super::passes::{Entry, Verdict};
use super::plot::Pictures;
use super::report;
use super::text::{Table, or_blank, percent, three_digits};
use crate::Result;

const PAGE: &str = "docs/performance.md";
const SUMMARY: &str = "docs/SUMMARY.md";
const ENTRY: &str = "- [Performance](performance.md)\n";
const ROOFLINE: &str = "performance-roofline.svg";
const BARS: &str = "performance-peers.svg";

/// What a person wrote about the figures.
const NOTES: &str = "benches/performance-notes.md";

const METHOD: &str = "
Every row is timed by criterion in this repository and by the harness of `benches/peers/` for a peer, with the
same threads, the same batch and the same work: a row of `infer` is a forward pass without gradients, a row
of `train` is forward, cross entropy, backward and a step of SGD with momentum 0.9. Whole networks run in
a process of their own. Beside the peers, a row is measured in passes: in each pass ours and every mode of
every peer once in turn, so that a machine's drift hits all alike. A figure is the median of its passes, and the
best peer is the mode with the largest median.

The *floor* of a row is max(operations / peak, bytes / bandwidth): no time of the direct algorithm can be below
it. Peak and bandwidth are those of the fastest sample of a ceiling, since other work can only make a
sample slower. Operations are two for each multiply-add of the direct algorithm; bytes count each operand read once
and each result written once. Convolutions of 3 x 3 with stride 1 take 4/9 of these multiplications in f32, by Winograd's
algorithm, so their rows, and networks of many of them, may be below their floors. bf16 is held against the peak of
products of tiles, or of pairs, where the processor has them.

To see what a change does, keep the rows before it with `--save NAME` and run again with `--compare NAME`. A row
is marked as faster or slower only where its median moved by more than the noise: half of the sum of both
spreads, each (max - min) / median.
";

/// Writes the page and its pictures, and lists the page in the book's table of contents.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(root: &Path, lines: &[Line]) -> Result<()> {
    let pictures = Pictures::draw(lines)?;
    let notes = root.join(NOTES);
    let notes = if notes.exists() { read(&notes)? } else { String::new() };
    let docs = root.join("docs");
    for (name, picture) in [(ROOFLINE, &pictures.roofline), (BARS, &pictures.bars)] {
        match picture {
            Some(picture) => put(&docs.join(name), picture)?,
            // A picture of an earlier run does not belong to this page.
            None if docs.join(name).exists() => fs::remove_file(docs.join(name))?,
            None => {}
        }
    }
    put(&root.join(PAGE), &page(lines, &pictures, &notes))?;
    let summary = root.join(SUMMARY);
    put(&summary, &with_entry(&read(&summary)?))?;
    println!("{PAGE} was written from {} lines", lines.len());
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
}

fn put(path: &Path, text: &str) -> Result<()> {
    Ok(fs::write(path, text)
        .map_err(|error| format!("{} was not written: {error}", path.display()))?)
}

/// The table of contents with the page in it, once.
fn with_entry(summary: &str) -> String {
    if summary.contains(ENTRY.trim_end()) {
        return summary.to_owned();
    }
    format!("{}\n{ENTRY}", summary.trim_end())
}

fn page(lines: &[Line], pictures: &Pictures, notes: &str) -> String {
    let entries = Entry::all(lines);
    let ceilings = Ceilings::of(lines);
    let verdicts = Verdict::all(&entries);
    let mut page = format!(
        "# Performance\n\n`cargo xtask bench --page` wrote this page from a run with {}.\n\n\
         ## Method\n{METHOD}{}",
        Machine::of(lines).to_string().replace("--quick", "`--quick`"),
        peers(lines),
    );
    page += &section("The machine's ceilings", "", &ceiling_table(&entries));
    let disturbed = report::disturbed(&entries, &ceilings);
    if !disturbed.is_empty() {
        page += &format!("\n**{}.**\n", disturbed.trim_end());
    }
    page += &section(
        "Whole networks",
        &image("Rows of networks beside their peers, as bars", BARS, &pictures.bars),
        &networks(&entries, &ceilings, &verdicts),
    );
    page += &section("Slower than a peer", "", &slower(&verdicts));
    let unmatched = "No peer is faster in any row.\n";
    if !verdicts.is_empty() && !verdicts.iter().any(Verdict::is_slower) {
        page += &format!("\n## Slower than a peer\n\n{unmatched}");
    }
    let memory = "\nMiB of activations and workspace: peak memory of a training step less what was resident \
                  before it and less gradients and momentum.\n";
    page += &section("Memory of training", memory, &report::memory(&verdicts));
    let share = "\nEach as a percentage of min(peak, bandwidth x intensity).\n";
    let what = "Convolutions by intensity and rate, below the roofline";
    let above = format!("{share}{}", image(what, ROOFLINE, &pictures.roofline));
    page += &section("Convolutions", &above, &convolutions(&entries, &ceilings));
    page += &section("Other rows", "", &others(&entries, &ceilings));
    page += &section("What peers could not do", "", &report::failures(&verdicts));
    if !notes.trim().is_empty() {
        page += &format!("\n{}\n", notes.trim());
    }
    page
}

/// The peers with their versions.
fn peers(lines: &[Line]) -> String {
    let mut peers: Vec<_> = lines
        .iter()
        .filter(|line| !line.is_ours() && !line.version.is_empty())
        .map(|line| match line.peer.as_str() {
            "crates" => format!("{} {}", line.mode, line.version),
            peer => format!("{peer} {}", line.version),
        })
        .collect();
    peers.sort();
    peers.dedup();
    if peers.is_empty() { String::new() } else { format!("\nThe peers: {}.\n", peers.join(", ")) }
}

/// A section, or nothing where the run has no row for it.
fn section(title: &str, above: &str, table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    format!("\n## {title}\n{above}{}", table.markdown())
}

fn image(what: &str, file: &str, picture: &Option<String>) -> String {
    picture.as_ref().map_or_else(String::new, |_| format!("\n![{what}]({file})\n"))
}

fn ceiling_table(entries: &[Entry]) -> Table {
    let mut table = Table::new(&["ceiling", "rate"], &[0]);
    for entry in entries.iter().filter(|e| e.is_ours() && e.name.starts_with(ROOM)) {
        let unit = entry.unit.replace("GF/s", "GFLOP/s");
        let rate = format!("{} {unit}", or_blank(Ceilings::best(entry)));
        table.row(vec![format!("`{}`", entry.name), rate]);
    }
    table
}

/// Whole networks: ours, the best peer, and how far the floor is.
fn networks(entries: &[Entry], ceilings: &Ceilings, verdicts: &[Verdict<'_>]) -> Table {
    let heads = &["row", "ours", "best peer", "", "ours / best", "ms", "floor ms", "floor / ours"];
    let mut table = Table::new(heads, &[0, 3]);
    for ours in entries.iter().filter(|entry| entry.is_ours() && is_network(&entry.name)) {
        let verdict = verdicts.iter().find(|verdict| verdict.ours.name == ours.name);
        let best = verdict.and_then(Verdict::best);
        let ratio = verdict.and_then(Verdict::ratio);
        let floor = ceilings.floor_ms(&ours.work());
        table.row(vec![
            format!("`{}`", ours.name),
            format!("{} {}", or_blank(ours.value), ours.unit),
            or_blank(best.and_then(|best| best.value)),
            best.map_or_else(String::new, |best| format!("{} {}", best.peer, best.mode)),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            or_blank(ours.median_ms),
            or_blank(floor),
            percent(floor, ours.median_ms),
        ]);
    }
    table
}

fn slower(verdicts: &[Verdict<'_>]) -> Table {
    let mut table = Table::new(&["row", "faster peer", "peer / ours"], &[0, 1]);
    for verdict in verdicts.iter().filter(|verdict| verdict.is_slower()) {
        let Some(ours) = verdict.ours.value.filter(|&value| value > 0.0) else { continue };
        for peer in &verdict.peers {
            let Some(value) = peer.value.filter(|&value| value > ours) else { continue };
            table.row(vec![
                format!("`{}`", verdict.ours.name),
                format!("{} {}", peer.peer, peer.mode),
                format!("{:.2}", value / ours),
            ]);
        }
    }
    table
}

/// A line for each convolution, with its passes beside each other.
fn convolutions(entries: &[Entry], ceilings: &Ceilings) -> Table {
    const PASSES: [&str; 3] = ["forward", "input_grad", "weight_grad"];
    let heads =
        &["convolution", "forward", "input gradient", "weight gradient", "attainable GFLOP/s"];
    let mut table = Table::new(heads, &[0]);
    let ours: Vec<_> =
        entries.iter().filter(|e| e.is_ours() && e.name.starts_with("conv2d/")).collect();
    let mut names: Vec<&str> =
        ours.iter().filter_map(|entry| Some(entry.name.rsplit_once('/')?.0)).collect();
    names.dedup();
    for name in names {
        let pass = |pass: &str| {
            ours.iter().find(|entry| entry.name.strip_prefix(name) == Some(&format!("/{pass}")))
        };
        let share = |pass: &&Entry| {
            let work = pass.work();
            percent(work.gflops(), ceilings.attainable(&work))
        };
        let mut cells = vec![format!("`{name}`")];
        cells.extend(PASSES.map(|p| pass(p).map_or_else(String::new, share)));
        let attainable = pass("forward").and_then(|entry| ceilings.attainable(&entry.work()));
        cells.push(attainable.map_or_else(String::new, three_digits));
        table.row(cells);
    }
    table
}

fn others(entries: &[Entry], ceilings: &Ceilings) -> Table {
    let mut table = Table::new(&["row", "ms", "rate", "of peak", "of copy"], &[0]);
    let is_other =
        |name: &str| !is_network(name) && !name.starts_with("conv2d/") && !name.starts_with(ROOM);
    for entry in entries.iter().filter(|entry| entry.is_ours() && is_other(&entry.name)) {
        let work = entry.work();
        table.row(vec![
            format!("`{}`", entry.name),
            or_blank(entry.median_ms),
            format!("{} {}", or_blank(entry.value), entry.unit),
            percent(work.gflops(), ceilings.peak(&entry.name)),
            percent(work.gbytes(), ceilings.copy),
        ]);
    }
    table
}

fn is_network(name: &str) -> bool {
    name.starts_with("train/") || name.starts_with("infer/")
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn lines(torch: f64) -> Vec<Line> {
        let ours = |name: &str, value| line("ferrotape", "default", name, value);
        let mut convolution = ours("conv2d/x.conv1/b1/f32/forward", 100.0);
        // 10 ms: 1 GFLOP and 10 MB are 100 of the 200 GFLOP/s that the peak allows.
        (convolution.flops, convolution.bytes) = (Some(1e9), Some(1e7));
        let mut train = ours("train/x/b1/f32", 100.0);
        (train.flops, train.bytes) = (Some(1e9), Some(1e7));
        vec![
            ours("ceiling/fma/f32", 200.0),
            ours("ceiling/copy", 10.0),
            train,
            convolution,
            ours("pool/x", 10.0),
            Line {
                version: "2.15.0".to_owned(),
                ..line("torch", "compile", "train/x/b1/f32", torch)
            },
        ]
    }

    fn written(torch: f64, notes: &str) -> String {
        let lines = lines(torch);
        page(&lines, &Pictures::draw(&lines).unwrap(), notes)
    }

    #[test]
    fn the_page_has_networks_with_their_floor_and_convolutions_with_their_share() {
        let page = written(50.0, "");
        let row =
            "| `train/x/b1/f32` | 100 img/s | 50.0 | torch compile | 2.00 | 10.0 | 5.00 | 50 % |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| `conv2d/x.conv1/b1/f32` | 50 % |  |  | 200 |"), "{page}");
        assert!(page.contains("| `pool/x` |"), "{page}");
        assert!(page.contains("below the roofline](performance-roofline.svg)"), "{page}");
        assert!(page.contains("No peer is faster"), "{page}");
    }

    #[test]
    fn every_row_where_a_peer_wins_is_listed() {
        let page = written(125.0, "");
        assert!(page.contains("\nThe peers: torch 2.15.0.\n"), "{page}");
        assert!(page.contains("| `train/x/b1/f32` | torch compile | 1.25 |"), "{page}");
        assert!(!page.contains("No peer is faster"), "{page}");
    }

    #[test]
    fn what_a_person_wrote_ends_the_page() {
        assert!(written(50.0, "## Why\n\nBecause.\n").ends_with("\n\n## Why\n\nBecause.\n"));
    }

    #[test]
    fn the_table_of_contents_lists_the_page_once() {
        let once = with_entry("# Summary\n\n- [A](a.md)\n");
        assert_eq!(once, "# Summary\n\n- [A](a.md)\n- [Performance](performance.md)\n");
        assert_eq!(with_entry(&once), once);
    }

    #[test]
    fn writing_again_replaces_the_page_and_keeps_the_notes() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["docs", "benches"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join(SUMMARY), "# Summary\n").unwrap();
        fs::write(root.path().join(NOTES), "## Why\n\nBecause.\n").unwrap();
        write(root.path(), &lines(50.0)).unwrap();
        write(root.path(), &lines(50.0)[..4]).unwrap();
        let text = fs::read_to_string(root.path().join(PAGE)).unwrap();
        assert_eq!(text.matches("Because.").count(), 1);
        assert!(root.path().join("docs").join(ROOFLINE).exists());
        assert!(!root.path().join("docs").join(BARS).exists());
        assert!(write(&root.path().join("none"), &lines(50.0)).is_err());
    }
}
