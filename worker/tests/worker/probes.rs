//! Records in doubt that the target is asked for: nothing is fetched for them, and above all nothing is sent.

use muster_pipeline::Pipeline;
use muster_proto::v1::attend_response::Event;
use muster_proto::v1::{CompleteBatchRequest, LeaseRevoked, LeasedPart, RunStopped};

use super::Stage;
use super::api::{ABSENT, PRESENT};
use super::coordinator::{RUN, Told, lease, probed};

/// The number of the delivery in doubt.
const DOUBT: i64 = 17;

/// A worker whose pipeline probes.
async fn stage() -> Stage {
    let probe = "  on_doubt: probe\n  probe: { url: \"${param:base_url}/animals/v1/home/${record:id}\" }\nlimits:";
    let text = include_str!("animals.yaml").replace("limits:", probe);
    Stage::of(&Pipeline::from_yaml(&text, "probe.yaml").unwrap(), |config| config).await
}

/// What is told of the one delivery in doubt: places of what is present, and of what is absent.
fn said(report: &CompleteBatchRequest) -> (Vec<u32>, Vec<u32>) {
    let [probe] = &report.probes[..] else { panic!("{report:#?}") };
    assert_eq!(probe.delivery_number, DOUBT);
    (probe.present.clone(), probe.absent.clone())
}

/// Nothing was fetched, announced or sent.
fn touched_nothing(stage: &Stage) {
    assert!(stage.api.posts().is_empty() && stage.script.begins().is_empty());
    assert!(stage.api.fetching.borrow().is_empty());
}

#[tokio::test]
async fn what_the_target_has_and_has_not_is_told_and_nothing_is_sent() {
    for present in [(0..6).collect(), vec![], vec![0, 2, 4]] {
        let absent: Vec<u32> = (0..6).filter(|place| !present.contains(place)).collect();
        let stage = stage().await;
        let has: Vec<u64> = present.iter().map(|place| u64::from(*place) + 10).collect();
        *stage.api.asked.lock().unwrap() = Box::new(move |id| if has.contains(&id) { PRESENT } else { ABSENT });
        stage.script.offer(probed(lease(0, 10..16), DOUBT));
        let report = stage.script.report("token-0").await;
        assert_eq!(said(&report), (present, absent));
        assert!(report.deliveries.is_empty() && report.records.is_empty() && report.pause_reason.is_empty());
        assert_eq!(report.retry_after, None, "what is absent can be sent at once");
        let mut probes = stage.api.probes.borrow().clone();
        probes.sort_unstable();
        assert_eq!(probes, (10..16).collect::<Vec<_>>(), "each asked for once");
        touched_nothing(&stage);
        stage.end().await;
    }
}

#[tokio::test]
async fn what_the_target_does_not_say_is_in_neither_list() {
    let stage = stage().await;
    *stage.api.asked.lock().unwrap() = Box::new(|id| match id {
        1 => (500, "Internal Server Error"),
        2 => (418, "teapot"),
        3 => PRESENT,
        _ => ABSENT,
    });
    stage.script.offer(probed(lease(0, 0..5), DOUBT));
    let report = stage.script.report("token-0").await;
    assert_eq!(said(&report), (vec![3], vec![0, 4]));
    assert!(report.retry_after.is_some(), "it is asked again, but not at once");
    let asked = |id| stage.api.probes.borrow().iter().filter(|asked| **asked == id).count();
    assert_eq!((asked(1), asked(2)), (2, 1), "a 500 is asked again, an answer that means nothing is not");
    touched_nothing(&stage);
    stage.end().await;
}

#[tokio::test]
async fn a_target_that_tells_nobody_pauses_the_run() {
    for (answer, words) in [
        ((401, r#"{"detail":"who are you?"}"#), "who are you?"),
        ((403, r#"{"detail":"not you"}"#), "not you"),
        ((200, "<html>log in</html>"), "HTML"),
    ] {
        let stage = stage().await;
        *stage.api.asked.lock().unwrap() = Box::new(move |_| answer);
        stage.script.offer(probed(lease(0, 0..5), DOUBT));
        let report = stage.script.report("token-0").await;
        assert!(report.pause_reason.contains(&answer.0.to_string()), "{report:#?}");
        assert!(report.pause_reason.contains(words), "{report:#?}");
        assert_eq!(said(&report), (vec![], vec![]), "a page to log in is no record");
        touched_nothing(&stage);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_lease_can_ask_for_some_records_and_send_others() {
    let stage = stage().await;
    *stage.api.asked.lock().unwrap() = Box::new(|id| if id == 2 { PRESENT } else { ABSENT });
    let mut both = probed(lease(0, 0..3), DOUBT);
    both.parts.push(LeasedPart {
        positions: vec![3, 4],
        record_ids: vec!["3".into(), "4".into()],
        ..LeasedPart::default()
    });
    stage.script.offer(both);
    let report = stage.script.report("token-0").await;
    assert_eq!(said(&report), (vec![2], vec![0, 1]));
    assert_eq!((stage.api.ids(), report.deliveries.len()), (vec![3, 4], 1), "only what is not in doubt is sent");
    assert_eq!(*stage.script.begins()[0].positions, [3, 4]);
    stage.end().await;
}

#[tokio::test]
async fn an_interruption_ends_the_asking_and_gives_the_batch_back() {
    for drains in [false, true] {
        let stage = stage().await;
        stage.api.target_open.send_replace(false);
        stage.script.offer(probed(lease(0, 0..5), DOUBT));
        asked_for(&stage, 5).await;
        match drains {
            true => stage.shutdown.cancel(),
            false => stage.script.push(Event::RunStopped(RunStopped { run_id: RUN.into(), reason: "paused".into() })),
        }
        stage.script.released("token-0").await;
        touched_nothing(&stage);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_lost_lease_is_dropped_in_silence() {
    let stage = stage().await;
    stage.api.target_open.send_replace(false);
    stage.script.offer(probed(lease(0, 0..5), DOUBT));
    asked_for(&stage, 5).await;
    stage.script.push(Event::LeaseRevoked(LeaseRevoked { lease_token: "token-0".into() }));
    stage.script.dropped("token-0").await;
    let told = stage.script.told();
    assert!(!told.iter().any(|told| matches!(told, Told::Complete(_) | Told::Release(_))), "{told:#?}");
    touched_nothing(&stage);
    stage.end().await;
}

/// Waits until the target was asked for so many records.
async fn asked_for(stage: &Stage, count: usize) {
    let mut probes = stage.api.probes.subscribe();
    let asked = probes.wait_for(|ids| ids.len() >= count);
    tokio::time::timeout(std::time::Duration::from_secs(30), asked).await.unwrap().unwrap();
}
