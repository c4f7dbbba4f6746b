//! How far a run is: a few lines of fixed shape for a terminal, or one line for a log.

use std::time::Duration;

use muster_proto::v1::{Progress, Run, RunState};

use super::numbers::{count, duration, rate};
use super::run_state;

/// A run at a moment, with what only a watcher knows.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// As the coordinator told it last.
    pub run: &'a Run,
    /// Since the run's start.
    pub elapsed: Duration,
    /// Records that came to an outcome, per second, of late.
    pub per_second: f64,
}

/// Width of one cell of the live display, and of the gap between two: two cells fit into 39 columns.
const CELL: usize = 18;
const GAP: usize = 2;

/// The live display at a width, without a newline at its end. No line is longer than `width`; its shape depends on the
/// width alone, so that nothing jumps.
pub fn live(moment: Moment<'_>, width: usize) -> String {
    let width = width.max(CELL);
    let mut lines = vec![console::truncate_str(&head(moment, width), width, "").into_owned()];
    let cells = cells(moment);
    let in_a_row = ((width + GAP) / (CELL + GAP)).clamp(1, cells.len());
    // Rows of the same length look better than a full row and a rest.
    let in_a_row = cells.len().div_ceil(cells.len().div_ceil(in_a_row));
    lines.extend(cells.chunks(in_a_row).map(|row| row.join("  ").trim_end().to_owned()));
    lines.join("\n")
}

/// Run, bar, share and time.
fn head(moment: Moment<'_>, width: usize) -> String {
    let progress = moment.run.progress.unwrap_or_default();
    let share = total(&progress).map(|total| share(settled(&progress), total));
    let percent = share.map_or_else(|| "  ?%".to_owned(), |share| format!("{share:>3}%"));
    let state = match moment.run.state() {
        RunState::Running => String::new(),
        state => format!(" {}", run_state(state)),
    };
    let right = format!("{state} {percent} {:>8}", duration(moment.elapsed));
    let room = width.saturating_sub(right.len());
    let name = console::truncate_str(&moment.run.run_id, room, "~").into_owned();
    match room.saturating_sub(name.len() + 1).min(60) {
        // Too short to say anything.
        0..7 => format!("{name:room$}{right}"),
        bar => format!("{name} {}{right}", drawn_bar(share.unwrap_or(0), bar)),
    }
}

/// `[====>     ]`, `width` characters with its brackets.
fn drawn_bar(percent: u8, width: usize) -> String {
    let inside = width - 2;
    let full = inside * usize::from(percent) / 100;
    let tip = if full < inside { ">" } else { "" };
    format!("[{}{tip}{}]", "=".repeat(full), " ".repeat(inside - full - tip.len()))
}

fn cells(moment: Moment<'_>) -> [String; 8] {
    let progress = moment.run.progress.unwrap_or_default();
    let left = eta(&progress, moment.per_second).map_or_else(|| "-".to_owned(), duration);
    [
        ("listed", count(progress.listed)),
        ("fetched", count(progress.fetched)),
        ("loaded", count(progress.loaded)),
        ("rate", rate(moment.per_second)),
        ("dead", count(progress.dead_letter)),
        ("in doubt", count(progress.in_doubt)),
        ("workers", progress.workers.to_string()),
        ("ETA", left),
    ]
    .map(|(name, value)| format!("{name:<8}{value:>width$}", width = CELL - 8))
}

/// The same as one line, without a newline.
pub fn plain(moment: Moment<'_>) -> String {
    let progress = moment.run.progress.unwrap_or_default();
    let of = match total(&progress) {
        Some(total) if !progress.listing_closed => format!(" of about {}", count(total)),
        _ => String::new(),
    };
    let left = eta(&progress, moment.per_second).map_or_else(String::new, |left| format!(", ETA {}", duration(left)));
    format!(
        "{} {} after {}: listed {}{of}, fetched {}, loaded {}, dead {}, in doubt {}, {}{left}, workers {}",
        moment.run.run_id,
        run_state(moment.run.state()),
        duration(moment.elapsed),
        count(progress.listed),
        count(progress.fetched),
        count(progress.loaded),
        count(progress.dead_letter),
        count(progress.in_doubt),
        rate(moment.per_second),
        progress.workers,
    )
}

/// Records that have come to an outcome.
pub fn settled(progress: &Progress) -> i64 {
    progress.loaded + progress.dead_letter + progress.gone
}

/// How many records there will be: known when listing is over, estimated from the pages before, else unknown.
fn total(progress: &Progress) -> Option<i64> {
    if progress.listing_closed {
        Some(progress.listed)
    } else if progress.pages_committed > 0 && progress.pages_total > 0 {
        Some(progress.listed.saturating_mul(progress.pages_total) / progress.pages_committed)
    } else {
        None
    }
}

/// Whole percent; 100 only when all is done.
fn share(settled: i64, total: i64) -> u8 {
    if total <= 0 || settled >= total {
        return if settled >= total { 100 } else { 0 };
    }
    u8::try_from(settled.max(0).saturating_mul(100) / total).unwrap_or(99)
}

/// How long the rest takes at this pace, if that can be told.
fn eta(progress: &Progress, per_second: f64) -> Option<Duration> {
    let rest = total(progress)? - settled(progress);
    match rest {
        ..=0 => None,
        _ if per_second <= 0.01 => None,
        _ => Duration::try_from_secs_f64(rest as f64 / per_second).ok(),
    }
}

#[cfg(test)]
mod tests {
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
        Moment { run, elapsed: Duration::from_millis(12_300), per_second: 850.0 }
    }

    #[test]
    fn forty_columns_take_two_cells_a_row() {
        assert_eq!(
            live(moment(&run()), 39),
            "animals-1x2y3z4w [==>   ]  43%   12.3 s\n\
             listed       1,500  fetched      1,400\n\
             loaded       1,299  rate         850/s\n\
             dead             1  in doubt       100\n\
             workers          2  ETA          2.0 s"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let paused = Run { state: RunState::Cancelling.into(), run_id: "x".repeat(73), ..run() };
        for width in [18, 30, 39, 40, 79, 120, 199] {
            for run in [run(), paused.clone()] {
                let text = live(moment(&run), width);
                assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            }
        }
        assert_eq!(live(moment(&run()), 79).lines().count(), 3);
        assert_eq!(live(moment(&run()), 199).lines().count(), 2);
    }

    #[test]
    fn the_plain_line_says_the_same() {
        assert_eq!(
            plain(moment(&run())),
            "animals-1x2y3z4w running after 12.3 s: listed 1,500 of about 3,000, fetched 1,400, loaded 1,299, dead 1, \
             in doubt 100, 850/s, ETA 2.0 s, workers 2"
        );
    }

    #[test]
    fn nothing_is_promised_before_it_is_known() {
        assert_eq!(total(&Progress::default()), None);
        assert_eq!(eta(&Progress::default(), 5.0), None);
        assert_eq!((share(0, 0), share(999, 1000), share(1000, 1000), share(0, 10)), (100, 99, 100, 0));
        let closed = Progress { listing_closed: true, listed: 100, loaded: 50, ..Progress::default() };
        assert_eq!(eta(&closed, 0.0), None);
        assert_eq!(eta(&closed, 10.0), Some(Duration::from_secs(5)));
    }
}
