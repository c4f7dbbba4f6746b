//! A batch as a trace: one for each lease of it, exported or forgotten when the lease is over.
//!
//! Where nothing is exported a lease has none, and nothing here is ever called. While a batch is worked on, requests are
//! noted as they came to pass, in a few bytes each; only of a batch that is exported does any become a span.

use std::mem::replace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use muster_pipeline::{Get, RecordId, Sent, SentEnding};
use muster_proto::v1::{Lease, LeasedRun};
use muster_telemetry::trace::{self, KeyValue, Link, MOST_SPANS, Place, SpanData, SpanKind, Status, Tail};
use muster_telemetry::{names, spans};
use tokio::time::Instant;

use crate::plan::PostEnd;
use crate::ready::{Posted, ReadyPipeline, Wire};

/// The most earlier attempts that are linked to: the last ones.
const MOST_LINKS: i32 = 8;

/// The trace of one lease.
#[derive(Debug)]
pub(crate) struct BatchTrace {
    tail: Arc<Tail>,
    run_id: String,
    lease: LeaseNames,
    /// The same moment by both clocks.
    day: SystemTime,
    own: Instant,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct LeaseNames {
    round: i32,
    batch: i64,
    epoch: i32,
    attempt: i32,
    records: usize,
}

#[derive(Debug, Default)]
struct Noted {
    requests: Vec<(RecordId, Get, Sent)>,
    /// Further requests, for which the trace has no room.
    more: usize,
    processing: Option<Processing>,
    ended: bool,
}

/// When records were validated and transformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processing {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) busy: Duration,
}

/// What reading a record was, for its trace.
#[derive(Debug, Default)]
pub(crate) struct RecordNotes {
    pub(crate) sent: Vec<(Get, Sent)>,
    pub(crate) processing: Option<Processing>,
}

impl BatchTrace {
    /// The trace of a lease that was just granted, in answer to a request of that time, where this process exports any. A
    /// batch that was leased before, or that repeats a doubt, is worth looking at whatever the ratio says.
    pub(crate) fn begin(lease: &Lease, run: &LeasedRun, asked_at: Instant) -> Option<Arc<Self>> {
        let traces = trace::of_this_process()?;
        let (day, own) = (SystemTime::now(), Instant::now());
        let place = Place::of_batch(&run.run_id, lease.round, lease.batch, lease.epoch);
        let tail = Tail::begin(traces, place, time(day, own, asked_at));
        if lease.parts.iter().any(|part| part.retry_of != 0) {
            tail.keep("doubt");
        } else if lease.epoch > 1 {
            // Attempts do not count those that were given back.
            tail.keep("earlier attempt");
        }
        tail.note(tail.span(spans::LEASE, SpanKind::Internal, tail.began(), day));
        Some(Arc::new(Self {
            day,
            own,
            tail,
            run_id: run.run_id.clone(),
            lease: LeaseNames {
                round: lease.round,
                batch: lease.batch,
                epoch: lease.epoch,
                attempt: lease.attempt,
                records: lease.parts.iter().map(|part| part.record_ids.len()).sum(),
            },
            noted: Mutex::default(),
        }))
    }

    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    /// The trace's ID, once it is certain to be exported.
    pub(crate) fn id_if_kept(&self) -> Option<[u8; 16]> {
        self.tail.is_kept().then(|| self.tail.root().trace.to_bytes())
    }

    /// Takes in what reading a record was.
    pub(crate) fn note_record(&self, id: &RecordId, record: RecordNotes) {
        let mut noted = self.lock();
        let room = MOST_SPANS.saturating_sub(noted.requests.len());
        noted.more += record.sent.len().saturating_sub(room);
        noted.requests.extend(record.sent.into_iter().take(room).map(|(get, sent)| (id.clone(), get, sent)));
        noted.processing = match (noted.processing, record.processing) {
            (Some(all), Some(this)) => Some(Processing {
                from: all.from.min(this.from),
                until: all.until.max(this.until),
                busy: all.busy + this.busy,
            }),
            (all, this) => all.or(this),
        };
    }

    /// Takes in a delivery that was sent at `from`, and what came of it.
    pub(crate) fn note_delivery(&self, wire: &Wire<'_>, posted: &Posted, numbers: DeliveryNumbers, from: Instant) {
        let (from, until) = (self.time(from), self.time(Instant::now()));
        let name = wire.method.map_or(spans::DELIVER, method_name);
        let mut span = self.tail.span(name, SpanKind::Client, from, until);
        match wire.method {
            Some(method) => {
                span.attributes.push(KeyValue::new(spans::HTTP_METHOD, method.to_owned()));
                span.attributes.extend(at(wire.url.clone().into_owned()));
                span.attributes.push(KeyValue::new(spans::HTTP_REQUEST_BODY_SIZE, count(numbers.body_size)));
                if numbers.tries > 0 {
                    span.attributes.push(KeyValue::new(spans::HTTP_RESEND_COUNT, i64::from(numbers.tries)));
                }
            }
            None => span.attributes.push(KeyValue::new(spans::TARGET, wire.url.clone().into_owned())),
        }
        span.attributes.push(KeyValue::new(names::DELIVERY, numbers.number));
        span.attributes.push(KeyValue::new(names::ORDINAL, i64::from(numbers.ordinal)));
        span.attributes.push(KeyValue::new(names::RECORDS, count(numbers.records)));
        span.attributes.push(KeyValue::new(names::OUTCOME, outcome(&posted.end)));
        if posted.http_status > 0 {
            span.attributes.push(KeyValue::new(names::HTTP_STATUS, i64::from(posted.http_status)));
        }
        let error = match (posted.http_status, &posted.end) {
            (status @ 400.., _) => Some(status.to_string()),
            (_, PostEnd::InDoubt | PostEnd::WrongContent | PostEnd::NotSent | PostEnd::PipelineWrong) => {
                Some(outcome(&posted.end).to_owned())
            }
            _ => None,
        };
        fail(&mut span, error);
        self.tail.note(span);
    }

    /// Ends the trace, once. `pipeline` is what the batch was worked on with, if it came to that.
    pub(crate) fn end(&self, pipeline: Option<&ReadyPipeline>, worker: &str, trouble: Option<&'static str>) {
        let noted = replace(&mut *self.lock(), Noted { ended: true, ..Noted::default() });
        if noted.ended {
            return;
        }
        if !self.tail.is_kept() {
            return self.tail.forget();
        }
        self.note_all(noted, pipeline);
        let (about, links) = self.about(pipeline, worker);
        self.tail.end(spans::BATCH, about, links, trouble.map(str::to_owned));
    }

    /// Ends the trace of work that broke off, unless it has ended.
    pub(crate) fn abandon(&self, pipeline: Option<&ReadyPipeline>, worker: &str) {
        const ABANDONED: &str = "abandoned";
        if !self.lock().ended {
            self.tail.keep(ABANDONED);
            self.end(pipeline, worker, Some(ABANDONED));
        }
    }

    /// Makes spans of what was noted; first of that which there is once, so that there is room for it.
    fn note_all(&self, noted: Noted, pipeline: Option<&ReadyPipeline>) {
        if let Some(Processing { from, until, busy }) = noted.processing {
            let (from, until) = (self.time(from), self.time(until));
            let mut span = self.tail.span(spans::PROCESS, SpanKind::Internal, from, until);
            span.attributes.push(KeyValue::new(names::RECORDS, count(self.lease.records)));
            span.attributes.push(KeyValue::new(spans::BUSY, busy.as_secs_f64() * 1e3));
            self.tail.note(span);
        }
        if let Some(pipeline) = pipeline {
            for (id, get, sent) in noted.requests {
                self.tail.note(self.request(pipeline, &id, get, &sent));
            }
            self.tail.note_dropped(noted.more);
        }
    }

    /// What the root says, and what it points to.
    fn about(&self, pipeline: Option<&ReadyPipeline>, worker: &str) -> (Vec<KeyValue>, Vec<Link>) {
        let LeaseNames { round, batch, epoch, attempt, records } = self.lease;
        let mut about = vec![
            KeyValue::new(names::RUN, self.run_id.clone()),
            KeyValue::new(spans::ROUND, i64::from(round)),
            KeyValue::new(names::BATCH, batch),
            KeyValue::new(spans::EPOCH, i64::from(epoch)),
            KeyValue::new(names::ATTEMPT, i64::from(attempt)),
            KeyValue::new(names::RECORDS, count(records)),
            KeyValue::new(names::WORKER, worker.to_owned()),
        ];
        about.extend(pipeline.map(|pipeline| KeyValue::new(names::PIPELINE, pipeline.name().to_owned())));
        let mut links = vec![trace::link(Place::of_round(&self.run_id, round), "run")];
        links.extend(
            (1.max(epoch - MOST_LINKS)..epoch)
                .map(|earlier| trace::link(Place::of_batch(&self.run_id, round, batch, earlier), "earlier attempt")),
        );
        (about, links)
    }

    /// A GET that went over the wire.
    fn request(&self, pipeline: &ReadyPipeline, id: &RecordId, get: Get, sent: &Sent) -> SpanData {
        let from = self.time(sent.at);
        let mut span = self.tail.span("GET", SpanKind::Client, from, from + sent.took);
        span.attributes.push(KeyValue::new(spans::HTTP_METHOD, "GET"));
        span.attributes.extend(at(pipeline.url_of(get, id)));
        span.attributes.push(KeyValue::new(names::RECORD, id.as_text().to_owned()));
        if sent.resend > 0 {
            span.attributes.push(KeyValue::new(spans::HTTP_RESEND_COUNT, i64::from(sent.resend)));
        }
        if sent.hedge {
            span.attributes.push(KeyValue::new(spans::HEDGE, true));
        }
        let error = match sent.ending {
            SentEnding::Answered(status) => {
                span.attributes.push(KeyValue::new(names::HTTP_STATUS, i64::from(status)));
                (status >= 400).then(|| status.to_string())
            }
            SentEnding::NotSent => Some("not_sent".to_owned()),
            SentEnding::Broken => Some("broken".to_owned()),
            SentEnding::Outrun => {
                span.attributes.push(KeyValue::new(spans::OUTRUN, true));
                None
            }
        };
        fail(&mut span, error);
        span
    }

    /// A moment of the process's own clock, as the time of the day.
    fn time(&self, at: Instant) -> SystemTime {
        time(self.day, self.own, at)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // Each critical section leaves it whole.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment of the process's own clock, as the time of the day: when that was `day`, the clock showed `own`.
fn time(day: SystemTime, own: Instant, at: Instant) -> SystemTime {
    match at.checked_duration_since(own) {
        Some(after) => day + after,
        None => day - own.duration_since(at),
    }
}

/// Which delivery it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryNumbers {
    /// In its run.
    pub(crate) number: i64,
    /// In its lease.
    pub(crate) ordinal: i32,
    pub(crate) records: usize,
    pub(crate) body_size: usize,
    /// How often the same was sent before under this lease.
    pub(crate) tries: u32,
}

fn outcome(end: &PostEnd) -> &'static str {
    match end {
        PostEnd::Applied => "applied",
        PostEnd::Rejected => "rejected",
        PostEnd::NotApplied { .. } => "not_applied",
        PostEnd::NotSent => "not_sent",
        PostEnd::PerRecord { .. } => "partly_applied",
        PostEnd::InDoubt => "in_doubt",
        PostEnd::WrongContent => "wrong_content",
        PostEnd::PipelineWrong => "pipeline_wrong",
    }
}

/// A span's name is one of few.
fn method_name(method: &str) -> &'static str {
    match method {
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        _ => "HTTP",
    }
}

/// Where a request goes.
fn at(url: String) -> impl Iterator<Item = KeyValue> {
    let uri = url.parse::<Uri>().ok();
    // An address of IPv6 has brackets in a URL alone.
    let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
    let host = uri.as_ref().and_then(Uri::host).map(|host| KeyValue::new(spans::SERVER_ADDRESS, bare(host)));
    let port = uri.as_ref().and_then(|uri| {
        let usual = match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        };
        uri.port_u16().or(usual).map(|port| KeyValue::new(spans::SERVER_PORT, i64::from(port)))
    });
    [host, port, Some(KeyValue::new(names::URL, url))].into_iter().flatten()
}

fn fail(span: &mut SpanData, error: Option<String>) {
    if let Some(error) = error {
        span.attributes.push(KeyValue::new(names::ERROR, error));
        span.status = Status::error("");
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_named_as_they_are_outside_of_urls() {
        let told = |url: &str| {
            let of = |name: &str, all: &[KeyValue]| {
                all.iter().find(|said| said.key.as_str() == name).map(|said| said.value.to_string())
            };
            let all: Vec<_> = at(url.to_owned()).collect();
            (of(spans::SERVER_ADDRESS, &all), of(spans::SERVER_PORT, &all))
        };
        let is = |host: &str, port: &str| (Some(host.to_owned()), Some(port.to_owned()));
        assert_eq!(told("http://host.test/animals"), is("host.test", "80"));
        assert_eq!(told("https://[2001:db8::7]/animals"), is("2001:db8::7", "443"));
        assert_eq!(told("https://host.test:8443/"), is("host.test", "8443"));
        assert_eq!(told("ftp://host.test/").1, None);
    }
}
