//! A run's records as a bar of thousandths.

use muster_proto::v1::{Counts, Progress};

use super::Tone;
use crate::words::progress::total;

/// Parts of a bar, from left to right.
pub(in crate::web) struct Bar {
    pub segments: Vec<Segment>,
}

/// A part of a bar, in thousandths of its length.
pub(in crate::web) struct Segment {
    pub name: &'static str,
    pub start: i64,
    pub length: i64,
}

impl Bar {
    /// What became of the records, as far as it is known.
    pub fn of(progress: &Progress) -> Self {
        let whole = total(progress).unwrap_or_default().max(progress.listed);
        let outcomes = progress.loaded + progress.unchanged + progress.gone + progress.dead_letter + progress.in_doubt;
        let parts: [(Tone, i64); 6] = [
            ("loaded", progress.loaded),
            ("unchanged", progress.unchanged),
            ("gone", progress.gone),
            ("dead", progress.dead_letter),
            ("doubt", progress.in_doubt),
            ("fetched", (progress.fetched + progress.unchanged - outcomes).max(0)),
        ];
        Self { segments: segments(&parts, whole) }
    }

    /// What became of the records of a run that is over, in all its rounds.
    pub fn over(counts: &Counts) -> Self {
        let parts: [(Tone, i64); 5] = [
            ("loaded", counts.loaded),
            ("unchanged", counts.unchanged),
            ("gone", counts.gone),
            ("dead", counts.dead_letter),
            ("doubt", counts.in_doubt),
        ];
        Self { segments: segments(&parts, counts.listed) }
    }

    /// One number of another.
    pub fn part(name: &'static str, number: i64, whole: i64) -> Self {
        Self { segments: segments(&[(name, number)], whole) }
    }
}

/// None is so short that it cannot be seen.
fn segments(parts: &[(&'static str, i64)], whole: i64) -> Vec<Segment> {
    const LEAST: i64 = 6;
    let mut start = 0;
    let mut segments = Vec::new();
    for (name, number) in parts.iter().filter(|(_, number)| *number > 0 && whole > 0) {
        let exact = i64::try_from(i128::from(*number) * 1000 / i128::from(whole)).unwrap_or(1000);
        let length = exact.max(LEAST).min(1000 - start);
        segments.push(Segment { name, start, length });
        start += length;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_parts_and_no_more() {
        let progress = Progress {
            listing_closed: true,
            listed: 1000,
            fetched: 600,
            loaded: 500,
            dead_letter: 1,
            ..Progress::default()
        };
        let bar = Bar::of(&progress);
        let shown: Vec<_> = bar.segments.iter().map(|part| (part.name, part.start, part.length)).collect();
        assert_eq!(shown, [("loaded", 0, 500), ("dead", 500, 6), ("fetched", 506, 99)]);
        assert!(Bar::of(&Progress::default()).segments.is_empty());
        let full =
            Progress { listing_closed: true, listed: 3, fetched: 3, loaded: 2, dead_letter: 1, ..Progress::default() };
        assert_eq!(Bar::of(&full).segments.iter().map(|part| part.length).sum::<i64>(), 999);
        let odd = Bar::part("listed", 7, 5);
        assert_eq!(odd.segments[0].length, 1000);
    }
}
