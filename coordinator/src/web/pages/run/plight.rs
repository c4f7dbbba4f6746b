//! What did not go well in a run, and who works on it.

use askama::Template;
use muster_proto::v1::{
    Counts, DeadLetterGroup, DeliveryInDoubt, ListDeadLettersRequest, ListInDoubtRequest, ListWorkersRequest, Progress,
    Run, Worker,
};

use super::super::super::inside::Caller;
use super::super::super::site::{Site, Trace};
use super::super::form::{of_record, of_run};
use super::super::{Trouble, text};
use super::is_over;
use crate::words::numbers::{count, counted, moment};
use crate::words::{clean, doubts};

/// So many reasons are shown; the page of dead letters has more.
const REASONS: usize = 8;
/// So many deliveries in doubt are shown.
const DOUBTS: i32 = 3;
/// So many workers are shown.
const WORKERS: i32 = 12;

#[derive(Template)]
#[template(path = "run/failures.html")]
struct FailuresPart {
    groups: Vec<Group>,
    address: String,
    more: bool,
}

/// Dead letters of one reason.
pub(in crate::web) struct Group {
    pub count: String,
    pub stage: String,
    pub status: String,
    pub reason: String,
    pub sample: String,
    pub sample_address: String,
    pub trace: Option<Trace>,
}

impl Group {
    pub fn of(site: &Site, run_id: &str, group: &DeadLetterGroup) -> Self {
        Self {
            count: count(group.count),
            stage: clean(&group.stage),
            status: if group.http_status == 0 { "-".to_owned() } else { group.http_status.to_string() },
            reason: clean(&group.reason),
            sample: clean(&group.sample_record_id),
            sample_address: of_record(run_id, &group.sample_record_id),
            trace: site.trace(&group.sample_trace_id),
        }
    }
}

/// Whether nothing of a kind is counted of the run. While a later round goes on, nothing counts those of earlier ones.
fn has_none(run: &Run, in_all: impl Fn(Counts) -> i64, in_round: impl Fn(Progress) -> i64) -> bool {
    let counted = run.overall.map(in_all).or(run.progress.map(in_round)).unwrap_or_default();
    counted == 0 && (run.round <= 1 || run.overall.is_some())
}

/// Failures by reason; empty where there are none.
pub(super) async fn failures(site: &Site, caller: &Caller, run: &Run) -> Result<String, Trouble> {
    if has_none(run, |counts| counts.dead_letter, |progress| progress.dead_letter) {
        return Ok(String::new());
    }
    let request =
        ListDeadLettersRequest { run_id: run.run_id.clone(), page_size: 1, ..ListDeadLettersRequest::default() };
    let found = site.inside.audits().list_dead_letters(caller.asks(request)).await?.into_inner();
    if found.groups.is_empty() {
        return Ok(String::new());
    }
    text(&FailuresPart {
        groups: found.groups.iter().take(REASONS).map(|group| Group::of(site, &run.run_id, group)).collect(),
        address: of_run(&run.run_id, "/dead-letters"),
        more: found.groups.len() > REASONS,
    })
}

#[derive(Template)]
#[template(path = "run/doubts.html")]
struct DoubtsPart {
    doubts: Vec<(String, String, String)>,
    address: String,
    more: bool,
}

/// Deliveries in doubt; empty where there are none.
pub(super) async fn in_doubt(site: &Site, caller: &Caller, run: &Run) -> Result<String, Trouble> {
    if has_none(run, |counts| counts.in_doubt, |progress| progress.in_doubt) {
        return Ok(String::new());
    }
    let request = ListInDoubtRequest { run_id: run.run_id.clone(), page_size: DOUBTS, ..ListInDoubtRequest::default() };
    let found = site.inside.audits().list_in_doubt(caller.asks(request)).await?.into_inner();
    if found.deliveries.is_empty() {
        return Ok(String::new());
    }
    let told = |doubt: &DeliveryInDoubt| (doubts::head(doubt), clean(&doubts::why(doubt)), doubts::next(doubt));
    text(&DoubtsPart {
        doubts: found.deliveries.iter().map(told).collect(),
        address: of_run(&run.run_id, "/in-doubt"),
        more: !found.next_page_token.is_empty(),
    })
}

#[derive(Template)]
#[template(path = "run/workers.html")]
struct WorkersPart {
    workers: Vec<(String, String, String)>,
    more: bool,
}

/// Who works, whichever run for.
pub(super) async fn workers(site: &Site, caller: &Caller, run: &Run) -> Result<String, Trouble> {
    if is_over(run) {
        return Ok(String::new());
    }
    let request = ListWorkersRequest { page_size: WORKERS, ..ListWorkersRequest::default() };
    let found = site.inside.fleet().list_workers(caller.asks(request)).await?.into_inner();
    let told = |worker: &Worker| {
        let holds = counted(worker.leases_held.into(), "batch held", "batches held");
        let done = format!("{} done, seen {}", count(worker.batches_completed), moment(worker.last_seen_at.as_ref()));
        (clean(&worker.name), holds, done)
    };
    text(&WorkersPart { workers: found.workers.iter().map(told).collect(), more: !found.next_page_token.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_as_none_is_not_asked_for() {
        let has_none_in_doubt = |round, in_all: Option<i64>, in_round| {
            let overall = in_all.map(|in_doubt| Counts { in_doubt, ..Counts::default() });
            let progress = Some(Progress { in_doubt: in_round, ..Progress::default() });
            let run = Run { round, overall, progress, ..Run::default() };
            has_none(&run, |counts| counts.in_doubt, |progress| progress.in_doubt)
        };
        assert!(has_none_in_doubt(1, None, 0) && !has_none_in_doubt(1, None, 2));
        assert!(!has_none_in_doubt(2, None, 0), "the first may have left some");
        assert!(has_none_in_doubt(2, Some(0), 0) && !has_none_in_doubt(2, Some(1), 0));
    }
}
