//! The story of a record, as a timeline.

use muster_proto::v1::{DeliveryStory, ExceptionStory, LeaseStory, RecordStory};
use prost_types::Timestamp;

use super::clean;
use super::numbers::counted;

/// When, and what.
pub type Event = (Option<Timestamp>, String);

/// All events, oldest first; what has not happened yet has no time and stands last.
pub fn timeline(story: &RecordStory) -> Vec<Event> {
    let mut events: Vec<Event> = story.leases.iter().map(granted).collect();
    events.extend(story.deliveries.iter().flat_map(delivery));
    events.extend(story.exception.iter().map(exception));
    events.extend(story.leases.iter().map(ended));
    // Stable: what the ledger wrote in one transaction stays in the order of cause and effect, as collected above.
    events.sort_by_key(|(time, _)| time.map_or((i64::MAX, 0), |time| (time.seconds, time.nanos)));
    events
}

fn granted(lease: &LeaseStory) -> Event {
    let what = format!(
        "leased to {} (worker {}), attempt {}, epoch {}",
        clean(&lease.worker),
        lease.worker_id,
        lease.attempt,
        lease.epoch
    );
    (lease.granted_at, what)
}

fn ended(lease: &LeaseStory) -> Event {
    match lease.ended_at {
        Some(_) if lease.trace_id.is_empty() => {
            (lease.ended_at, format!("lease {} {}", lease.epoch, clean(&lease.ending)))
        }
        Some(_) => {
            let (ending, trace) = (clean(&lease.ending), clean(&lease.trace_id));
            (lease.ended_at, format!("lease {} {ending}, trace {trace}", lease.epoch))
        }
        None => (None, format!("lease {} is held", lease.epoch)),
    }
}

fn delivery(delivery: &DeliveryStory) -> Vec<Event> {
    let number = delivery.number;
    let mut announced =
        format!("delivery {number} announced: {}", counted(delivery.records.into(), "record", "records"));
    announced.push_str(&format!(", body {}", delivery.body_sha256.get(..12).unwrap_or(&delivery.body_sha256)));
    if delivery.retry_of > 0 {
        announced.push_str(&format!(", repeats delivery {}", delivery.retry_of));
    }
    let mut settled = format!("delivery {number} {}", clean(&delivery.state).replace('_', " "));
    if delivery.http_status > 0 {
        settled.push_str(&format!(", HTTP {}", delivery.http_status));
    }
    if !delivery.detail.is_empty() {
        settled.push_str(&format!(": {}", clean(&delivery.detail)));
    }
    if delivery.applied_number > 0 {
        settled.push_str(&format!(" (batch_{}.json)", delivery.applied_number));
    }
    if !delivery.settled_by.is_empty() {
        settled.push_str(&format!(", as found out by {}", clean(&delivery.settled_by)));
    }
    if !delivery.note.is_empty() {
        settled.push_str(&format!(" ({})", clean(&delivery.note)));
    }
    vec![(delivery.begun_at, announced), (delivery.settled_at, settled)]
}

fn exception(exception: &ExceptionStory) -> Event {
    let status = if exception.http_status > 0 { format!(", HTTP {}", exception.http_status) } else { String::new() };
    (exception.at, format!("given up at {}{status}: {}", clean(&exception.stage), clean(&exception.reason)))
}
