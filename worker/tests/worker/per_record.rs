//! Targets that say what became of each record: what is reported, and what is sent again.

use std::sync::Mutex;

use muster_pipeline::Pipeline;
use muster_proto::v1::{CompleteBatchRequest, DeliveryOutcome};

use super::Stage;
use super::coordinator::{doubted, lease};

/// The pipeline of the other tests, with answers about each record.
fn pipeline() -> Pipeline {
    let text = include_str!("animals.yaml");
    let text = text.replace("  post_timeout", "  per_record: { outcomes: .outcomes }\n  post_timeout");
    Pipeline::from_yaml(&text, "animals.yaml").unwrap()
}

async fn stage() -> Stage {
    Stage::of(&pipeline(), |config| config).await
}

/// The n-th POST gets the n-th of these answers.
fn answers(stage: &Stage, answers: Vec<(u16, &'static str)>) {
    let answers = Mutex::new(answers.into_iter());
    *stage.api.answer.lock().unwrap() = Box::new(move |_| answers.lock().unwrap().next().expect("another answer"));
}

fn told(report: &CompleteBatchRequest) -> Vec<(DeliveryOutcome, Vec<u32>)> {
    report.deliveries.iter().map(|delivery| (delivery.outcome(), delivery.present.clone())).collect()
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_and_what_was_not_applied_goes_out_again() {
    let stage = stage().await;
    answers(
        &stage,
        vec![
            (
                207,
                r#"{"outcomes":[true,{"outcome":"rejected","reason":"no colour"},"not_applied","applied","not_applied"]}"#,
            ),
            (200, r#"{"outcomes":[true,true]}"#),
        ],
    );
    stage.script.offer(lease(0, 10..15));
    let report = stage.script.report("token-0").await;
    let expected = [(DeliveryOutcome::PartlyApplied, vec![0, 3]), (DeliveryOutcome::Applied, vec![])];
    assert_eq!(told(&report), expected);
    assert_eq!(report.records.len(), 1);
    let refused = &report.records[0];
    assert_eq!((refused.position, refused.stage.as_str(), refused.body.as_str()), (1, "load", "no colour"));
    assert_eq!(refused.reason, "the target refuses it with 207: no colour");
    let begins = stage.script.begins();
    assert_eq!((begins[1].positions.clone(), begins[1].retry_of), (vec![2, 4], 0));
    assert_eq!(begins[1].settled[0].present, [0, 3], "told with the next announcement");
    assert_eq!(
        stage.api.posts().iter().map(|post| post.ids.clone()).collect::<Vec<_>>(),
        [vec![10, 11, 12, 13, 14], vec![12, 14]]
    );
    assert_eq!(stage.end().await.records_applied, 4);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_doubt_and_nothing_is_guessed() {
    for said in [r#"{"outcomes":[true]}"#, r#"{"outcomes":[true,"fine"]}"#, "{}", "[1"] {
        let stage = stage().await;
        answers(&stage, vec![(207, said)]);
        stage.script.offer(lease(0, 0..2));
        let report = stage.script.report("token-0").await;
        assert_eq!(told(&report), [(DeliveryOutcome::InDoubt, vec![])], "{said}");
        assert!(report.records.is_empty() && report.deliveries[0].detail.contains(said));
        stage.end().await;
    }
}

#[tokio::test]
async fn all_refused_is_a_refused_delivery_and_nothing_applied_one_that_was_not() {
    let stage = stage().await;
    answers(
        &stage,
        vec![(207, r#"{"outcomes":["not_applied","not_applied"]}"#), (207, r#"{"outcomes":[false,false]}"#)],
    );
    stage.script.offer(lease(0, 0..2));
    let report = stage.script.report("token-0").await;
    assert_eq!(told(&report), [(DeliveryOutcome::NotApplied, vec![]), (DeliveryOutcome::Rejected, vec![])]);
    assert_eq!(report.records.iter().map(|record| record.position).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(stage.api.posts().len(), 2, "no halves: the answer names the records");
    stage.end().await;
}

#[tokio::test]
async fn what_repeats_a_doubt_goes_on_repeating_it() {
    let stage = stage().await;
    answers(&stage, vec![(207, r#"{"outcomes":[true,"not_applied"]}"#), (200, r#"{"outcomes":[true]}"#)]);
    stage.script.offer(doubted(lease(0, 0..2), 7));
    let report = stage.script.report("token-0").await;
    assert_eq!(told(&report), [(DeliveryOutcome::PartlyApplied, vec![0]), (DeliveryOutcome::Applied, vec![])]);
    assert_eq!(stage.script.begins().iter().map(|begin| begin.retry_of).collect::<Vec<_>>(), [7, 7]);
    stage.end().await;
}

#[tokio::test]
async fn a_dead_letter_says_why_in_the_words_of_the_target() {
    let stage = stage().await;
    let long = "x".repeat(500);
    let said = format!(
        r#"{{"outcomes":[{{"outcome":false,"reason":"quote in\n name"}},false,{{"outcome":false,"reason":"{long}"}},true]}}"#
    );
    answers(&stage, vec![(207, said.leak())]);
    stage.script.offer(lease(0, 0..4));
    let report = stage.script.report("token-0").await;
    let reasons: Vec<&str> = report.records.iter().map(|record| record.reason.as_str()).collect();
    assert_eq!(reasons[..2], ["the target refuses it with 207: quote in name", "the target refuses it with 207"]);
    assert!(reasons[2].len() < 300 && reasons[2].ends_with("xx …"), "{reasons:?}");
    assert_eq!(report.records[2].body, long, "all of it is in the body");
    stage.end().await;
}
