//! Spans of traces of which another process has not decided yet whether they are exported.

use std::collections::{BTreeMap, HashMap};

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;

/// The most traces that are held: the oldest give way.
const MOST_TRACES: usize = 4_096;
/// The most spans of all of them. A span is of a call, and nothing in it is as long as a caller likes: some hundred bytes.
const MOST_SPANS: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Held {
    traces: HashMap<TraceId, Trace>,
    /// Oldest first, by their numbers.
    order: BTreeMap<u64, TraceId>,
    next: u64,
    spans: usize,
}

#[derive(Debug)]
struct Trace {
    number: u64,
    spans: Vec<SpanData>,
}

impl Held {
    pub(super) fn hold(&mut self, span: SpanData) {
        let id = span.span_context.trace_id();
        let trace = self.traces.entry(id).or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            self.order.insert(number, id);
            Trace { number, spans: Vec::with_capacity(1) }
        });
        trace.spans.push(span);
        self.spans += 1;
        while self.order.len() > MOST_TRACES || self.spans > MOST_SPANS {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.spans -= self.traces.remove(&oldest).map_or(0, |trace| trace.spans.len());
        }
    }

    /// The trace is exported: so are these.
    pub(super) fn release(&mut self, trace: TraceId) -> Vec<SpanData> {
        let Some(Trace { number, spans }) = self.traces.remove(&trace) else { return Vec::new() };
        self.order.remove(&number);
        self.spans -= spans.len();
        spans
    }
}
