//! Progress on standard error: a live display on a terminal, a line now and then elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_coordinator::words::pace::Pace;
use muster_proto::v1::Run;
use muster_telemetry::{Attached, Stderr};

use crate::manner;
use crate::panel::Panel;
use crate::render::numbers::from_wire;
use crate::render::progress::{self, Moment};

/// How often a caller should call [`Display::tick`]: often enough for tenths of a second to look alive.
pub const TICK: Duration = Duration::from_millis(200);

/// Shows a run while it goes on.
pub struct Display {
    stderr: Stderr,
    way: Way,
    pace: Pace,
    /// The last news, and when it came.
    last: Option<(Run, Instant)>,
    draining: bool,
}

/// How it is shown.
enum Way {
    /// On a terminal.
    Live { panel: Arc<Panel>, _attached: Attached },
    /// A line when something changes, and now and then.
    Lines { next: Instant, note: Option<String> },
    /// Not at all.
    Quiet,
}

impl Display {
    /// A live display if standard error is a terminal that can move its cursor. Log lines through `stderr` do not tear
    /// it.
    pub fn new(stderr: &Stderr) -> Display {
        let way = match Panel::on_stderr() {
            _ if manner::is_quiet() => Way::Quiet,
            Some(panel) => Way::Live { _attached: stderr.attach(panel.clone()), panel },
            None => Way::Lines { next: Instant::now(), note: None },
        };
        Display { stderr: stderr.clone(), way, pace: Pace::default(), last: None, draining: false }
    }

    /// Takes news of the run.
    pub fn update(&mut self, run: Run) {
        let now = Instant::now();
        self.pace.note(now, progress::settled(&run.progress.unwrap_or_default()));
        let turned = self.last.as_ref().is_none_or(|(last, _)| last.state() != run.state());
        self.last = Some((run, now));
        if let (Way::Lines { next, .. }, true) = (&mut self.way, turned) {
            *next = now;
        }
        self.tick();
    }

    /// From now on the watcher waits for nothing but what is on its way.
    pub fn drain(&mut self) {
        self.draining = true;
        self.tick();
    }

    /// Shows where the run is by now, without news of it.
    pub fn tick(&mut self) {
        let Some((run, heard)) = &self.last else { return };
        let now = Instant::now();
        let told = from_wire(run.elapsed.as_ref());
        let elapsed = if run.finished_at.is_some() { told } else { told + now.duration_since(*heard) };
        let moment = Moment { run, elapsed, per_second: self.pace.shown(now), draining: self.draining };
        match &mut self.way {
            // The last column stays free: some terminals wrap a line that fills it.
            Way::Live { panel, .. } => panel.draw(&progress::live(moment, panel.size().columns.saturating_sub(1))),
            Way::Lines { next, note } => {
                let mut lines = String::new();
                if now >= *next {
                    lines = format!("{}\n", progress::plain(moment));
                    *next = now + line_interval(elapsed);
                }
                // A note's numbers change all the time; that it stands there is news.
                let noted = progress::note(moment);
                if let (Some(noted), None) = (&noted, &note) {
                    lines.push_str(&format!("{} {noted}\n", run.run_id));
                }
                *note = noted;
                if !lines.is_empty() {
                    self.stderr.write_lines(lines.as_bytes());
                }
            }
            Way::Quiet => {}
        }
    }

    /// Says something in a line of its own.
    pub fn say(&self, line: &str) {
        if !matches!(self.way, Way::Quiet) {
            self.stderr.write_lines(format!("{line}\n").as_bytes());
        }
    }

    /// Takes the display off the terminal, so that a summary can take its place.
    pub fn finish(self) {
        if let Way::Live { panel, .. } = &self.way {
            panel.clear();
        }
    }
}

/// Lines come often at first and ever less often, so that a run of a day leaves no more than a screen or two an hour.
fn line_interval(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(Duration::from_secs(2), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_less_often_as_time_goes_by() {
        let at = |seconds| line_interval(Duration::from_secs(seconds)).as_secs();
        assert_eq!([at(0), at(20), at(100), at(86_400)], [2, 2, 10, 60]);
    }
}
