//! Rates that all processes share, and hosts that want to be left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_pipeline::Pipeline;
use muster_proto::v1::attend_response::Event;
use muster_proto::v1::{HostClosed, ReserveRequestsRequest};
use tonic::Status;

use super::coordinator::{Told, lease, places};
use super::{Script, Stage};

/// The pipeline with a rate, of a minute: a process that stands still for a moment loses no place.
fn limited() -> Pipeline {
    let text = include_str!("animals.yaml").replace("  get_timeout: 60s", "  rate: 30000/m\n  get_timeout: 60s");
    Pipeline::from_yaml(&text, "limited.yaml").unwrap()
}

fn reserved(script: &Script) -> Vec<ReserveRequestsRequest> {
    let reserve = |told| if let Told::Reserve(request) = told { Some(request) } else { None };
    script.told().into_iter().filter_map(reserve).collect()
}

#[tokio::test]
async fn every_request_has_a_place_and_none_is_asked_for_that_does_not_wait() {
    let stage = Stage::of(&limited(), |config| config).await;
    stage.script.offer(lease(0, 0..50));
    stage.script.report("token-0").await;
    let asked = reserved(&stage.script);
    // 50 records and their delivery.
    assert_eq!(asked.iter().map(|request| request.count).sum::<u32>(), 51);
    let (_, host) = asked[0].host.split_once("://").unwrap();
    assert!(host.starts_with("127.0.0.1:") && asked.iter().all(|request| request.host == asked[0].host), "{host}");
    assert!(asked.iter().all(|request| request.pipeline_revision == limited().revision()));
    stage.end().await;
}

#[tokio::test]
async fn a_pipeline_without_a_rate_asks_for_no_place() {
    let stage = Stage::new().await;
    stage.script.offer(lease(0, 0..5));
    stage.script.report("token-0").await;
    assert!(reserved(&stage.script).is_empty());
    stage.end().await;
}

#[tokio::test]
async fn while_no_coordinator_answers_requests_wait_and_no_record_ends() {
    let stage = Stage::of(&limited(), |config| config).await;
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    *stage.script.on_reserve.lock().unwrap() = Box::new(move |request| match is_away.load(Ordering::Relaxed) {
        true => Err(Status::unavailable("the ledger cannot be written")),
        false => Ok(places(request)),
    });
    stage.script.offer(lease(0, 0..5));
    let tried = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Reserve(_))).count();
    stage.script.until("it is asked for again and again", |told| (tried(told) >= 5).then_some(())).await;
    assert!(stage.api.fetching.borrow().is_empty(), "a request went out without a place");
    away.store(false, Ordering::Relaxed);
    let report = stage.script.report("token-0").await;
    assert_eq!((report.records.len(), stage.api.ids()), (0, vec![0, 1, 2, 3, 4]));
    stage.end().await;
}

#[tokio::test]
async fn a_host_that_others_were_told_to_leave_alone_is_left_alone() {
    let stage = Stage::new().await;
    let host = stage.base_url.clone();
    let closed = |seconds| {
        let time = Some(prost_types::Duration { seconds, nanos: 0 });
        stage.script.push(Event::HostClosed(HostClosed { host: host.clone(), time }));
    };
    closed(2);
    // Another host's wish is its own.
    stage.script.push(Event::HostClosed(HostClosed {
        host: "http://127.0.0.1:1".to_owned(),
        time: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
    }));
    // Two renewals: the pushes have come.
    let renewals = |told: &[Told]| told.iter().filter(|told| matches!(told, Told::Renew(_))).count();
    stage.script.offer(lease(0, 0..5));
    stage.script.until("renewals", |told| (renewals(told) >= 10).then_some(())).await;
    assert!(stage.api.fetching.borrow().is_empty(), "a request went out to a host that is closed");
    stage.script.report("token-0").await;
    stage.end().await;
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_told_once_and_heeded() {
    let stage = Stage::new().await;
    // The first is refused, and its 503 asks for a second's pause.
    let first = AtomicBool::new(true);
    *stage.api.special.lock().unwrap() =
        Box::new(move |_| first.swap(false, Ordering::Relaxed).then_some((503, "Sorry!")));
    stage.script.offer(lease(0, 0..5));
    stage.script.report("token-0").await;
    let told = stage.script.told();
    let pressure = told.iter().filter_map(|told| if let Told::Pressure(request) = told { Some(request) } else { None });
    let pressure: Vec<_> = pressure.collect();
    assert_eq!(pressure.len(), 1, "{pressure:?}");
    let time = pressure[0].time.unwrap();
    assert!(pressure[0].host == stage.base_url && time.seconds <= 1 && time.nanos >= 0, "{pressure:?}");
    assert_eq!(stage.api.ids(), [0, 1, 2, 3, 4]);
    stage.end().await;
}
