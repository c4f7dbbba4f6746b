//! `pipeline check --live`: a look at the source, as the earliest notice that it changed.

use muster_pipeline::{Drift, Sample, Wanted};
use serde_json::{Value, json};
use url::Url;

use super::exact::Exact;
use super::sampling::{self, Ready};
use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::clean;
use crate::render::numbers::counted;
use crate::render::paint::{self, Tone};

/// `muster pipeline check --live FILE`.
pub async fn check(args: &CheckArgs, proxy: Option<Url>) -> Result<Exit, Failure> {
    let [file] = args.files.as_slice() else {
        return Err(Failure::usage("--live looks at one source at a time").help("give one FILE"));
    };
    let ready = sampling::ready(file, &args.set)?;
    let requester = sampling::requester(&ready, proxy)?;
    let sample = ready.compiled.sample(&requester, &Wanted::First(args.records)).await;
    let sample = sample.map_err(|error| sampling::unreadable(&error))?;
    if let Some(failure) = sampling::all_unreadable(&sample.records) {
        return Err(failure);
    }
    let drift = ready.compiled.drift(&sample);
    match args.json {
        true => output::print(&format!("{:#}\n", as_json(&ready, &sample, &drift)))?,
        false => output::print(&in_words(file, &ready, &sample, &drift))?,
    };
    Ok(sampling::exit(&sample.records))
}

fn as_json(ready: &Ready, sample: &Sample, drift: &Drift) -> Exact {
    let unknown: Vec<Value> = drift
        .unknown
        .iter()
        .map(|(path, seen)| json!({"path": path, "records": seen.records, "example": seen.example}))
        .collect();
    let dead: Vec<Exact> =
        sample.records.iter().filter(|record| record.dead_letter().is_some()).map(sampling::outcome).collect();
    let mut whole = Exact::from(json!({
        "ok": dead.is_empty(), "name": ready.pipeline.name(), "revision": ready.pipeline.revision(),
        "pages_read": sample.pages, "listed": sample.listed, "total_pages": sample.total_pages, "total": sample.total,
        "records": sample.records.len(), "dead_letters": [],
        "drift": {"unknown": unknown, "never_came": drift.never_came},
    }));
    // Not by way of a `Value`, which would not keep the digits of an ID.
    whole.set("dead_letters", Exact::List(dead));
    whole
}

fn in_words(file: &str, ready: &Ready, sample: &Sample, drift: &Drift) -> String {
    let dead: Vec<_> = sample.records.iter().filter_map(|record| Some((record, record.dead_letter()?))).collect();
    let head = match (dead.is_empty(), drift.is_none()) {
        (true, true) => paint::out(Tone::Good, "ok:"),
        (true, false) => paint::out(Tone::Attention, "ok, but:"),
        (false, _) => paint::out(Tone::Bad, "not ok:"),
    };
    let mut text = format!("{head} {}\n", clean(file));
    let mut say = |label: &str, words: &str| text.push_str(&format!("  {label:<13}  {}\n", clean(words)));
    say("pipeline", &format!("{}, revision {}", ready.pipeline.name(), ready.pipeline.revision()));
    let pages = match sample.total_pages {
        Some(total) => format!("{} of {total} pages", sample.pages),
        None => counted(i64::try_from(sample.pages).unwrap_or(i64::MAX), "page", "pages"),
    };
    let total = sample.total.map_or(String::new(), |total| format!(" of {total}"));
    say("list", &format!("{pages} read, with {} items{total}", sample.listed));
    let fine = sample.records.iter().filter(|record| matches!(record.output, Some(Ok(_)))).count();
    let gone = sample.records.len() - fine - dead.len();
    let gone = if gone > 0 { format!(", {gone} gone") } else { String::new() };
    say("records", &format!("{} read: {fine} fit, {} would be dead letters{gone}", sample.records.len(), dead.len()));
    for (record, (stage, reason)) in &dead {
        say("dead letter", &format!("{}: {stage}: {reason}", record.id.as_text()));
    }
    for (path, seen) in &drift.unknown {
        let (count, example) = (seen.records, &seen.example);
        say(
            "new field",
            &format!("{path} in {count} of {}, which the schema does not know: {example}", sample.records.len()),
        );
    }
    for path in &drift.never_came {
        say("missing field", &format!("{path}, which the schema knows, came in no record"));
    }
    text
}
