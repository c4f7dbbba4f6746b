//! `pipeline try`: a few records, before and after.

use muster_pipeline::{SampledRecord, Wanted};
use serde_json::json;
use url::Url;

use super::exact::Exact;
use super::sampling;
use crate::args::TryArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::clean;
use crate::render::paint::{self, Tone};

/// `muster pipeline try FILE`.
pub async fn try_out(args: TryArgs, proxy: Option<Url>) -> Result<Exit, Failure> {
    let ready = sampling::ready(&args.file, &args.set)?;
    let ids = sampling::ids(&args.id)?;
    let requester = sampling::requester(&ready, proxy)?;
    let wanted = if ids.is_empty() { Wanted::First(args.records) } else { Wanted::These(ids) };
    let sample = ready.compiled.sample(&requester, &wanted).await;
    let sample = sample.map_err(|error| sampling::unreadable(&error))?;
    if let Some(failure) = sampling::all_unreadable(&sample.records) {
        return Err(failure);
    }
    for record in &sample.records {
        let reader = match args.json {
            true => output::print(&format!("{}\n", as_json(record)))?,
            false => output::print(&in_words(record))?,
        };
        if reader == output::Reader::Gone {
            break;
        }
    }
    if sample.records.is_empty() {
        output::remark("the list has no records\n")?;
    }
    Ok(sampling::exit(&sample.records))
}

fn as_json(record: &SampledRecord) -> Exact {
    let mut line = Exact::with("id", Exact::read(record.id.as_text().as_bytes()));
    if let Ok(source) = &record.source {
        line.set("before", Exact::read(source));
    }
    match (record.dead_letter(), &record.output) {
        (Some((stage, reason)), _) => line.set("dead_letter", json!({"stage": stage, "reason": reason})),
        (None, Some(Ok(output))) => {
            line.set("after", Exact::read(&output.body));
            sampling::add_unknown(&mut line, output);
        }
        (None, _) => line.set("gone", Exact::Bool(true)),
    }
    line
}

fn in_words(record: &SampledRecord) -> String {
    let mut text = format!("{}\n", paint::out(Tone::Heading, &format!("record {}", clean(record.id.as_text()))));
    if let Ok(source) = &record.source {
        text.push_str(&format!("{} {}\n", paint::out(Tone::Hint, "before"), pretty(source)));
    }
    match (record.dead_letter(), &record.output) {
        (Some((stage, reason)), _) => {
            let label = paint::out(Tone::Bad, &format!("dead letter, {stage}:"));
            text.push_str(&format!("{label} {}\n", clean(&reason)));
        }
        (None, Some(Ok(output))) => {
            text.push_str(&format!("{}  {}\n", paint::out(Tone::Good, "after"), pretty(&output.body)));
            if !output.unknown.is_empty() {
                let label = paint::out(Tone::Attention, "the schema does not know:");
                text.push_str(&format!("{label} {}\n", clean(&output.unknown.join(", "))));
            }
        }
        (None, _) => text.push_str(&format!("{} the source does not have it\n", paint::out(Tone::Attention, "gone:"))),
    }
    text.push('\n');
    text
}

/// JSON on lines of its own. serde_json escapes control characters, those beyond ASCII are escaped here.
fn pretty(json: &[u8]) -> String {
    format!("{:#}", Exact::read(json)).lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use muster_pipeline::{Pipeline, RecordId, built_in};

    use super::*;

    #[test]
    fn digits_are_shown_as_they_are_sent() {
        let pipeline = Pipeline::from_yaml(built_in("animals").unwrap(), "animals").unwrap();
        let source = r#"{"id":1000000000000000000000000001,"name":"x","born_at":null,"friends":"","w":[1.10,1E5]}"#;
        let output = pipeline.compile(&BTreeMap::new()).unwrap().process(source.as_bytes());
        let id = RecordId::from_text("1000000000000000000000000001").unwrap();
        let record = SampledRecord { id, source: Ok(source.into()), output: Some(output) };
        let after = r#"{"id":1000000000000000000000000001,"name":"x","born_at":null,"friends":[]}"#;
        let line = format!(r#"{{"id":1000000000000000000000000001,"before":{source},"after":{after}}}"#);
        assert_eq!(as_json(&record).to_string(), line);
        let line = format!(r#"{{"id":1000000000000000000000000001,"record":{after}}}"#);
        assert_eq!(sampling::outcome(&record).to_string(), line);
        let words = in_words(&record);
        assert!(words.contains("\"w\": [\n    1.10,\n    1E5\n  ]"), "{words}");
        assert_eq!(words.matches("  \"id\": 1000000000000000000000000001,\n").count(), 2, "{words}");
    }
}
