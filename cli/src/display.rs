//! Progress on standard error: a live display on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_proto::v1::Run;
use muster_telemetry::{Attached, Screen, Stderr};

use crate::render::numbers::from_wire;
use crate::render::progress::{self, Moment};

/// How often a caller should call [`Display::tick`]: often enough for tenths of a second to look alive.
pub const TICK: Duration = Duration::from_millis(200);
/// The rate shown is that of the last so much time.
const PACE_WINDOW: Duration = Duration::from_secs(5);
/// Most redraws of the live display per second.
const REDRAWS: u8 = 10;

/// Shows a run while it goes on.
pub struct Display {
    stderr: Stderr,
    live: Option<Live>,
    pace: Pace,
    /// The last news, and when it came.
    last: Option<(Run, Instant)>,
    next_line: Instant,
}

struct Live {
    bar: ProgressBar,
    term: Term,
    _attached: Attached,
}

/// Log lines step around the bar.
struct AroundBar(ProgressBar);

impl Screen for AroundBar {
    fn suspend(&self, write: &mut dyn FnMut()) {
        self.0.suspend(write);
    }
}

impl Display {
    /// A live display if standard error is a terminal that can move its cursor. Log lines through `stderr` do not tear
    /// it.
    pub fn new(stderr: &Stderr) -> Display {
        let term = Term::buffered_stderr();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term(term.clone(), REDRAWS));
        let live = (!bar.is_hidden()).then(|| {
            // The text is drawn here, to a width that is known here: a template has only the whole line.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            let attached = stderr.attach(Arc::new(AroundBar(bar.clone())));
            Live { bar, term, _attached: attached }
        });
        Display { stderr: stderr.clone(), live, pace: Pace::default(), last: None, next_line: Instant::now() }
    }

    /// Takes news of the run.
    pub fn update(&mut self, run: Run) {
        let now = Instant::now();
        self.pace.note(now, progress::settled(&run.progress.unwrap_or_default()));
        let turned = self.last.as_ref().is_none_or(|(last, _)| last.state() != run.state());
        self.last = Some((run, now));
        if turned {
            self.next_line = now;
        }
        self.tick();
    }

    /// Shows where the run is by now, without news of it.
    pub fn tick(&mut self) {
        let Some((run, heard)) = &self.last else { return };
        let now = Instant::now();
        let told = from_wire(run.elapsed.as_ref());
        let elapsed = if run.finished_at.is_some() { told } else { told + now.duration_since(*heard) };
        let moment = Moment { run, elapsed, per_second: self.pace.per_second(now) };
        if let Some(live) = &self.live {
            // The last column stays free: some terminals wrap a line that fills it.
            let width = usize::from(live.term.size().1).saturating_sub(1);
            live.bar.set_message(progress::live(moment, width));
        } else if now >= self.next_line {
            self.stderr.write_lines(format!("{}\n", progress::plain(moment)).as_bytes());
            self.next_line = now + line_interval(elapsed);
        }
    }

    /// Says something in a line of its own.
    pub fn say(&self, line: &str) {
        self.stderr.write_lines(format!("{line}\n").as_bytes());
    }

    /// Takes the display off the terminal, so that a summary can take its place.
    pub fn finish(self) {
        if let Some(live) = &self.live {
            live.bar.finish_and_clear();
        }
    }
}

/// Lines come often at first and ever less often, so that a run of a day leaves no more than a screen or two an hour.
fn line_interval(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(Duration::from_secs(2), Duration::from_secs(60))
}

/// The rate of late.
#[derive(Debug, Default)]
struct Pace(VecDeque<(Instant, i64)>);

impl Pace {
    fn note(&mut self, now: Instant, settled: i64) {
        self.0.push_back((now, settled));
        // One sample from before the window stays: the window's start lies behind it.
        while self.0.get(1).is_some_and(|(time, _)| now.duration_since(*time) > PACE_WINDOW) {
            self.0.pop_front();
        }
    }

    fn per_second(&self, now: Instant) -> f64 {
        let (Some((began, first)), Some((_, latest))) = (self.0.front(), self.0.back()) else { return 0.0 };
        // Silence counts: what was settled before the window is not of late, whether or not news came since.
        let older = |(time, _): &&(Instant, i64)| now.duration_since(*time) >= PACE_WINDOW;
        let before = self.0.iter().rev().find(older).map_or(*first, |(_, settled)| *settled);
        let span = now.duration_since(*began).min(PACE_WINDOW).as_secs_f64();
        if span < 0.2 { 0.0 } else { (latest - before).max(0) as f64 / span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.per_second(at(0)), 0.0);
        pace.note(at(0), 0);
        pace.note(at(1), 1000);
        assert_eq!(pace.per_second(at(1)), 1000.0);
        // Silence lowers it: first by time, then because nothing was settled in the window.
        assert_eq!(pace.per_second(at(4)), 250.0);
        assert_eq!(pace.per_second(at(6)), 0.0);
        for second in 2..=20 {
            pace.note(at(second), 1000 + 10 * i64::try_from(second).unwrap());
        }
        assert_eq!(pace.per_second(at(20)), 10.0);
        assert!(pace.0.len() < 10, "{pace:?}");
    }

    #[test]
    fn lines_come_less_often_as_time_goes_by() {
        let at = |seconds| line_interval(Duration::from_secs(seconds)).as_secs();
        assert_eq!([at(0), at(20), at(100), at(86_400)], [2, 2, 10, 60]);
    }
}
