//! The whole story of one record.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use muster_pipeline::RecordId;
use muster_proto::v1::{GetRecordRequest, RecordState, RecordStory, UnchangedStory};
use serde::Deserialize;
use serde_json::Value;
use tonic::Code;

use super::super::inside::Caller;
use super::super::site::{Site, Trace};
use super::form::{of_record, of_run};
use super::frame::Frame;
use super::run::{ATTENTION, GOOD, PLAIN, Tone};
use super::{Shown, text};
use crate::words::numbers::{moment, time_of_day};
use crate::words::story::{self, timeline};
use crate::words::{clean, record_state};

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    id: String,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    run: String,
    run_address: String,
    below: String,
    /// As it was asked for.
    asked: String,
    trouble: Option<String>,
    stories: Vec<Story>,
}

struct Story {
    id: String,
    round: i32,
    state: String,
    tone: Tone,
    place: String,
    unchanged: Option<Unchanged>,
    from: Option<String>,
    events: Vec<Event>,
    body: String,
    /// Of its leases, oldest first.
    traces: Vec<(i32, Trace)>,
}

struct Event {
    /// After RFC 3339, of what has happened.
    at: Option<String>,
    time: String,
    what: String,
}

struct Unchanged {
    version: String,
    since: String,
    /// The run that loaded it, with the record's story there.
    loaded_by: Option<(String, String)>,
}

impl Story {
    fn of(site: &Site, story: &RecordStory) -> Self {
        let place = match (&story.unchanged, story.batch) {
            (Some(_), _) => format!("listed on page {}", story.listed_on_page),
            (None, Some(batch)) => {
                format!("listed on page {}, batch {batch}, place {}", story.listed_on_page, story.position)
            }
            (None, None) => format!("listed on page {}, waiting for a full batch", story.listed_on_page),
        };
        let events = timeline(story);
        let from = events.iter().find_map(|(time, _)| time.as_ref()).map(|time| moment(Some(time)));
        Self {
            id: clean(&story.record_id),
            round: story.round,
            state: record_state(story.state()).replace('_', " "),
            tone: tone(story.state()),
            place,
            unchanged: story.unchanged.as_ref().map(|unchanged| Unchanged::of(unchanged, &story.record_id)),
            from,
            events: events.into_iter().map(Event::of).collect(),
            traces: (story.leases.iter())
                .filter_map(|lease| Some((lease.epoch, site.trace(&lease.trace_id)?)))
                .collect(),
            body: story.exception.as_ref().map(|exception| exception.body.clone()).unwrap_or_default(),
        }
    }
}

impl Event {
    fn of((at, what): story::Event) -> Self {
        Self { at: at.as_ref().map(ToString::to_string), time: time_of_day(at.as_ref()), what }
    }
}

impl Unchanged {
    fn of(unchanged: &UnchangedStory, record_id: &str) -> Self {
        let run = Some(unchanged.loaded_by_run.clone()).filter(|run| !run.is_empty());
        Self {
            version: clean(&unchanged.version),
            since: unchanged.since_run.clone(),
            loaded_by: run.map(|run| (of_record(&run, record_id), run)),
        }
    }
}

fn tone(state: RecordState) -> Tone {
    match state {
        RecordState::Loaded => GOOD,
        RecordState::DeadLetter | RecordState::InDoubt | RecordState::Cancelled => ATTENTION,
        _ => PLAIN,
    }
}

/// What somebody typed as the JSON text of an ID: what is none is meant as a text.
fn meant(typed: &str) -> String {
    match RecordId::from_text(typed) {
        Ok(_) => typed.to_owned(),
        Err(_) => Value::from(typed).to_string(),
    }
}

/// `/runs/{run_id}/record?id=`.
pub(super) async fn show(
    State(site): State<Site>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(which): Query<Which>,
) -> Shown {
    let typed = which.id.trim();
    let mut shown = RecordPage {
        frame: Frame::of(&site, &caller, "runs", &format!("Record {typed} of {run_id}")),
        run_address: of_run(&run_id, ""),
        below: of_run(&run_id, "/record"),
        run: run_id.clone(),
        asked: typed.to_owned(),
        trouble: None,
        stories: Vec::new(),
    };
    let mut status = StatusCode::OK;
    if !typed.is_empty() {
        let request = GetRecordRequest { run_id, record_id: meant(typed) };
        match site.inside.audits().get_record(caller.asks(request)).await {
            Ok(found) => {
                shown.stories = found.into_inner().stories.iter().map(|story| Story::of(&site, story)).collect()
            }
            // Not there is an answer too, and another ID can be asked for at once.
            Err(error) if matches!(error.code(), Code::NotFound | Code::InvalidArgument) => {
                shown.trouble = Some(error.message().to_owned());
                status = StatusCode::NOT_FOUND;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((status, Html(text(&shown)?)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_an_event_is_there_for_machines() {
        let at = prost_types::Timestamp { seconds: 1_444_102_907, nanos: 778_000_000 };
        let event = Event::of((Some(at), "leased".to_owned()));
        assert_eq!((event.at.as_deref(), event.time.as_str()), (Some("2015-10-06T03:41:47.778Z"), "03:41:47.778Z"));
        assert_eq!(Event::of((None, "held".to_owned())).at, None);
    }

    #[test]
    fn what_is_typed_is_an_id_or_a_text() {
        let table = [("7", "7"), ("\"7\"", "\"7\""), ("abc", "\"abc\""), ("a\"b", "\"a\\\"b\""), ("[1]", "\"[1]\"")];
        for (typed, id) in table {
            assert_eq!(meant(typed), id);
        }
    }
}
