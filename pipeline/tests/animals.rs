//! The pipeline `animals`, as the binaries carry it: its file, its schema, its transform.
// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use muster_pipeline::{CompiledPipeline, Pipeline, RecordId, Requester, Stage, built_in};

fn animals() -> Pipeline {
    Pipeline::from_yaml(built_in("animals").unwrap(), "animals.yaml").unwrap_or_else(|error| panic!("{error}"))
}

fn compiled() -> CompiledPipeline {
    animals().compile(&BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn processed(born_at: &str, friends: &str) -> String {
    let record = format!(r#"{{"id":1,"name":"Cobra","born_at":{born_at},"friends":{friends}}}"#);
    let output = compiled().process(record.as_bytes()).unwrap_or_else(|error| panic!("{record}: {error}"));
    String::from_utf8(output.body.to_vec()).unwrap()
}

#[test]
fn what_runs_share_may_cross_threads() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    crosses::<CompiledPipeline>();
    crosses::<Requester>();
    crosses::<Pipeline>();
    crosses::<RecordId>();
}

#[test]
fn an_animal_is_transformed() {
    assert_eq!(
        processed("1444102907778", r#""Dog,Cat""#),
        r#"{"id":1,"name":"Cobra","born_at":"2015-10-06T03:41:47.778Z","friends":["Dog","Cat"]}"#
    );
    assert_eq!(processed("null", r#""""#), r#"{"id":1,"name":"Cobra","born_at":null,"friends":[]}"#);
    assert_eq!(processed("null", r#""Dog""#), r#"{"id":1,"name":"Cobra","born_at":null,"friends":["Dog"]}"#);
}

#[test]
fn every_millisecond_survives() {
    for (millis, text) in [
        ("0", "1970-01-01T00:00:00.000Z"),
        ("1", "1970-01-01T00:00:00.001Z"),
        ("-1", "1969-12-31T23:59:59.999Z"),
        ("-0", "1970-01-01T00:00:00.000Z"),
        ("-1000", "1969-12-31T23:59:59.000Z"),
        ("1444102907000", "2015-10-06T03:41:47.000Z"),
        ("1444102907770", "2015-10-06T03:41:47.770Z"),
        ("1444102907778.0", "2015-10-06T03:41:47.778Z"),
        ("1444102907778.5", "2015-10-06T03:41:47.778500Z"),
        ("1444102907778.123", "2015-10-06T03:41:47.778123Z"),
        ("1.444102907778e12", "2015-10-06T03:41:47.778Z"),
        ("-2208988800001", "1899-12-31T23:59:59.999Z"),
        ("951782400000", "2000-02-29T00:00:00.000Z"),
        ("4107542399999", "2100-02-28T23:59:59.999Z"),
        ("-62167219200000", "0000-01-01T00:00:00.000Z"),
        ("253402300799999", "9999-12-31T23:59:59.999Z"),
    ] {
        assert!(processed(millis, r#""""#).contains(&format!(r#""born_at":"{text}""#)), "{millis}");
    }
}

#[test]
fn dates_beyond_what_iso_8601_can_say_are_dead_letters() {
    for millis in ["253402300800000", "-62167219200001", "1e300", "9223372036854775807", "99999999999999999999999"] {
        let record = format!(r#"{{"id":1,"name":"x","born_at":{millis},"friends":""}}"#);
        let error = compiled().process(record.as_bytes()).unwrap_err();
        assert_eq!(error.stage, Stage::Transform, "{millis}");
        assert!(error.reason.contains("years 0 to 9999"), "{}", error.reason);
    }
}

#[test]
fn what_breaks_the_schema_is_told_with_its_path() {
    for (record, stage, part) in [
        (r#"{"id":1,"name":"x","born_at":null,"friends":["Dog"]}"#, Stage::Validate, "/friends: "),
        (r#"{"id":"1","name":"x","born_at":null,"friends":""}"#, Stage::Validate, "/id: "),
        (r#"{"id":1.5,"name":"x","born_at":null,"friends":""}"#, Stage::Validate, "/id: "),
        (r#"{"id":1,"name":"x","born_at":"2015","friends":""}"#, Stage::Validate, "/born_at: "),
        (r#"{"id":1,"name":"x","born_at":null}"#, Stage::Validate, "\"friends\" is a required property"),
        (r#"[]"#, Stage::Validate, "the record: "),
        (r#"{"id":1"#, Stage::Validate, "not JSON"),
        ("{\"id\":1} # a comment that only jq takes", Stage::Validate, "not JSON"),
        ("", Stage::Validate, "not JSON"),
        ("<html>", Stage::Validate, "not JSON"),
    ] {
        let error = compiled().process(record.as_bytes()).unwrap_err();
        assert_eq!(error.stage, stage, "{record}");
        assert!(error.reason.contains(part), "{record}: {}", error.reason);
    }
    let deep = "[".repeat(100_000);
    assert!(compiled().process(deep.as_bytes()).unwrap_err().reason.contains("recursion limit"));
}

#[test]
fn fields_that_the_pipeline_does_not_know_do_no_harm() {
    let record = r#"{"new":[1],"friends":"a","born_at":null,"name":"é\"\\\u0001","id":18446744073709551616}"#;
    let output = compiled().process(record.as_bytes()).unwrap();
    assert_eq!(output.unknown, [""; 0], "nobody looks");
    assert_eq!(
        output.body,
        r#"{"id":18446744073709551616,"name":"é\"\\\u0001","born_at":null,"friends":["a"]}"#.as_bytes()
    );
}

#[test]
fn fields_that_the_schema_does_not_know_are_reported_where_that_is_wished() {
    let yaml = built_in("animals").unwrap();
    let with = |on_drift: &str| {
        let yaml = yaml.replace("schema:\n  type: object\n", &format!("{on_drift}\nschema:\n  type: object\n"));
        Pipeline::from_yaml(&yaml, "drift").and_then(|pipeline| pipeline.compile(&BTreeMap::new())).unwrap()
    };
    let record = br#"{"id":1,"name":"Cobra","born_at":null,"friends":"","wings":2,"vet":{"name":"Bo"}}"#;
    let reported = with("on_schema_drift: report").process(record).unwrap();
    assert_eq!((reported.unknown, reported.body.len()), (vec!["/vet".to_owned(), "/wings".to_owned()], 51));
    let refused = with("on_schema_drift: dead_letter").process(record).unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.pauses), ("the schema does not know /vet, /wings", false));
    assert!(with("on_schema_drift: fail").process(record).unwrap_err().pauses);
}

#[test]
fn urls_follow_the_parameters() {
    let parameters = BTreeMap::from([("base_url".to_owned(), "https://Animals.test:8443/api/".to_owned())]);
    let compiled = animals().compile(&parameters).unwrap();
    let id = RecordId::from_text(r#""a/../b?c""#).unwrap();
    assert_eq!(
        compiled.detail_url(&id).unwrap().as_str(),
        "https://animals.test:8443/api/animals/v1/animals/a%2F..%2Fb%3Fc"
    );
    assert_eq!(
        compiled.list().page_url(7).unwrap().as_str(),
        "https://animals.test:8443/api/animals/v1/animals?page=7"
    );
    assert_eq!(compiled.target().http().unwrap().url().as_str(), "https://animals.test:8443/api/animals/v1/home");
}

#[test]
fn the_canonical_form_is_the_same_pipeline() {
    let pipeline = animals();
    let again = Pipeline::from_canonical(pipeline.canonical()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.canonical(), pipeline.canonical());
    assert_eq!(again.revision(), pipeline.revision());
    assert_eq!(pipeline.revision().len(), 64);
    assert!(pipeline.canonical().starts_with(r#"{"description":"#));
    let value: serde_json::Value = serde_json::from_str(pipeline.canonical()).unwrap();
    assert_eq!(value["limits"]["page_size"], "8MiB");
    assert_eq!(value["load"]["settle_after"], "25s");
    let spaced = built_in("animals").unwrap().replace("max_batch: 100", "max_batch:   100 # as before");
    assert_eq!(Pipeline::from_yaml(&spaced, "x").unwrap().revision(), pipeline.revision());
    let other = built_in("animals").unwrap().replace("max_batch: 100", "max_batch: 99");
    assert_ne!(Pipeline::from_yaml(&other, "x").unwrap().revision(), pipeline.revision());
}
