//! The whole story of one record, as a timeline.

use muster_coordinator::words::story::timeline;
use muster_proto::v1::{RecordState, RecordStory, UnchangedStory};

use super::fold::{hanging, hanging_cut};
use super::numbers::{moment, time_of_day};
use super::paint::{Tone, out};
use super::{clean, record_state};

/// The column in which events are told.
const EVENT: usize = 17;

/// What happened to the record in each round it was part of.
pub fn stories(run_id: &str, stories: &[RecordStory]) -> String {
    stories.iter().map(|story| one(run_id, story)).collect::<Vec<_>>().join("\n")
}

fn one(run_id: &str, story: &RecordStory) -> String {
    let state = record_state(story.state()).replace('_', " ");
    let state = tone(story.state()).map_or_else(|| state.clone(), |tone| out(tone, &state));
    let id = clean(&story.record_id);
    let head = format!("record {id} of run {}, round {}: {state}", clean(run_id), story.round);
    let mut text = format!("{}\n", hanging(0, &head).join("\n"));
    text.push_str(&format!("  listed on page {}", story.listed_on_page));
    if let Some(unchanged) = &story.unchanged {
        text.push_str(&format!("\n  {}\n", hanging_cut(2, &why_unchanged(unchanged)).join("\n  ")));
        return text;
    }
    match story.batch {
        Some(batch) => text.push_str(&format!(", batch {batch}, place {}\n", story.position)),
        None => text.push_str(", waiting for a full batch\n"),
    }
    let events = timeline(story);
    if let Some(first) = events.iter().find_map(|(time, _)| time.as_ref()) {
        text.push_str(&format!("  from {}\n", moment(Some(first))));
    }
    for (time, event) in events {
        let time = out(Tone::Hint, &format!("{:<13}", time_of_day(time.as_ref())));
        let event = hanging_cut(EVENT, &event).join(&format!("\n{:EVENT$}", ""));
        text.push_str(&format!("  {time}  {event}\n"));
    }
    if let Some(body) = story.exception.as_ref().map(|exception| &exception.body).filter(|body| !body.is_empty()) {
        text.push_str("  with the words\n");
        for line in body.lines() {
            text.push_str(&format!("    {}\n", hanging_cut(4, &clean(line)).join("\n    ")));
        }
    }
    text
}

/// Why it was not loaded again.
fn why_unchanged(unchanged: &UnchangedStory) -> String {
    let version = clean(&unchanged.version);
    let (since, loaded_by) = (clean(&unchanged.since_run), clean(&unchanged.loaded_by_run));
    match loaded_by.as_str() {
        "" => format!(
            "version {version} was loaded before run {since}, which found it unchanged; the run that loaded it is deleted"
        ),
        run => format!("version {version} was loaded by run {run}: muster record {run} ID tells more"),
    }
}

fn tone(state: RecordState) -> Option<Tone> {
    match state {
        RecordState::Loaded => Some(Tone::Good),
        RecordState::DeadLetter | RecordState::InDoubt | RecordState::Cancelled => Some(Tone::Attention),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{DeliveryStory, ExceptionStory, LeaseStory};
    use prost_types::Timestamp;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn events_of_leases_and_deliveries_are_told_in_order() {
        let lease = |epoch, from, to, ending: &str| LeaseStory {
            epoch,
            attempt: epoch,
            worker: "w1".into(),
            worker_id: 1,
            granted_at: at(from),
            ended_at: to,
            ending: ending.into(),
            trace_id: if epoch == 2 { "7f".repeat(16) } else { String::new() },
        };
        let delivery = |number, epoch, state: &str, status, begun, settled, retry_of| DeliveryStory {
            number,
            epoch,
            ordinal: 1,
            state: state.into(),
            http_status: status,
            begun_at: at(begun),
            settled_at: settled,
            body_sha256: "ab".repeat(32),
            retry_of,
            records: 100,
            applied_number: if state == "applied" { 9 } else { 0 },
            ..DeliveryStory::default()
        };
        let story = RecordStory {
            record_id: "\"a\u{7}\"".into(),
            round: 1,
            state: RecordState::Loaded.into(),
            listed_on_page: 3,
            batch: Some(0),
            position: 21,
            leases: vec![lease(1, 10, at(30), "expired"), lease(2, 31, at(33), "completed")],
            deliveries: vec![
                delivery(4, 1, "in_doubt", 0, 11, at(30), 0),
                delivery(7, 2, "applied", 200, 32, at(33), 4),
            ],
            ..RecordStory::default()
        };
        assert_eq!(
            stories("animals-1", &[story]),
            "record \"a\\u{7}\" of run animals-1, round 1: loaded\n\
             \x20 listed on page 3, batch 0, place 21\n\
             \x20 from 1970-01-01 00:00:10Z\n\
             \x20 00:00:10.000Z  leased to w1 (worker 1), attempt 1, epoch 1\n\
             \x20 00:00:11.000Z  delivery 4 announced: 100 records, body abababababab\n\
             \x20 00:00:30.000Z  delivery 4 in doubt\n\
             \x20 00:00:30.000Z  lease 1 expired\n\
             \x20 00:00:31.000Z  leased to w1 (worker 1), attempt 2, epoch 2\n\
             \x20 00:00:32.000Z  delivery 7 announced: 100 records, body abababababab, repeats delivery 4\n\
             \x20 00:00:33.000Z  delivery 7 applied, HTTP 200 (batch_9.json)\n\
             \x20 00:00:33.000Z  lease 2 completed, trace 7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f\n"
        );
    }

    #[test]
    fn a_settlement_says_who_found_out() {
        let settled = DeliveryStory {
            number: 4,
            state: "partly_applied".into(),
            settled_by: "operator".into(),
            note: "import log\u{7}".into(),
            settled_at: at(9),
            ..DeliveryStory::default()
        };
        let story = RecordStory { deliveries: vec![settled], ..RecordStory::default() };
        let text = stories("r", &[story]);
        let line = "00:00:09.000Z  delivery 4 partly applied, as found out by operator (import log\\u{7})\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_dead_letter_says_where_and_why_and_shows_the_words() {
        let story = RecordStory {
            record_id: "7".into(),
            round: 1,
            state: RecordState::DeadLetter.into(),
            listed_on_page: 1,
            exception: Some(ExceptionStory {
                stage: "validate".into(),
                reason: "name is missing".into(),
                body: "{\"id\":7}".into(),
                at: at(5),
                ..ExceptionStory::default()
            }),
            ..RecordStory::default()
        };
        let text = stories("r", &[story]);
        assert!(text.contains("round 1: dead letter\n  listed on page 1, waiting for a full batch\n"), "{text}");
        assert!(text.contains("00:00:05.000Z  given up at validate: name is missing\n"), "{text}");
        assert!(text.ends_with("  with the words\n    {\"id\":7}\n"), "{text}");
    }
}
