//! All that is told of a run: from the store to the wire.

use std::time::Duration;

use muster_proto::v1;

use super::audit::MAX_GROUPS;
use super::render::{duration, small, timestamp};
use super::{failures, history, render};
use crate::domain::{Counts, Progress};
use crate::store::{Costs, ReportBounds, RunReport};

/// Deliveries in doubt that a report tells of, ...
const MAX_DOUBTS: u32 = 50;
/// ... and how many of the records of each.
const MAX_IDS: usize = 20;

/// What is asked for: one more than is told, to know whether there are more.
pub(super) const BOUNDS: ReportBounds = ReportBounds { groups: MAX_GROUPS + 1, doubts: MAX_DOUBTS + 1 };

/// A report. Of a run that is over it is of the moment at which its verdict was read, so that it is the same each time.
pub(super) fn render(found: RunReport) -> v1::Report {
    let RunReport { run, progress, rounds, unknown_fields, costs, history, mut failures, mut doubts, at } = found;
    let read_at = run.verdict.as_ref().filter(|_| run.finished_at.is_some()).map(|verdict| verdict.audited_at);
    let (more_failures, more_in_doubt) = (failures.len() > MAX_GROUPS as usize, doubts.len() > MAX_DOUBTS as usize);
    failures.truncate(MAX_GROUPS as usize);
    doubts.truncate(MAX_DOUBTS as usize);
    doubts.iter_mut().for_each(|doubt| doubt.record_ids.truncate(MAX_IDS));
    let history = history::response(&history);
    let told = rounds.iter().map(|round| (round.verdict.as_ref().map(|verdict| verdict.counts), round.taken_over));
    let counts = overall(told, &progress);
    v1::Report {
        run: Some(render::run(&run, &progress, &rounds, &unknown_fields, at)),
        as_of: Some(timestamp(read_at.unwrap_or(at))),
        muster_version: env!("CARGO_PKG_VERSION").to_owned(),
        costs: Some(self::costs(&Costs::sum(&costs))),
        round_costs: costs.iter().map(self::costs).collect(),
        history_span: history.span,
        history: history.spans,
        failures: failures.into_iter().map(failures::group).collect(),
        more_failures,
        in_doubt: doubts.into_iter().map(failures::doubt).collect(),
        more_in_doubt,
        counts: Some(render::counts(&counts)),
    }
}

/// Every listed record once, of rounds by what a verdict says of each, if there is one, and what it took over.
fn overall(rounds: impl Iterator<Item = (Option<Counts>, Counts)>, progress: &Progress) -> Counts {
    rounds.fold(Counts::default(), |sum, (counts, taken_over)| {
        sum.with(&counts.unwrap_or_else(|| so_far(progress))).without(&taken_over)
    })
}

/// The current round while it goes on.
fn so_far(progress: &Progress) -> Counts {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let counts = Counts {
        listed: number(progress.listed),
        loaded: number(progress.loaded),
        dead_letter: number(progress.dead_letter),
        gone: number(progress.gone),
        in_doubt: number(progress.in_doubt),
        unchanged: number(progress.unchanged),
        ..Counts::default()
    };
    let outcomes = counts.loaded + counts.dead_letter + counts.gone + counts.in_doubt + counts.unchanged;
    Counts { pending: counts.listed.saturating_sub(outcomes), ..counts }
}

fn costs(costs: &Costs) -> v1::Costs {
    let Costs { work, deliveries, .. } = costs;
    let waited = Duration::from_millis(u64::try_from(work.waited_ms).unwrap_or_default());
    v1::Costs {
        round: small(costs.round),
        records: costs.records,
        leases: costs.leases,
        leases_expired: costs.expired,
        leases_unreported: costs.unreported,
        source: Some(v1::WorkStats {
            requests: work.requests,
            retries: work.retries,
            hedges: work.hedges,
            bytes_received: work.bytes,
            waited: Some(duration(waited)),
        }),
        deliveries: Some(v1::DeliveryCosts {
            announced: deliveries.announced(),
            applied: deliveries.applied,
            partly_applied: deliveries.partly_applied,
            not_applied: deliveries.not_applied,
            rejected: deliveries.rejected,
            in_doubt: deliveries.in_doubt,
            open: deliveries.open,
            repeats: deliveries.repeats,
            records: deliveries.records,
            most_tries: small(deliveries.most_tries),
        }),
        per_thousand: per_thousand(costs),
        first_applied_at: costs.first_applied_at.map(timestamp),
        last_applied_at: costs.last_applied_at.map(timestamp),
    }
}

fn per_thousand(costs: &Costs) -> Option<v1::CostsPerThousand> {
    if costs.records <= 0 {
        return None;
    }
    // Thousandths of what is for a thousand records are what is for a million.
    let of = |number: f64| (number * 1_000_000.0 / costs.records as f64).round() / 1000.0;
    let work = costs.work;
    Some(v1::CostsPerThousand {
        requests: of(work.requests as f64),
        retries: of(work.retries as f64),
        hedges: of(work.hedges as f64),
        bytes_received: of(work.bytes as f64),
        waited_seconds: of(work.waited_ms as f64 / 1000.0),
        deliveries: of(costs.deliveries.announced() as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Deliveries, WorkDone};

    #[test]
    fn a_round_that_goes_on_counts_as_far_as_it_is() {
        let first = Counts { listed: 10, loaded: 7, dead_letter: 3, ..Counts::default() };
        let taken = Counts { listed: 2, dead_letter: 2, ..Counts::default() };
        let rounds = [(Some(first), Counts::default()), (None, taken)];
        let progress = Progress { listed: 2, loaded: 1, ..Progress::default() };
        let counts = overall(rounds.into_iter(), &progress);
        assert_eq!(counts, Counts { listed: 10, loaded: 8, dead_letter: 1, pending: 1, ..Counts::default() });
        assert_eq!(overall(rounds[..1].iter().copied(), &progress), first);
    }

    #[test]
    fn costs_are_told_for_a_thousand_records_where_there_are_any() {
        let work = WorkDone { requests: 4, bytes: 1000, waited_ms: 1_500, ..WorkDone::default() };
        let deliveries = Deliveries { applied: 1, ..Deliveries::default() };
        let of = |records| per_thousand(&Costs { records, work, deliveries, ..Costs::default() });
        let told = of(3).unwrap();
        assert_eq!((told.requests, told.bytes_received, told.waited_seconds), (1_333.333, 333_333.333, 500.0));
        assert_eq!((told.deliveries, told.hedges), (333.333, 0.0));
        assert_eq!(of(0), None);
    }
}
