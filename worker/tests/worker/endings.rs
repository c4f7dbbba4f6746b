//! Leases that come twice, reports that must be repeated, and the end of a worker.

use std::time::Duration;

use muster_proto::v1::begin_delivery_response::Result as Begin;
use muster_proto::v1::{
    BeginDeliveryResponse, CompleteBatchResponse, CompletionState, DeliveryOutcome, DeliveryRefused,
    RenewLeasesResponse, Renewal, RenewalState,
};
use muster_worker::{Worker, WorkerConfig, WorkerError, connect};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::coordinator::{Told, begun, done, lease, reports};
use super::{Stage, coordinator};

#[tokio::test]
async fn a_lease_that_is_granted_again_is_worked_on_once() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().insert(3);
    stage.script.offer(lease(0, 0..5));
    stage.api.asked_for(3).await;
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.script.report("token-1").await;
    stage.api.source_open.send_replace(true);
    stage.script.report("token-0").await;
    assert_eq!(stage.api.posts().len(), 2);
    assert_eq!(stage.end().await.batches_completed, 2);
}

#[tokio::test]
async fn leases_are_renewed_as_often_as_the_coordinator_says() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().insert(3);
    stage.script.offer(lease(0, 0..5));
    let renewals = |told: &[Told]| {
        told.iter().filter(|told| matches!(told, Told::Renew(request) if request.lease_tokens == ["token-0"])).count()
    };
    stage.script.until("three renewals", |told| (renewals(told) >= 3).then_some(())).await;
    stage.api.source_open.send_replace(true);
    stage.script.report("token-0").await;
    stage.end().await;
}

#[tokio::test]
async fn a_renewal_that_says_the_run_stopped_stops_its_batches() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().insert(3);
    stage.script.offer(lease(0, 0..5));
    stage.api.asked_for(3).await;
    *stage.script.on_renew.lock().unwrap() =
        Box::new(|request| Ok(coordinator::renewed(request, RenewalState::RunStopped)));
    stage.script.released("token-0").await;
    assert!(stage.script.begins().is_empty() && stage.api.posts().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_token_that_the_coordinator_does_not_know_costs_the_others_nothing() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().extend([3, 7]);
    *stage.script.on_renew.lock().unwrap() = Box::new(|request| {
        if request.lease_tokens.iter().any(|token| token == "token-1") {
            return Err(Status::invalid_argument("LEASE_TOKEN_INVALID"));
        }
        Ok(coordinator::renewed(request, RenewalState::Held))
    });
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.api.asked_for(7).await;
    stage.script.dropped("token-1").await;
    stage.api.source_open.send_replace(true);
    stage.script.report("token-0").await;
    assert_eq!(stage.api.ids(), [0, 1, 2, 3, 4]);
    stage.end().await;
}

#[tokio::test]
async fn a_report_is_repeated_word_for_word_until_it_is_answered() {
    let stage = Stage::new().await;
    let mut calls = 0;
    *stage.script.on_complete.lock().unwrap() = Box::new(move |_| {
        calls += 1;
        if calls < 3 { Err(Status::unavailable("away")) } else { Ok(done()) }
    });
    stage.script.offer(lease(0, 0..5));
    let all = stage.script.until("three reports", |told| Some(reports(told)).filter(|all| all.len() == 3)).await;
    assert!(all.iter().all(|report| *report == all[0]));
    assert_eq!(stage.end().await.batches_completed, 1);
}

#[tokio::test]
async fn a_drain_delivers_what_is_fetched_and_gives_back_what_is_not() {
    let stage = Stage::new().await;
    stage.api.target_open.send_replace(false);
    stage.api.held.lock().unwrap().insert(7);
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.api.posted(1).await;
    stage.api.asked_for(7).await;
    stage.shutdown.cancel();
    stage.script.released("token-1").await;
    assert!(!stage.running.is_finished(), "a POST in flight is awaited");
    stage.api.target_open.send_replace(true);
    let report = stage.script.report("token-0").await;
    assert_eq!(report.deliveries[0].outcome(), DeliveryOutcome::Applied);
    let summary = stage.running.await.unwrap().unwrap();
    assert_eq!((summary.batches_completed, summary.batches_released, summary.batches_abandoned), (1, 1, 0));
    let last = stage.script.told().pop();
    assert!(matches!(&last, Some(Told::Release(bye)) if bye.end_session && bye.lease_tokens.is_empty()), "{last:?}");
    assert_eq!(stage.api.posts().len(), 1);
}

#[tokio::test]
async fn a_drain_does_not_begin_what_it_would_cut_off() {
    // A POST may take 25 s, the drain only 5.
    let stage = Stage::with(|config| WorkerConfig { drain_timeout: Duration::from_secs(5), ..config }).await;
    *stage.script.on_begin.lock().unwrap() = Box::new({
        let shutdown = stage.shutdown.clone();
        move |_| {
            shutdown.cancel();
            Err(Status::unavailable("away"))
        }
    });
    stage.script.offer(lease(0, 0..5));
    stage.shutdown.cancelled().await;
    *stage.script.on_begin.lock().unwrap() = Box::new(|_| Ok(coordinator::begun(1, 35)));
    let report = stage.script.report("token-0").await;
    assert_eq!(report.deliveries[0].outcome(), DeliveryOutcome::NotApplied);
    assert!(stage.api.posts().is_empty());
    stage.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_ends_even_when_a_post_does_not() {
    let stage = Stage::with(|config| WorkerConfig { drain_timeout: Duration::from_millis(50), ..config }).await;
    stage.api.target_open.send_replace(false);
    stage.script.offer(lease(0, 0..5));
    stage.api.posted(1).await;
    let script = std::sync::Arc::clone(&stage.script);
    assert_eq!(stage.end().await.batches_abandoned, 1);
    let last = script.told().pop();
    assert!(
        matches!(&last, Some(Told::Release(bye)) if bye.end_session && bye.lease_tokens == ["token-0"]),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_late_report_is_taken_for_an_end() {
    let stage = Stage::new().await;
    *stage.script.on_complete.lock().unwrap() =
        Box::new(|_| Ok(muster_proto::v1::CompleteBatchResponse { state: CompletionState::Late.into() }));
    stage.script.offer(lease(0, 0..5));
    stage.script.report("token-0").await;
    stage.script.dropped("token-0").await;
    assert_eq!(stage.script.told().iter().filter(|told| matches!(told, Told::Complete(_))).count(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_lease_whose_report_is_refused_is_still_named_and_not_worked_on_again() {
    let stage = Stage::new().await;
    *stage.script.on_complete.lock().unwrap() = Box::new(|report| match report.lease_token.as_str() {
        "token-0" => Err(Status::invalid_argument("REPORT_INVALID")),
        _ => Ok(done()),
    });
    stage.script.offer(lease(0, 0..5));
    stage.script.report("token-0").await;
    // A coordinator that took its answer for lost would hand it out again.
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.script.report("token-1").await;
    stage.script.dropped("token-1").await;
    let last = stage.script.told().into_iter().rev().find_map(|told| match told {
        Told::Acquire(request) => Some(request.held_lease_tokens),
        _ => None,
    });
    assert_eq!(last, Some(vec!["token-0".to_owned()]));
    assert_eq!((reports(&stage.script.told()).len(), stage.api.posts().len()), (2, 2));
    assert_eq!(stage.end().await.batches_completed, 1);
}

#[tokio::test]
async fn a_pipeline_that_is_not_what_its_revision_says_pauses_the_run() {
    let (_api, base_url) = super::Api::start().await;
    // The script's leases name a parameter that this pipeline does not have.
    let text = include_str!("animals.yaml").replace("base_url", "other_url");
    let pipeline = muster_pipeline::Pipeline::from_yaml(&text, "other.yaml").unwrap();
    let (script, url) = super::Script::start(&pipeline, &base_url).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(Worker::new(WorkerConfig::default(), connect(&url).unwrap()).run(shutdown.clone()));
    script.offer(lease(0, 0..5));
    let report = script.report("token-0").await;
    assert!(report.pause_reason.contains("other_url") || report.pause_reason.contains("base_url"), "{report:#?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_with_an_unusable_setting_does_not_start() {
    let config = WorkerConfig { concurrency: Some(0), ..WorkerConfig::default() };
    let worker = Worker::new(config, connect("http://127.0.0.1:1").unwrap());
    let error = worker.run(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, WorkerError::BadSetting { setting: "--concurrency", .. }), "{error}");
}

#[tokio::test]
async fn a_worker_without_a_coordinator_waits_and_ends_when_told() {
    // Nothing listens on port 1.
    let shutdown = CancellationToken::new();
    let worker = Worker::new(WorkerConfig::default(), connect("http://127.0.0.1:1").unwrap());
    let running = tokio::spawn(worker.run(shutdown.clone()));
    tokio::task::yield_now().await;
    shutdown.cancel();
    assert_eq!(running.await.unwrap().unwrap().batches_completed, 0);
}

#[tokio::test]
async fn a_worker_that_speaks_another_protocol_ends_with_a_plain_message() {
    let stage = Stage::new().await;
    stage.api.target_open.send_replace(false);
    stage.script.offer(lease(0, 0..5));
    stage.api.posted(1).await;
    let words = "this worker speaks version 2 of the protocol and this coordinator version 9";
    *stage.script.on_acquire.lock().unwrap() = Some(Status::failed_precondition(words));
    let told = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Acquire(_))).count();
    let from = told(&stage.script.told());
    stage.script.until("an acquisition that is refused", |all| (told(all) > from).then_some(())).await;
    // What is under way is finished first.
    stage.api.target_open.send_replace(true);
    assert_eq!(stage.script.report("token-0").await.deliveries[0].outcome(), DeliveryOutcome::Applied);
    let error = stage.running.await.unwrap().unwrap_err();
    assert!(matches!(error, WorkerError::Refused { .. }) && error.to_string().contains(words), "{error}");
}

/// Amid a rolling upgrade: a coordinator of the version before, upgraded in its turn; and one of a version after, which
/// pushes what this worker does not know.
#[tokio::test]
async fn coordinators_one_version_apart_are_worked_for() {
    let stage = Stage::new().await;
    let spoken = |all: &[Told]| -> Vec<i32> {
        let spoken = |told: &Told| match told {
            Told::Acquire(request) => request.worker.as_ref().map(|worker| worker.protocol),
            _ => None,
        };
        all.iter().filter_map(spoken).collect()
    };
    let own = muster_proto::PROTOCOL;
    for (batch, speaks) in [(0, own - 1), (1, own), (2, own + 1)] {
        *stage.script.protocol.lock().unwrap() = speaks;
        stage.script.push_unknown();
        let token = format!("token-{batch}");
        stage.script.offer(lease(batch, 0..5));
        assert_eq!(stage.script.report(&token).await.deliveries[0].outcome(), DeliveryOutcome::Applied);
    }
    let spoken = spoken(&stage.script.told());
    assert!(spoken.starts_with(&[own]) && spoken.contains(&(own - 1)), "{spoken:?}");
    assert_eq!(spoken.last(), Some(&own), "its own again with whoever speaks it");
    assert_eq!(stage.end().await.batches_completed, 3);
}

/// What only a newer coordinator would answer is taken for no answer: nothing is sent, and nothing is lost.
#[tokio::test]
async fn answers_of_a_kind_that_is_not_known_yet_do_no_harm() {
    const UNKNOWN: i32 = 99;
    let stage = Stage::new().await;
    let refused = DeliveryRefused { reason: UNKNOWN };
    *stage.script.on_begin.lock().unwrap() =
        Box::new(move |_| Ok(BeginDeliveryResponse { result: Some(Begin::Refused(refused)) }));
    stage.script.offer(lease(0, 0..5));
    assert!(stage.script.report("token-0").await.deliveries.is_empty(), "it was not announced");
    *stage.script.on_begin.lock().unwrap() = Box::new(|_| Ok(begun(2, 35)));
    *stage.script.on_renew.lock().unwrap() = Box::new(|request| {
        let renewal = |token: &String| Renewal { lease_token: token.clone(), state: UNKNOWN, ttl: None };
        Ok(RenewLeasesResponse { renewals: request.lease_tokens.iter().map(renewal).collect() })
    });
    *stage.script.on_complete.lock().unwrap() = Box::new(|_| Ok(CompleteBatchResponse { state: UNKNOWN }));
    stage.api.target_open.send_replace(false);
    stage.script.offer(lease(1, 0..5));
    stage.api.posted(1).await;
    let renewed =
        |told: &Told| matches!(told, Told::Renew(asked) if asked.lease_tokens.contains(&"token-1".to_owned()));
    stage.script.until("a renewal", |all| all.iter().any(renewed).then_some(())).await;
    stage.api.target_open.send_replace(true);
    assert_eq!(stage.script.report("token-1").await.deliveries[0].outcome(), DeliveryOutcome::Applied);
}

#[tokio::test]
async fn as_a_program_it_ends_with_a_message_and_code_1() {
    let (_api, base_url) = super::Api::start().await;
    let (script, url) = super::Script::start(&super::pipeline(), &base_url).await;
    let words = "this worker speaks version 2 of the protocol and this coordinator version 9";
    *script.on_acquire.lock().unwrap() = Some(Status::failed_precondition(words));
    let worker = std::process::Command::new(env!("CARGO_BIN_EXE_muster-worker"))
        .args(["--coordinator", &url])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let ended = tokio::task::spawn_blocking(move || worker.wait_with_output());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().unwrap().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("error: the coordinator refuses this worker") && said.contains(words), "{said}");
}
