use std::collections::HashMap;

use muster_proto::v1::{
    Costs, Counts, DeadLetterGroup, DeliveryInDoubt, Discrepancy, DiscrepancyKind, HistorySpan, Round, RunState,
    UnknownField, Verdict, WorkStats,
};

use super::super::HOSTILE;
use super::*;

fn counts() -> Counts {
    Counts { listed: 5_508, loaded: 5_497, dead_letter: 8, gone: 3, ..Counts::default() }
}

fn verdict(counts: Counts) -> Verdict {
    Verdict { round: 1, complete: true, balanced: true, counts: Some(counts), ..Verdict::default() }
}

/// A run that is over.
fn report(verdict: Verdict) -> Report {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let round = Round {
        round: 1,
        opened_at: at(1_444_102_907),
        finished_at: at(1_444_102_917),
        verdict: Some(verdict.clone()),
        ..Round::default()
    };
    let run = Run {
        run_id: "herd-1".into(),
        state: RunState::Finished.into(),
        round: 1,
        created_at: at(1_444_102_907),
        finished_at: at(1_444_102_917),
        overall: verdict.counts,
        verdict: Some(verdict),
        rounds: vec![round],
        ..Run::default()
    };
    let counts = run.overall;
    let source = Some(WorkStats { requests: 5_600, retries: 60, hedges: 32, ..WorkStats::default() });
    Report {
        run: Some(run),
        as_of: at(1_444_102_917),
        counts,
        muster_version: "0.1.0".into(),
        costs: Some(Costs { records: 5_508, source, ..Costs::default() }),
        history: vec![HistorySpan { records: 100, deliveries: 1, ..HistorySpan::default() }; 12],
        history_span: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Report::default()
    }
}

#[test]
fn a_verdict_is_told_in_words() {
    let page = html(&report(verdict(counts()))).unwrap();
    for words in [
        "Complete and balanced",
        "5,508 of 5,508 listed records accounted for: 5,497 loaded, 8 dead letters, 3 gone.",
        "class=\"verdict attention\"",
        "550/s",
        "100/s on average, 100/s at most",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let all = Counts { listed: 7, loaded: 7, ..Counts::default() };
    assert!(html(&report(verdict(all))).unwrap().contains("class=\"verdict good\""));
    let lost = Counts { listed: 7, loaded: 6, ..Counts::default() };
    let lost = html(&report(Verdict { balanced: false, ..verdict(lost) })).unwrap();
    assert!(lost.contains("Complete, but NOT BALANCED") && lost.contains("class=\"verdict bad\""), "{lost}");
    assert!(lost.contains("6 of 7 listed records accounted for"), "{lost}");
}

#[test]
fn a_run_that_goes_on_says_as_of_when() {
    let mut report = report(verdict(counts()));
    let run = report.run.as_mut().unwrap();
    (run.verdict, run.overall, run.finished_at) = (None, None, None);
    (run.rounds[0].verdict, run.rounds[0].finished_at) = (None, None);
    report.counts = Some(Counts { listed: 100, loaded: 60, dead_letter: 1, pending: 39, ..Counts::default() });
    let page = html(&report).unwrap();
    assert!(page.contains("Not over yet") && page.contains("As of 2015-10-06 03:41:57Z"), "{page}");
    assert!(
        page.contains("61 of 100 records listed so far have an outcome: 60 loaded, 1 dead letter, 39 pending"),
        "{page}"
    );
    assert!(!page.contains("Complete"), "{page}");
}

#[test]
fn whatever_sources_say_is_text_and_nobody_is_asked_for_anything() {
    let hostile = || HOSTILE.to_owned();
    let against = Discrepancy { code: hostile(), detail: hostile(), kind: DiscrepancyKind::Incomplete.into() };
    let field = UnknownField { path: hostile(), records: 1, sample_record_id: hostile() };
    let bad = Verdict { discrepancies: vec![against], ..verdict(counts()) };
    let mut report = report(bad);
    report.failures = vec![DeadLetterGroup {
        stage: hostile(),
        reason: hostile(),
        count: 1,
        sample_record_ids: vec![hostile()],
        ..DeadLetterGroup::default()
    }];
    report.in_doubt =
        vec![DeliveryInDoubt { detail: hostile(), record_ids: vec![hostile()], ..DeliveryInDoubt::default() }];
    report.muster_version = hostile();
    let run = report.run.as_mut().unwrap();
    (run.run_id, run.pipeline, run.pipeline_revision) = (hostile(), hostile(), hostile());
    (run.state_reason, run.since_run) = (hostile(), hostile());
    run.parameters = HashMap::from([(hostile(), hostile())]);
    run.unknown_fields = vec![field];
    run.rounds.push(Round { round: 2, opened_by: hostile(), ..Round::default() });
    let page = html(&report).unwrap();
    assert_eq!(page.matches("alert(1)").count(), 20, "all of it is told");
    for markup in [
        "<script", "<img", "<link", "<iframe", "<object", "<a ", "<form", " src=\"", "href", "@import", "url(",
        "\u{1b}",
    ] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    assert_eq!(page, html(&report).unwrap());
}

#[test]
fn a_page_has_bounds() {
    let against = Discrepancy { code: "A".into(), detail: "b".into(), kind: DiscrepancyKind::Incomplete.into() };
    let mut report = report(Verdict { discrepancies: vec![against; MAX_AGAINST + 3], ..verdict(counts()) });
    let run = report.run.as_mut().unwrap();
    run.rounds.extend((2..=60).map(|round| Round { round, opened_by: format!("by {round}"), ..Round::default() }));
    let page = html(&report).unwrap();
    assert!(page.contains("has the 10 before them too") && page.contains("and 3 more, which"), "{page}");
    assert!(page.contains(">by 11<") && page.contains(">by 60<") && !page.contains(">by 10<"), "{page}");
}

#[test]
fn a_source_that_was_asked_for_no_record_is_explained() {
    let mut report = report(verdict(counts()));
    assert!(!html(&report).unwrap().contains("No worker reported a request"));
    report.costs = Some(Costs { leases: 3, ..Costs::default() });
    assert!(html(&report).unwrap().contains("No worker reported a request"));
}
