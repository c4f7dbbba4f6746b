//! One run in this process, from its first page to its end: what `muster run` and `muster demo` do.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::{Duration, SystemTime};

use muster_pipeline::{Pipeline, Process};
use muster_proto::v1::{GetRunRequest, ResumeRunRequest, Run, RunState, StartRunRequest};
use muster_telemetry::Stderr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::commands::lists::all_runs;
use crate::commands::watch::Shown;
use crate::display::Display;
use crate::embedded::{Crew, Embedded, Setup};
use crate::failure::Failure;
use crate::follow::{Followed, Until, follow};
use crate::manner;
use crate::pipeline_choice::Choice;
use crate::render::{self, run_state};

/// How long a run of which nothing is left is given to end, and how often it is looked at.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The newest run that will do, in place of an ID.
const LATEST: &str = "latest";

/// What is to be run, and how.
#[derive(Debug)]
pub struct Order {
    /// The pipeline.
    pub choice: Choice,
    /// Its parameters, defaults filled in, without watermarks that nobody set: what those are depends on the run that it
    /// goes on from.
    pub parameters: BTreeMap<String, String>,
    /// Ledger, audit folder, workers.
    pub setup: Setup,
    /// Go on with the run that is there.
    pub resume: bool,
    /// Of the start, if it is to be repeatable.
    pub request_id: Option<String>,
    /// The run to go on from, or latest.
    pub since: Option<String>,
}

impl Order {
    /// Fills in the defaults of the pipeline's parameters, and refuses those that it does not have.
    pub fn resolve(
        pipeline: &Pipeline,
        given: &BTreeMap<String, String>,
        since: Option<&str>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        // Whether there is a run to go on from, and when it was started, is for the coordinator to say.
        let any = since.map(|_| SystemTime::UNIX_EPOCH);
        let resolved = pipeline.resolve_parameters_since(given, any);
        let mut resolved = resolved.map_err(|error| Failure::usage(error.to_string()))?;
        for name in pipeline.watermarks().filter(|name| !given.contains_key(*name)) {
            resolved.remove(name);
        }
        Ok(resolved)
    }

    fn start_request(&self) -> StartRunRequest {
        StartRunRequest {
            pipeline: self.choice.pipeline.name().to_owned(),
            parameters: self.parameters.clone().into_iter().collect(),
            request_id: self.request_id.clone().unwrap_or_default(),
            audit_mode: self.setup.audit.is_some(),
            since_run: self.since.clone().unwrap_or_default(),
            // Nobody to share the workers with: they are this process's own.
            share: None,
        }
    }
}

/// Runs the order until the run is over, paused, or `stop` is cancelled; then drains.
pub async fn execute(order: &Order, stop: CancellationToken, stderr: &Stderr) -> Result<Followed, Failure> {
    if !order.setup.database.exists() && order.resume && order.request_id.is_none() {
        // Nothing is made for a run that cannot be there.
        return Err(nothing_to_resume(order));
    }
    if !order.resume {
        // A run that is begun keeps to its own pipeline; one that is to begin had better not pause at once.
        check_secrets(order)?;
    }
    let own = if order.choice.built_in { Vec::new() } else { vec![order.choice.pipeline.clone()] };
    let begin = async |client: &Client| begin(client, order, stderr).await;
    carry_out(&order.setup, own, begin, stop, stderr).await
}

fn check_secrets(order: &Order) -> Result<(), Failure> {
    let compiled = order.choice.pipeline.compile(&order.parameters);
    let compiled = compiled.map_err(|error| Failure::usage(error.to_string()))?;
    compiled.check_secrets(Process::Alone).map_err(|error| Failure::usage(error.to_string()))
}

/// Opens the ledger, begins or finds a run in it, and works on that until it is over, paused, or `stop` is cancelled; then
/// drains.
pub async fn carry_out(
    setup: &Setup,
    own: Vec<Pipeline>,
    begin: impl AsyncFnOnce(&Client) -> Result<Run, Failure>,
    stop: CancellationToken,
    stderr: &Stderr,
) -> Result<Followed, Failure> {
    let mut embedded = Embedded::open(setup, own).await?;
    if let Some(url) = embedded.dashboard() {
        manner::remark(stderr, &format!("dashboard at {url} while this runs"));
    }
    let followed = match begin(&embedded.client).await {
        Ok(run) => Box::pin(work(&mut embedded, setup, run, stop, stderr)).await,
        Err(failure) => Err(failure),
    };
    let drained = embedded.drain().await;
    let followed = match followed {
        Ok(followed) => after_drain(&embedded.client, followed).await,
        Err(failure) => Err(failure),
    };
    if let Ok(Followed::Over(last) | Followed::Paused(last)) = &followed {
        for not_told in embedded.told(&last.run_id).await {
            let next = "it stays in the ledger, and whoever works on that next with the same flags goes on trying";
            manner::remark(stderr, &format!("{not_told}\n{next}"));
        }
    }
    embedded.close(matches!(followed, Ok(Followed::Over(_)))).await;
    let followed = followed?;
    match drained {
        // The run's end stands in the ledger, whatever happened to a worker after it.
        Err(failure) if matches!(followed, Followed::Over(_)) => {
            stderr.write_lines(format!("{}\n", failure.painted()).as_bytes());
        }
        drained => drained?,
    }
    Ok(followed)
}

/// What was awaited has changed the run that was stopped or paused; it may even be over now.
async fn after_drain(client: &Client, followed: Followed) -> Result<Followed, Failure> {
    let (Followed::Paused(last) | Followed::Stopped(Some(last))) = &followed else { return Ok(followed) };
    let until = Instant::now() + ENDS_WITHIN;
    let run = loop {
        let request = GetRunRequest { run_id: last.run_id.clone() };
        let answer = client.runs().get_run(request).await.map_err(|status| client.failure(status))?;
        let run = answer.into_inner().run.unwrap_or_default();
        // What the workers brought home may have been the last of it: then the coordinator is about to end it.
        if !is_about_to_end(&run) || Instant::now() >= until {
            break run;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    Ok(match followed {
        _ if run.finished_at.is_some() && run.verdict.is_some() => Followed::Over(run),
        Followed::Paused(_) => Followed::Paused(run),
        _ => Followed::Stopped(Some(run)),
    })
}

/// Nothing is left of it to work on, and its verdict is still to come.
fn is_about_to_end(run: &Run) -> bool {
    let left = run.progress.as_ref().is_none_or(|progress| {
        !progress.listing_closed || progress.batches_ready + progress.batches_leased + progress.deliveries_open > 0
    });
    !left && run.finished_at.is_none() && matches!(run.state(), RunState::Running | RunState::Cancelling)
}

async fn work(
    embedded: &mut Embedded,
    setup: &Setup,
    run: Run,
    stop: CancellationToken,
    stderr: &Stderr,
) -> Result<Followed, Failure> {
    if run.finished_at.is_some() && run.verdict.is_some() {
        return Ok(Followed::Over(run));
    }
    manner::remark(stderr, &format!("run {}, ledger {}", run.run_id, setup.database.display()));
    embedded.employ(setup);
    let (client, crew) = embedded.parts();
    let mut shown = Shown { display: Display::new(stderr) };
    let until = Until { stop, trouble: crew.trouble(), paused: true };
    let followed = follow(client, &run.run_id, until, &mut shown).await;
    if let Ok(Followed::Stopped(_) | Followed::Paused(_)) = followed {
        show_draining(client, crew, &run.run_id, &mut shown).await;
    }
    shown.display.finish();
    followed
}

/// Drains the workers, and shows the run meanwhile.
async fn show_draining(client: &Client, crew: &mut Crew, run_id: &str, shown: &mut Shown) {
    shown.display.drain();
    let drained = CancellationToken::new();
    let until = Until { stop: drained.clone(), trouble: pending(), paused: false };
    let drain = async {
        crew.drain().await;
        drained.cancel();
    };
    // Showing is no more than that: whatever ends it, the workers are awaited.
    let _ = tokio::join!(drain, follow(client, run_id, until, shown));
}

/// Starts a run, or finds the one to go on with.
async fn begin(client: &Client, order: &Order, stderr: &Stderr) -> Result<Run, Failure> {
    let runs = all_runs(client, usize::MAX).await?;
    match choose(&runs, order)? {
        None => {
            let answer = client.runs().start_run(order.start_request()).await;
            let run = answer.map_err(|status| client.failure(status))?.into_inner().run.unwrap_or_default();
            if order.since.is_some() {
                manner::remark(stderr, &render::run::goes_on_from(&run));
            }
            Ok(run)
        }
        Some(run) => {
            if run.pipeline_revision != order.choice.pipeline.revision() {
                let line = format!(
                    "the pipeline was changed after round {} of run {} began: it goes on as it began, with revision {}",
                    run.round, run.run_id, run.pipeline_revision
                );
                manner::remark(stderr, &line);
            }
            if run.state() != RunState::Paused {
                return Ok(run.clone());
            }
            let request = ResumeRunRequest { run_id: run.run_id.clone() };
            let answer = client.runs().resume_run(request).await;
            Ok(answer.map_err(|status| client.failure(status))?.into_inner().run.unwrap_or_default())
        }
    }
}

/// The run to go on with, or none when one is to be started. `runs` are the ledger's, newest first.
fn choose<'a>(runs: &'a [Run], order: &Order) -> Result<Option<&'a Run>, Failure> {
    let database = order.setup.database.display();
    let unfinished = runs.iter().find(|run| run.finished_at.is_none());
    match (order.resume, unfinished) {
        (false, None) => Ok(None),
        (false, Some(run)) => Err(Failure::usage(format!(
            "{database} holds run {}, which is not over ({})",
            run.run_id,
            run_state(run.state())
        ))
        .help("go on with it: the same command with --resume")
        .help("or leave it and start anew in another file: --db FILE")),
        (true, Some(run)) => same(run, order).map(|()| Some(run)),
        // A start that can be repeated: whoever gives its request ID means that very run, begun or not.
        (true, None) if order.request_id.is_some() => Ok(None),
        (true, None) => match runs.first() {
            Some(run) => same(run, order).map(|()| Some(run)),
            None => Err(nothing_to_resume(order)),
        },
    }
}

fn nothing_to_resume(order: &Order) -> Failure {
    Failure::usage(format!("there is no run in {} to go on with", order.setup.database.display()))
        .help("to start one, leave --resume out")
        .help("a run in another file: --db FILE")
}

/// Refuses to go on with a run that is not what was typed.
fn same(run: &Run, order: &Order) -> Result<(), Failure> {
    let differs = |what: String| {
        let database = order.setup.database.display();
        Err(Failure::usage(format!("{database} holds run {}, {what}", run.run_id))
            .help("--resume goes on with the same command; a run of its own needs a file of its own: --db FILE"))
    };
    if run.pipeline != order.choice.pipeline.name() {
        return differs(format!("which is of pipeline {}", run.pipeline));
    }
    for (name, value) in &order.parameters {
        match run.parameters.get(name) {
            Some(began) if began == value => {}
            Some(began) => return differs(format!("which was started with --set {name}={began}")),
            // A later round may be of a mended pipeline, with more parameters.
            None if has_default(&order.choice.pipeline, name, value) => {}
            None => return differs(format!("which was started without a parameter {name}")),
        }
    }
    match order.since.as_deref().filter(|since| *since != LATEST) {
        Some(since) if since != run.since_run => return differs(format!("which was not started with --since {since}")),
        _ => {}
    }
    match (run.audit_mode, order.setup.audit.is_some()) {
        (true, false) => differs("which writes audit files: say where, --audit DIR".to_owned()),
        (false, true) => differs("which was started without --audit".to_owned()),
        _ => Ok(()),
    }
}

fn has_default(pipeline: &Pipeline, name: &str, value: &str) -> bool {
    pipeline.parameters().iter().any(|parameter| parameter.name == name && parameter.default.as_deref() == Some(value))
}

#[cfg(test)]
mod tests {
    use muster_coordinator::Notify;

    use super::*;
    use crate::exit::Exit;
    use crate::pipeline_choice;

    fn order(resume: bool) -> Order {
        let choice = pipeline_choice::choose("animals").expect("built in");
        let parameters = [("base_url".to_owned(), "http://h:1".to_owned())].into();
        let setup = Setup {
            database: "my.db".into(),
            audit: None,
            workers: 1,
            concurrency: None,
            proxy: None,
            http: None,
            notify: Notify::default(),
        };
        Order { choice, parameters, setup, resume, request_id: None, since: None }
    }

    fn run(id: &str, over: bool) -> Run {
        Run {
            run_id: id.into(),
            pipeline: "animals".into(),
            parameters: [("base_url".to_owned(), "http://h:1".to_owned())].into(),
            finished_at: over.then(prost_types::Timestamp::default),
            ..Run::default()
        }
    }

    fn chosen(runs: &[Run], order: &Order) -> Result<Option<String>, String> {
        choose(runs, order).map(|run| run.map(|run| run.run_id.clone())).map_err(|failure| {
            assert_eq!(failure.exit(), Exit::Usage);
            failure.to_string()
        })
    }

    #[test]
    fn a_new_run_waits_for_no_other() {
        assert_eq!(chosen(&[], &order(false)), Ok(None));
        assert_eq!(chosen(&[run("a", true)], &order(false)), Ok(None));
        let refused = chosen(&[run("b", true), run("a", false)], &order(false)).expect_err("unfinished");
        assert!(refused.contains("my.db holds run a") && refused.contains("--resume"), "{refused}");
    }

    #[test]
    fn resume_takes_the_unfinished_run_else_the_newest() {
        assert_eq!(chosen(&[run("b", true), run("a", false)], &order(true)), Ok(Some("a".into())));
        assert_eq!(chosen(&[run("b", true), run("a", true)], &order(true)), Ok(Some("b".into())));
        assert!(chosen(&[], &order(true)).expect_err("nothing there").contains("leave --resume out"));
        let repeatable = Order { request_id: Some("x".into()), ..order(true) };
        assert_eq!(chosen(&[run("b", true)], &repeatable), Ok(None));
    }

    #[test]
    fn resume_takes_no_run_of_another_kind() {
        let other = Run { pipeline: "plants".into(), ..run("a", false) };
        assert!(chosen(&[other], &order(true)).expect_err("other").contains("of pipeline plants"));
        let elsewhere = Order { parameters: [("base_url".to_owned(), "http://h:2".to_owned())].into(), ..order(true) };
        let refused = chosen(&[run("a", false)], &elsewhere).expect_err("elsewhere");
        assert!(refused.contains("started with --set base_url=http://h:1"), "{refused}");
        let audited = Run { audit_mode: true, ..run("a", false) };
        assert!(chosen(&[audited], &order(true)).expect_err("audit").contains("--audit DIR"));
        let since = |what: &str| Order { since: Some(what.into()), ..order(true) };
        let goes_on = Run { since_run: "z".into(), ..run("a", false) };
        assert_eq!(chosen(std::slice::from_ref(&goes_on), &since("latest")), Ok(Some("a".into())));
        assert_eq!(chosen(std::slice::from_ref(&goes_on), &since("z")), Ok(Some("a".into())));
        assert!(chosen(&[goes_on], &since("y")).expect_err("since").contains("not started with --since y"));
    }
}
