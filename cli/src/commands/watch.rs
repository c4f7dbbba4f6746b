//! `watch`: a run at a coordinator, to its end.

use std::future::pending;
use std::mem;

use muster_proto::v1::{Run, RunState};
use muster_telemetry::Stderr;

use crate::args::WatchArgs;
use crate::client::Client;
use crate::display::Display;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::follow::{Followed, Until, Watcher, Wish, follow};
use crate::interrupt;
use crate::manner;
use crate::output::{self, Reader};
use crate::render::advice::advice;
use crate::render::paint::{self, Tone};
use crate::render::{clean, json, run};

/// How a run is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watching {
    /// A line of JSON for each change, instead of a display.
    pub as_json: bool,
    /// A pause ends it.
    pub until_paused: bool,
}

/// `muster watch RUN`.
pub async fn watch(args: WatchArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let client = Client::connect(args.coordinator.target()).await?;
    let run_id = client.run_id(&args.run).await?;
    let watching = Watching { as_json: args.json, until_paused: args.until_paused };
    to_the_end(&client, &run_id, watching, stderr).await
}

/// Follows a run until it is over, and tells how it ended.
pub async fn to_the_end(client: &Client, run_id: &str, how: Watching, stderr: &Stderr) -> Result<Exit, Failure> {
    let Watching { as_json, until_paused } = how;
    let flag = client.flag();
    let until = Until { stop: interrupt::listen(stderr)?, trouble: pending(), paused: until_paused };
    let followed = if as_json {
        let mut lines = Telling { watcher: JsonLines { stderr }, stderr, flag: &flag, is_paused: false };
        follow(client, run_id, until, &mut lines).await?
    } else {
        let shown = Shown { display: Display::new(stderr) };
        let mut shown = Telling { watcher: shown, stderr, flag: &flag, is_paused: false };
        let followed = follow(client, run_id, until, &mut shown).await;
        shown.watcher.display.finish();
        followed?
    };
    match followed {
        Followed::Over(last) => {
            if !as_json {
                output::remark(&run::show(&last))?;
            }
            conclude(&last, &flag, as_json, stderr);
            Ok(exit::of_run(&last))
        }
        Followed::Paused(last) | Followed::Stopped(Some(last)) => {
            manner::remark(stderr, &stopped(&last, &flag));
            Ok(Exit::Other)
        }
        Followed::Stopped(None) => {
            manner::remark(stderr, &goes_on(run_id, &flag));
            Ok(Exit::Other)
        }
    }
}

/// That nobody watches the run any more, which stood like this when it was last heard of.
fn stopped(last: &Run, flag: &str) -> String {
    match last.state() {
        RunState::Paused => format!("stopped watching; {}", paused(last, flag)),
        _ => goes_on(&last.run_id, flag),
    }
}

fn goes_on(run_id: &str, flag: &str) -> String {
    format!("stopped watching; run {run_id} goes on: muster watch {run_id}{flag}")
}

/// That a run is paused, why, and what lets it go on.
fn paused(run: &Run, flag: &str) -> String {
    format!("{}; let it go on: muster resume {}{flag}", clean(&run::in_a_line(run)), run.run_id)
}

/// Says what to do next about a run that did not go well; to who wants no summary, in a line that it did not. `flag`
/// leads to its ledger.
pub fn conclude(last: &Run, flag: &str, as_json: bool, stderr: &Stderr) {
    if manner::is_quiet() {
        if exit::of_run(last) != Exit::Fine {
            stderr.write_lines(format!("{}\n", Failure::new(run::in_a_line(last)).painted()).as_bytes());
        }
        return;
    }
    for line in if as_json { Vec::new() } else { advice(last, flag) } {
        manner::remark(stderr, &format!("{} {line}", paint::err(Tone::Heading, "help:")));
    }
}

/// A watcher with a display.
pub struct Shown {
    /// Where it is shown.
    pub display: Display,
}

impl Watcher for Shown {
    fn news(&mut self, run: &Run) -> Result<Wish, Failure> {
        self.display.update(run.clone());
        Ok(Wish::More)
    }

    fn tick(&mut self) {
        self.display.tick();
    }

    fn away(&mut self, why: &str) {
        self.display.say(&away(why));
    }
}

/// A watcher that tells of a pause in a process that is to be quiet: the run waits for somebody, and nothing else would say
/// so.
struct Telling<'a, W> {
    watcher: W,
    stderr: &'a Stderr,
    flag: &'a str,
    is_paused: bool,
}

impl<W: Watcher> Watcher for Telling<'_, W> {
    fn news(&mut self, run: &Run) -> Result<Wish, Failure> {
        let was_paused = mem::replace(&mut self.is_paused, run.state() == RunState::Paused);
        if self.is_paused && !was_paused && manner::is_quiet() {
            self.stderr.write_lines(format!("{}\n", paused(run, self.flag)).as_bytes());
        }
        self.watcher.news(run)
    }

    fn tick(&mut self) {
        self.watcher.tick();
    }

    fn away(&mut self, why: &str) {
        self.watcher.away(why);
    }
}

/// A watcher that prints each change as a line of JSON: that is its display.
struct JsonLines<'a> {
    stderr: &'a Stderr,
}

impl Watcher for JsonLines<'_> {
    fn news(&mut self, run: &Run) -> Result<Wish, Failure> {
        Ok(match output::print_json_line(&json::run(run))? {
            Reader::There => Wish::More,
            Reader::Gone => Wish::Enough,
        })
    }

    fn tick(&mut self) {}

    fn away(&mut self, why: &str) {
        manner::remark(self.stderr, &away(why));
    }
}

fn away(why: &str) -> String {
    format!("the coordinator is away ({}); trying to reach it for a minute", clean(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_watching_is_told_how_the_run_stands() {
        let of = |state: RunState| {
            let state_reason = "the target answers 401".into();
            let run = Run { run_id: "a-1".into(), state: state.into(), state_reason, ..Run::default() };
            stopped(&run, " --coordinator http://h:1")
        };
        assert_eq!(
            of(RunState::Running),
            "stopped watching; run a-1 goes on: muster watch a-1 --coordinator http://h:1"
        );
        assert_eq!(
            of(RunState::Paused),
            "stopped watching; run a-1 is paused: the target answers 401; let it go on: \
             muster resume a-1 --coordinator http://h:1"
        );
    }
}
