//! From the wire to the domain: everything bounded, nothing trusted.

use std::time::Duration;

use muster_pipeline::{MAX_UNKNOWN_FIELDS, MAX_UNKNOWN_PATH};
use muster_proto::{OLDEST_PROTOCOL, PROTOCOL, v1};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use super::error::{invalid, status};
use crate::domain::{
    DeliveryReport, DeliveryState, Evidence, ExceptionKind, Finding, LeaseToken, Pace, Positions, RunId, TraceId,
};
use crate::store::{Acquire, Begin, RecordReport, Report, Reserve, Session, WorkDone};

/// Bytes of a reason or an offending body that the ledger keeps.
const KEPT: usize = 2048;
/// Leases named in one call.
const MAX_TOKENS: usize = 1000;
/// Bytes of a host's name with its scheme and port.
const MAX_HOST: usize = 300;
/// The longest time that a report may ask for before its batch is leased again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The beginning of a text, cut at a character.
pub(super) fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(KEPT)].to_owned()
}

/// A session's ID.
pub(super) fn session_id(id: &str) -> Result<String, Status> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (16..=64).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(id.to_owned());
    }
    Err(invalid("SESSION_INVALID", "session_id must be 16 to 64 characters of [A-Za-z0-9_-], random for each process"))
}

/// A worker's session.
pub(super) fn session(id: &str, info: Option<v1::WorkerInfo>, embedded: bool) -> Result<Session, Status> {
    let info = info.unwrap_or_default();
    let cut = |text: &str| text[..text.floor_char_boundary(128)].to_owned();
    Ok(Session { id: session_id(id)?, name: cut(&info.name), version: cut(&info.version), embedded })
}

/// The version of the protocol that a worker speaks.
pub(super) fn protocol(info: Option<&v1::WorkerInfo>) -> Result<i32, Status> {
    let told = info.map_or(0, |info| info.protocol);
    // The first version did not tell.
    let spoken = if told == 0 { 1 } else { told };
    if (OLDEST_PROTOCOL..=PROTOCOL).contains(&spoken) {
        return Ok(spoken);
    }
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "this worker ({}) speaks version {spoken} of the worker protocol, this coordinator ({version}) versions \
         {OLDEST_PROTOCOL} to {PROTOCOL}: upgrade the older of the two",
        info.map_or("", |info| info.version.as_str())
    );
    Err(status(Code::FailedPrecondition, "PROTOCOL_UNSUPPORTED", text))
}

/// One lease token.
pub(super) fn token(text: &str) -> Result<LeaseToken, Status> {
    LeaseToken::from_text(text).ok_or_else(|| invalid("LEASE_TOKEN_INVALID", "lease_token is not one"))
}

/// Several.
pub(super) fn tokens(texts: &[String]) -> Result<Vec<LeaseToken>, Status> {
    if texts.len() > MAX_TOKENS {
        return Err(invalid("LEASE_TOKEN_INVALID", format!("at most {MAX_TOKENS} lease tokens in one call")));
    }
    texts.iter().map(|text| token(text)).collect()
}

/// A duration; nothing or a negative one is zero.
pub(super) fn duration(value: Option<prost_types::Duration>) -> Duration {
    value.and_then(|value| value.try_into().ok()).unwrap_or_default()
}

/// A request for leases.
pub(super) fn acquire(request: v1::AcquireLeasesRequest, embedded: bool) -> Result<Acquire, Status> {
    Ok(Acquire {
        protocol: protocol(request.worker.as_ref())?,
        session: session(&request.session_id, request.worker, embedded)?,
        held: tokens(&request.held_lease_tokens)?,
        capacity: u32::try_from(request.capacity).unwrap_or(0),
        // Nobody has leases of more.
        passing_over: request.passed_over_run_ids.into_iter().take(MAX_TOKENS).map(RunId::from_text).collect(),
    })
}

/// A host's name, of which only its form is known.
pub(super) fn host(host: String) -> Result<String, Status> {
    let is_name = |host: &str| host.len() <= MAX_HOST && host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.contains("://") && is_name(&host) {
        return Ok(host);
    }
    Err(invalid("HOST_INVALID", format!("host must be scheme://name:port, of at most {MAX_HOST} bytes")))
}

/// A question for places on a host's timetable.
pub(super) fn reserve(request: v1::ReserveRequestsRequest, pace: Pace) -> Result<Reserve, Status> {
    Ok(Reserve {
        session: Some(session_id(&request.session_id)?),
        host: host(request.host)?,
        pace,
        count: request.count.max(1),
        lead: duration(request.lead),
    })
}

/// An announcement.
pub(super) fn begin(request: v1::BeginDeliveryRequest) -> Result<Begin, Status> {
    let invalid = |detail: &str| invalid("DELIVERY_INVALID", detail);
    let positions = Positions::from_ascending(request.positions)
        .ok_or_else(|| invalid("positions must be ascending and without repetition"))?;
    let unknown_fields = unknown_fields(request.unknown_fields, &positions)?;
    Ok(Begin {
        ordinal: u32::try_from(request.ordinal)
            .ok()
            .filter(|ordinal| *ordinal > 0)
            .ok_or_else(|| invalid("ordinal counts from 1"))?,
        positions,
        body_sha256: request.body_sha256.try_into().map_err(|_| invalid("body_sha256 must have 32 bytes"))?,
        retry_of: request.retry_of,
        settled: request.settled.iter().map(delivery_report).collect::<Result<_, _>>()?,
        unknown_fields,
    })
}

/// Unknown fields of the records at these places.
fn unknown_fields(fields: Vec<v1::UnknownFieldReport>, sent: &Positions) -> Result<Vec<(String, Positions)>, Status> {
    let invalid = |detail: String| invalid("DELIVERY_INVALID", detail);
    if fields.len() > MAX_UNKNOWN_FIELDS + 1 {
        return Err(invalid(format!("at most {MAX_UNKNOWN_FIELDS} unknown fields, and one entry for all others")));
    }
    let field = |field: v1::UnknownFieldReport| {
        let v1::UnknownFieldReport { path, positions } = field;
        if path.len() > MAX_UNKNOWN_PATH {
            return Err(invalid(format!("the path of an unknown field has at most {MAX_UNKNOWN_PATH} bytes")));
        }
        let of_delivery = |places: &Positions| !places.is_empty() && places.without(sent).is_empty();
        let positions = Positions::from_ascending(positions).filter(of_delivery);
        let wrong =
            || invalid("positions of an unknown field must be of the delivery, ascending, at least one".to_owned());
        Ok((path, positions.ok_or_else(wrong)?))
    };
    fields.into_iter().map(field).collect()
}

fn delivery_report(report: &v1::DeliveryReport) -> Result<DeliveryReport, Status> {
    let state = match report.outcome() {
        v1::DeliveryOutcome::Applied => DeliveryState::Applied,
        v1::DeliveryOutcome::NotApplied => DeliveryState::NotApplied,
        v1::DeliveryOutcome::Rejected => DeliveryState::Rejected,
        v1::DeliveryOutcome::InDoubt => DeliveryState::InDoubt,
        v1::DeliveryOutcome::PartlyApplied => DeliveryState::PartlyApplied,
        v1::DeliveryOutcome::Unspecified => return Err(invalid("REPORT_INVALID", "a delivery needs an outcome")),
    };
    let present = Positions::from_ascending(report.present.iter().copied())
        .ok_or_else(|| invalid("REPORT_INVALID", "present must be ascending and without repetition"))?;
    if present.is_empty() == (state == DeliveryState::PartlyApplied) {
        return Err(invalid(
            "REPORT_INVALID",
            "present names records of a delivery that is partly applied, and of no other",
        ));
    }
    let http_status = u16::try_from(report.http_status).unwrap_or(0);
    let evidence = Evidence { state, http_status, detail: bounded(&report.detail), present };
    Ok(DeliveryReport { ordinal: u32::try_from(report.ordinal).unwrap_or(0), evidence })
}

/// A batch's report. Its digest is of the message as it came: the same report again is the same bytes. What was added later,
/// the trace and how long requests waited, is no part of that: a coordinator that knows nothing of them must find the digest of
/// one that does, and the other way round.
pub(super) fn report(mut request: v1::CompleteBatchRequest) -> Result<Report, Status> {
    let trace = std::mem::take(&mut request.trace_id);
    let waited = request.stats.as_mut().and_then(|stats| stats.waited.take());
    let digest = Sha256::digest(prost::Message::encode_to_vec(&request)).into();
    let stats = request.stats.unwrap_or_default();
    Ok(Report {
        digest,
        deliveries: request.deliveries.iter().map(delivery_report).collect::<Result<_, _>>()?,
        records: request.records.into_iter().map(record_report).collect::<Result<_, _>>()?,
        pause: Some(bounded(&request.pause_reason)).filter(|reason| !reason.is_empty()),
        work: WorkDone {
            requests: stats.requests.max(0),
            retries: stats.retries.max(0),
            hedges: stats.hedges.max(0),
            bytes: stats.bytes_received.max(0),
            waited_ms: i64::try_from(duration(waited).as_millis()).unwrap_or(i64::MAX),
        },
        retry_after: duration(request.retry_after).min(MAX_RETRY_AFTER),
        probes: request.probes.into_iter().map(finding).collect::<Result<_, _>>()?,
        // Whatever else it may be is no trace that anybody could look for.
        trace: TraceId::try_from(trace).ok(),
    })
}

fn finding(report: v1::ProbeReport) -> Result<Finding, Status> {
    let places = |places: Vec<u32>| {
        let wrong = || invalid("REPORT_INVALID", "places of a probe must be ascending and without repetition");
        Positions::from_ascending(places).ok_or_else(wrong)
    };
    Ok(Finding { number: report.delivery_number, present: places(report.present)?, absent: places(report.absent)? })
}

fn record_report(report: v1::RecordReport) -> Result<RecordReport, Status> {
    let kind = match report.outcome() {
        v1::RecordOutcome::DeadLetter => ExceptionKind::DeadLetter,
        v1::RecordOutcome::Gone => ExceptionKind::Gone,
        v1::RecordOutcome::Unspecified => return Err(invalid("REPORT_INVALID", "a record needs an outcome")),
    };
    if !["fetch", "validate", "transform", "load"].contains(&report.stage.as_str()) {
        return Err(invalid("REPORT_INVALID", "stage must be fetch, validate, transform or load"));
    }
    Ok(RecordReport {
        position: report.position,
        kind,
        stage: report.stage,
        reason: bounded(&report.reason),
        http_status: u16::try_from(report.http_status).unwrap_or(0),
        body: bounded(&report.body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_the_same_with_and_without_its_trace() {
        let of = |lease_token: &str, trace_id: &[u8]| {
            let (lease_token, trace_id) = (lease_token.to_owned(), trace_id.to_vec());
            report(v1::CompleteBatchRequest { lease_token, trace_id, ..v1::CompleteBatchRequest::default() }).unwrap()
        };
        let (without, with) = (of("token", &[]), of("token", &[7; 16]));
        assert_eq!((without.trace, with.trace), (None, Some([7; 16])));
        assert_eq!(without.digest, with.digest);
        assert_ne!(without.digest, of("another", &[]).digest);
    }

    #[test]
    fn a_report_is_the_same_whether_or_not_it_tells_how_long_requests_waited() {
        let of = |requests, waited| {
            let stats = Some(v1::WorkStats { requests, waited, ..v1::WorkStats::default() });
            report(v1::CompleteBatchRequest { stats, ..v1::CompleteBatchRequest::default() }).unwrap()
        };
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let (without, with) = (of(7, None), of(7, seconds(2)));
        assert_eq!((without.work.waited_ms, with.work.waited_ms, of(7, seconds(-1)).work.waited_ms), (0, 2_000, 0));
        assert_eq!(without.digest, with.digest);
        assert_ne!(without.digest, of(8, None).digest);
    }

    #[test]
    fn unknown_fields_are_of_the_delivery_and_bounded() {
        let of = |fields: Vec<(String, Vec<u32>)>| {
            let report = |(path, positions)| v1::UnknownFieldReport { path, positions };
            begin(v1::BeginDeliveryRequest {
                ordinal: 1,
                positions: vec![1, 3],
                body_sha256: vec![7; 32],
                unknown_fields: fields.into_iter().map(report).collect(),
                ..v1::BeginDeliveryRequest::default()
            })
        };
        let field = |path: &str, places: &[u32]| vec![(path.to_owned(), places.to_vec())];
        assert_eq!(of(field("/wings", &[3])).unwrap().unknown_fields[0].0, "/wings");
        assert_eq!(of(field("", &[1, 3])).unwrap().unknown_fields[0].1.len(), 2);
        let many = |count: usize| (0..count).map(|name| (format!("/{name}"), vec![1])).collect();
        assert!(of(many(MAX_UNKNOWN_FIELDS + 1)).is_ok());
        for wrong in [
            field("/wings", &[2]),
            field("/wings", &[3, 1]),
            field("/wings", &[]),
            field(&"/w".repeat(MAX_UNKNOWN_PATH), &[1]),
            many(MAX_UNKNOWN_FIELDS + 2),
        ] {
            let shown = format!("{wrong:?}");
            assert_eq!(of(wrong).unwrap_err().code(), Code::InvalidArgument, "{shown}");
        }
    }
}
