//! The passes of a row put together, and who is faster.

use super::ceilings::{ROOM, Work};
use super::line::{Line, OURS, median};

/// A row in one mode of one peer over all its passes; every figure is the median of the passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// `ferrotape`, or the peer.
    pub(super) peer: String,
    /// The way in which the peer was used.
    pub(super) mode: String,
    /// The row.
    pub(super) name: String,
    /// The figure; none where no pass has one.
    pub(super) value: Option<f64>,
    /// What the figure is counted in.
    pub(super) unit: String,
    /// The median of the medians, in milliseconds.
    pub(super) median_ms: Option<f64>,
    /// The fastest sample of all passes.
    pub(super) min_ms: Option<f64>,
    /// The slowest sample of all passes.
    pub(super) max_ms: Option<f64>,
    /// The samples of all passes.
    pub(super) runs: usize,
    /// Passes that have a figure.
    pub(super) passes: usize,
    /// Floating-point operations of an iteration.
    pub(super) flops: Option<f64>,
    /// The least memory traffic of an iteration.
    pub(super) bytes: Option<f64>,
    /// Activations and workspace of a training step.
    pub(super) working_mib: Option<f64>,
    /// Why there is no figure.
    pub(super) error: Option<String>,
}

impl Entry {
    /// The lines put together by peer, mode and row, in the order in which they first appear.
    pub(super) fn all(lines: &[Line]) -> Vec<Self> {
        let mut groups: Vec<Vec<&Line>> = Vec::new();
        for line in lines {
            let same = |group: &&mut Vec<&Line>| {
                let first = group[0];
                (&first.peer, &first.mode, &first.name) == (&line.peer, &line.mode, &line.name)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(line),
                None => groups.push(vec![line]),
            }
        }
        groups.iter().map(|group| Self::of(group)).collect()
    }

    fn of(group: &[&Line]) -> Self {
        let first = group[0];
        let values = |get: fn(&Line) -> Option<f64>| {
            let mut values: Vec<_> = group.iter().filter_map(|line| get(line)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let middle = |get| {
            let values = values(get);
            (!values.is_empty()).then(|| median(&values))
        };
        Self {
            peer: first.peer.clone(),
            mode: first.mode.clone(),
            name: first.name.clone(),
            value: middle(|line| line.value),
            unit: first.unit.clone(),
            median_ms: middle(|line| line.median_ms),
            min_ms: values(|line| line.min_ms).first().copied(),
            max_ms: values(|line| line.max_ms).last().copied(),
            runs: group.iter().filter_map(|line| line.runs).sum(),
            passes: group.iter().filter(|line| line.value.is_some()).count(),
            flops: first.flops,
            bytes: first.bytes,
            working_mib: middle(Line::working_mib),
            error: group.iter().find_map(|line| line.error.clone()),
        }
    }

    /// Whether we measured it on ourselves.
    pub(super) fn is_ours(&self) -> bool {
        self.peer == OURS
    }

    /// (max - min) / median.
    pub(super) fn spread(&self) -> Option<f64> {
        Some((self.max_ms? - self.min_ms?) / self.median_ms?)
    }

    /// What an iteration does, and how long it takes.
    pub(super) fn work(&self) -> Work<'_> {
        Work { name: &self.name, flops: self.flops, bytes: self.bytes, ms: self.median_ms }
    }
}

/// A row of ours beside the same row of the peers.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    /// Ours.
    pub(super) ours: &'a Entry,
    /// The best mode of each peer that has a figure, the fastest peer first.
    pub(super) peers: Vec<&'a Entry>,
    /// Modes without a figure.
    pub(super) failed: Vec<&'a Entry>,
}

impl<'a> Verdict<'a> {
    /// The verdict on every row that we and a peer were asked for.
    pub(super) fn all(entries: &'a [Entry]) -> Vec<Self> {
        let ours = entries.iter().filter(|e| e.is_ours() && !e.name.starts_with(ROOM));
        let verdicts = ours.map(|ours| Self::of(ours, entries));
        verdicts.filter(|v| !v.peers.is_empty() || !v.failed.is_empty()).collect()
    }

    fn of(ours: &'a Entry, entries: &'a [Entry]) -> Self {
        let theirs = || entries.iter().filter(|e| e.name == ours.name && !e.is_ours());
        let mut peers: Vec<_> = theirs().filter(|entry| entry.value.is_some()).collect();
        peers.sort_by(|a, b| b.value.unwrap_or(0.0).total_cmp(&a.value.unwrap_or(0.0)));
        let mut seen = Vec::new();
        peers.retain(|entry| {
            let is_new = !seen.contains(&&entry.peer);
            seen.push(&entry.peer);
            is_new
        });
        Self { ours, peers, failed: theirs().filter(|entry| entry.value.is_none()).collect() }
    }

    /// The fastest mode of all peers.
    pub(super) fn best(&self) -> Option<&'a Entry> {
        self.peers.first().copied()
    }

    /// Our rate over the best peer's.
    pub(super) fn ratio(&self) -> Option<f64> {
        Some(self.ours.value? / self.best()?.value?)
    }

    /// Whether a peer is faster.
    pub(super) fn is_slower(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio < 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    const ROW: &str = "train/x/b1/f32";

    fn passes(peer: &str, mode: &str, values: &[f64]) -> Vec<Line> {
        values.iter().map(|&value| line(peer, mode, ROW, value)).collect()
    }

    fn run() -> Vec<Entry> {
        let failed = Line {
            value: None,
            error: Some("no".to_owned()),
            ..line("candle", "default", ROW, 1.0)
        };
        let lines = [
            passes("ferrotape", "default", &[30.0, 10.0, 20.0]),
            // The lucky pass of a mode does not make it the best.
            passes("torch", "contiguous", &[99.0, 5.0, 6.0]),
            passes("torch", "compile", &[24.0, 26.0, 25.0]),
            passes("burn", "flex", &[7.0, 8.0]),
            vec![failed],
        ];
        Entry::all(&lines.concat())
    }

    #[test]
    fn a_figure_is_the_median_of_its_passes() {
        let entries = run();
        assert_eq!(entries[0].value, Some(20.0));
        assert_eq!(entries[0].passes, 3);
        assert_eq!(entries[0].runs, 15);
        assert_eq!(entries[3].value, Some(7.5));
    }

    #[test]
    fn the_best_peer_is_the_one_with_the_largest_median() {
        let entries = run();
        let verdicts = Verdict::all(&entries);
        let verdict = &verdicts[0];
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdict.best().map(|best| best.mode.as_str()), Some("compile"));
        let order: Vec<_> = verdict.peers.iter().map(|peer| peer.peer.as_str()).collect();
        assert_eq!(order, ["torch", "burn"]);
        assert_eq!(verdict.ratio(), Some(0.8));
        assert!(verdict.is_slower());
        assert_eq!(verdict.failed.len(), 1);
    }

    #[test]
    fn rows_that_no_peer_has_and_ceilings_have_no_verdict() {
        let lines = [
            line("ferrotape", "default", "conv2d/x", 1.0),
            line("ferrotape", "default", "ceiling/copy", 1.0),
            line("torch", "x", "ceiling/copy", 1.0),
        ];
        assert!(Verdict::all(&Entry::all(&lines)).is_empty());
    }

    #[test]
    fn the_range_covers_all_passes() {
        let entries = run();
        let ours = &entries[0];
        assert_eq!((ours.min_ms, ours.max_ms), (Some(0.9e3 / 30.0), Some(1.1e3 / 10.0)));
        assert!(ours.spread().unwrap() > 1.0);
    }
}
