//! `demo`: a stand-in API, a run against it, and the stand-in's own book as the judge.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use animals_api::{Config, Server};
use muster_coordinator::Notify;
use muster_telemetry::Stderr;
use serde_json::json;

use crate::args::DemoArgs;
use crate::commands::run::{as_value, summary};
use crate::commands::watch::conclude;
use crate::embedded::Setup;
use crate::execute::{Order, execute};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::follow::Followed;
use crate::interrupt;
use crate::manner;
use crate::output;
use crate::pipeline_choice;
use crate::render::book;
use crate::render::numbers::{count, seconds};

/// `muster demo`.
pub async fn demo(args: DemoArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let stop = interrupt::listen(stderr)?;
    let config = config(&args)?;
    let (seed, animals) = (config.seed, config.animals);
    let server = Server::start(config, ([127, 0, 0, 1], 0).into())
        .map_err(|error| Failure::new(format!("cannot start the stand-in API on the loopback address: {error}")))?;
    let line = format!(
        "stand-in API at {}: {} animals, seed {seed}, {}% chaos",
        server.base_url(),
        count(i64::try_from(animals).unwrap_or(i64::MAX)),
        args.chaos * 100.0
    );
    manner::remark(stderr, &line);
    let order = order(&args, &server.base_url())?;
    let began = Instant::now();
    let mut took = Duration::ZERO;
    let followed = Box::pin(async {
        let followed = execute(&order, stop, stderr).await;
        took = began.elapsed();
        followed
    })
    .await;
    let book = server.book().summary();
    server.shutdown().await;
    let last = match followed? {
        Followed::Over(last) => last,
        Followed::Paused(last) => return Err(Failure::new(format!("the run paused: {}", last.state_reason))),
        Followed::Stopped(_) => {
            manner::remark(stderr, "stopped; the stand-in is gone with its animals, so this run cannot be resumed");
            return Ok(Exit::Other);
        }
    };
    let faults = book::faults(&book, &last.verdict.clone().unwrap_or_default());
    if args.json {
        let mut value = as_value(&last, &order.setup);
        value["seed"] = seed.into();
        value["wall_seconds"] = seconds(took).into();
        value["book"] = json!(book);
        value["faults"] = json!(faults);
        output::print_json(&value)?;
    } else {
        let text = summary(&last, &order.setup);
        output::remark(&format!("{text}\n{}", book::text(&book, &faults, took)))?;
    }
    conclude(&last, &format!(" --db {}", order.setup.database.display()), args.json, stderr);
    if manner::is_quiet() && !faults.is_empty() {
        let failure = Failure::new(format!("the stand-in's own book contradicts the ledger: {}", faults.join("; ")));
        stderr.write_lines(format!("{}\n", failure.painted()).as_bytes());
    }
    Ok(judge(exit::of_run(&last), &faults))
}

/// The ledger's word, unless the book contradicts it: nobody is to judge in his own cause.
fn judge(of_ledger: Exit, faults: &[String]) -> Exit {
    if faults.is_empty() { of_ledger } else { Exit::Unbalanced }
}

fn config(args: &DemoArgs) -> Result<Config, Failure> {
    let seed = match args.seed {
        Some(seed) => seed,
        // Any number will do, as long as it is printed and can be given again.
        None => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_micros())),
    };
    let seeded = Config::seeded(seed);
    let animals = args.animals.unwrap_or(seeded.animals);
    if animals > 100_000_000 {
        return Err(Failure::usage("--animals is more than this stand-in can keep a book of")
            .help("100,000,000 at most; benchmarks use the animals-api program"));
    }
    Ok(Config { animals, chaos: args.chaos, strict: args.strict, ..seeded })
}

fn order(args: &DemoArgs, base_url: &str) -> Result<Order, Failure> {
    let choice = pipeline_choice::choose("animals")?;
    let given = BTreeMap::from([("base_url".to_owned(), base_url.to_owned())]);
    let parameters = Order::resolve(&choice.pipeline, &given, None)?;
    let database = match &args.db {
        Some(database) => database.clone(),
        None => temporary_folder()?.join("muster.db"),
    };
    let (workers, concurrency) = (args.workers, args.concurrency);
    let setup = Setup {
        database,
        audit: None,
        workers,
        concurrency,
        proxy: None,
        http: args.http_listen,
        notify: Notify::default(),
    };
    Ok(Order { choice, parameters, setup, resume: false, request_id: None, since: None })
}

/// Kept after the end: the summary invites to look into the ledger.
fn temporary_folder() -> Result<PathBuf, Failure> {
    let folder = tempfile::Builder::new().prefix("muster-demo-").tempdir();
    let folder = folder.map_err(|error| {
        Failure::new(format!("cannot make a temporary folder: {error}")).help("say where the ledger goes: --db FILE")
    })?;
    Ok(folder.keep())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_has_the_last_word() {
        assert_eq!(judge(Exit::Fine, &[]), Exit::Fine);
        assert_eq!(judge(Exit::Exceptions, &[]), Exit::Exceptions);
        assert_eq!(judge(Exit::Fine, &["lost".to_owned()]), Exit::Unbalanced);
    }
}
