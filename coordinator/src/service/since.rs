//! Which earlier run a new one goes on from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use muster_pipeline::Pipeline;
use tonic::{Code, Status};

use super::error::{invalid, run_unknown, status};
use crate::domain::{Run, RunId, RunState, Timestamp};
use crate::store::{Round, Store, StoredPipeline};
use crate::words::short_revision;

/// The newest run that will do, in place of an ID.
const LATEST: &str = "latest";
/// Runs that are read at once.
const AT_ONCE: u32 = 50;

/// The run that a new one goes on from.
pub(super) struct Since {
    pub run: Run,
    /// Revisions under which it has worked, other than the new run's: they load alike.
    pub alike: BTreeSet<String>,
    /// In real time.
    started: Timestamp,
}

impl Since {
    /// When it was started: nothing that it lists was read before.
    pub fn started(&self) -> SystemTime {
        let millis = u64::try_from(self.started.as_millis()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }
}

/// The run that was meant, `wall` being the machine's time; none where none was, or where there is no latest one: then
/// everything is loaded.
pub(super) async fn find(
    store: &dyn Store,
    pipeline: &Pipeline,
    given: &BTreeMap<String, String>,
    meant: &str,
    wall: Timestamp,
) -> Result<Option<Since>, Status> {
    if meant.is_empty() {
        return Ok(None);
    }
    if !pipeline.can_go_on() {
        let text = format!(
            "pipeline {} says nothing by which a run could go on from an earlier one: say under source.list.version what \
             tells two versions of a record apart, or give a parameter of type time a watermark; or start in full, \
             without since_run",
            pipeline.name()
        );
        return Err(invalid("SINCE_RUN_USELESS", text));
    }
    let wanted = Wanted::new(pipeline, given, &store.revisions(pipeline.name()).await?)?;
    let found = match meant {
        LATEST => latest(store, &wanted).await?,
        id => Some(named(store, &wanted, id).await?),
    };
    let Some((run, rounds)) = found else { return Ok(None) };
    let revisions = rounds.into_iter().map(|round| round.revision);
    let alike = revisions.filter(|revision| revision != pipeline.revision()).collect();
    let started = store.started(&run, wall).await?;
    Ok(Some(Since { run, alike, started }))
}

/// The run of this ID, and its rounds.
async fn named(store: &dyn Store, wanted: &Wanted<'_>, id: &str) -> Result<(Run, Vec<Round>), Status> {
    let run = store.run(&RunId::from_text(id)).await?.ok_or_else(|| run_unknown(id))?;
    let rounds = store.rounds(&run).await?;
    match wanted.unfit(&run, &rounds) {
        None => Ok((run, rounds)),
        Some(why) => Err(status(Code::FailedPrecondition, "SINCE_RUN_UNFIT", why)),
    }
}

/// The newest run that will do, and its rounds.
async fn latest(store: &dyn Store, wanted: &Wanted<'_>) -> Result<Option<(Run, Vec<Round>)>, Status> {
    let mut before = None;
    loop {
        let runs = store.runs_over(wanted.pipeline.name(), before, AT_ONCE).await?;
        let Some(last) = runs.last() else { return Ok(None) };
        before = Some(last.key);
        for run in runs.into_iter().filter(|run| wanted.revisions.contains(&run.revision)) {
            let rounds = store.rounds(&run).await?;
            if wanted.unfit(&run, &rounds).is_none() {
                return Ok(Some((run, rounds)));
            }
        }
    }
}

/// What a run must be so that another can go on from it.
struct Wanted<'a> {
    pipeline: &'a Pipeline,
    /// Its own revision, and those that differ from it in their limits alone: they loaded the same records in the same way.
    revisions: BTreeSet<String>,
    /// Without watermarks: those differ from run to run.
    parameters: BTreeMap<String, String>,
    /// The watermarks that are to follow from it.
    following: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(pipeline: &'a Pipeline, given: &BTreeMap<String, String>, known: &[StoredPipeline]) -> Result<Self, Status> {
        let alike = known.iter().filter(|known| pipeline.loads_like(&known.canonical));
        let own = std::iter::once(pipeline.revision().to_owned());
        let revisions = own.chain(alike.map(|known| known.revision.clone())).collect();
        let following = pipeline.watermarks().filter(|name| !given.contains_key(*name)).collect();
        // Whatever they follow from, they are left out.
        let any = Some(SystemTime::UNIX_EPOCH);
        let parameters = pipeline
            .resolve_parameters_since(given, any)
            .map_err(|error| invalid("PARAMETER_INVALID", error.to_string()))?;
        let parameters = without_watermarks(pipeline, &parameters);
        Ok(Self { pipeline, revisions, parameters, following })
    }

    /// Why a run will not do, and what to do.
    fn unfit(&self, run: &Run, rounds: &[Round]) -> Option<String> {
        let id = &run.id;
        if !run.state.is_over() {
            return Some(format!(
                "run {id} is not over: await its end or cancel it, or start in full, without since_run"
            ));
        }
        if run.pipeline != self.pipeline.name() {
            let (of, is) = (&run.pipeline, self.pipeline.name());
            return Some(format!("run {id} is of pipeline {of}, this one of {is}: name a run of {is}"));
        }
        let revision = self.pipeline.revision();
        let revisions = std::iter::once(&run.revision).chain(rounds.iter().map(|round| &round.revision));
        if let Some(other) = revisions.into_iter().find(|of| !self.revisions.contains(*of)) {
            return Some(format!(
                "run {id} worked under revision {} of the pipeline, which is {} now: records that were loaded under another \
                 revision may have to look otherwise now; start in full, without since_run",
                short_revision(other),
                short_revision(revision)
            ));
        }
        if let Some(what) = difference(&without_watermarks(self.pipeline, &run.parameters), &self.parameters) {
            return Some(format!(
                "run {id} was started with other parameters ({what}): what it loaded may come from elsewhere or be \
                 elsewhere; start with the same ones, or in full, without since_run"
            ));
        }
        self.leaves_gaps(run)
    }

    /// A list that is asked only for what is new does not bring again what an earlier run missed.
    fn leaves_gaps(&self, run: &Run) -> Option<String> {
        let name = self.following.first()?;
        let why = match &run.verdict {
            Some(verdict) if run.state == RunState::Finished && verdict.is_complete() => return None,
            _ if run.state == RunState::Cancelled => "was cancelled",
            _ => "has a listing that is not complete",
        };
        Some(format!(
            "run {} {why}: what it missed would be left out by {name}, which follows from its start; go on from an earlier \
             run, set {name}, or start in full, without since_run",
            run.id
        ))
    }
}

fn without_watermarks(pipeline: &Pipeline, parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut parameters = parameters.clone();
    parameters.retain(|name, _| pipeline.watermarks().all(|watermark| watermark != name));
    parameters
}

/// The first parameter in which two runs differ, in words.
fn difference(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    let name = before.keys().chain(now.keys()).find(|name| before.get(*name) != now.get(*name))?;
    let shown =
        |of: &BTreeMap<String, String>| of.get(name).map_or_else(|| "nothing".to_owned(), |it| format!("{it:?}"));
    Some(format!("{name}: {} then, {} now", shown(before), shown(now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Verdict;

    const PIPELINE: &str = r#"
muster: 1
name: p
parameters:
  host: { type: url, default: "http://h:1" }
  after: { type: time, default: "2000-01-01T00:00:00Z", watermark: { overlap: 1m } }
source:
  list:
    request: { url: "${param:host}/list?after=${param:after}" }
    pagination: { page_number: { parameter: page, first: 1, total_pages: $.pages } }
    items: $.items
    id: $.id
  detail: { request: { url: "${param:host}/one/${record:id}" } }
load: { request: { url: "${param:host}/in" } }
"#;

    fn pipeline() -> Pipeline {
        Pipeline::from_yaml(PIPELINE, "p.yaml").unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn over(pipeline: &Pipeline) -> Run {
        Run {
            key: 1,
            id: RunId::from_text("p-1"),
            pipeline: "p".to_owned(),
            revision: pipeline.revision().to_owned(),
            parameters: given(&[("host", "http://h:1"), ("after", "2001-01-01T00:00:00Z")]),
            audit_mode: false,
            state: RunState::Finished,
            state_reason: String::new(),
            round: 1,
            opened_at: Timestamp::default(),
            created_at: Timestamp::from_millis(60_999),
            finished_at: Some(Timestamp::default()),
            acknowledged: 0,
            changes: 0,
            verdict: Some(Verdict {
                round: 1,
                counts: crate::domain::Counts::default(),
                possible_copies: 0,
                degraded: false,
                changed: 0,
                discrepancies: Vec::new(),
                audited_at: Timestamp::default(),
                unknown_fields: Vec::new(),
            }),
            since: None,
            share: crate::domain::Share::default(),
        }
    }

    fn unfit(given: &BTreeMap<String, String>, change: impl FnOnce(&mut Run)) -> Option<String> {
        let pipeline = pipeline();
        let mut run = over(&pipeline);
        change(&mut run);
        let known = |text: &str| {
            let of = Pipeline::from_yaml(text, "p.yaml").unwrap();
            let (name, revision) = (of.name().to_owned(), of.revision().to_owned());
            StoredPipeline { name, revision, canonical: of.canonical().to_owned() }
        };
        let known = [known(PIPELINE), known(&slower()), known(&PIPELINE.replace("http", "https"))];
        Wanted::new(&pipeline, given, &known).unwrap().unfit(&run, &[])
    }

    #[test]
    fn a_run_of_the_same_kind_will_do_whatever_its_watermark() {
        assert_eq!(unfit(&given(&[]), |_| {}), None);
        let run = over(&pipeline());
        let since = Since { started: run.created_at, run, alike: BTreeSet::new() };
        let resolved = pipeline().resolve_parameters_since(&given(&[]), Some(since.started())).unwrap();
        assert_eq!(resolved["after"], "1970-01-01T00:00:00Z", "a minute before its start");
    }

    /// The same under other limits.
    fn slower() -> String {
        format!("{PIPELINE}\nlimits: {{ concurrency: 7 }}\n")
    }

    #[test]
    fn other_limits_load_the_same_records() {
        let revision = Pipeline::from_yaml(&slower(), "p.yaml").unwrap().revision().to_owned();
        assert_ne!(revision, pipeline().revision());
        assert_eq!(unfit(&given(&[]), |run| run.revision = revision), None);
    }

    #[test]
    fn what_will_not_do_is_said_in_words() {
        let says = |given: &BTreeMap<String, String>, change: fn(&mut Run), what: &str| {
            let why = unfit(given, change).expect(what);
            assert!(
                why.contains(what) && (why.contains("in full, without since_run") || why.contains("name a run")),
                "{why}"
            );
        };
        says(&given(&[]), |run| run.state = RunState::Paused, "is not over");
        says(&given(&[]), |run| run.pipeline = "q".to_owned(), "of pipeline q, this one of p");
        says(&given(&[]), |run| run.revision = "0".repeat(64), "under revision 000000000000 of the pipeline");
        says(&given(&[("host", "http://h:2")]), |_| {}, "host: \"http://h:1\" then, \"http://h:2\" now");
        says(
            &given(&[]),
            |run| run.state = RunState::Cancelled,
            "was cancelled: what it missed would be left out by after",
        );
        says(&given(&[]), |run| run.verdict = None, "not complete");
        let own = given(&[("after", "2002-01-01T00:00:00Z")]);
        assert_eq!(unfit(&own, |run| run.state = RunState::Cancelled), None, "nothing follows from it");
    }
}
