//! How far a run is: a few lines of fixed shape for a terminal, or one line for a log.

use std::time::Duration;

use console::{Alignment, measure_text_width, pad_str, truncate_str};
use muster_proto::v1::{Run, RunState};

use super::fold::fold;
use super::numbers::{count, counted, duration, rate, whole_seconds};
use super::paint::{Tone, err};
use super::{clean, run_state};
pub use muster_coordinator::words::progress::settled;
use muster_coordinator::words::progress::{eta, share, total};

/// A run at a moment, with what only a watcher knows.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// As the coordinator told it last.
    pub run: &'a Run,
    /// Since the run's start.
    pub elapsed: Duration,
    /// Records that came to an outcome, per second, of late.
    pub per_second: f64,
    /// The watcher has been asked to stop and waits for what is on its way.
    pub draining: bool,
}

/// Width of one cell of the live display, and of the gap between two: two cells fit into 39 columns.
const CELL: usize = 18;
const GAP: usize = 2;
/// Most lines that a note is folded into.
const NOTE_LINES: usize = 3;

/// The live display at a width. No line is wider than `width`; its shape depends on the width and on whether there is
/// a note, so that nothing jumps.
pub fn live(moment: Moment<'_>, width: usize) -> Vec<String> {
    let cells = cells(moment);
    let in_a_row = ((width + GAP) / (CELL + GAP)).clamp(1, cells.len());
    // Rows of the same length look better than a full row and a rest.
    let in_a_row = cells.len().div_ceil(cells.len().div_ceil(in_a_row));
    let mut lines = vec![head(moment, width)];
    lines.extend(note(moment).iter().flat_map(|note| folded(note, width)).map(|line| err(Tone::Attention, &line)));
    lines.extend(cells.chunks(in_a_row).map(|row| row.join("  ")));
    lines.iter().map(|line| truncate_str(line, width, "").into_owned()).collect()
}

/// Run, bar, share and time.
fn head(moment: Moment<'_>, width: usize) -> String {
    let progress = moment.run.progress.unwrap_or_default();
    let share = total(&progress).map(|total| share(settled(&progress) + progress.unchanged, total));
    let percent = share.map_or_else(|| "  ?%".to_owned(), |share| format!("{share:>3}%"));
    let right = format!(" {percent} {:>8}", duration(moment.elapsed));
    let room = width.saturating_sub(right.len());
    let name = truncate_str(&clean(&moment.run.run_id), room, "~").into_owned();
    let left = room.saturating_sub(measure_text_width(&name) + 1);
    let name = err(Tone::Heading, &name);
    match left.min(60) {
        // Too short to say anything.
        0..7 => format!("{}{right}", pad_str(&name, room, Alignment::Left, None)),
        bar => format!("{name} {}{right}", drawn_bar(share.unwrap_or(0), bar)),
    }
}

/// What a watcher should know of a run that does not simply go on.
pub fn note(moment: Moment<'_>) -> Option<String> {
    let progress = moment.run.progress.unwrap_or_default();
    match moment.run.state() {
        RunState::Paused => Some(format!("paused: {}", clean(&moment.run.state_reason))),
        RunState::Cancelling => {
            let open = counted(progress.deliveries_open, "delivery on its way is", "deliveries on their way are");
            Some(format!("cancelling: {open} awaited"))
        }
        _ if moment.draining => {
            let batches = counted(progress.batches_leased, "batch", "batches");
            Some(format!("draining: {batches} to finish; Ctrl-C again to stop at once"))
        }
        _ => None,
    }
}

/// The text in a few lines; what does not fit into them is cut off.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = fold(text, width);
    if lines.len() > NOTE_LINES {
        lines.truncate(NOTE_LINES);
        if let Some(last) = lines.last_mut() {
            *last = truncate_str(&format!("{last} ..."), width, "...").into_owned();
        }
    }
    lines
}

/// `[====>     ]`, `width` characters with its brackets.
fn drawn_bar(percent: u8, width: usize) -> String {
    let inside = width - 2;
    let full = inside * usize::from(percent) / 100;
    let tip = if full < inside { ">" } else { "" };
    format!("[{}{tip}{}]", "=".repeat(full), " ".repeat(inside - full - tip.len()))
}

/// How long the rest takes; of a run that is over, doubts are left and nobody works on them.
fn left(moment: Moment<'_>) -> Option<Duration> {
    let goes_on = moment.run.finished_at.is_none();
    goes_on.then(|| eta(&moment.run.progress.unwrap_or_default(), moment.per_second)).flatten()
}

fn cells(moment: Moment<'_>) -> Vec<String> {
    let progress = moment.run.progress.unwrap_or_default();
    let left = left(moment).map_or_else(|| "-".to_owned(), whole_seconds);
    let attention = |number: i64| (number > 0).then_some(Tone::Attention);
    let unchanged = ("unchanged", count(progress.unchanged), None);
    let goes_on = !moment.run.since_run.is_empty();
    let cells = [
        ("listed", count(progress.listed), None),
        ("fetched", count(progress.fetched), None),
        ("loaded", count(progress.loaded), None),
        ("rate", rate(moment.per_second), None),
        ("dead", count(progress.dead_letter), attention(progress.dead_letter)),
        ("in doubt", count(progress.in_doubt), attention(progress.in_doubt)),
        ("workers", progress.workers.to_string(), None),
        ("ETA", left, None),
    ];
    let cells = cells.into_iter().chain(goes_on.then_some(unchanged));
    let drawn = cells.map(|(name, value, tone)| {
        let name = format!("{name:<8}");
        let value = format!("{value:>width$}", width = CELL - name.len());
        match tone {
            Some(tone) => err(tone, &format!("{name}{value}")),
            None => format!("{}{value}", err(Tone::Hint, &name)),
        }
    });
    drawn.collect()
}

/// The same as one line, without a newline.
pub fn plain(moment: Moment<'_>) -> String {
    let progress = moment.run.progress.unwrap_or_default();
    let of = match total(&progress) {
        Some(total) if !progress.listing_closed => format!(" of about {}", count(total)),
        _ => String::new(),
    };
    // Of a run that is over, its last seconds say little.
    let over = moment.run.finished_at.is_some() && !moment.elapsed.is_zero();
    let per_second = if over { settled(&progress) as f64 / moment.elapsed.as_secs_f64() } else { moment.per_second };
    let left = left(moment).map_or_else(String::new, |left| format!(", ETA {}", whole_seconds(left)));
    let unchanged = match progress.unchanged {
        0 => String::new(),
        unchanged => format!(", unchanged {}", count(unchanged)),
    };
    format!(
        "{} {} after {}: listed {}{of}{unchanged}, fetched {}, loaded {}, dead {}, in doubt {}, {}{left}, workers {}",
        moment.run.run_id,
        run_state(moment.run.state()),
        duration(moment.elapsed),
        count(progress.listed),
        count(progress.fetched),
        count(progress.loaded),
        count(progress.dead_letter),
        count(progress.in_doubt),
        rate(per_second),
        progress.workers,
    )
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::Progress;

    use super::*;

    fn run() -> Run {
        Run {
            run_id: "animals-1x2y3z4w".into(),
            state: RunState::Running.into(),
            progress: Some(Progress {
                pages_committed: 50,
                pages_total: 100,
                listed: 1500,
                fetched: 1400,
                loaded: 1299,
                dead_letter: 1,
                in_doubt: 100,
                workers: 2,
                ..Progress::default()
            }),
            ..Run::default()
        }
    }

    fn moment(run: &Run) -> Moment<'_> {
        Moment { run, elapsed: Duration::from_millis(12_300), per_second: 850.0, draining: false }
    }

    #[test]
    fn forty_columns_take_two_cells_a_row() {
        assert_eq!(
            live(moment(&run()), 39),
            [
                "animals-1x2y3z4w [==>   ]  43%   12.3 s",
                "listed       1,500  fetched      1,400",
                "loaded       1,299  rate         850/s",
                "dead             1  in doubt       100",
                "workers          2  ETA            2 s",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let paused = Run {
            state: RunState::Paused.into(),
            state_reason: "the target answers 401 to every delivery: \u{5de5}\u{5177} ".repeat(9),
            run_id: "\u{5de5}".repeat(73),
            ..run()
        };
        for width in [1, 7, 18, 30, 39, 40, 79, 120, 199] {
            for run in [run(), paused.clone()] {
                let lines = live(moment(&run), width);
                assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{width}: {lines:#?}");
            }
        }
        assert_eq!(live(moment(&run()), 79).len(), 3);
        assert_eq!(live(moment(&run()), 199).len(), 2);
    }

    #[test]
    fn what_does_not_simply_go_on_is_told_in_words() {
        let paused = Run { state: RunState::Paused.into(), state_reason: "the target answers 401".into(), ..run() };
        assert_eq!(live(moment(&paused), 39)[1], "paused: the target answers 401");
        let draining = |batches_leased| {
            let progress = Some(Progress { batches_leased, ..Progress::default() });
            note(Moment { draining: true, ..moment(&Run { progress, ..run() }) }).expect("a note")
        };
        assert_eq!(draining(3), "draining: 3 batches to finish; Ctrl-C again to stop at once");
        assert_eq!(draining(1), "draining: 1 batch to finish; Ctrl-C again to stop at once");
        let progress = Some(Progress { deliveries_open: 1, ..Progress::default() });
        let cancelling = Run { state: RunState::Cancelling.into(), progress, ..run() };
        assert_eq!(note(moment(&cancelling)).expect("a note"), "cancelling: 1 delivery on its way is awaited");
        assert_eq!(note(moment(&run())), None);
    }

    #[test]
    fn long_notes_are_folded_and_bounded() {
        assert_eq!(folded("a b c d", 3), ["a b", "c d"]);
        assert_eq!(folded("a b c d e f g", 3), ["a b", "c d", "..."]);
    }

    #[test]
    fn the_plain_line_says_the_same() {
        assert_eq!(
            plain(moment(&run())),
            "animals-1x2y3z4w running after 12.3 s: listed 1,500 of about 3,000, fetched 1,400, loaded 1,299, dead 1, \
             in doubt 100, 850/s, ETA 2 s, workers 2"
        );
        let over = Run { finished_at: Some(prost_types::Timestamp::default()), ..run() };
        assert!(plain(moment(&over)).contains(" in doubt 100, 106/s, workers 2"), "{}", plain(moment(&over)));
        assert_eq!(live(moment(&over), 39)[4], "workers          2  ETA              -");
    }

    #[test]
    fn what_is_unchanged_is_done_but_was_no_work() {
        let progress = Progress { listing_closed: true, listed: 100, unchanged: 50, loaded: 25, ..Progress::default() };
        let run = Run { progress: Some(progress), since_run: "animals-0".into(), ..run() };
        assert_eq!(settled(&progress), 25);
        assert_eq!(eta(&progress, 5.0), Some(Duration::from_secs(5)));
        let lines = live(moment(&run), 39);
        assert!(lines[0].contains("75%") && lines.last() == Some(&"unchanged       50".to_owned()), "{lines:#?}");
        assert!(plain(moment(&run)).contains("listed 100, unchanged 50, fetched 0"), "{}", plain(moment(&run)));
    }
}
