//! Records that fail, and sources that do.

use muster_pipeline::Pipeline;
use muster_proto::v1::{DeliveryOutcome, RecordOutcome};

use super::Stage;
use super::coordinator::lease;

#[tokio::test]
async fn a_record_that_fails_holds_nobody_else_up() {
    let stage = Stage::new().await;
    // More than the pipeline's record_size.
    let huge: &'static str = format!(r#"{{"id":7,"name":"{}"}}"#, "x".repeat(2048)).leak();
    *stage.api.special.lock().unwrap() = Box::new(move |id| match id {
        1 => Some((404, r#"{"detail":"Not Found"}"#)),
        3 => Some((200, r#"{"id":3,"name":"Cobra","born_at":null,"friends":7}"#)),
        5 => Some((500, "Internal Server Error")),
        6 => Some((400, "no such animal")),
        7 => Some((200, huge)),
        _ => None,
    });
    stage.script.offer(lease(0, 0..9));
    let report = stage.script.report("token-0").await;
    let said: Vec<_> = report
        .records
        .iter()
        .map(|record| (record.position, record.outcome(), record.stage.as_str(), record.http_status))
        .collect();
    assert_eq!(
        said,
        [
            (1, RecordOutcome::Gone, "fetch", 404),
            (3, RecordOutcome::DeadLetter, "validate", 0),
            (5, RecordOutcome::DeadLetter, "fetch", 500),
            (6, RecordOutcome::DeadLetter, "fetch", 400),
            (7, RecordOutcome::DeadLetter, "fetch", 200),
        ]
    );
    assert!(report.records[1].body.contains(r#""friends":7"#), "with the offending body");
    assert!(report.records[4].reason.contains("1024 bytes") && report.pause_reason.is_empty(), "{report:#?}");
    assert_eq!(stage.api.ids(), [0, 2, 4, 8]);
    assert_eq!(stage.script.begins()[0].positions, [0, 2, 4, 8]);
    let stats = report.stats.unwrap();
    // And perhaps a look whether the source still serves what it served before.
    assert!((10..=11).contains(&stats.requests), "{stats:?}");
    assert_eq!((stats.retries, stats.hedges), (1, 0), "the 500 was tried twice");
    assert!(stats.bytes_received > 2 * 21 + 1024, "what failed costs too: {stats:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_source_that_answers_without_json_pauses_the_run() {
    let stage = Stage::new().await;
    *stage.api.special.lock().unwrap() = Box::new(|id| (id == 1).then_some((200, "<html>log in</html>")));
    stage.script.offer(lease(0, 1..2));
    let report = stage.script.report("token-0").await;
    assert!(report.pause_reason.contains("text/html") && report.pause_reason.contains("log in"), "{report:#?}");
    assert!(report.records.is_empty(), "nobody is judged");
    stage.end().await;
}

#[tokio::test]
async fn a_record_that_alone_comes_without_json_is_a_dead_letter() {
    let stage = Stage::new().await;
    *stage.api.special.lock().unwrap() = Box::new(|id| (id == 1).then_some((200, "<html>oops</html>")));
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    let [dead] = &report.records[..] else { panic!("{report:#?}") };
    assert_eq!((dead.position, dead.stage.as_str(), report.pause_reason.as_str()), (1, "fetch", ""));
    assert!(dead.reason.contains("text/html") && dead.body.contains("oops"), "{dead:#?}");
    assert_eq!(stage.api.ids(), [0, 2, 3, 4]);
    stage.end().await;
}

#[tokio::test]
async fn a_record_that_is_alone_in_its_batch_is_judged_by_the_last_one_that_came_as_json() {
    let stage = Stage::new().await;
    *stage.api.special.lock().unwrap() = Box::new(|id| (id == 1).then_some((200, "<html>oops</html>")));
    for (batch, ids) in [(0, 0..1), (1, 1..2)] {
        stage.script.offer(lease(batch, ids));
        let report = stage.script.report(&format!("token-{batch}")).await;
        assert_eq!((report.records.len(), report.pause_reason.as_str()), (usize::from(batch == 1), ""), "{report:#?}");
    }
    assert_eq!((stage.api.ids(), stage.api.fetching.borrow().clone()), (vec![0], vec![0, 1, 0]), "0 was read again");
    *stage.api.special.lock().unwrap() = Box::new(|_| Some((200, "<html>log in</html>")));
    stage.script.offer(lease(2, 1..2));
    let report = stage.script.report("token-2").await;
    assert!(report.pause_reason.contains("log in") && report.records.is_empty(), "{report:#?}");
    stage.end().await;
}

#[tokio::test]
async fn many_records_are_not_judged_by_one_of_an_earlier_batch() {
    let stage = Stage::new().await;
    // Record 0 goes on coming as JSON: out of a cache, or because the moment is over by then.
    *stage.api.special.lock().unwrap() = Box::new(|id| (id > 0).then_some((200, "<html>back soon</html>")));
    stage.script.offer(lease(0, 0..1));
    assert!(stage.script.report("token-0").await.pause_reason.is_empty());
    stage.script.offer(lease(1, 1..4));
    let report = stage.script.report("token-1").await;
    assert!(report.pause_reason.contains("back soon") && report.records.is_empty(), "{report:#?}");
    stage.end().await;
}

#[tokio::test]
async fn a_source_that_stops_answering_with_json_in_mid_batch_pauses_the_run() {
    let stage = Stage::new().await;
    // A session that ends: record 1 comes without JSON, and so does from then on what came with it before.
    let mut logged_out = false;
    let out = std::sync::Mutex::new(move |id: u64| {
        logged_out |= id == 1;
        logged_out.then_some((200, "<html>log in</html>"))
    });
    *stage.api.special.lock().unwrap() = Box::new(move |id| (out.lock().unwrap())(id));
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert!(report.pause_reason.contains("log in") && report.records.is_empty(), "{report:#?}");
    assert!(stage.api.posts().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_target_that_answers_in_plain_words_pauses_the_run_and_hears_how_to_be_taken_at_them() {
    let stage = Stage::new().await;
    *stage.api.answer.lock().unwrap() = Box::new(|_| (201, "created"));
    stage.script.offer(lease(0, 0..3));
    let report = stage.script.report("token-0").await;
    let pause = &report.pause_reason;
    assert!(
        pause.contains("with 201 and what is not JSON: created; ") && pause.contains("load.answer: any"),
        "{pause}"
    );
    assert_eq!(report.deliveries[0].outcome(), DeliveryOutcome::InDoubt);
    assert_eq!((stage.api.posts().len(), report.records.len()), (1, 0));
    stage.end().await;
}

#[tokio::test]
async fn a_target_that_answers_with_html_pauses_the_run_and_leaves_a_doubt() {
    let stage = Stage::new().await;
    *stage.api.answer.lock().unwrap() = Box::new(|_| (200, "<html>log in</html>"));
    stage.script.offer(lease(0, 0..3));
    let report = stage.script.report("token-0").await;
    assert!(report.pause_reason.contains("HTML") && report.pause_reason.contains("log in"), "{report:#?}");
    assert_eq!(report.deliveries[0].outcome(), DeliveryOutcome::InDoubt);
    assert_eq!((stage.api.posts().len(), report.records.len()), (1, 0));
    stage.end().await;
}

#[tokio::test]
async fn a_target_that_redirects_as_after_an_applied_post_pauses_the_run_and_leaves_a_doubt() {
    for (status, outcome) in [(303, DeliveryOutcome::InDoubt), (308, DeliveryOutcome::NotApplied)] {
        let stage = Stage::new().await;
        *stage.api.answer.lock().unwrap() = Box::new(move |_| (status, ""));
        stage.script.offer(lease(0, 0..3));
        let report = stage.script.report("token-0").await;
        assert!(report.pause_reason.contains(&format!("with {status}")), "{report:#?}");
        assert_eq!((report.deliveries[0].outcome(), stage.api.posts().len()), (outcome, 1));
        stage.end().await;
    }
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_left_is_reported_without_a_delivery() {
    let stage = Stage::new().await;
    *stage.api.special.lock().unwrap() = Box::new(|_| Some((410, "")));
    stage.script.offer(lease(0, 0..3));
    let report = stage.script.report("token-0").await;
    assert_eq!(report.records.len(), 3);
    assert!(stage.script.begins().is_empty() && stage.api.posts().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_source_that_lets_nobody_in_pauses_the_run() {
    for (status, body) in [(401, r#"{"detail":"who are you?"}"#), (403, r#"{"detail":"not you"}"#)] {
        let stage = Stage::new().await;
        *stage.api.special.lock().unwrap() = Box::new(move |_| Some((status, body)));
        stage.script.offer(lease(0, 0..3));
        let report = stage.script.report("token-0").await;
        assert!(report.pause_reason.contains(&status.to_string()), "{report:#?}");
        assert!(report.records.is_empty(), "nobody is judged");
        stage.end().await;
    }
}

#[tokio::test]
async fn a_target_that_lets_nobody_in_pauses_the_run() {
    let stage = Stage::new().await;
    *stage.api.answer.lock().unwrap() = Box::new(|_| (401, r#"{"detail":"who are you?"}"#));
    stage.script.offer(lease(0, 0..3));
    let report = stage.script.report("token-0").await;
    assert!(report.pause_reason.contains("401") && report.pause_reason.contains("who are you"), "{report:#?}");
    assert_eq!(report.deliveries[0].outcome(), DeliveryOutcome::NotApplied);
    assert_eq!(stage.api.posts().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_slow_record_delays_its_own_batch_alone() {
    let stage = Stage::new().await;
    stage.api.held.lock().unwrap().insert(2);
    stage.script.offer(lease(0, 0..5));
    stage.script.offer(lease(1, 5..10));
    stage.script.report("token-1").await;
    stage.api.source_open.send_replace(true);
    stage.script.report("token-0").await;
    stage.end().await;
}

/// The pipeline of the other tests, which knows some fields and wants others reported.
fn reporting() -> Pipeline {
    let text = include_str!("animals.yaml");
    let text = text.replace("schema:\n", "on_schema_drift: report\nschema:\n").replace(
        "    friends: { type: string }",
        "    friends: { type: string }\n    id: true\n    name: true\n    born_at: true",
    );
    Pipeline::from_yaml(&text, "animals.yaml").unwrap()
}

#[tokio::test]
async fn fields_that_the_schema_does_not_know_go_with_each_announcement() {
    let stage = Stage::of(&reporting(), |config| config).await;
    *stage.api.special.lock().unwrap() = Box::new(|id| match id {
        1 => Some((200, r#"{"id":1,"name":"Gnu","born_at":null,"friends":"","wings":2}"#)),
        2 => Some((200, r#"{"id":2,"name":"Gnu","born_at":null,"friends":7,"wings":2}"#)),
        3 => Some((200, r#"{"id":3,"name":"Gnu","born_at":null,"friends":"","wings":2,"vet":{}}"#)),
        _ => None,
    });
    // Record 1 is refused.
    *stage.api.answer.lock().unwrap() =
        Box::new(|ids| if ids.contains(&1) { (422, "no") } else { (200, r#"{"message":"Helped"}"#) });
    stage.script.offer(lease(0, 0..4));
    let report = stage.script.report("token-0").await;
    assert_eq!(report.records.iter().map(|record| record.position).collect::<Vec<_>>(), [1, 2], "{report:#?}");
    let told: Vec<Vec<(String, Vec<u32>)>> = stage
        .script
        .begins()
        .into_iter()
        .map(|begin| begin.unknown_fields.into_iter().map(|field| (field.path, field.positions)).collect())
        .collect();
    let (vet, wings) = ("/vet".to_owned(), "/wings".to_owned());
    assert_eq!(told[0], [(vet.clone(), vec![3]), (wings.clone(), vec![1, 3])], "of those that are sent");
    let half = |ids: &[(String, Vec<u32>)]| told.iter().any(|told| told == ids);
    assert!(half(&[(wings.clone(), vec![1])]) && half(&[(vet, vec![3]), (wings, vec![3])]), "{told:?}");
    stage.end().await;
}
