//! `pipeline try`: a few records, before and after.

use muster_pipeline::{SampledRecord, Wanted};
use serde_json::{Value, json};
use url::Url;

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
            true => output::print_json_line(&as_json(record))?,
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

fn as_json(record: &SampledRecord) -> Value {
    let mut value = json!({"id": sampling::parsed(record.id.as_text().as_bytes())});
    if let Ok(source) = &record.source {
        value["before"] = sampling::parsed(source);
    }
    match (record.dead_letter(), &record.output) {
        (Some((stage, reason)), _) => value["dead_letter"] = json!({"stage": stage, "reason": reason}),
        (None, Some(Ok(output))) => {
            value["after"] = sampling::parsed(&output.body);
            sampling::add_unknown(&mut value, output);
        }
        (None, _) => value["gone"] = true.into(),
    }
    value
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
    format!("{:#}", sampling::parsed(json)).lines().map(clean).collect::<Vec<_>>().join("\n")
}
