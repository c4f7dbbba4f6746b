//! What is posted, and what is said about it.

use std::sync::atomic::{AtomicUsize, Ordering};

use muster_pipeline::sha256;
use muster_proto::v1::attend_response::Event;
use muster_proto::v1::{DeliveryOutcome, DeliveryRefusal, LeaseRevoked, RenewalState, RunStopped};
use tonic::Status;

use super::Stage;
use super::coordinator::{RUN, Told, begun, doubted, lease, refused, renewed, seconds};

fn outcomes(report: &muster_proto::v1::CompleteBatchRequest) -> Vec<DeliveryOutcome> {
    report.deliveries.iter().map(|delivery| delivery.outcome()).collect()
}

#[tokio::test]
async fn three_batches_are_loaded_each_by_one_announced_post() {
    let stage = Stage::new().await;
    for batch in 0..3 {
        let first = u32::try_from(batch).unwrap() * 100;
        stage.script.offer(lease(batch, first..first + 100));
    }
    for batch in 0..3 {
        let report = stage.script.report(&format!("token-{batch}")).await;
        assert_eq!(outcomes(&report), [DeliveryOutcome::Applied]);
        assert!(report.records.is_empty() && report.pause_reason.is_empty());
        assert_eq!(report.stats.unwrap().requests, 100);
    }
    let mut ids = stage.api.ids();
    ids.sort_unstable();
    assert_eq!(ids, (0..300).collect::<Vec<_>>());
    let announced: Vec<_> = stage.script.begins().into_iter().map(|begin| begin.body_sha256).collect();
    for post in stage.api.posts() {
        assert!(announced.contains(&sha256(&post.body).to_vec()));
        assert!(post.ids.is_sorted(), "a body keeps the order of the batch");
    }
    let summary = stage.end().await;
    assert_eq!((summary.batches_completed, summary.records_applied), (3, 300));
}

#[tokio::test]
async fn a_lost_answer_to_begin_is_asked_again_and_one_post_is_sent() {
    let stage = Stage::new().await;
    let calls = AtomicUsize::new(0);
    *stage.script.on_begin.lock().unwrap() = Box::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(Status::unavailable("the answer got lost")),
        _ => Ok(begun(1, 35)),
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert_eq!(outcomes(&report), [DeliveryOutcome::Applied]);
    let begins = stage.script.begins();
    assert_eq!(begins.len(), 3);
    assert!(begins.iter().all(|begin| *begin == begins[0]), "the same announcement each time");
    assert_eq!(stage.api.posts().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_batch_whose_announcement_is_refused_does_not_come_back_at_once() {
    let stage = Stage::new().await;
    *stage.script.on_begin.lock().unwrap() = Box::new(|_| Err(Status::out_of_range("message length too large")));
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert!(report.deliveries.is_empty() && report.records.is_empty(), "{report:#?}");
    assert_eq!((report.retry_after, stage.script.begins().len()), (seconds(60), 1));
    assert!(stage.api.posts().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn what_was_announced_too_long_ago_is_not_sent_but_announced_anew() {
    let stage = Stage::new().await;
    // The first announcement's time does not cover a POST of 25 s.
    *stage.script.on_begin.lock().unwrap() = Box::new(|begin| Ok(begun(1, if begin.ordinal == 1 { 24 } else { 35 })));
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert_eq!(outcomes(&report), [DeliveryOutcome::NotApplied, DeliveryOutcome::Applied]);
    assert_eq!(stage.api.posts().len(), 1);
    let begins = stage.script.begins();
    assert_eq!(begins[1].settled.len(), 1, "told with the next announcement");
    assert_eq!(begins[1].settled[0].outcome(), DeliveryOutcome::NotApplied);
    stage.end().await;
}

/// The guard is switched off for a whole process: the test above, by itself.
#[cfg(feature = "planted-bugs")]
#[test]
fn a_deadline_that_is_ignored_is_noticed() {
    let test = "deliveries::what_was_announced_too_long_ago_is_not_sent_but_announced_anew";
    let said = |bug: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let ran = command.args(["--exact", test]).env("MUSTER_PLANTED_BUG", bug).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (kept, ignored) = (said(""), said("ignore_deadline"));
    assert!(kept.contains("1 passed"), "{kept}");
    assert!(ignored.contains("1 failed"), "nobody noticed: {ignored}");
}

#[tokio::test]
async fn nothing_is_sent_for_a_run_that_is_over() {
    for reason in [DeliveryRefusal::RunCancelled, DeliveryRefusal::RunPaused] {
        let stage = Stage::new().await;
        *stage.script.on_begin.lock().unwrap() = Box::new(move |_| Ok(refused(reason)));
        stage.script.offer(lease(0, 0..5));
        stage.script.released("token-0").await;
        assert!(stage.api.posts().is_empty());
        assert_eq!(stage.script.begins().len(), 1);
        stage.end().await;
    }
}

#[tokio::test]
async fn what_is_refused_after_a_lost_answer_is_said_not_to_be_sent() {
    for reason in [DeliveryRefusal::RunCancelled, DeliveryRefusal::RunPaused, DeliveryRefusal::Superseded] {
        let stage = Stage::new().await;
        let calls = AtomicUsize::new(0);
        *stage.script.on_begin.lock().unwrap() = Box::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Status::unavailable("the answer got lost")),
            _ => Ok(refused(reason)),
        });
        stage.script.offer(lease(0, 0..5));
        let report = stage.script.report("token-0").await;
        assert_eq!(outcomes(&report), [DeliveryOutcome::NotApplied], "{reason:?}");
        assert_eq!(report.deliveries[0].ordinal, 1);
        assert!(stage.api.posts().is_empty());
        stage.end().await;
    }
}

#[tokio::test]
async fn a_lease_lost_at_the_announcement_is_dropped_in_silence() {
    let stage = Stage::new().await;
    *stage.script.on_begin.lock().unwrap() = Box::new(|_| Ok(refused(DeliveryRefusal::LeaseLost)));
    stage.script.offer(lease(0, 0..5));
    stage
        .script
        .until("the announcement", |told| told.iter().find(|told| matches!(told, Told::Begin(_))).map(|_| ()))
        .await;
    stage.script.dropped("token-0").await;
    let said = stage.script.told();
    assert!(!said.iter().any(|told| matches!(told, Told::Complete(_) | Told::Release(_))), "{said:#?}");
    assert!(stage.api.posts().is_empty());
    assert_eq!(stage.end().await.leases_lost, 1);
}

#[tokio::test]
async fn a_lease_revoked_while_fetching_delivers_nothing() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().insert(3);
    stage.script.offer(lease(0, 0..5));
    stage.api.asked_for(3).await;
    stage.script.push(Event::LeaseRevoked(LeaseRevoked { lease_token: "token-0".into() }));
    stage.script.dropped("token-0").await;
    stage.api.source_open.send_replace(true);
    assert!(stage.script.begins().is_empty() && stage.api.posts().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_lease_lost_at_renewal_while_a_post_is_in_flight_is_reported_late() {
    let stage = Stage::new().await;
    stage.api.target_open.send_replace(false);
    stage.script.offer(lease(0, 0..5));
    stage.api.posted(1).await;
    *stage.script.on_renew.lock().unwrap() = Box::new(|request| Ok(renewed(request, RenewalState::Lost)));
    let from = stage.script.told().len();
    let renewed = |told: &Told| matches!(told, Told::Renew(request) if request.lease_tokens == ["token-0"]);
    stage.script.until("a renewal", |told| told[from..].iter().find(|told| renewed(told)).map(|_| ())).await;
    stage.api.target_open.send_replace(true);
    assert_eq!(outcomes(&stage.script.report("token-0").await), [DeliveryOutcome::Applied]);
    assert_eq!(stage.api.posts().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_poison_record_is_found_by_halving() {
    let stage = Stage::new().await;
    *stage.api.answer.lock().unwrap() = Box::new(|ids| match ids.contains(&13) {
        true => (422, r#"{"detail":"no unicorns"}"#),
        false => super::api::HELPED,
    });
    stage.script.offer(lease(0, 0..20));
    let report = stage.script.report("token-0").await;
    let [dead] = &report.records[..] else { panic!("{report:#?}") };
    assert_eq!((dead.position, dead.stage.as_str(), dead.http_status), (13, "load", 422));
    assert!(dead.body.contains("no unicorns"));
    let ordinals: Vec<_> = report.deliveries.iter().map(|delivery| delivery.ordinal).collect();
    assert_eq!(ordinals, (1..=i32::try_from(ordinals.len()).unwrap()).collect::<Vec<_>>());
    let mut loaded: Vec<u64> =
        stage.api.posts().into_iter().filter(|post| !post.ids.contains(&13)).flat_map(|post| post.ids).collect();
    loaded.sort_unstable();
    assert_eq!(loaded, (0..20).filter(|id| *id != 13).collect::<Vec<_>>(), "the others once each");
    assert_eq!(stage.script.begins().len(), stage.api.posts().len());
    stage.end().await;
}

#[tokio::test]
async fn records_that_are_refused_alone_are_reported_however_many_batches_are() {
    // Whether it is the records or the pipeline is for the coordinator to judge, which sees all batches.
    let stage = Stage::with(|config| muster_worker::WorkerConfig { max_leases: 1, ..config }).await;
    *stage.api.answer.lock().unwrap() = Box::new(|_| (422, r#"{"detail":"not like this"}"#));
    for batch in 0..5 {
        stage.script.offer(lease(batch, 0..3));
    }
    for batch in 0..5 {
        let report = stage.script.report(&format!("token-{batch}")).await;
        assert_eq!((report.records.len(), report.pause_reason.as_str()), (3, ""), "{report:#?}");
        assert!(report.records.iter().all(|record| record.stage == "load" && record.body.contains("not like this")));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_doubt_is_reported_and_not_sent_again() {
    let stage = Stage::new().await;
    *stage.api.answer.lock().unwrap() = Box::new(|_| (500, "Internal Server Error"));
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert_eq!(outcomes(&report), [DeliveryOutcome::InDoubt]);
    assert_eq!(report.deliveries[0].http_status, 500);
    assert!(report.records.is_empty());
    assert_eq!(stage.api.posts().len(), 1);
    assert_eq!(stage.end().await.deliveries_in_doubt, 1);
}

#[tokio::test]
async fn what_was_certainly_not_applied_is_sent_again_under_a_new_ordinal_and_the_same_key() {
    let stage = Stage::new().await;
    let mut calls = 0;
    *stage.api.answer.lock().unwrap() = Box::new(move |_| {
        calls += 1;
        if calls == 1 { (503, "Sorry!") } else { super::api::HELPED }
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert_eq!(outcomes(&report), [DeliveryOutcome::NotApplied, DeliveryOutcome::Applied]);
    let posts = stage.api.posts();
    assert_eq!((posts.len(), &posts[0].key), (2, &posts[1].key));
    stage.end().await;
}

#[tokio::test]
async fn a_target_that_asks_for_a_pause_gets_it_before_anything_is_announced() {
    let stage = Stage::new().await;
    let mut calls = 0;
    *stage.api.answer.lock().unwrap() = Box::new(move |_| {
        calls += 1;
        // With Retry-After: 1.
        if calls == 1 { (503, "busy") } else { super::api::HELPED }
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert_eq!(outcomes(&report), [DeliveryOutcome::NotApplied, DeliveryOutcome::Applied]);
    assert_eq!((stage.script.begins().len(), stage.api.posts().len()), (2, 2), "it was not asked in between");
    stage.end().await;
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_target_that_wants_to_be_left_alone() {
    for drains in [false, true] {
        let stage = Stage::new().await;
        // With Retry-After: 60, longer than this test has patience.
        *stage.api.answer.lock().unwrap() = Box::new(|_| (429, "slowly"));
        stage.script.offer(lease(0, 0..5));
        stage.api.posted(1).await;
        // Renewals go on while it waits; by the third the answer has long come.
        let from = stage.script.told().len();
        let renewals = |told: &[Told]| told[from..].iter().filter(|told| matches!(told, Told::Renew(_))).count();
        stage.script.until("three renewals", |told| (renewals(told) >= 3).then_some(())).await;
        match drains {
            false => {
                let stopped = RunStopped { run_id: RUN.into(), reason: "paused".into() };
                stage.script.push(Event::RunStopped(stopped));
            }
            true => stage.shutdown.cancel(),
        }
        assert_eq!(outcomes(&stage.script.report("token-0").await), [DeliveryOutcome::NotApplied]);
        assert_eq!((stage.script.begins().len(), stage.api.posts().len()), (1, 1));
        stage.end().await;
    }
}

#[tokio::test]
async fn a_doubt_is_repeated_as_it_was_but_for_what_is_gone() {
    let stage = Stage::new().await;
    *stage.api.special.lock().unwrap() = Box::new(|id| (id == 2).then_some((500, "Internal Server Error")));
    stage.script.offer(doubted(lease(0, 0..4), 17));
    let report = stage.script.report("token-0").await;
    let begins = stage.script.begins();
    assert_eq!((begins[0].retry_of, &begins[0].positions[..]), (17, &[0, 1, 3][..]));
    assert!(report.records.is_empty(), "nothing is said of a record in doubt whose source is ill");
    stage.end().await;
}

#[tokio::test]
async fn a_run_stopped_while_a_post_is_in_flight_awaits_and_reports_it() {
    let stage = Stage::new().await;
    stage.api.target_open.send_replace(false);
    stage.api.held.lock().unwrap().insert(7);
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.api.posted(1).await;
    stage.api.asked_for(7).await;
    stage.script.push(Event::RunStopped(RunStopped { run_id: RUN.into(), reason: "cancelled".into() }));
    // What was being fetched is given back at once, though its source never answers.
    stage.script.released("token-1").await;
    stage.api.target_open.send_replace(true);
    assert_eq!(outcomes(&stage.script.report("token-0").await), [DeliveryOutcome::Applied]);
    assert_eq!((stage.api.posts().len(), stage.script.begins().len()), (1, 1));
    stage.end().await;
}

#[tokio::test]
async fn what_was_perhaps_announced_but_never_sent_is_said_to_be_unsent() {
    let stage = Stage::new().await;
    *stage.script.on_begin.lock().unwrap() = Box::new(|_| Err(Status::unavailable("away")));
    stage.script.offer(lease(0, 0..5));
    stage
        .script
        .until("the announcement", |told| told.iter().find(|told| matches!(told, Told::Begin(_))).map(|_| ()))
        .await;
    *stage.script.on_renew.lock().unwrap() = Box::new(|request| Ok(renewed(request, RenewalState::Lost)));
    // A doubt that the ledger may have noted is cleared; when it noted none, there is nothing more to say.
    assert_eq!(outcomes(&stage.script.report("token-0").await), [DeliveryOutcome::NotApplied]);
    stage.script.dropped("token-0").await;
    assert_eq!(super::coordinator::reports(&stage.script.told()).len(), 1);
    assert!(stage.api.posts().is_empty());
    stage.end().await;
}
