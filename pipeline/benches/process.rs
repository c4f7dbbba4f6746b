//! What validating and transforming one record costs, in time and in allocations: `cargo bench -p muster-pipeline`.
//!
//! The record is an animal. Each line leaves something out or puts something in, so that the differences say what the
//! parts cost; docs/PERFORMANCE.md has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use muster_pipeline::{CompiledPipeline, Pipeline};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// A record as the animals API gives it.
const ANIMAL: &[u8] =
    br#"{"id":1234,"name":"Prairie Dog","born_at":1353466383123,"friends":"Badger,Blue Whale,Gazelle"}"#;

const WHOLE: &str =
    "{ id, name, born_at: (.born_at | if . == null then null else todate_ms end), friends: (.friends / \",\") }";

const SCHEMA: &str = "{ type: object, required: [id, name, born_at, friends], properties: { id: { type: integer }, name: { type: string }, born_at: { type: [number, 'null'] }, friends: { type: string } } }";

fn main() {
    divan::main();
}

/// A pipeline with these keys beside source and target.
fn pipeline(keys: &[(&str, &str)]) -> CompiledPipeline {
    let mut text = String::from(
        "muster: 1\nname: bench\nsource:\n  list: { request: { url: 'http://a.test/' }, pagination: { single: {} }, \
         items: $, id: $.id }\n  detail: { request: { url: 'http://a.test/${record:id}' } }\n\
         load: { request: { url: 'http://a.test/home' } }\n",
    );
    for (key, value) in keys {
        writeln!(text, "{key}: {value}").expect("a text has room");
    }
    let pipeline = Pipeline::from_yaml(&text, "bench.yaml").unwrap_or_else(|error| panic!("{error}"));
    pipeline.compile(&BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn process(bencher: Bencher<'_, '_>, keys: &[(&str, &str)], record: &[u8]) {
    let pipeline = pipeline(keys);
    pipeline.process(record).unwrap_or_else(|error| panic!("{error}"));
    bencher.counter(BytesCount::of_slice(record)).bench(|| pipeline.process(divan::black_box(record)));
}

fn transform(bencher: Bencher<'_, '_>, program: &str) {
    process(bencher, &[("transform", &format!("'{program}'"))], ANIMAL);
}

#[divan::bench]
fn a_nothing(bencher: Bencher<'_, '_>) {
    process(bencher, &[], ANIMAL);
}

#[divan::bench]
fn b_schema(bencher: Bencher<'_, '_>) {
    process(bencher, &[("schema", SCHEMA)], ANIMAL);
}

#[divan::bench]
fn c_schema_and_drift(bencher: Bencher<'_, '_>) {
    process(bencher, &[("schema", SCHEMA), ("on_schema_drift", "dead_letter")], ANIMAL);
}

#[divan::bench(args = [".", "{ id, name, born_at, friends }", ".friends / \",\"", ".born_at | todate_ms", WHOLE])]
fn d_transform(bencher: Bencher<'_, '_>, program: &str) {
    transform(bencher, program);
}

/// With jq's own date: seconds, and what is below them by hand.
#[divan::bench]
fn e_transform_by_todate(bencher: Bencher<'_, '_>) {
    transform(bencher, "{ id, name, born_at: (.born_at / 1000 | floor | todate), friends: (.friends / \",\") }");
}

#[divan::bench]
fn f_animals(bencher: Bencher<'_, '_>) {
    process(bencher, &[("schema", SCHEMA), ("transform", &format!("'{WHOLE}'"))], ANIMAL);
}

/// A record of 100 KiB, most of it a list of objects.
#[divan::bench]
fn g_large(bencher: Bencher<'_, '_>) {
    let visits: Vec<String> =
        (0..1_500).map(|n| format!(r#"{{"at":{n},"vet":"Dr. Doe","text":"all is well with it"}}"#)).collect();
    let record = format!(r#"{{"id":1,"visits":[{}]}}"#, visits.join(","));
    let schema = "{ type: object, properties: { visits: { items: { required: [at, vet], properties: { at: { type: integer } } } } } }";
    let program = "{ id, visits: [.visits[] | { at, vet }] }";
    process(bencher, &[("schema", schema), ("transform", &format!("'{program}'"))], record.as_bytes());
}
