//! Records that came whole with the list: read from the coordinator, and nothing from the source.

use muster_pipeline::Pipeline;
use muster_proto::v1::{ItemPart, ReadItemsResponse, RecordOutcome, RenewalState};
use serde_json::{Value, json};
use tonic::Status;

use super::Stage;
use super::coordinator::{Messages, Told, doubted, lease, reports};

const DETAIL: &str = "  detail:\n    request: { url: \"${param:base_url}/animals/v1/animals/${record:id}\" }\n";

/// animals.yaml whose items are whole records, with more in its source.
fn pipeline(more: &str) -> Pipeline {
    let text = include_str!("animals.yaml");
    assert!(text.contains(DETAIL));
    Pipeline::from_yaml(&text.replace(DETAIL, &format!("  detail: none\n{more}")), "whole.yaml").unwrap()
}

async fn stage(more: &str) -> Stage {
    Stage::of(&pipeline(more), |config| config).await
}

fn animal(id: u32) -> String {
    format!(r#"{{"id":{id},"name":"Whole","born_at":null,"friends":"Dog"}}"#)
}

fn part(position: u32, body: &str) -> ItemPart {
    ItemPart { position, body: body.as_bytes().to_vec(), last: true }
}

fn held(parts: Vec<ItemPart>) -> Result<ReadItemsResponse, Status> {
    Ok(ReadItemsResponse { state: RenewalState::Held.into(), parts })
}

/// Animals at these places, the ID being the place, in one message.
fn animals(places: impl IntoIterator<Item = u32>) -> Messages {
    vec![held(places.into_iter().map(|place| part(place, &animal(place))).collect())]
}

/// The places from which items were asked for.
fn asked_from(stage: &Stage) -> Vec<u32> {
    let from = |told| if let Told::ReadItems(request) = told { Some(request.from_position) } else { None };
    stage.script.told().into_iter().filter_map(from).collect()
}

fn asked_nothing(stage: &Stage) {
    assert_eq!(*stage.api.fetching.borrow(), [0; 0], "the source was asked");
}

#[tokio::test]
async fn items_are_loaded_and_the_source_is_not_asked() {
    let stage = stage("").await;
    *stage.script.on_items.lock().unwrap() = Box::new(|_| {
        let (first, rest) = (animal(2)[..9].to_owned(), animal(2)[9..].to_owned());
        let cut = ItemPart { last: false, ..part(2, &first) };
        let mut messages = animals(0..2);
        messages.extend([held(vec![cut]), held(vec![part(2, &rest)])]);
        messages.extend(animals(3..5));
        Ok(messages)
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert!(report.records.is_empty() && report.pause_reason.is_empty(), "{report:#?}");
    assert_eq!(stage.api.ids(), [0, 1, 2, 3, 4]);
    let body: Value = serde_json::from_slice(&stage.api.posts()[0].body).unwrap();
    assert_eq!(body[2], json!({"id": 2, "name": "Whole", "born_at": null, "friends": ["Dog"]}), "transformed");
    assert_eq!((report.stats.unwrap().requests, asked_from(&stage)), (0, vec![0]));
    asked_nothing(&stage);
    stage.end().await;
}

#[tokio::test]
async fn an_item_that_cannot_be_sent_holds_nobody_else_up() {
    let stage = stage("").await;
    *stage.script.on_items.lock().unwrap() = Box::new(|_| {
        // 3 kB where 1 KiB is allowed, in parts; a friend who is a number; and nothing at all of 4.
        let huge = format!(r#"{{"id":1,"name":"{}""#, "x".repeat(1_500));
        let mut parts = vec![part(0, &animal(0)), ItemPart { last: false, ..part(1, &huge) }];
        parts.push(part(1, &format!(",\"more\":\"{}\"}}", "y".repeat(1_500))));
        parts.push(part(2, &animal(2)));
        parts.push(part(3, r#"{"id":3,"name":"Cobra","born_at":null,"friends":7}"#));
        Ok(vec![held(parts)])
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    let said: Vec<_> =
        report.records.iter().map(|record| (record.position, record.outcome(), record.stage.as_str())).collect();
    let dead = RecordOutcome::DeadLetter;
    assert_eq!(said, [(1, dead, "fetch"), (3, dead, "validate"), (4, dead, "fetch")]);
    let [large, _, missing] = &report.records[..] else { panic!() };
    assert!(
        large.reason.contains("larger than 1024 bytes") && large.reason.contains("limits.record_size"),
        "{large:#?}"
    );
    assert!(large.body.starts_with(r#"{"id":1,"name":"xxx"#) && large.body.len() <= 2_048, "its beginning is shown");
    assert!(missing.reason.contains("no item"), "{missing:#?}");
    assert_eq!(stage.api.ids(), [0, 2]);
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_where_it_was() {
    let stage = stage("").await;
    *stage.script.on_items.lock().unwrap() = Box::new(|request| match request.from_position {
        0 => {
            let mut messages = animals(0..2);
            messages.push(held(vec![ItemPart { last: false, ..part(2, "{\"half\":") }]));
            messages.push(Err(Status::unavailable("the coordinator is on its way")));
            Ok(messages)
        }
        2 => Ok(animals(2..5)),
        from => panic!("asked for what stands from {from} on"),
    });
    stage.script.offer(lease(0, 0..5));
    let report = stage.script.report("token-0").await;
    assert!(report.records.is_empty(), "{report:#?}");
    assert_eq!((stage.api.ids(), asked_from(&stage)), (vec![0, 1, 2, 3, 4], vec![0, 2]));
    stage.end().await;
}

#[tokio::test]
async fn a_doubt_is_repeated_with_its_items_and_no_others_are_read() {
    let stage = stage("").await;
    // The places behind the last one that is wanted never come to their end.
    *stage.script.on_items.lock().unwrap() =
        Box::new(|request| Ok([animals(request.from_position..8), vec![Err(Status::unavailable("endless"))]].concat()));
    let mut lease = doubted(lease(0, 0..2), 4);
    (lease.parts[0].positions, lease.parts[0].record_ids) = (vec![3, 6], vec!["3".into(), "6".into()]);
    stage.script.offer(lease);
    stage.script.report("token-0").await;
    assert_eq!((asked_from(&stage), stage.api.ids()), (vec![3], vec![3, 6]));
    assert_eq!((stage.script.begins()[0].retry_of, &stage.script.begins()[0].positions), (4, &vec![3, 6]));
    stage.end().await;
}

#[tokio::test]
async fn items_are_enriched_by_requests() {
    let more = "  enrich:\n    visits: { request: { url: \"${param:base_url}/animals/v1/animals/${record:id}\" } }\n";
    let stage = stage(more).await;
    *stage.script.on_items.lock().unwrap() = Box::new(|_| Ok(animals(0..3)));
    *stage.api.special.lock().unwrap() = Box::new(|id| match id {
        1 => Some((404, "{}")),
        _ => None,
    });
    stage.script.offer(lease(0, 0..3));
    let report = stage.script.report("token-0").await;
    let [dead] = &report.records[..] else { panic!("{report:#?}") };
    assert!(dead.position == 1 && dead.reason.contains("enrich.visits"), "{dead:#?}");
    assert_eq!((stage.api.ids(), report.stats.unwrap().requests), (vec![0, 2], 3));
    let mut asked = stage.api.fetching.borrow().clone();
    asked.sort_unstable();
    assert_eq!(asked, [0, 1, 2], "each part once");
    stage.end().await;
}

#[tokio::test]
async fn the_last_item_whose_parts_came_as_json_judges_one_that_is_alone_in_its_batch() {
    let more = "  enrich:\n    visits: { request: { url: \"${param:base_url}/animals/v1/animals/${record:id}\" } }\n";
    let stage = stage(more).await;
    *stage.script.on_items.lock().unwrap() = Box::new(|_| Ok(animals(0..1)));
    *stage.api.special.lock().unwrap() = Box::new(|id| (id == 1).then_some((200, "<html>oops</html>")));
    stage.script.offer(lease(0, 0..1));
    stage.script.report("token-0").await;
    stage.script.offer(lease(1, 1..2));
    let report = stage.script.report("token-1").await;
    let [dead] = &report.records[..] else { panic!("{report:#?}") };
    assert!(dead.reason.contains("enrich.visits") && report.pause_reason.is_empty(), "{report:#?}");
    assert_eq!(*stage.api.fetching.borrow(), [0, 1, 0], "0 was read again");
    stage.end().await;
}

#[tokio::test]
async fn under_a_lost_lease_nothing_is_sent_or_reported() {
    for answer in [Ok(RenewalState::Lost), Err(Status::invalid_argument("no such lease was ever granted"))] {
        let stage = stage("").await;
        *stage.script.on_items.lock().unwrap() = Box::new(move |_| {
            let state = answer.clone()?;
            Ok([animals(0..1), vec![Ok(ReadItemsResponse { state: state.into(), parts: Vec::new() })]].concat())
        });
        stage.script.offer(lease(0, 0..3));
        stage
            .script
            .until("asked for items", |told| told.iter().find(|told| matches!(told, Told::ReadItems(_))).map(drop))
            .await;
        stage.script.dropped("token-0").await;
        assert!(reports(&stage.script.told()).is_empty() && stage.api.posts().is_empty());
        asked_nothing(&stage);
        assert_eq!(stage.end().await.leases_lost, 1);
    }
}

#[tokio::test]
async fn of_a_stopped_run_the_batch_is_given_back() {
    let stage = stage("").await;
    *stage.script.on_items.lock().unwrap() =
        Box::new(|_| Ok(vec![Ok(ReadItemsResponse { state: RenewalState::RunStopped.into(), parts: Vec::new() })]));
    stage.script.offer(lease(0, 0..3));
    stage.script.released("token-0").await;
    assert!(stage.api.posts().is_empty());
    stage.end().await;
}

/// With the places of all its fields in all its records, its announcement would be more than a coordinator takes.
#[tokio::test]
async fn a_large_batch_with_many_fields_that_the_schema_does_not_know_is_announced() {
    const RECORDS: u32 = 5_400;
    let text = include_str!("animals.yaml").replace(DETAIL, "  detail: none\n");
    let text = text.replace("schema:\n", "on_schema_drift: report\nschema:\n");
    let text = text.replace(
        "    friends: { type: string }\n",
        "    friends: true\n    id: true\n    name: true\n    born_at: true\n",
    );
    let stage = Stage::of(&Pipeline::from_yaml(&text, "large.yaml").unwrap(), |config| config).await;
    *stage.script.on_items.lock().unwrap() = Box::new(|_| {
        let more: String = (0..100).map(|field| format!(r#","f{field:02}":0"#)).collect();
        let animal = |id: u32| animal(id).replace('}', &format!("{more}}}"));
        let places: Vec<u32> = (0..RECORDS).collect();
        let message = |places: &[u32]| held(places.iter().map(|place| part(*place, &animal(*place))).collect());
        Ok(places.chunks(200).map(message).collect())
    });
    stage.script.offer(lease(0, 0..RECORDS));
    let report = stage.script.report("token-0").await;
    assert_eq!((report.deliveries.len(), stage.api.ids().len()), (1, RECORDS as usize), "{report:#?}");
    let fields = &stage.script.begins()[0].unknown_fields;
    assert!((2..100).contains(&fields.len()), "{} paths", fields.len());
    assert!(fields.iter().all(|field| field.positions.len() == RECORDS as usize));
    assert!(fields.iter().any(|field| field.path == "/f00") && fields.iter().any(|field| field.path.is_empty()));
    stage.end().await;
}
