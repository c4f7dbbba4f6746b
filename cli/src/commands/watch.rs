//! `watch`: a run at a coordinator, to its end.

use std::future::pending;

use muster_proto::v1::Run;
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
use crate::render::{json, run};

/// `muster watch RUN`.
pub async fn watch(args: WatchArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let client = Client::connect(args.coordinator.target()).await?;
    let run_id = client.run_id(&args.run).await?;
    to_the_end(&client, &run_id, args.json, stderr).await
}

/// Follows a run until it is over, and tells how it ended.
pub async fn to_the_end(client: &Client, run_id: &str, as_json: bool, stderr: &Stderr) -> Result<Exit, Failure> {
    let until = Until { stop: interrupt::listen(stderr)?, trouble: pending(), paused: false };
    let followed = if as_json {
        follow(client, run_id, until, &mut JsonLines { stderr }).await?
    } else {
        let mut shown = Shown { display: Display::new(stderr) };
        let followed = follow(client, run_id, until, &mut shown).await;
        shown.display.finish();
        followed?
    };
    match followed {
        Followed::Over(last) => {
            if !as_json {
                output::remark(&run::show(&last))?;
            }
            conclude(&last, &client.flag(), as_json, stderr);
            Ok(exit::of_run(&last))
        }
        Followed::Paused(_) | Followed::Stopped(_) => {
            let flag = client.flag();
            manner::remark(stderr, &format!("stopped watching; run {run_id} goes on: muster watch {run_id}{flag}"));
            Ok(Exit::Other)
        }
    }
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
    format!("the coordinator is away ({}); trying to reach it for a minute", crate::render::clean(why))
}
