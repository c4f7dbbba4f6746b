use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, Span, SpanData, SpanProcessor};

use super::*;
use crate::spans;

/// Keeps what would be exported.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        assert!(span.span_context.is_sampled(), "a processor passes over what is not");
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn traces(sampler: Sampler) -> (Arc<Traces>, Kept) {
    let kept = Kept::default();
    (Arc::new(Traces::new(Box::new(kept.clone()), sampler)), kept)
}

fn play(sampler: Sampler, in_between: impl FnOnce(&Tail)) -> Vec<SpanData> {
    let (traces, kept) = traces(sampler);
    let now = SystemTime::now();
    let tail = Tail::begin(&traces, Place::of_batch("run", 1, 2, 3), now);
    tail.note(tail.span("GET", SpanKind::Client, now, now));
    in_between(&tail);
    tail.end(spans::BATCH, Vec::new(), vec![link(Place::of_round("run", 1), "run")], None);
    kept.0.lock().unwrap().clone()
}

#[test]
fn a_trace_is_exported_whole_or_not_at_all() {
    assert!(play(Sampler::AlwaysOff, |tail| assert!(!tail.is_kept())).is_empty());
    let spans = play(Sampler::AlwaysOn, |tail| assert!(tail.is_kept()));
    let [batch, fetch] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*fetch.name, &*batch.name), ("GET", spans::BATCH));
    assert_eq!(fetch.parent_span_id, batch.span_context.span_id());
    assert_eq!(batch.parent_span_id, SpanId::INVALID);
    assert_eq!(batch.links[0].span_context.trace_id(), Place::of_round("run", 1).trace);
    assert!(batch.attributes.is_empty());
}

#[test]
fn what_happens_in_a_trace_may_keep_it_and_is_named() {
    let spans = play(Sampler::TraceIdRatioBased(0.0), |tail| {
        tail.keep("dead letter");
        tail.keep("doubt");
    });
    let why: Vec<_> = spans[0].attributes.iter().map(|said| (said.key.as_str(), said.value.to_string())).collect();
    assert_eq!(why, [(spans::KEPT, "dead letter".to_owned())], "the first reason");
}

#[test]
fn a_trace_with_too_many_spans_says_so() {
    let spans = play(Sampler::AlwaysOn, |tail| {
        let now = SystemTime::now();
        (0..2_500).for_each(|_| tail.note(tail.span("GET", SpanKind::Client, now, now)));
    });
    let batch = spans.first().unwrap();
    assert_eq!(spans.len(), 2_001);
    assert_eq!(batch.attributes[0].value.to_string(), "501");
}

#[test]
fn the_ratio_decides_the_same_everywhere() {
    let sampled = || {
        let (traces, _) = traces(Sampler::TraceIdRatioBased(0.01));
        let samples = move |batch: &i64| traces.samples(Place::of_batch("run", 1, *batch, 1).trace);
        (0..20_000).filter(samples).collect::<Vec<i64>>()
    };
    assert_eq!(sampled(), sampled(), "in two processes");
    let sampled = sampled().len();
    assert!((100..400).contains(&sampled), "{sampled} of 20,000 at 1%");
}

#[test]
fn what_is_held_goes_out_with_its_trace_and_is_forgotten_in_time() {
    let (traces, kept) = traces(Sampler::AlwaysOff);
    let span = |batch| {
        let place = Place::of_batch("run", 1, batch, 1);
        let now = SystemTime::now();
        traces.span(place, "call".into(), SpanKind::Server, now, now)
    };
    let trace = |batch| Place::of_batch("run", 1, batch, 1).trace;
    (0..5_000).for_each(|batch| traces.hold(span(batch)));
    traces.release(trace(0));
    assert!(kept.0.lock().unwrap().is_empty(), "too long ago");
    traces.release(trace(4_999));
    traces.release(trace(4_999));
    assert_eq!(kept.0.lock().unwrap().len(), 1, "once");
}

#[test]
fn what_is_held_is_bounded_in_all() {
    let (traces, kept) = traces(Sampler::AlwaysOff);
    let place = |batch| Place::of_batch("run", 1, batch, 1);
    let now = SystemTime::now();
    for batch in 0..1_000 {
        (0..60).for_each(|_| traces.hold(traces.span(place(batch), "call".into(), SpanKind::Server, now, now)));
    }
    (0..1_000).for_each(|batch| traces.release(place(batch).trace));
    let held = kept.0.lock().unwrap().len();
    assert!((10_000..20_000).contains(&held), "{held} of 60,000");
}

#[tokio::test]
async fn what_is_logged_in_a_trace_knows_it() {
    let (traces, _) = traces(Sampler::AlwaysOff);
    let tail = Tail::begin(&traces, Place::of_batch("run", 1, 2, 3), SystemTime::now());
    assert!(Ids::current().is_none());
    let seen = in_trace(Some(&tail), async {
        tokio::task::yield_now().await;
        Ids::current()
    });
    let ids = seen.await.unwrap();
    assert_eq!((ids.trace, ids.span), (tail.root().trace.to_string(), tail.root().span.to_string()));
    assert!(Ids::current().is_none());
    assert!(in_trace(None, async { Ids::current() }).await.is_none());
}
